"""Policies written by hand, to measure learners against: baselines, and controllers that are told the task."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.types import Array, Key, PyTree, Task, TaskDistribution


def _kept(memory: PyTree, action: Array, reward: Array, obs: Array) -> PyTree:
    return memory


class Controller(NamedTuple):
    """A policy written by hand. Its actions and observations are those of a family's ``env``.

    Attributes:
      begin: ``begin(task) -> memory``. A baseline reads nothing of the task; a controller that is told it may.
      act: ``act(key, memory, obs) -> action``.
      learn: ``learn(memory, action, reward, obs) -> memory`` after each step, ``obs`` the one that it led to.
    """

    begin: Callable[[Task], PyTree]
    act: Callable[[Key, PyTree, Array], Array]
    learn: Callable[[PyTree, Array, Array, Array], PyTree] = _kept


def controller_returns(key: Key, tasks: TaskDistribution, controller: Controller, batch: Task) -> Array:
    """Undiscounted return of one episode in each of ``N`` tasks, ``[N]``.

    With the same key, every controller meets the same noise.

    Args:
      key: PRNG key.
      tasks: the family.
      controller: acts, and learns within the episode only.
      batch: tasks, leaves ``[N, ...]``.
    """

    def episode(key: Key, task: Task) -> Array:
        def step(carry, key):
            memory, obs, state, alive = carry
            key_act, key_env = jax.random.split(key)
            action = controller.act(key_act, memory, obs)
            obs, state, reward, terminated, _ = tasks.env.step_env(key_env, state, action, task)
            memory = controller.learn(memory, action, reward, obs)
            ended = terminated | tasks.env.is_truncated(state, task)
            return (memory, obs, state, alive & ~ended), jnp.where(alive, reward, 0.0)

        key_reset, key_steps = jax.random.split(key)
        obs, state = tasks.env.reset_env(key_reset, task)
        carry = (controller.begin(task), obs, state, jnp.ones((), bool))
        return jnp.sum(jax.lax.scan(step, carry, jax.random.split(key_steps, tasks.horizon))[1])

    count = jax.tree.leaves(batch)[0].shape[0]
    return jax.jit(jax.vmap(episode))(jax.random.split(key, count), batch)
