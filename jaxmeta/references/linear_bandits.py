"""The exact belief of a linear bandit: preferences with a standard normal prior, rewards with normal noise.

With ``θ ~ N(0, I)`` and rewards ``r_t ~ N(x_t·θ, σ²)`` the posterior is normal, with covariance ``(I + Σ x xᵀ / σ²)⁻¹``
and with that covariance times ``Σ x r / σ²`` as its mean (Bishop 2006, equations 3.50 and 3.51). It is kept by a factor
of the covariance, which each reward changes by a product of rank one: no system is solved, nothing loses its sign.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxmeta.types import Array, Key


class LinearBelief(NamedTuple):
    """The belief over preferences.

    Attributes:
      mean: ``[D]``.
      factor: S, ``[D, D]``; the covariance is ``S Sᵀ``.
    """

    mean: Array
    factor: Array


def linear_prior(dimension: int) -> LinearBelief:
    """The standard normal prior in D = ``dimension`` ≥ 1 dimensions."""
    return LinearBelief(jnp.zeros(dimension), jnp.eye(dimension))


def linear_posterior(belief: LinearBelief, features: Array, reward: Array, noise: Array | float) -> LinearBelief:
    """The belief after one more reward, by Potter's update of the factor (Bierman 1977, section II.8).

    Args:
      belief: before it.
      features: of the item that paid, ``[D]``.
      reward: a scalar.
      noise: its standard deviation σ > 0.
    """
    chex.assert_rank([features, reward], [1, 0])
    # An accelerator's default rounds matrix products to 10 bits, which updates would add up.
    with jax.default_matmul_precision("highest"):
        seen = features @ belief.factor
        weight = 1.0 / (seen @ seen + noise**2)
        moved = belief.factor @ seen
        mean = belief.mean + weight * moved * (reward - features @ belief.mean)
    shrink = weight / (1.0 + jnp.sqrt(weight) * noise)
    return LinearBelief(mean, belief.factor - shrink * jnp.outer(moved, seen))


def drawn_preference(key: Key, belief: LinearBelief) -> Array:
    """A draw from the belief, ``[D]``."""
    return belief.mean + belief.factor @ jax.random.normal(key, belief.mean.shape)
