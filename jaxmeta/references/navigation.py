"""The exact optimum of two-dimensional navigation."""

import chex
import jax.numpy as jnp

from jaxmeta.types import Array


def optimal_return(goal: Array, horizon: int = 100, max_force: float = 0.1, goal_tolerance: float = 0.01) -> Array:
    """Undiscounted return of the best policy that knows the goal, in closed form.

    After ``t`` moves a coordinate can be at most ``0.1 t`` from the start, so ``|s_t − g|`` is at least
    ``max(|g| − 0.1 t, 0)`` in each coordinate. Full speed towards the goal, coordinate by coordinate, attains all of
    these bounds at once, and with them the smallest cost at each step and the earliest end.

    Args:
      goal: ``[2]``, start at the origin.
      horizon: steps in an episode at most.
      max_force: largest move along a coordinate in a step.
      goal_tolerance: the episode ends when both coordinates are closer than this.

    Returns:
      The return, a scalar ≤ 0.
    """
    chex.assert_shape(goal, (2,))
    t = jnp.arange(1, horizon + 1)[:, None]
    remaining = jnp.maximum(jnp.abs(goal) - max_force * t, 0.0)
    arrived = jnp.all(remaining < goal_tolerance, axis=-1)
    # The step that arrives is still paid for; those after it never happen.
    paid = jnp.cumsum(arrived) - arrived == 0
    return -jnp.sum(jnp.linalg.norm(remaining, axis=-1) * paid)
