"""What a run says of the machine and the code that made it."""

import subprocess

import pytest

from jaxmeta.runs import machine


def git(folder, *arguments):
    who = ("-c", "user.name=one", "-c", "user.email=one@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("tracked", [True, False])
def test_the_revision_is_that_of_the_package_and_not_of_whatever_it_is_installed_in(tracked, tmp_path, monkeypatch):
    (tmp_path / "machine.py").write_text("")
    (tmp_path / "another.py").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", "machine.py" if tracked else "another.py")
    git(tmp_path, "commit", "-m", "one")
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "machine.py"))
    revision = machine.describe()["git_revision"]
    assert (revision is not None and len(revision) == 40) if tracked else revision is None
