"""Exact optima of point robots that know their task, in closed form.

A point robot moves by ``s' = s + R a + w`` with ``a`` in the box ``[−f, f]²``, a rotation ``R`` and a drift ``w``. In
the frame turned by ``R⁻¹``, ``u' = u + a + R⁻¹ w``: the coordinates move independently, each by between ``−f + w_i``
and ``f + w_i`` a step, and distances to the goal do not change. As long as ``|w_i| < f``, the points reached in ``t``
steps are an interval around the start, so a coordinate's distance to the goal after ``t`` steps is at least
``max(|g_i| − (f + w_i sign g_i) t, 0)``. Full speed towards the goal, then holding still against the drift, attains
that bound in both coordinates and at every step at once. Hence this policy is the best one for every reward that falls
with the distance, and the optimum is the sum of the rewards at these distances.

In 2D navigation the episode also ends within ``τ`` of the goal. The sum is still the optimum as long as
``√2 τ ≤ f − |w|``: rewards are never positive, and any policy that ends at step ``t`` is then within ``√2 τ`` of the
goal. So full speed was there as well, and is exactly on the goal from ``t + 1`` on, where it costs nothing.
"""

import chex
import jax.numpy as jnp

from jaxmeta.types import Array


def smallest_distances(
    goal: Array,
    horizon: int,
    *,
    max_force: Array | float = 0.1,
    rotation: Array | float = 0.0,
    wind: Array | None = None,
) -> Array:
    """Distances ``[T]`` to the goal after the moves 1, …, T of the best policy, which starts at the origin.

    Args:
      goal: ``[2]``.
      horizon: T ≥ 1, steps.
      max_force: f > 0, the largest action along a coordinate.
      rotation: angle by which actions are turned, in rad.
      wind: drift a step, ``[2]``, each turned coordinate smaller than ``max_force``; ``None`` is no drift.
    """
    chex.assert_shape(goal, (2,))
    wind = jnp.zeros(2) if wind is None else wind
    chex.assert_shape(wind, (2,))
    cos, sin = jnp.cos(rotation), jnp.sin(rotation)
    back = jnp.array([[cos, sin], [-sin, cos]])
    goal, wind = back @ goal, back @ wind
    speed = max_force + wind * jnp.sign(goal)
    t = jnp.arange(1, horizon + 1)[:, None]
    return jnp.linalg.norm(jnp.maximum(jnp.abs(goal)[None] - speed[None] * t, 0.0), axis=-1)
