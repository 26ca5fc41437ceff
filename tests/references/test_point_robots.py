"""Closed-form optima of point robots against numerical optimisation, exhaustive search, and play in the environment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from jaxmeta import references, tasks
from jaxmeta.tasks.point_robots import PointParams, indicator_reward, sparse_reward

POINTS = [
    "semicircle-dense",
    "semicircle-sparse",
    "dorfman-semicircle",
    "navigation",
    "navigation-wind",
    "navigation-rotated",
]


@pytest.mark.parametrize(
    ("rotation", "wind"), [(0.0, (0.0, 0.0)), (0.7, (0.0, 0.0)), (0.0, (0.05, -0.03)), (2.5, (0.04, 0.05))]
)
def test_distances_are_those_of_the_convex_programme(rotation, wind):
    """The dense problem is convex in the actions: what a bounded quasi-Newton method finds is its optimum."""
    horizon, goal = 7, np.array([0.31, -0.24])
    cos, sin = np.cos(rotation), np.sin(rotation)
    turn = np.array([[cos, -sin], [sin, cos]])

    def cost(flat):
        moves = flat.reshape(horizon, 2) @ turn.T + np.array(wind)
        # Smoothed at the goal, by 1e-5 at most a step.
        return np.sum(np.sqrt(np.sum((np.cumsum(moves, 0) - goal) ** 2, -1) + 1e-10))

    found = minimize(
        cost, np.zeros(2 * horizon), bounds=[(-0.1, 0.1)] * 2 * horizon, options={"maxiter": 2000, "maxfun": 10**5}
    )
    distances = references.smallest_distances(jnp.array(goal), horizon, rotation=rotation, wind=jnp.array(wind))
    assert float(jnp.sum(distances)) == pytest.approx(found.fun, abs=2e-3)
    assert float(jnp.sum(distances)) <= found.fun + 1e-5


@pytest.mark.parametrize("goal", [(0.3, 0.1), (-0.25, 0.4), (0.05, 0.15), (0.45, -0.45)])
def test_sparse_optima_are_those_of_exhaustive_search(goal):
    """Every sequence of moves on a lattice of 0.05, on which the goal lies, by dynamic programming over positions."""
    horizon, radius, reach = 5, 0.2, 12
    axis = 0.05 * np.arange(-reach, reach + 1)
    distance = np.sqrt((axis[:, None] - goal[0]) ** 2 + (axis[None] - goal[1]) ** 2)
    # The lattice meets the disc's edge exactly, where float32 and float64 may differ: the edge counts in both.
    inside = distance <= radius + 1e-6
    for reward, reward_fn in (
        (np.where(inside, 1 - distance, 0.0), sparse_reward),
        (inside.astype(float), indicator_reward),
    ):
        value = np.zeros_like(distance)
        for _ in range(horizon):
            padded = np.pad(reward + value, 2, constant_values=-np.inf)
            shifts = [padded[i : i + len(axis), j : j + len(axis)] for i in range(5) for j in range(5)]
            value = np.max(shifts, axis=0)
        distances = references.smallest_distances(jnp.array(goal), horizon)
        optimum = jnp.sum(reward_fn(distances, PointParams(goal_radius=radius + 1e-6)))
        assert float(optimum) == pytest.approx(value[reach, reach], abs=1e-5)


@pytest.mark.parametrize("name", POINTS)
def test_full_speed_attains_the_optimum_in_the_environment(name):
    family = tasks.make(name)
    env = family.env

    def play(task):
        obs, state = env.reset_env(jax.random.key(0), task)
        rotation, wind = getattr(task, "rotation", 0.0), getattr(task, "wind", jnp.zeros(2))
        cos, sin = jnp.cos(rotation), jnp.sin(rotation)
        back = jnp.array([[cos, sin], [-sin, cos]])

        def step(carry, _):
            obs, state, alive = carry
            wanted = back @ (task.goal - obs - wind)
            obs, state, reward, terminated, _ = env.step_env(jax.random.key(0), state, wanted / 0.1, task)
            return (obs, state, alive & ~terminated), reward * alive

        return jnp.sum(jax.lax.scan(step, (obs, state, jnp.array(True)), length=family.horizon)[1])

    batch = jax.jit(jax.vmap(family.sample))(jax.random.split(jax.random.key(0), 200))
    both = jax.vmap(lambda task: (play(task), family.optimum(task)))
    played, optimum = jax.jit(both)(batch)
    # A position that should be exactly on the goal is within rounding of it, over up to 100 steps.
    np.testing.assert_allclose(played, optimum, atol=2e-4)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("semicircle-dense", {"horizon": 0}),
        ("semicircle-sparse", {"goal_radius": 0.0}),
        ("dorfman-semicircle", {"goal_radius": 1.5}),
        ("navigation-wind", {"wind": 0.1}),
        ("navigation-rotated", {"angle": -1.0}),
        ("navigation", {"goal_range": 0.0}),
    ],
)
def test_settings_out_of_range_are_refused(name, setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}: got"):
        tasks.make(name, **setting)


def test_goals_are_on_the_upper_half_circle():
    batch = jax.vmap(tasks.make("semicircle-sparse").sample)(jax.random.split(jax.random.key(0), 2000))
    x, y = np.asarray(batch.goal).T
    np.testing.assert_allclose(x**2 + y**2, 1.0, atol=1e-5)
    assert y.min() >= 0
    counts, _ = np.histogram(np.arctan2(y, x), bins=4, range=(0, np.pi))
    assert (abs(counts - 500) < 4 * np.sqrt(500 * 0.75)).all()
