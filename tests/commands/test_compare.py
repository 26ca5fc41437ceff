"""Runs side by side: tables, figures, what their environment steps are, and bad input."""

import functools
import json
import shutil

import pytest

import jaxmeta
from jaxmeta.commands import compare, evaluate
from jaxmeta.runs.evaluation import check_result
from jaxmeta.runs.logging import read_csv
from jaxmeta.studies import comparison


def test_runs_are_put_side_by_side(printed, tiny_run, tmp_path):
    printed(evaluate.main, tiny_run, "--tasks", 6, "--episodes", 3, "--steps", 2, "--overwrite")
    written = [tmp_path / name for name in ("comparison.png", "comparison.json", "curves.png", "profiles.png")]
    flags = ("--out", written[0], "--json", written[1], "--curves", written[2], "--profiles", written[3])
    flags += ("--threshold", -1000, "--per-seed", "--policy", "deterministic")
    table = printed(compare.main, tiny_run, tiny_run, *flags)
    assert table.count(f"| navigation | maml, {tiny_run.name} | 2 |") == 2
    assert all(path.stat().st_size > 5_000 for path in (written[0], *written[2:]))
    # Beside itself a run is as often better as worse; any return is above −1000.
    assert f"| navigation | maml, {tiny_run.name} | maml, {tiny_run.name} | 50% [" in table
    assert table.count(" | 2 of 2 |") == 2
    drawn = json.loads(written[1].read_text())
    assert [(one["family"], one["method"]) for one in drawn] == [("navigation", "maml")] * 2
    last = {row["seed"]: row["env_steps"] for row in read_csv(tiny_run / "metrics.csv")}
    assert drawn[0]["env_steps"] == (last[0] + last[1]) / 2


def test_from_scratch_s_steps_are_those_of_one_task():
    # Three batches of two episodes in each of ten tasks took 300 steps an iteration; evaluation has batches of four.
    what = jaxmeta.experiment("from-scratch", meta_batch=10, adaptation_steps=2, episodes=2)
    rows = [{"iteration": 1.0, "env_steps": 280.0}, {"iteration": 2.0, "env_steps": 640.0}]
    evaluated = {"protocol": {"episodes": 4}, "summary": {"sampled": {"mean": [5.0, 6.0, 7.0]}}}
    drawn = compare.alone(what, evaluated, rows)
    assert [(row["env_steps"], row["return_post"]) for row in drawn] == [(20.0, 6.0), (40.0, 7.0)]


def test_steps_are_told_to_parts_of_the_way_of_the_target(capsys):
    def run(returns):
        return [
            {"seed": seed, "env_steps": 1000.0 * (index + 1), "return_post": value + seed - 0.5}
            for index, value in enumerate(returns)
            for seed in (0.0, 1.0)
        ]

    trained = [("a", "maml", run([0, 4, 6, 9, 10])), ("a", "quick", run([5, 9.5, 9.9])), ("b", "maml", run([1, 3]))]
    rows = [line.split(" | ") for line in compare.steps_table(trained, "maml").split("\n")[2:]]
    assert rows[0][2:6] == ["3 k", "4 k", "5 k", "5 k"]
    assert rows[1][2:6] == ["1 k", "2 k", "never", "3 k"]
    assert rows[2][2:6] == ["2 k", "2 k", "2 k", "2 k"]
    with pytest.raises(SystemExit):
        compare.steps_table(trained, "quick")
    assert capsys.readouterr().err == "error: --target quick: none of the runs on b is of it\n"


def test_comparing_what_is_not_evaluated_is_one_line(refused, tiny_run, tmp_path):
    shutil.copy(tiny_run / "config.json", tmp_path)
    for argv, message in (
        ((), "RUNS: name the directory of at least one run"),
        ((tmp_path,), f"{tmp_path} has no evaluation.json; make it with jaxmeta evaluate {tmp_path}"),
        ((tmp_path, "--out", tmp_path / "no" / "a.png"), f"--out: {tmp_path / 'no'} is not a directory"),
        ((tmp_path, "--columns", "0"), "--columns: got 0; must be at least 1"),
        ((tmp_path, "--labels", "a", "b"), "--labels: got 2; must be one for each of the 1 runs"),
        ((tmp_path, "--json", tmp_path), f"--json: {tmp_path} is a directory; name a file"),
        ((tmp_path, "--out", ""), "--out: . is a directory; name a file"),
    ):
        assert refused(compare.main, *argv) == f"error: {message}"
    for name in ("a.foo", "a"):
        got = refused(compare.main, tmp_path, "--curves", tmp_path / name)
        assert got.startswith(f"error: --curves: got {tmp_path / name}; its name must end in one of .csv, .eps, ")


def result_without_returns():
    """The least content of an ``evaluation.json``."""
    curve, line = {name: [0.0, 1.0] for name in ("iqm", "low", "high")}, {"iqm": 0.0, "low": 0.0, "high": 0.0}
    result = {"axes": ["seed", "task", "adaptation_step"], "seeds": [0], "iteration": 1, "protocol": {}, "interval": ""}
    result |= {"summary": {"sampled": {**curve}, "deterministic": {**curve}}}
    result |= {"tasks": {"count": 2, "distinct": 2, "listed": None, "seen_in_training": 0}}
    result |= {"references": {"from_scratch": {**curve}, "random_policy": {**line}, "optimum": {**line}}}
    return result


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("axes", ["seed"], "axes: must be seed, task and the stage"),
        ("seeds", [], "seeds: must be whole numbers, at least one"),
        ("summary.sampled", 5, "summary.sampled.iqm: must be there, and is missing"),
        ("summary.sampled.iqm", ["a", "b"], "summary.sampled.iqm: must be 2 numbers"),
        ("summary.sampled.low", [1.0], "summary.sampled.low: must be 2 numbers"),
        ("references.from_scratch.iqm", [], "references.from_scratch.iqm: must be 2 numbers"),
        ("references.optimum.iqm", None, "references.optimum.iqm: must be a number"),
        ("tasks", [], "tasks: must be a table"),
        ("tasks.distinct", "two", "tasks.distinct: must be a whole number"),
        ("tasks.listed", "none", "tasks.listed: must be a whole number"),
        ("references.optimum.iqm", 10**400, "references.optimum.iqm: must be a number"),
        ("returns", [[[0.0, None]]], "returns: must be 2 numbers for each task and each seed"),
        ("returns", [[[0.0, 1.0]]], "returns: must be of the 2 tasks that tasks.count says"),
        ("returns_deterministic", [[0.0, 1.0]], "returns_deterministic: must be 2 numbers for each task and each seed"),
    ],
)
def test_an_evaluation_that_was_edited_is_one_line_that_names_the_entry(refused, described, path, value, message):
    result = result_without_returns()
    check_result(result)
    *outer, name = path.split(".")
    functools.reduce(dict.__getitem__, outer, result)[name] = value
    run = described("maml")
    (run / "evaluation.json").write_text(json.dumps(result))
    file = run / "evaluation.json"
    assert (
        refused(compare.main, run) == f"error: {file}: {message}; make it anew with jaxmeta evaluate {run} --overwrite"
    )


def test_costs_and_controllers_are_compared_though_only_one_run_has_them(printed, described, tmp_path):
    costs = {"sampled": [1.0, 0.5], "deterministic": [1.0, 0.0], "from_scratch": [1.0, 1.0], "random_policy": [2.0]}
    shares = {name: [0.0] * len(values) for name, values in costs.items()}
    told = {"costs": {"limit": [1.0, 1.0], "of": {}, "mean": costs, "over_limit": shares}}
    told |= {"controllers": {"gain 0.5": {"iqm": 0.25, "returns": [0.0, 0.5]}}}
    runs = [tmp_path / "before", tmp_path / "told"]
    for run, more in zip(runs, ({}, told), strict=True):
        run.mkdir()
        shutil.copy(described("maml") / "config.json", run)
        (run / "evaluation.json").write_text(json.dumps({**result_without_returns(), **more}))
    files = {"out": tmp_path / "x.csv", "json": tmp_path / "x.json"}
    text = printed(compare.main, *runs, *(str(part) for name, file in files.items() for part in (f"--{name}", file)))
    assert "| task | run | cost, 0 steps | cost, 1 step |" in text
    assert text.count("1 (0% over) | 0.5 (0% over) |") == 1
    assert "gain 0.5" in files["out"].read_text()
    before, after = json.loads(files["json"].read_text())
    assert "costs" not in before
    assert after["costs"]["mean"] == costs
    assert after["controllers"] == {"gain 0.5": {"iqm": 0.25}}


def test_a_label_for_two_runs_and_returns_that_are_missing_are_one_line(refused, described, tmp_path):
    runs = [tmp_path / "first", tmp_path / "second"]
    for run in runs:
        run.mkdir()
        shutil.copy(described("maml") / "config.json", run)
        (run / "evaluation.json").write_text(json.dumps(result_without_returns()))
    labelled = refused(compare.main, *runs, "--labels", "x", "x", "--out", tmp_path / "x.png")
    assert labelled == "error: --labels: 'x' names two runs on navigation; each must have one of its own"
    found = refused(compare.main, *runs, "--per-seed", "--policy", "deterministic", "--out", tmp_path / "x.png")
    file = runs[0] / "evaluation.json"
    assert found.startswith(f"error: --per-seed, --profiles: {file} has no returns_deterministic; make it anew with")


def test_a_run_from_scratch_without_its_episodes_is_one_line(described, monkeypatch, capsys):
    run = described("from-scratch")
    one = comparison.Beside("navigation", "from-scratch", jaxmeta.experiment("from-scratch"), {"protocol": {}})
    monkeypatch.setattr(comparison, "metrics", lambda run: [{"seed": 0, "env_steps": 1.0, "iteration": 1}])
    with pytest.raises(SystemExit):
        compare.training(run, one)
    entry = f"{run / 'evaluation.json'}: protocol.episodes: must be a whole number"
    assert capsys.readouterr().err == f"error: {entry}; make it anew with jaxmeta evaluate {run} --overwrite\n"


def test_files_that_are_none_of_ours_are_named(refused, described):
    run = described("maml")
    for content in (b"", b"\xff\x00", b"[" * 100_000, b"[]"):
        (run / "evaluation.json").write_bytes(content)
        assert refused(compare.main, run).startswith(f"error: {run / 'evaluation.json'}")
    for content in (b"", b"\xff\x00", b"[" * 100_000, b"[]"):
        (run / "config.json").write_bytes(content)
        assert refused(compare.main, run).startswith(f"error: {run / 'config.json'}")
