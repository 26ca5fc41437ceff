"""The best schedule of a sale with linear impact, in closed form (Almgren and Chriss 2001).

A quantity ``X`` is sold in ``N`` intervals of ``τ`` days: ``x_k`` is held after ``k`` of them, ``n_k = x_{k−1} − x_k``
is sold in the k-th. With permanent impact ``γ v`` and temporary impact ``η v`` of the rate ``v = n/τ`` (their equations
6 and 7), without the half spread, the cost is, in the mean and in variance (their equations 4, 5 and 8)

    E = ½ γ X² + (η̃ / τ) Σ n_k²,    V = σ² τ Σ x_k²,    η̃ = η − ½ γ τ.

``E + λ V`` is a quadratic function of the schedule. Its minimum has ``x_{k−1} − 2 x_k + x_{k+1} = κ̃² τ² x_k`` (16) with
``κ̃² = λ σ² / η̃``, which ``x_k = X sinh(κ τ (N − k)) / sinh(κ τ N)`` solves where ``2 (cosh κτ − 1) = κ̃² τ²`` (17, 18).
No schedule that looks at prices is better if risk is counted as ``λ σ² τ Σ x_k²``: past price moves tell nothing of
those to come, and neither impact nor risk depends on the price.
"""

import jax.numpy as jnp

from jaxmeta.types import Array


def schedule_decay(*, volatility: Array, permanent: Array, temporary: Array, risk_aversion: Array, interval: Array):
    """``κ τ``, how fast the best schedule sells; 0 is equal slices.

    Args:
      volatility: σ ≥ 0, $ per share and √day.
      permanent: γ ≥ 0, $ per share, per quantity sold.
      temporary: η > ½ γ τ, $ per share, per quantity sold a day.
      risk_aversion: λ ≥ 0, per $.
      interval: τ > 0, days.
    """
    effective = temporary - 0.5 * permanent * interval
    # cosh y − 1 = 2 sinh² (y / 2): without the difference of two numbers near 1.
    return 2.0 * jnp.arcsinh(0.5 * interval * jnp.sqrt(risk_aversion * volatility**2 / effective))


def sold_share(decay: Array, left: Array) -> Array:
    """The share ``n_k / x_{k−1}`` of what is held that the best schedule sells with ``left`` ≥ 1 intervals to go.

    Args:
      decay: ``κ τ`` of ``schedule_decay``.
      left: ``N − k + 1``, the interval to come among them.
    """
    # sinh overflows where its ratios do not; and at 0 the ratio has a limit, that of equal slices.
    safe = jnp.maximum(decay, 1e-4)
    kept = jnp.exp(-safe) * jnp.expm1(-2.0 * safe * (left - 1)) / jnp.expm1(-2.0 * safe * left)
    return 1.0 - jnp.where(decay < 1e-4, (left - 1) / left, kept)


def execution_cost(
    held: Array, *, volatility: Array, permanent: Array, temporary: Array, risk_aversion: Array, interval: Array
) -> Array:
    """``E + λ V`` of a schedule, $.

    Args:
      held: x_0, …, x_N, ``[N + 1]``; the last is 0.
      volatility: this and the others as in ``schedule_decay``.
    """
    sold = -jnp.diff(held)
    effective = temporary - 0.5 * permanent * interval
    mean = 0.5 * permanent * held[0] ** 2 + effective / interval * jnp.sum(sold**2)
    return mean + risk_aversion * volatility**2 * interval * jnp.sum(held[1:] ** 2)
