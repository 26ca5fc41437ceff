"""What an evaluation says besides returns."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxmeta

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))


import evaluate
import evaluating
import train
from experiment import Experiment

VARIED = ("masscart", "masspole", "length", "force_mag", "gravity")


def test_a_task_stays_solved_once_it_was():
    """Two seeds, three tasks, two episodes; a return at the level is not above it."""
    returns = [[[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]], [[0.0, 0.0], [0.0, 0.0], [0.6, 0.0]]]
    np.testing.assert_allclose(evaluating.solved_so_far(returns, 0.5), [[1 / 3, 2 / 3], [1 / 3, 1 / 3]])


def test_the_share_solved_is_printed_with_the_worst_and_the_best_seed(capsys):
    one = {"iqm": [1.0, 2.0], "low": [0.0, 1.0], "high": [2.0, 3.0]}
    result = {
        "axes": ["seed", "task", "episode"],
        "seeds": [0, 1],
        "tasks": {"count": 4},
        "summary": {"sampled": one, "deterministic": one},
        "references": {"from_scratch": one},
    }
    evaluating.print_table(result)
    assert "solved" not in capsys.readouterr().out
    evaluating.print_table({**result, "solved": [[0.25, 0.5], [0.75, 1.0]]})
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("solved"))
    assert line.split("  ")[-2:] == ["50.0% [25.0%, 75.0%]", "75.0% [50.0%, 100.0%]"]


def test_a_level_that_is_no_number_is_one_line(capsys):
    with pytest.raises(SystemExit):
        evaluating.check_evaluation(evaluating.Evaluation(solved_above=float("nan")), Experiment())
    assert capsys.readouterr().err == "error: --solved-above: got nan; must be finite\n"


def test_unseen_tasks_may_be_drawn_as_those_of_training(tmp_path):
    """Half of cartpole's test tasks or more have a quantity that no training task has; none of these has."""
    argv = ["--algorithm", "rl2", "--task", "cartpole", "--horizon", "3", "--size", "4", "--meta-batch", "16"]
    assert train.main([*argv, "--iterations", "1", "--no-evaluate", "--out", str(tmp_path / "run")]) == 0
    tasks = jaxmeta.sample_tasks(jax.random.key(0), jaxmeta.tasks.make("cartpole"), 4000)
    outside = []
    for more in ([], ["--in-distribution"]):
        assert evaluate.main([str(tmp_path / "run"), "--tasks", "40", "--greedy-episodes", "1", *more]) == 0
        written = json.loads((tmp_path / "run" / "evaluation.json").read_text())
        assert written["protocol"]["in_distribution"] == bool(more)
        values = {name: np.array(written["tasks"]["parameters"][name]) for name in VARIED}
        beyond = [
            (x < getattr(tasks, name).min() - 1e-2) | (x > getattr(tasks, name).max() + 1e-2)
            for name, x in values.items()
        ]
        outside.append(np.mean(np.any(beyond, axis=0)))
    assert outside[0] > 0.5
    assert outside[1] == 0.0
