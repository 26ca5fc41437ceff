"""``jaxmeta plan`` and ``jaxmeta train --plan``: what they say, and that they write nothing."""

import json

import pytest

from jaxmeta.commands import plan, train
from jaxmeta.commands.errors import one_line_errors
from jaxmeta.runs import hosts, memory

SMALL = ["maml", "navigation", "--family.horizon", "10", "--meta-batch", "3", "--episodes", "2", "--policy.hidden", "8"]


def test_a_plan_says_what_training_takes_and_writes_nothing_else(printed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = printed(plan.main, *SMALL, "--seeds", 2, "--json", "plan.json")
    assert "240 environment steps an iteration at most" in out
    assert "2, 1 at a time" in out
    assert "which fits into" in out
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    assert json.loads((tmp_path / "plan.json").read_text())["fits"]
    assert "which fits into" in printed(train.main, *SMALL, "--plan")
    monkeypatch.setattr(hosts, "first", lambda: False)
    assert printed(train.main, *SMALL, "--plan") == ""
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_where_it_does_not_fit_a_plan_says_what_was_tried(printed, monkeypatch):
    monkeypatch.setattr(memory, "memory_there", lambda: 10_000)
    out = printed(plan.main, *SMALL, "--seeds", 2, "--seed-chunk", 2)
    assert "which does not fit into 10.0 kB" in out
    assert "instead      --seed-chunk 1: " in out
    assert "fewer tasks, episodes, steps or seeds" in out


def test_training_that_does_not_fit_is_refused_in_one_line(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "memory_there", lambda: 10_000)
    monkeypatch.chdir(tmp_path)
    said = refused(train.main, *SMALL)
    assert "out of memory: " in said
    assert "10.0 kB; take fewer seeds or a smaller --seed-chunk" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nmore"),
        MemoryError("Unable to allocate 8 GiB"),
    ],
)
def test_memory_that_is_used_up_is_one_line(capsys, error):
    with pytest.raises(SystemExit), one_line_errors():
        raise error
    said = capsys.readouterr().err
    assert said.startswith("error: out of memory: ")
    assert said.count("\n") == 1
    assert "jaxmeta plan" in said
