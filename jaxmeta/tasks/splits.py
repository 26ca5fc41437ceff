"""A finite family in two: tasks to train on, and others to test on."""

import jax
import numpy as np

from jaxmeta.types import Key, Task, TaskDistribution


def held_out(tasks: TaskDistribution, count: int, seed: int = 0) -> TaskDistribution:
    """The family that trains on all of its tasks but ``count``, and is tested on these.

    Args:
      tasks: a family with a list of its tasks, ``every``, and without test tasks of its own.
      count: tasks held out, from 1 to N − 1.
      seed: draws which they are.

    Raises:
      ValueError: another family, or another number of tasks.
    """
    if tasks.every is None:
        raise ValueError(f"held_out: got {count}; the family has no list of its tasks (every) to hold some out of")
    if tasks.sample_test is not None:
        raise ValueError(f"held_out: got {count}; the family has test tasks of its own (sample_test)")
    number = listed_count(tasks.every)
    if not 1 <= count < number:
        raise ValueError(f"held_out: got {count}; must be from 1 to {number - 1}: the family has {number} tasks")
    with jax.ensure_compile_time_eval():
        order = np.asarray(jax.random.permutation(jax.random.key(seed), number))
    tested, trained = (jax.tree.map(lambda x, rows=rows: x[rows], tasks.every) for rows in np.split(order, [count]))
    return tasks._replace(every=trained, sample=_sampler(trained), every_test=tested, sample_test=_sampler(tested))


def listed_count(every: Task) -> int:
    """How many tasks a list has, leaves ``[N, ...]``."""
    return jax.tree.leaves(every)[0].shape[0]


def _sampler(every: Task):
    """``sample(key) -> task``, one of a list, uniformly."""

    def sample_fn(key: Key) -> Task:
        place = jax.random.randint(key, (), 0, listed_count(every))
        return jax.tree.map(lambda x: x[place], every)

    return sample_fn
