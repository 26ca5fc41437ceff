"""The linear baseline's least squares: the same at any scale and offset of the observations."""

import chex
import jax
import jax.numpy as jnp

from jaxmeta.elimination import solve
from jaxmeta.types import Array


def linear_features(obs: Array, mask: Array) -> Array:
    """The features of Duan et al. 2016 (benchmark, appendix 2) but for their constant: ``[o, o², t, t², t³]``.

    They clip observations to ±10. Here each entry is standardised first and clipped to ±10 deviations, so that no scale
    and no offset is lost: where nothing is clipped, the functions that the features span are the same. Of more than 128
    entries, such as pixels, 64 random combinations stand for them, the same ones every time.

    Args:
      obs: ``[E, T, O]`` with trailing observation axes of any rank, or a pytree of such.
      mask: 1 for a real step, ``[E, T]``.

    Returns:
      ``[E, T, 2 O + 3]``, with 64 for O above 128.
    """
    parts = [x.reshape(*mask.shape, -1).astype(jnp.float32) for x in jax.tree.leaves(obs)]
    flat = parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)
    chex.assert_rank(flat, 3)
    if flat.shape[-1] > 128:
        flat = standardised_features(flat, mask) @ jax.random.normal(jax.random.key(0), (flat.shape[-1], 64))
    flat = jnp.clip(standardised_features(flat, mask), -10.0, 10.0)
    t = jnp.broadcast_to(jnp.arange(flat.shape[1])[:, None] / 100.0, (*flat.shape[:2], 1))
    return jnp.concatenate([flat, flat**2, t, t**2, t**3], axis=-1)


def standardised_features(features: Array, mask: Array) -> Array:
    """Features with mean 0 and deviation 1 over the real steps, or 0 where they are constant, ``[E, T, F]``.

    Args:
      features: ``[E, T, F]``.
      mask: 1 for a real step, ``[E, T]``.
    """
    share = (mask / jnp.maximum(jnp.sum(mask), 1.0))[..., None]
    real = features * mask[..., None]
    centred = (features - jnp.sum(real * share, axis=(0, 1), keepdims=True)) * mask[..., None]
    # The rounding error of the first mean, which is large beside a small deviation.
    centred = (centred - jnp.sum(centred * share, axis=(0, 1), keepdims=True)) * mask[..., None]
    deviation = jnp.sqrt(jnp.sum(jnp.square(centred) * share, axis=(0, 1), keepdims=True))
    # Below this the deviation of float32 numbers of this size is rounding alone.
    varies = deviation > 1e-6 * jnp.max(jnp.abs(real), axis=(0, 1), keepdims=True)
    return jnp.where(varies, centred / jnp.where(varies, deviation, 1.0), 0.0)


def fit_linear(features: Array, target: Array, mask: Array, ridge: float = 1e-5) -> Array:
    """Ridge regression on the real steps, by the normal equations of standardised features, with an intercept.

    Args:
      features: of any scale and offset, constant or collinear ones among them, ``[E, T, F]``.
      target: ``[E, T]``.
      mask: 1 for a real step, ``[E, T]``.
      ridge: weight of the standardised coefficients' squares against the *mean* squared error, > 0.

    Returns:
      Predictions, ``[E, T]``.
    """
    features = standardised_features(features, mask)
    count = jnp.maximum(jnp.sum(mask), 1.0)
    mean = jnp.sum(target * mask) / count
    rows = features.reshape(-1, features.shape[-1])
    size = rows.shape[1]
    # The eigenvalues of a Gram matrix of F standardised features are wrong by up to about F ε.
    ridge = ridge + 4.0 * size * float(jnp.finfo(jnp.float32).eps)
    gram = rows.T @ rows / count + ridge * jnp.eye(size)
    return mean + features @ solve(gram, rows.T @ ((target - mean) * mask).reshape(-1) / count)
