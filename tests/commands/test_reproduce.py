"""Recipes: their commands can be given, and a small one is made, gone on with, and judged by its bands."""

import dataclasses
import fnmatch
import functools
import importlib
import inspect
import json
import tomllib
from pathlib import Path

import pytest
import tyro

from jaxmeta.commands import reproduce, train
from jaxmeta.commands.arguments import parsed_by
from jaxmeta.studies import reproduction

SMALL = tomllib.loads("""
title = "A small one"
seconds = { full = 20, quick = 10 }

[[runs]]
name = "run-{each}"
each = ["a", "b"]
quick-each = ["a"]
train = "maml navigation --episodes 2 --policy.hidden 4 --family.horizon 5 --meta-batch 2 --iterations 9 --eval.tasks 2"
quick = "--iterations 3 --eval.steps 1"

[[steps]]
command = "compare runs/run-* --out a.png a.csv --json a.json"

[[steps]]
command = "compare runs/run-b"
quick = false

[[bands]]
of = "return"
file = "a.json"
where = { method = "maml" }
value = "summary.sampled.iqm.0"
quick = [-100.0, 0.0]
published = -1.5

[[bands]]
of = "seeds"
file = "a.json"
value = "seeds.3"
full = [0, 1]
quick = [0, 1]
""")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(reproduction, "_contents", lambda: {"small": SMALL})


def given(step):
    """What the arguments of a command, or of a script, stand for; they end the test if they cannot be given."""
    if reproduce.is_script(step):
        kinds = vars(importlib.import_module(Path(step[0]).stem)).values()
        (kind,) = [one for one in kinds if dataclasses.is_dataclass(one)]
        return vars(tyro.cli(kind, args=step[1:]))
    # The function that the command is made of.
    function = importlib.import_module(f"jaxmeta.commands.{step[0].replace('-', '_')}").main.__wrapped__

    @functools.wraps(function)
    def bound(*arguments, **flags):
        return inspect.signature(function).bind(*arguments, **flags).arguments

    return parsed_by(bound, step[1:], step[0])


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("name", reproduction.names())
def test_the_commands_of_every_recipe_can_be_given(name, quick, tmp_path):
    recipe = reproduction.recipe(name, quick=quick)
    written = set()
    for run, arguments in recipe.runs.items():
        parsed = train.parse([*arguments, "--out", str(tmp_path / run)])
        assert parsed.experiment.method in arguments
        assert parsed.experiment.family in arguments
        if parsed.where.evaluate:
            written.add(f"runs/{run}/evaluation.json")
    for step in recipe.steps:
        arguments = given(step)
        runs = [str(run) for run in arguments.get("runs", ())]
        written |= {str(arguments.get("json"))} | {f"{run}/model_errors.json" for run in runs}
        if step[0] in ("compare", "evaluate"):
            assert {f"{run}/evaluation.json" for run in runs} <= written
        if "runs" in arguments:
            assert runs, "a step without a run"
    for band in recipe.bands:
        assert band["band"][0] < band["band"][1]
        assert band["file"] in written
    assert recipe.seconds <= 180 or not quick


@pytest.mark.parametrize("name", reproduction.names())
def test_every_word_of_a_recipe_has_a_use(name):
    content = tomllib.loads((Path(reproduction.__file__).parent / "recipes" / f"{name}.toml").read_text())
    full = reproduction.recipe(name, quick=False)
    for step in content.get("steps", []):
        for word in step["command"].split():
            if word.startswith("runs/") and "{each}" not in word:
                assert fnmatch.filter(full.runs, word.removeprefix("runs/")), f"{word}: there is no such run"
    for entry in content.get("bands", []):
        words = [set(entry[size]) for size in ("full", "quick", "published") if isinstance(entry.get(size), dict)]
        assert all(each <= words[0] for each in words)


def test_flags_of_a_reduced_budget_replace_those_of_the_full_one():
    merged = reproduction.merged("rl2 line --a 1 2 --b --c x", "--a 3 --d 4")
    assert merged == ["rl2", "line", "--a", "3", "--b", "--c", "x", "--d", "4"]
    quick, full = (reproduction.made("small", SMALL, quick=quick) for quick in (True, False))
    assert list(full.runs) == ["run-a", "run-b"]
    assert full.steps[0][:3] == ["compare", "runs/run-a", "runs/run-b"]
    assert full.steps[1] == ["compare", "runs/run-b"]
    assert list(quick.runs) == ["run-a"]
    assert len(quick.steps) == 1
    assert quick.steps[0][-1].startswith("Reduced budget")


def test_tables_make_a_band_of_each_word_and_a_star_is_a_mean(tmp_path):
    content = tomllib.loads("""
title = "Of each"
seconds = { full = 1, quick = 1 }

[[runs]]
name = "{each}"
each = ["a", "b"]
train = "{each} line"
quick = false

[[steps]]
command = "compare runs/b runs/a --out {each}.png"
each = ["x", "y"]

[[bands]]
of = "seeds of {each}"
file = "{each}.json"
where = { name = "{each}" }
value = "seeds.*.1"
full = { a = [0, 4], b = [0, 1] }
quick = { a = [0, 1] }
published = { b = 7 }
""")
    full, quick = (reproduction.made("small", content, quick=quick) for quick in (False, True))
    assert full.runs == {"a": ["a", "line"], "b": ["b", "line"]}
    assert full.steps == [["compare", "runs/b", "runs/a", "--out", f"{word}.png"] for word in "xy"]
    assert (quick.runs, quick.steps[0][:2]) == ({}, ["compare", "--out"])
    (tmp_path / "a.json").write_text(json.dumps([{"name": "b"}, {"name": "a", "seeds": [[0, 2], [0, 5]]}]))
    bands = reproduction.found(full, tmp_path)
    assert bands == [("seeds of a", 3.5, 0, 4, None), ("seeds of b", None, 0, 1, 7)]
    assert [band.inside for band in bands] == [True, False]
    assert [band.of for band in reproduction.found(quick, tmp_path)] == ["seeds of a"]


def test_a_small_one_is_made_gone_on_with_and_judged(small, tmp_path, capfd):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        reproduce.main(["small", "--quick", "--out", str(out)])
    assert ended.value.code == 1
    said = capfd.readouterr().out
    assert "| return |" in said
    assert "| inside |" in said
    assert "not there" in said
    result = json.loads((out / "result.json").read_text())
    assert [one["inside"] for one in result["numbers"]] == [True, False]
    assert result["numbers"][0]["published"] == -1.5
    files = {name: (out / name).read_bytes() for name in ("a.png", "a.csv", "a.json", "result.json")}

    # What is done is not done again; what is missing is.
    steps = json.loads((out / "steps.json").read_text())
    (last,) = [words for words in steps if words.startswith("compare")]
    (out / "steps.json").write_text(json.dumps({name: entry for name, entry in steps.items() if name != last}))
    with pytest.raises(SystemExit):
        reproduce.main(["small", "--quick", "--out", str(out)])
    said = capfd.readouterr().out
    assert "$ compare" in said
    assert "$ train" not in said
    assert files == {name: (out / name).read_bytes() for name in files}


def test_what_cannot_be_made_is_one_line(small, refused, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    assert "is not empty and holds no reproduction" in refused(reproduce.main, "small", "--out", tmp_path)
    (tmp_path / "steps.json").write_text(json.dumps({"began": {"command": "jaxmeta reproduce other", "jaxmeta": "0"}}))
    assert "holds jaxmeta reproduce other, begun with jaxmeta 0" in refused(reproduce.main, "small", "--out", tmp_path)
    for damaged in ("", "[1]", "null"):
        (tmp_path / "steps.json").write_text(damaged)
        assert "steps.json: cannot be read" in refused(reproduce.main, "small", "--out", tmp_path)
    assert "unknown" in refused(reproduce.main, "smal")


def test_recipes_are_listed_and_their_commands_shown(small, capsys):
    assert reproduce.main([]) == 0
    assert "small                     20 s      10 s  A small one" in capsys.readouterr().out
    assert reproduce.main(["small", "--quick", "--commands"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("jaxmeta train maml navigation --episodes 2")
    assert second.startswith("jaxmeta compare runs/run-a --out a.png a.csv")
