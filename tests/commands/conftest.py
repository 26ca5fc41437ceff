"""Commands called in this process: what they print, and how they refuse."""

import json

import pytest

import jaxmeta
from jaxmeta.commands import train

TINY = ["--family.horizon", "10", "--meta-batch", "3", "--episodes", "2", "--policy.hidden", "8", "--no-evaluate"]


@pytest.fixture
def refused(capsys):
    """``refused(main, *argv)``: the one line that a command ends with."""

    def call(main, *argv):
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(each) for each in argv])
        captured = capsys.readouterr()
        assert (caught.value.code, captured.out) == (2, ""), captured
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        return captured.err.strip()

    return call


@pytest.fixture
def printed(capsys):
    """``printed(main, *argv)``: what a command says that ends well."""

    def call(main, *argv):
        capsys.readouterr()
        assert main([str(each) for each in argv]) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def described(tmp_path):
    """``described(*names, **settings)``: a directory that holds no more than a run's configuration."""

    def written(*names, **settings):
        config = {"format": 3, "experiment": jaxmeta.experiment(*names, **settings).config(), "versions": {}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return written


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The directory of a run of three iterations of MAML on navigation, two seeds."""
    directory = tmp_path_factory.mktemp("runs") / "tiny"
    assert train.main(["maml", "navigation", *TINY, "--iterations", "3", "--seeds", "2", "--out", str(directory)]) == 0
    return directory
