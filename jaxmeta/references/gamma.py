"""Gamma draws of integer shape by table: Beta and Dirichlet posteriors of counts, many millions at a time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from jaxmeta.checks import check_least
from jaxmeta.types import Array

_REACH = 6.0
_STEP = 0.05


@functools.cache
def gamma_table(largest: int) -> Array:
    """Cube roots of the quantiles of Gamma(a, 1), for ``a`` = 1 to ``largest``, on a grid of normal quantiles.

    The cube root of a gamma variable is nearly normal (Wilson and Hilferty 1931), so between the points of the grid a
    straight line is accurate (relative error of a draw below 1e-3 for ``a`` = 1, far less above). ``[largest, 241]``.
    """
    check_least(1, largest=largest)
    z = np.linspace(-_REACH, _REACH, round(2 * _REACH / _STEP) + 1)
    shape = np.arange(1, largest + 1)[:, None]
    # Each half from its own tail: 1 − Φ(z) has no digits left at z = 6.
    lower, upper = special.gammaincinv(shape, special.ndtr(z)), special.gammainccinv(shape, special.ndtr(-z))
    quantile = np.where(z < 0, lower, upper)
    return jnp.asarray(np.cbrt(quantile), jnp.float32)


def gamma_draw(table: Array, shape: Array, normal: Array) -> Array:
    """Gamma(``shape``, 1) variables from standard normal ones, by the inverse of the distribution function.

    ``jax.random.gamma`` rejects in a loop until the slowest element of a batch is done; this takes two look-ups.

    Args:
      table: from ``gamma_table``.
      shape: integers from 1 to the table's largest, any shape.
      normal: standard normal draws, of the same shape.
    """
    # Without the barriers the compiler computes the normals, and the results, anew for each of their uses.
    normal = jax.lax.optimization_barrier(normal)
    position = (jnp.clip(normal, -_REACH + _STEP, _REACH - _STEP) + _REACH) / _STEP
    node = position.astype(jnp.int32)
    fraction = position - node
    flat = (shape - 1) * table.shape[1] + node
    # ``flat`` lies inside the table by construction; checking each index costs more than the look-up.
    low = table.ravel().at[flat].get(mode="promise_in_bounds")
    high = table.ravel().at[flat + 1].get(mode="promise_in_bounds")
    return jax.lax.optimization_barrier((low + fraction * (high - low)) ** 3)
