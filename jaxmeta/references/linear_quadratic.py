"""The linear-quadratic regulator in finite time, exactly (Bertsekas 2017, section 3.1).

The state moves by ``x' = A x + B u + w``, w of mean 0 and covariance W. A step costs ``x'ᵀ Q x' + r u²``.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxmeta.types import Array


class Regulator(NamedTuple):
    """The best policy ``u = −K_t x``, and what it costs.

    Attributes:
      gain: K, ``[T, D]``.
      cost_to_go: P, ``[T, D, D]``: from t on, ``xᵀ P_t x`` is the cost without noise.
      noise_cost: what the noise of all steps adds, a scalar.
    """

    gain: Array
    cost_to_go: Array
    noise_cost: Array


def regulator(a: Array, b: Array, q: Array, r: Array | float, noise: Array, horizon: int) -> Regulator:
    """The regulator of a system with one input, by the Riccati recursion.

    Args:
      a: A, ``[D, D]``.
      b: B, ``[D]``.
      q: Q, positive semidefinite, ``[D, D]``.
      r: r > 0.
      noise: W, ``[D, D]``.
      horizon: T ≥ 1, steps.
    """
    chex.assert_rank([a, b, q, noise], [2, 1, 2, 2])

    def step(carry: tuple[Array, Array], _):
        later, cost = carry
        weight = q + later
        gain = (b @ weight @ a) / (r + b @ weight @ b)
        now = a.T @ weight @ (a - jnp.outer(b, gain))
        # Rounding would make it ever less symmetric.
        now = 0.5 * (now + now.T)
        return (now, cost + jnp.sum(weight * noise)), (gain, now)

    # An accelerator's default rounds matrix products to 10 bits, which the recursion would add up.
    with jax.default_matmul_precision("highest"):
        carry = (jnp.zeros_like(q), jnp.zeros((), q.dtype))
        (_, noise_cost), (gain, cost_to_go) = jax.lax.scan(step, carry, None, length=horizon, reverse=True)
    return Regulator(gain, cost_to_go, noise_cost)
