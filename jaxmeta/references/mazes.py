"""Value iteration over a finite horizon, for small known Markov decision processes."""

import chex
import jax
import jax.numpy as jnp

from jaxmeta.types import Array


def optimal_values(transition: Array, reward: Array, horizon: int) -> Array:
    """``V_t(s) = max_a [r(s, a) + Σ_s' P(s'|s, a) V_{t−1}(s')]``, from ``V_0 = 0``.

    Args:
      transition: ``P``, ``[S, A, S]``; a state that ends the episode leads to itself.
      reward: expected rewards ``[S, A]``, 0 in states that end the episode.
      horizon: steps to go, ≥ 0.

    Returns:
      ``V_horizon``, the undiscounted return of the best policy from each state, ``[S]``.
    """
    chex.assert_rank([transition, reward], [3, 2])
    chex.assert_equal_shape_prefix([transition, reward], 2)

    def backup(value, _):
        return jnp.max(reward + transition @ value, axis=-1), None

    value, _ = jax.lax.scan(backup, jnp.zeros(transition.shape[0]), length=horizon)
    return value
