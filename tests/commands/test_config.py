"""Settings as TOML: printed, edited, read again, and refused."""

import tomllib

import pytest

import jaxmeta
from jaxmeta import registry
from jaxmeta.commands import config, train

DISCRETE = ("maml-q", "mql", "r2d2")


@pytest.mark.parametrize("method", registry.METHODS)
def test_what_is_printed_is_read_as_the_same_experiment(printed, tmp_path, method):
    family = "gridnavi" if method in DISCRETE else "pendulum"
    file = tmp_path / "mine.toml"
    file.write_text(printed(config.main, method, family))
    expected = jaxmeta.experiment(method, family)
    assert tomllib.loads(file.read_text())["method"] == method
    assert train.parse(["--config", str(file)]).experiment.config() == expected.config()


def test_what_is_not_set_is_told_from_the_default(printed, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(printed(config.main, "maml", "pendulum").replace("rate_end = 0.0003", 'rate_end = "none"'))
    assert train.parse(["--config", str(file)]).experiment.tree["outer"]["rate_end"] is None
    for given in (["--outer.rate-end", "none"], ["--outer.rate_end=none"], ["--outer.rate-end", "None"]):
        line = train.parse(["maml", "pendulum", *given]).experiment.tree
        assert line["outer"]["rate_end"] is None


def parsed(tmp_path, text, *argv):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return train.parse([*argv, "--config", str(file), "--out", str(tmp_path / "run")]).experiment


def test_a_file_need_not_be_complete_and_flags_go_before_it(tmp_path):
    chosen = parsed(tmp_path, 'inner_rate = 0.25\nepisodes = 7\n[outer]\nuse = "sgd"\n', "--episodes", "3")
    assert (chosen.method, chosen.family) == ("maml", "navigation")
    assert (chosen.tree["inner_rate"], chosen.tree["episodes"], chosen.tree["outer"]["use"]) == (0.25, 3, "sgd")
    assert chosen.tree["meta_batch"] == 20
    dotted = parsed(tmp_path, "outer.rate = 0.25\n")
    assert dotted.tree["outer"]["rate"] == 0.25


def test_a_file_s_settings_of_a_family_without_its_name_are_of_the_one_that_is_named(tmp_path):
    chosen = parsed(tmp_path, "[family]\narms = 3\n", "maml", "bernoulli-bandit")
    assert chosen.tree["family"]["arms"] == 3
    other = parsed(tmp_path, '[family]\nuse = "gaussian-bandit"\narms = 3\n', "maml", "bernoulli-bandit")
    assert other == jaxmeta.experiment("maml", "bernoulli-bandit", preset=None)


def test_a_file_goes_over_a_preset(tmp_path):
    chosen = parsed(tmp_path, "inner_rate = 0.25\n", "--preset", "cavia-2019")
    assert chosen == jaxmeta.experiment(preset="cavia-2019", inner_rate=0.25)
    pair = parsed(tmp_path, 'method = "promp"\nfamily = "pendulum"\ninner_rate = 0.25\n', "--preset", "pair")
    assert pair == jaxmeta.experiment("promp", "pendulum", inner_rate=0.25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner_rate = = 1", "Invalid value"),
        ("inner_rat = 1.0", "inner_rat: unknown setting; did you mean inner_rate"),
        ("[outer]\nrat = 1.0", "outer.rat: unknown setting; did you mean rate"),
        ("[outer]\nrate = 'fast'", "outer.rate: got 'fast'; must be a number"),
        ("[outer]\nrate = nan", "outer.rate: got nan; must be finite"),
        ("[policy]\nhidden = [1.5]", "policy.hidden: got 1.5; must be a whole number"),
        ("scaled = 1", "scaled: got 1; must be true or false"),
        ("outer = 'adm'", "outer: got 'adm'; did you mean adam"),
        ("method = 'mmal'", "method: unknown name 'mmal'; did you mean maml"),
        ("method = 3", "method: unknown name 3"),
        ("family = 'navigaton'", "family: unknown name 'navigaton'; did you mean navigation"),
        ("[family]\narms = 3", "family.arms: unknown setting"),
        ("preset = 'cavia-2019'", "preset: name it by --preset"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line_and_nothing_is_written_or_deleted(refused, tmp_path, text, message):
    file, run = tmp_path / "mine.toml", tmp_path / "run"
    file.write_text(text)
    run.mkdir()
    (run / "config.json").write_text('{"experiment": {}, "versions": {}}')
    got = refused(train.main, "--config", file, "--out", run, "--overwrite")
    assert got.startswith(f"error: --config {file}: {message}")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["config.json", "mine.toml", "run"]


def test_a_value_out_of_range_is_named_by_its_flag(refused, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[outer]\nrate = 0.0")
    got = refused(train.main, "--config", file, "--out", tmp_path / "run")
    assert got == "error: --outer.rate: got 0.0; must be positive"
    assert not (tmp_path / "run").exists()


def test_files_and_arguments_that_cannot_be_meant_are_one_line(refused, tmp_path):
    assert "cannot be read" in refused(train.main, "--config", tmp_path / "none.toml")
    assert refused(train.main, "--config") == "error: --config: a value must follow"
    got = refused(config.main, "maml", "pendulum", "--inner-rate", "3")
    assert got == "error: --inner-rate: unknown argument; give METHOD, FAMILY, --preset or --import"
    assert refused(config.main, "mmal").startswith("error: method: unknown name 'mmal'; did you mean maml")
