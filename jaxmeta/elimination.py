"""Systems of linear equations without LAPACK.

On a CPU, two independent batches of LAPACK's solves in one program can wait for each other for ever (jaxlib 0.10: each
blocks a thread of the pool that the other needs). Elimination in XLA's own operations cannot, on any device.
"""

import chex
import jax
import jax.numpy as jnp

from jaxmeta.types import Array


def solve(matrix: Array, right: Array) -> Array:
    """``x`` of ``A x = b`` by Gauss and Jordan's elimination, without pivots.

    Args:
      matrix: A, positive-definite or diagonally dominant, for which pivots are not needed (Higham 2002, section 9.5),
        ``[F, F]``.
      right: b, ``[F]``.

    Returns:
      ``[F]``.
    """
    chex.assert_rank([matrix, right], [2, 1])

    def eliminate(system: Array, pivot: Array) -> tuple[Array, None]:
        row = system[pivot] / system[pivot, pivot]
        return (system - jnp.outer(system[:, pivot], row)).at[pivot].set(row), None

    system = jnp.concatenate([matrix, right[:, None]], axis=1)
    return jax.lax.scan(eliminate, system, jnp.arange(matrix.shape[0]))[0][:, -1]
