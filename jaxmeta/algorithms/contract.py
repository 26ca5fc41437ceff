"""What an algorithm checks when it is built: its family, and by shapes alone its learner and its objective."""

from typing import Any

import jax
from gymnax.environments import spaces

from jaxmeta.data import collect_episodes, identity_estimator
from jaxmeta.tasks import LifetimeEnv
from jaxmeta.types import Estimator, Learner, Lifetime, Objective, PyTree, TaskDistribution


def check_contract(
    tasks: TaskDistribution,
    learner: Learner,
    objective: Objective | None = None,
    estimator: Estimator = identity_estimator,
    *,
    adaptation_steps: int,
    episodes: int,
) -> None:
    """Trace every function of a learner and of an objective abstractly; nothing is compiled or computed.

    Raises:
      ValueError: a function that returns something else than the contract says; the message names it.
    """
    key = jax.random.key(0)
    task = jax.eval_shape(tasks.sample, key)
    theta = jax.eval_shape(learner.init, key)
    phi = jax.eval_shape(learner.begin, theta)
    obs, _ = jax.eval_shape(tasks.env.reset_env, key, task)
    acted = jax.eval_shape(learner.act, key, theta, phi, obs)
    _parts("learner.act", acted, ("action", "log_prob", "value", "phi"))
    _same("learner.act: log_prob", acted[1].shape, ())
    _same("learner.act: value", acted[2].shape, ())
    _same_tree("learner.act", acted[3], phi)

    sizes = {"episodes": episodes, "horizon": tasks.horizon}

    def batch_fn(key, task, theta, phi):
        return estimator(collect_episodes(key, tasks.env, task, learner, theta, phi, **sizes)[0])

    batch = jax.eval_shape(batch_fn, key, task, theta, phi)
    _same_tree("learner.absorb", jax.eval_shape(learner.absorb, theta, phi, batch), phi)
    scored = jax.eval_shape(learner.score, theta, phi, batch)
    _parts("learner.score", scored, ("log_prob", "value"))
    for name, part in zip(("log_prob", "value"), scored, strict=True):
        _same(f"learner.score: {name}", part.shape, (episodes, tasks.horizon))

    if objective is None:
        return
    of_stages = jax.tree.map(lambda x: jax.ShapeDtypeStruct((adaptation_steps + 1, *x.shape), x.dtype), batch)
    peers: Any = jax.ShapeDtypeStruct((), batch.reward.dtype)
    lifetime = Lifetime(of_stages, peers, key, task)
    results = jax.eval_shape(objective, theta, lifetime)
    _parts("objective", results, ("loss", "info"))
    _same("objective: loss", results[0].shape, ())
    if not isinstance(results[1], dict):
        raise ValueError(f"objective: info must be a dict of arrays, got {type(results[1]).__name__}")


def check_lifetimes(tasks: TaskDistribution) -> None:
    """Raise a ``ValueError`` on a family that is not one of lifetimes."""
    if not isinstance(tasks.env, LifetimeEnv):
        raise ValueError("tasks: not a family of lifetimes; give as_lifetime(tasks, episodes)")


def check_discrete(tasks: TaskDistribution) -> None:
    """Raise a ``ValueError`` on a family whose actions are not discrete."""
    actions = tasks.env.action_space(tasks.env.default_params)
    if not isinstance(actions, spaces.Discrete):
        raise ValueError(f"tasks: actions are {actions}; Q-learning takes the best of a few: they must be Discrete")


def check_stored(items: PyTree) -> None:
    """Raise a ``ValueError`` where the leaves of what is stored do not all lead with the same ``[B]``."""
    leads = {leaf.shape[:1] for leaf in jax.tree.leaves(items)}
    if len(leads) != 1 or () in leads or (0,) in leads:
        got = ", ".join(sorted(str(lead) for lead in leads)) or "no arrays"
        raise ValueError(f"store: all that is stored must lead with the same number of items, got {got}")


def _parts(name: str, value: Any, parts: tuple[str, ...]) -> None:
    if not isinstance(value, tuple) or len(value) != len(parts):
        got = f"{len(value)} values" if isinstance(value, tuple) else type(value).__name__
        raise ValueError(f"{name}: must return ({', '.join(parts)}), got {got}")


def _same(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if got != expected:
        raise ValueError(f"{name}: must have shape {expected}, got {got}")


def _same_tree(name: str, got: PyTree, phi: PyTree) -> None:
    described = [jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree) for tree in (phi, got)]
    if described[0] != described[1]:
        ours, theirs = (" ".join(str(each).split()) for each in described)
        raise ValueError(f"{name}: must return phi as begin makes it, {ours}; got {theirs}")
