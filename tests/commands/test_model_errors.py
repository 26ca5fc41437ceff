"""Runs that plan: trained, evaluated, the errors of their models; and what is refused."""

import json

import pytest

from jaxmeta.commands import evaluate, model_errors, train

SMALL = ["--family.horizon", "6", "--lifetime", "2", "--meta-batch", "4", "--iterations", "2", "--no-evaluate"]
MODEL = "--model.hidden 8 --model.probabilistic"
SEARCH = "--updates 3 --batch 4 --planner.horizon 3 --planner.candidates 4 --planner.elites 2 --planner.iterations 1"


@pytest.mark.parametrize(
    ("method", "own"), [("grbal", "--model.window 3 --model.future 2"), ("rebal", "--model.size 5")]
)
def test_a_run_that_plans_is_evaluated_and_its_model_s_errors_are_told(method, own, tmp_path, printed, refused):
    run = tmp_path / method
    flags = [*SMALL, *MODEL.split(), *SEARCH.split(), *own.split()]
    printed(train.main, method, "navigation-rotated", *flags, "--out", run)
    if method == "rebal":
        printed(evaluate.main, run, "--tasks", "3", "--greedy-episodes", "1")
        returns = json.loads((run / "evaluation.json").read_text())["returns"]
        assert [len(returns), len(returns[0]), len(returns[0][0])] == [1, 3, 2]
    assert "in 90 %" in printed(model_errors.main, run, "--tasks", "3", "--ahead", "4")
    written = json.loads((run / "model_errors.json").read_text())
    (row,) = written["seeds"]
    assert (written["ahead"], written["tasks"], row["seed"], row["iteration"]) == (4, 3, 0, 2)
    # Fewer where a goal was reached.
    assert 0 < row["steps"] <= 3 * 2 * 5
    assert row["before"]["one_step"] != row["after"]["one_step"]
    assert row["after"]["coverage_50"] <= row["after"]["coverage_90"] <= 1.0
    got = refused(model_errors.main, run, "--ahead", "13")
    assert got == "error: --ahead: got 13; must be from 1 to the lifetime's 12 steps"


def test_runs_that_do_not_plan_are_refused(refused, described):
    run = described("maml", "navigation")
    for argv, message in (
        ((), "RUNS: name the directory of at least one run"),
        ((run,), "maml on navigation: needed is one of grbal, rebal"),
        ((run, "--ahead", "0"), "--ahead: got 0; must be at least 1"),
    ):
        assert refused(model_errors.main, *argv) == f"error: {message}"
