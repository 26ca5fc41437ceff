"""Runs that plan: trained, evaluated, their models judged; and what is refused."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import evaluate
import model_errors
import train

SMALL = ["--task", "navigation-rotated", "--horizon", "6", "--lifetime", "2", "--hidden", "8", "--meta-batch", "4"]
SEARCH = ["updates=3", "batch=4", "plan_steps=3", "candidates=4", "elites=2", "plan_iterations=1", "probabilistic=True"]


@pytest.mark.parametrize(("algorithm", "own"), [("grbal", ["window=3", "future=2"]), ("rebal", [])])
def test_a_run_that_plans_is_evaluated_and_its_model_judged(algorithm, own, tmp_path, capsys):
    directory = tmp_path / algorithm
    argv = ["--algorithm", algorithm, *SMALL, "--iterations", "2", "--no-evaluate", "--out", str(directory)]
    argv += ["--size", "5"] if algorithm == "rebal" else []
    assert train.main([*argv, "--algorithm-settings", *SEARCH, *own]) == 0
    assert evaluate.main([str(directory), "--tasks", "3", "--greedy-episodes", "1"]) == 0
    returns = json.loads((directory / "evaluation.json").read_text())["returns"]
    assert [len(returns), len(returns[0]), len(returns[0][0])] == [1, 3, 2]
    capsys.readouterr()
    assert model_errors.main([str(directory), "--tasks", "3", "--ahead", "4"]) == 0
    assert "in 90 %" in capsys.readouterr().out
    written = json.loads((directory / "model_errors.json").read_text())
    (row,) = written["seeds"]
    assert (written["ahead"], written["tasks"], row["seed"], row["iteration"]) == (4, 3, 0, 2)
    # Fewer where a goal was reached.
    assert 0 < row["steps"] <= 3 * 2 * 5
    assert row["before"]["one_step"] != row["after"]["one_step"]
    assert row["after"]["coverage_50"] <= row["after"]["coverage_90"] <= 1.0
    with pytest.raises(SystemExit):
        model_errors.main([str(directory), "--ahead", "13"])
    assert capsys.readouterr().err == "error: horizon: got 13; must be from 1 to the lifetime's 12 steps\n"


def test_runs_that_do_not_plan_are_refused(tmp_path, capsys):
    from dataclasses import asdict

    from experiment import Experiment

    (tmp_path / "config.json").write_text(json.dumps({"arguments": asdict(Experiment())}))
    for argv, message in (
        ([], "RUNS: name the directory of at least one run"),
        ([str(tmp_path)], f"{tmp_path} is maml; needed is one of grbal, rebal"),
        ([str(tmp_path), "--ahead", "0"], "--ahead: got 0; must be at least 1"),
    ):
        with pytest.raises(SystemExit):
            model_errors.main(argv)
        assert capsys.readouterr().err == f"error: {message}\n"
