"""Finite-horizon value iteration: exact for a known tabular MDP."""

import chex
import jax
import jax.numpy as jnp

from jaxmeta.checks import check_least
from jaxmeta.types import Array


def value_iteration(transition: Array, reward: Array, horizon: int) -> tuple[Array, Array]:
    """``Q_h(s, a) = r(s, a) + Σ_s' P(s' | s, a) max_a' Q_{h+1}(s', a')``, with ``Q_H = 0``. Undiscounted.

    Args:
      transition: ``P(s' | s, a)``, ``[S, A, S]``.
      reward: expected reward of an action in a state, ``[S, A]``.
      horizon: H ≥ 1.

    Returns:
      Q-values ``[H, S, A]`` and state values ``[H, S]``, the first row with all H steps to go.
    """
    check_least(1, horizon=horizon)
    states, actions = reward.shape
    chex.assert_shape(transition, (states, actions, states))

    def backup(value, _):
        q = reward + transition @ value
        value = jnp.max(q, axis=-1)
        return value, (q, value)

    _, (q, values) = jax.lax.scan(backup, jnp.zeros(states, reward.dtype), None, length=horizon, reverse=True)
    return q, values


def optimal_return(transition: Array, reward: Array, horizon: int, *, start: int = 0) -> Array:
    """Return of the best policy in H steps from a state of a known MDP; arguments as of ``value_iteration``."""
    return value_iteration(transition, reward, horizon)[1][0, start]


def reaching_probability(transition: Array, goal: Array, ongoing: Array, horizon: int, *, start: int = 0) -> Array:
    """Probability that the best policy reaches a goal in H steps: the return where a goal pays 1 and ends the episode.

    Args:
      transition: ``P(s' | s, a)``, ``[S, A, S]``, of states that an episode goes on from.
      goal: whether a state is a goal, ``[S]``.
      ongoing: whether an episode goes on from a state, ``[S]``: not from goals.
      horizon: H ≥ 1.
      start: the first state.
    """
    transition = jnp.where(ongoing[:, None, None], transition, jnp.eye(len(goal))[:, None])
    reward = jnp.where(ongoing[:, None], transition @ goal.astype(jnp.float32), 0.0)
    return optimal_return(transition, reward, horizon, start=start)
