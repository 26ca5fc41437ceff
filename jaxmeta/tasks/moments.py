"""Running normalisation of observations: a pytree of moments, merged batch by batch.

The merge is that of Chan, Golub and LeVeque 1983 (equations 2.1), Welford's recurrence for batches: sums of squares are
taken about each batch's own mean, so nothing is lost to cancellation when the mean is far from zero.
"""

from typing import NamedTuple

import chex
import jax.numpy as jnp

from jaxmeta.types import Array


class Moments(NamedTuple):
    """What is known of the observations so far.

    Attributes:
      seen: how many, a scalar.
      mean: their mean, the observation's shape.
      square: the sum of their squared distances from the mean, the same shape.
    """

    seen: Array
    mean: Array
    square: Array


def init_moments(shape: tuple[int, ...]) -> Moments:
    """Moments of no observations yet.

    Args:
      shape: the shape of one observation.
    """
    return Moments(jnp.zeros((), jnp.float32), jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32))


def update_moments(moments: Moments, batch: Array, mask: Array | None = None) -> Moments:
    """The moments of what was seen before and of a batch together.

    With ``a`` before and ``b`` the batch, ``δ = mean_b − mean_a`` and ``n = n_a + n_b``:
    ``mean = mean_a + δ n_b / n`` and ``square = square_a + square_b + δ² n_a n_b / n``.

    Args:
      moments: those of what was seen before.
      batch: ``[..., *shape]``, any leading axes.
      mask: ``[...]``, 1 for the observations to count; ``None`` counts all.
    """
    shape = moments.mean.shape
    leading = batch.shape[: batch.ndim - len(shape)]
    chex.assert_shape(batch, (*leading, *shape))
    mask = jnp.ones(leading, jnp.float32) if mask is None else mask
    chex.assert_shape(mask, leading)
    axes = tuple(range(len(leading)))
    weight = jnp.reshape(mask, (*leading, *(1,) * len(shape))).astype(jnp.float32)
    # A masked observation may be anything, NaN included, which a weight of zero would not remove.
    batch = jnp.where(weight > 0, batch.astype(jnp.float32), 0.0)
    count = jnp.sum(mask.astype(jnp.float32))
    mean = jnp.sum(weight * batch, axes) / jnp.maximum(count, 1.0)
    square = jnp.sum(weight * (batch - mean) ** 2, axes)
    total = jnp.maximum(moments.seen + count, 1.0)
    delta = mean - moments.mean
    return Moments(
        seen=moments.seen + count,
        mean=moments.mean + delta * count / total,
        square=moments.square + square + delta**2 * moments.seen * count / total,
    )


def normalise(moments: Moments, obs: Array, *, clip: float = 10.0, epsilon: float = 1e-8) -> Array:
    """``(obs − mean) / sqrt(variance + epsilon)``, clipped; unchanged until an observation was seen.

    Args:
      moments: of the observations.
      obs: ``[..., *shape]``.
      clip: the largest absolute value returned, > 0.
      epsilon: added to the variance, so that a constant observation gives 0.
    """
    variance = moments.square / jnp.maximum(moments.seen, 1.0)
    scaled = (obs - moments.mean) / jnp.sqrt(variance + epsilon)
    return jnp.where(moments.seen > 0, jnp.clip(scaled, -clip, clip), obs)
