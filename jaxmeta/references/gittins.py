"""Gittins indices of a Bernoulli arm with a finite number of pulls left."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import check_least
from jaxmeta.types import Array

_BLOCK = 32


def gittins_table(pulls: int, *, levels: int = 256) -> Array:
    """Indices of every state of an arm that a lifetime of ``pulls`` can reach, prior Beta(1, 1).

    With ``r`` pulls left, an arm that paid ``s`` of ``t`` pulls is worth a certain payment of at most
    ``ν_r(s, t) = max_τ E[Σ_{i≤τ} reward_i] / E[τ]`` a pull, over stopping times ``1 ≤ τ ≤ r`` (Gittins 1979; the
    calibration of Niño-Mora 2011). For a payment λ the gain of going on,
    ``g_r = μ − λ + E max(g_{r−1}, 0)``, is computed backwards, exactly, for all levels of λ at once; it is convex and
    falling in λ, and the index is its root, linearly interpolated between two levels, so too large by an error that
    falls with the square of their distance. The levels are ``sin²`` of an even grid, dense near 0 and 1, as posteriors
    are narrow there: with 256 of them no index of n = 40 is too large by more than 6e-4.

    Args:
      pulls: n ≥ 1.
      levels: intervals that [0, 1] is cut into, ≥ 2. Memory is about ``10 · levels · pulls²`` bytes.

    Returns:
      A flat array of ``n (n + 1) (n + 2) / 6`` indices, float32: read it through ``gittins_index``.
    """
    check_least(1, pulls=pulls)
    check_least(2, levels=levels)
    layers, gain = [], jnp.zeros((pulls + 1, pulls + 1, levels + 1), jnp.float32)
    for first in range(1, pulls + 1, _BLOCK):
        # With r pulls left an arm has at most n − r behind it: the triangle shrinks, block by block.
        size = pulls - first + 1
        length = min(_BLOCK, size)
        gain, block = _backward(gain[: size + 1, : size + 1], length)
        for layer, left in zip(np.asarray(block), range(first, first + length), strict=True):
            layers.append(layer[np.tril_indices(pulls - left + 1)])
    return jnp.asarray(np.concatenate(layers))


@functools.partial(jax.jit, static_argnums=1, donate_argnums=0)
def _backward(gain: Array, length: int) -> tuple[Array, Array]:
    """``length`` more pulls left; ``gain`` ``[t, s, level]`` is clipped at 0. Returns indices ``[length, t, s]``."""
    levels = gain.shape[-1] - 1
    payment = jnp.sin(0.5 * jnp.pi * jnp.arange(levels + 1) / levels) ** 2
    t, s = jnp.arange(gain.shape[0] - 1)[:, None, None], jnp.arange(gain.shape[1] - 1)[:, None]
    mean = jnp.minimum((s + 1) / (t + 2), 1.0)

    def step(gain, _):
        # Rows beyond the triangle hold zeros or stale values; no row inside it ever reads them.
        going_on = mean - payment + mean * gain[1:, 1:] + (1.0 - mean) * gain[1:, :-1]
        # Below the root every interval counts whole, above it none: the sum is the interpolated root.
        share = going_on[..., :-1] / (going_on[..., :-1] - going_on[..., 1:])
        index = jnp.sum(jnp.clip(share, 0.0, 1.0) * jnp.diff(payment), axis=-1)
        return gain.at[:-1, :-1].set(jnp.maximum(going_on, 0.0)), index

    return jax.lax.scan(step, gain, None, length=length)


def gittins_index(table: Array, pulls: int, successes: Array, failures: Array, done: Array) -> Array:
    """Indices ``[k]`` of arms.

    Args:
      table: ``gittins_table(pulls)``.
      pulls: n of the table.
      successes: of each arm, ``[k]``.
      failures: of each arm, ``[k]``.
      done: pulls of all arms so far, so that ``n − done`` are left; a scalar below n.
    """
    # Layers lie in the order of pulls left, 1 first; the layer with r left is a triangle of side n − r + 1.
    side = done + 1
    before = pulls * (pulls + 1) * (pulls + 2) // 6 - side * (side + 1) * (side + 2) // 6
    tried = successes + failures
    return table[before + tried * (tried + 1) // 2 + successes]
