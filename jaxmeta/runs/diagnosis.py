"""What was not finite where training had to stop: which numbers, of which tasks."""

from typing import Any

import jax
import numpy as np

from jaxmeta.runs.loop import TrainState, sample_tasks
from jaxmeta.types import MetaAlgorithm, TaskDistribution

WATCHED = ("obs", "action", "reward", "log_prob", "value", "advantage")
"""Entries of a trajectory that are looked through."""


def diagnosed(algorithm: MetaAlgorithm, tasks: TaskDistribution, state: TrainState, meta_batch: int) -> dict[str, Any]:
    """What is not finite when the slow weights of one seed adapt to the tasks that it would meet next.

    Returns:
      ``iteration``; ``theta``, the leaves that are not finite, by path; ``lifetimes``, by entry the tasks' numbers in
      the meta-batch; and ``tasks``, the parameters of the whole meta-batch, by path.
    """
    _, key_tasks, key_step = jax.random.split(state.key, 3)
    batch = sample_tasks(key_tasks, tasks, meta_batch)
    theta = state.meta.theta
    adapt = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))
    trajectory = adapt(jax.random.split(key_step, meta_batch), theta, batch)[1].trajectory
    wrong = {name: _tasks_not_finite(getattr(trajectory, name)) for name in WATCHED}
    return {
        "iteration": int(state.iteration),
        "theta": [path for path, leaf in _by_path(theta).items() if not _finite(leaf).all()],
        "lifetimes": {name: numbers for name, numbers in wrong.items() if numbers},
        "tasks": {path: np.asarray(leaf).tolist() for path, leaf in _by_path(batch).items()},
    }


def in_words(found: dict[str, Any]) -> str:
    """The diagnosis in a few words: "reward of tasks 2, 5; theta"."""
    words = [f"{name} of tasks {', '.join(map(str, numbers[:5]))}" for name, numbers in found["lifetimes"].items()]
    return "; ".join([*words, *(["theta"] if found["theta"] else [])]) or "nothing before the update itself"


def _tasks_not_finite(leaves: Any) -> list[int]:
    found = [~_finite(leaf).reshape(leaf.shape[0], -1).all(axis=1) for leaf in jax.tree.leaves(leaves)]
    return np.flatnonzero(np.any(found, axis=0)).tolist()


def _finite(leaf: Any) -> np.ndarray:
    is_number = jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact)
    return np.isfinite(leaf) if is_number else np.ones(leaf.shape, bool)


def _by_path(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    is_key = lambda leaf: jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return {
        jax.tree_util.keystr(path).lstrip("."): jax.random.key_data(leaf) if is_key(leaf) else leaf
        for path, leaf in leaves
    }
