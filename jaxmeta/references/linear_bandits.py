"""The exact belief of a linear bandit: preferences with a standard normal prior, rewards with normal noise.

With ``θ ~ N(0, I)`` and rewards ``r_t ~ N(x_t·θ, σ²)`` the posterior is normal, with precision ``Λ = I + Σ x xᵀ / σ²``
and mean ``Λ⁻¹ Σ x r / σ²`` (Bishop 2006, equations 3.50 and 3.51).
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxmeta.types import Array, Key


class LinearBelief(NamedTuple):
    """The belief over preferences.

    Attributes:
      precision: Λ, ``[D, D]``.
      information: precision times mean, ``[D]``.
    """

    precision: Array
    information: Array


def linear_prior(dimension: int) -> LinearBelief:
    """The standard normal prior in D = ``dimension`` ≥ 1 dimensions."""
    return LinearBelief(jnp.eye(dimension), jnp.zeros(dimension))


def linear_posterior(belief: LinearBelief, features: Array, reward: Array, noise: Array | float) -> LinearBelief:
    """The belief after one more reward.

    Args:
      belief: before it.
      features: of the item that paid, ``[D]``.
      reward: a scalar.
      noise: its standard deviation σ > 0.
    """
    chex.assert_rank([features, reward], [1, 0])
    precision = belief.precision + jnp.outer(features, features) / noise**2
    return LinearBelief(precision, belief.information + features * reward / noise**2)


def posterior_preference(belief: LinearBelief) -> Array:
    """The mean of the belief, ``[D]``."""
    return jnp.linalg.solve(belief.precision, belief.information)


def drawn_preference(key: Key, belief: LinearBelief) -> Array:
    """A draw from the belief, ``[D]``."""
    normal = jax.random.normal(key, belief.information.shape)
    # With Λ = L Lᵀ the covariance of L⁻ᵀ ε is Λ⁻¹.
    spread = jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(belief.precision), normal, lower=True, trans="T")
    return posterior_preference(belief) + spread
