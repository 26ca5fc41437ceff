"""What was not finite where training had to stop: which numbers, of which tasks."""

from typing import Any

import jax
import numpy as np

from jaxmeta.runs.loop import TrainState, sample_tasks
from jaxmeta.types import Key, MetaAlgorithm, Task, TaskDistribution, Theta

WATCHED = ("obs", "action", "reward", "log_prob", "value", "advantage")
"""Entries of a trajectory that are looked through."""


def diagnosed(algorithm: MetaAlgorithm, tasks: TaskDistribution, state: TrainState, meta_batch: int) -> dict[str, Any]:
    """What is not finite when the slow weights of one seed adapt to the tasks that it would meet next.

    Returns:
      ``iteration``; what ``looked_through`` finds; and ``key`` and ``tasks``, by which the same is met again: the key's
      words, and the parameters of the whole meta-batch by path.
    """
    _, key_tasks, key_step = jax.random.split(state.key, 3)
    batch = sample_tasks(key_tasks, tasks, meta_batch)
    return {
        "iteration": int(state.iteration),
        **looked_through(algorithm, state.meta.theta, key_step, batch),
        "key": np.asarray(jax.random.key_data(key_step)).tolist(),
        "tasks": {path: np.asarray(leaf).tolist() for path, leaf in _by_path(batch).items()},
    }


def looked_through(algorithm: MetaAlgorithm, theta: Theta, key: Key, batch: Task) -> dict[str, Any]:
    """What is not finite when slow weights adapt to a batch of tasks.

    Returns:
      ``theta``, the leaves that are not finite, by path; and ``lifetimes``, by entry the numbers of the tasks.
    """
    count = jax.tree.leaves(batch)[0].shape[0]
    adapt = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))
    trajectory = adapt(jax.random.split(key, count), theta, batch)[1].trajectory
    wrong = {name: _tasks_not_finite(getattr(trajectory, name)) for name in WATCHED}
    return {
        "theta": [path for path, leaf in _by_path(theta).items() if not _finite(leaf).all()],
        "lifetimes": {name: numbers for name, numbers in wrong.items() if numbers},
    }


def met_again(found: dict[str, Any], tasks: TaskDistribution) -> tuple[Key, Task]:
    """The key and the batch of tasks of a diagnosis.

    Raises:
      KeyError, TypeError, ValueError: not a diagnosis, or of another family.
    """
    like = jax.eval_shape(tasks.sample, jax.random.key(0))
    written = found["tasks"]
    leaves = []
    for path, leaf in _by_path(like, words=False).items():
        if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaves.append(_key(written[path]))
        else:
            leaves.append(jax.numpy.asarray(np.asarray(written[path]), leaf.dtype))
    if len(leaves) != len(written):
        raise ValueError("other parameters")
    return _key(found["key"]), jax.tree.unflatten(jax.tree.structure(like), leaves)


def _key(words: Any) -> Key:
    return jax.random.wrap_key_data(jax.numpy.asarray(np.asarray(words, np.uint32)))


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


def _by_path(tree: Any, *, words: bool = True) -> dict[str, Any]:
    """Leaves by path; of a PRNG key its words, if these are asked for."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    is_key = lambda leaf: jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return {
        jax.tree_util.keystr(path).lstrip("."): jax.random.key_data(leaf) if words and is_key(leaf) else leaf
        for path, leaf in leaves
    }
