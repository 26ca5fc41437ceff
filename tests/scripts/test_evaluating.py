"""What an evaluation says besides returns."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxmeta
from jaxmeta.runs import directory as runs
from jaxmeta.runs.loop import held_out_tasks

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))


import evaluating
import train
from evaluating import Evaluation
from experiment import Experiment


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


def test_unseen_tasks_may_be_drawn_as_those_of_training(tmp_path, monkeypatch):
    """Most of cartpole's test tasks have a quantity that no training task has; none of these has."""

    class Enough(Exception):
        pass

    def evaluated(algorithm, tasks, theta, **settings):
        raise Enough(tasks)

    monkeypatch.setattr(runs, "load_theta", lambda *run: (None, 1))
    monkeypatch.setattr(runs, "evaluate_run", evaluated)
    trained = train.parse(["--algorithm", "rl2", "--task", "cartpole", "--horizon", "3", "--size", "4"]).experiment
    known = jaxmeta.sample_tasks(jax.random.key(0), jaxmeta.tasks.make("cartpole"), 4000)
    outside = []
    for in_distribution in (False, True):
        with pytest.raises(Enough) as caught:
            evaluating.evaluate_and_plot(tmp_path, trained, Evaluation(in_distribution=in_distribution))
        batch = held_out_tasks(jax.random.key(1), caught.value.args[0], 40)
        beyond = [
            (getattr(batch, name) < getattr(known, name).min() - 1e-2)
            | (getattr(batch, name) > getattr(known, name).max() + 1e-2)
            for name in ("masscart", "masspole", "length", "force_mag", "gravity")
        ]
        outside.append(np.mean(np.any(beyond, axis=0)))
    assert outside[0] > 0.5
    assert outside[1] == 0.0
