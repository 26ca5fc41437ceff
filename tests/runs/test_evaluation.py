"""What an evaluation says besides returns."""

import jax
import numpy as np
import pytest

import jaxmeta
from jaxmeta.runs import evaluate, evaluation
from jaxmeta.runs.evaluation import Evaluation
from jaxmeta.runs.loop import evaluation_tasks


def test_a_task_stays_solved_once_it_was():
    """Two seeds, three tasks, two episodes; a return at the level is not above it."""
    returns = [[[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]], [[0.0, 0.0], [0.0, 0.0], [0.6, 0.0]]]
    np.testing.assert_allclose(evaluation.solved_so_far(returns, 0.5), [[1 / 3, 2 / 3], [1 / 3, 1 / 3]])


def test_the_share_solved_is_told_with_the_worst_and_the_best_seed():
    one = {"iqm": [1.0, 2.0], "low": [0.0, 1.0], "high": [2.0, 3.0]}
    result = {
        "axes": ["seed", "task", "episode"],
        "seeds": [0, 1],
        "tasks": {"count": 4, "distinct": 3, "listed": 3, "seen_in_training": 3},
        "summary": {"sampled": one, "deterministic": one},
        "references": {"from_scratch": one},
    }
    assert "solved" not in evaluation.table(result)
    head = "return on 3 tasks, each also trained on (4 adaptations), 2 seeds: IQM"
    assert evaluation.table(result).startswith(head)
    table = evaluation.table({**result, "solved": [[0.25, 0.5], [0.75, 1.0]]})
    line = next(line for line in table.splitlines() if line.startswith("solved"))
    assert line.split("  ")[-2:] == ["50.0% [25.0%, 75.0%]", "75.0% [50.0%, 100.0%]"]


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((400, 400, None, 0), "400 tasks drawn anew"),
        ((400, 250, None, None), "400 tasks (250 distinct), which training may draw too"),
        ((400, 21, 21, 21), "21 tasks, each also trained on"),
        ((400, 400, 6561, 400), "400 tasks, each also trained on"),
        ((400, 20, 20, 6), "20 tasks, 6 of them also trained on"),
        ((400, 4, 4, 0), "4 tasks, not trained on"),
        ((400, 1, 1, 0), "1 task, not trained on"),
    ],
)
def test_it_is_said_whether_training_draws_from_the_tasks(numbers, words):
    names = ("count", "distinct", "listed", "seen_in_training")
    assert evaluation.tasks_in_words(dict(zip(names, numbers, strict=True))) == words
    assert evaluation.tasks_in_words({"count": 400, "distinct": 21}) == "test tasks"


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("maml", {"solved_above": float("nan")}, "solved_above: got nan; must be finite"),
        ("maml", {"rate_decay": float("inf")}, "rate_decay: got inf; must be finite"),
        ("maml", {"rate_decay": 0.0}, "rate_decay: got 0.0; must be positive"),
        ("maml", {"tasks": 0}, "tasks: got 0; must be at least 1"),
        ("maml", {"steps": -1}, "steps: got -1; must be at least 0"),
        ("maml", {"episodes": 0}, "episodes: got 0; must be at least 1"),
        ("maml", {"task_seed": -1}, "task_seed: got -1; must be at least 0"),
        ("rl2", {"steps": 2}, "steps: rl2 has no use for it; leave it out"),
        ("rl2", {"rate_decay": 0.9}, "rate_decay: rl2 has no use for it; leave it out"),
    ],
)
def test_a_protocol_that_cannot_be_meant_is_refused(method, given, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        evaluation.check_evaluation(Evaluation(**given), jaxmeta.experiment(method, "navigation"))


def test_unseen_tasks_may_be_drawn_as_those_of_training(monkeypatch):
    """Most of cartpole's test tasks have a quantity that no training task has; none of these has."""

    class Enough(Exception):
        pass

    def evaluated(algorithm, tasks, theta, **settings):
        raise Enough(tasks)

    monkeypatch.setattr(evaluate, "evaluate_run", evaluated)
    trained = jaxmeta.experiment("rl2", "cartpole", family={"horizon": 3}, policy={"size": 4})
    known = jaxmeta.sample_tasks(jax.random.key(0), jaxmeta.tasks.make("cartpole"), 4000)
    outside = []
    for in_distribution in (False, True):
        with pytest.raises(Enough) as caught:
            evaluation.evaluate(trained, None, 1, Evaluation(in_distribution=in_distribution))
        batch = evaluation_tasks(jax.random.key(1), caught.value.args[0], 40)
        beyond = [
            (getattr(batch, name) < getattr(known, name).min() - 1e-2)
            | (getattr(batch, name) > getattr(known, name).max() + 1e-2)
            for name in ("masscart", "masspole", "length", "force_mag", "gravity")
        ]
        outside.append(np.mean(np.any(beyond, axis=0)))
    assert outside[0] > 0.5
    assert outside[1] == 0.0


def test_tasks_held_out_of_training_are_evaluated_on_unless_those_of_training_are_asked_for(monkeypatch):
    monkeypatch.setattr(evaluate, "evaluate_run", lambda algorithm, tasks, theta, **settings: {"tasks": tasks})
    trained = jaxmeta.experiment("rl2", "gridnavi", held_out=4, policy={"size": 4})
    found = []
    for in_distribution in (False, True):
        tasks = evaluation.evaluate(trained, None, 1, Evaluation(in_distribution=in_distribution))["tasks"]
        batch = evaluation_tasks(jax.random.key(0), tasks, 34)
        found.append(evaluate.tasks_taken(batch, tasks))
    assert found == [
        {"count": 34, "distinct": 4, "listed": 4, "seen_in_training": 0},
        {"count": 34, "distinct": 17, "listed": 17, "seen_in_training": 17},
    ]


def test_methods_that_plan_are_evaluated_on_fewer_tasks_by_default():
    by_default = evaluation.Evaluation()
    for method, family, count in (("grbal", "pendulum", 40), ("maml", "navigation", 400)):
        experiment = jaxmeta.experiment(method, family)
        assert evaluation.tasks_of(experiment, by_default) == count
        assert evaluation.tasks_of(experiment, evaluation.Evaluation(tasks=7)) == 7
        evaluation.check_evaluation(by_default, experiment)
