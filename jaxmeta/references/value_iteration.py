"""Finite-horizon value iteration: exact for a known tabular MDP."""

import chex
import jax
import jax.numpy as jnp

from jaxmeta.types import Array


def value_iteration(transition: Array, reward: Array, horizon: int) -> tuple[Array, Array]:
    """``Q_h(s, a) = r(s, a) + Σ_s' P(s' | s, a) max_a' Q_{h+1}(s', a')``, with ``Q_H = 0``. Undiscounted.

    Args:
      transition: ``P(s' | s, a)``, ``[S, A, S]``.
      reward: expected reward of an action in a state, ``[S, A]``.
      horizon: H ≥ 1.

    Returns:
      Q-values ``[H, S, A]`` and state values ``[H, S]``, the first row with all H steps to go.

    Raises:
      ValueError: ``horizon`` below 1.
    """
    if horizon < 1:
        raise ValueError(f"horizon: got {horizon}; must be at least 1")
    states, actions = reward.shape
    chex.assert_shape(transition, (states, actions, states))

    def backup(value, _):
        q = reward + transition @ value
        value = jnp.max(q, axis=-1)
        return value, (q, value)

    _, (q, values) = jax.lax.scan(backup, jnp.zeros(states, reward.dtype), None, length=horizon, reverse=True)
    return q, values
