"""What models promise another policy, beside what it gets."""

from types import SimpleNamespace

import imagined
import jax
import pytest

import jaxmeta

SMALL = {"family.horizon": 10, "episodes": 1, "policy.hidden": [4]}


def untrained(method, **settings):
    """What is read of a run, of one seed."""
    config = jaxmeta.experiment(method, "pendulum", **SMALL, **settings)
    tasks, algorithm = config.build()
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    return SimpleNamespace(
        tasks=tasks, algorithm=algorithm, config=config, thetas=jax.tree.map(lambda x: x[None], theta)
    )


def test_what_is_promised_and_where_models_err():
    hybrid = untrained("model-maml", **{"model.hidden": [4], "model_steps": 1, "scaled": True})
    found = imagined.compared(hybrid, untrained("maml"), tasks=3, task_seed=0)
    # Ten steps of at most π² + 0.1 · 8² + 0.001 · 2² each.
    assert -163 < found["return"] < 0
    assert found["promised"] != found["return"]
    for who in ("its own policy", "the other policy"):
        assert len(found[who]["error"]) == len(found[who]["change"]) == 4
        assert 0 <= found[who]["actions beyond the space"] <= 1
    # Untrained policies hardly leave the action space.
    assert found["the other policy"]["actions beyond the space"] < 0.1


def test_runs_on_other_tasks_are_refused(monkeypatch):
    trees = {"a": {"family": {"use": "pendulum"}, "scaled": True}, "b": {"family": {"use": "acrobot"}, "scaled": True}}
    monkeypatch.setattr(jaxmeta, "load", lambda run: SimpleNamespace(config=SimpleNamespace(tree=trees[run.name])))
    with pytest.raises(SystemExit, match=r"^error: the runs are on other tasks"):
        imagined.main(["a", "b"])
