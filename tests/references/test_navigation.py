"""The closed-form optimum of 2D navigation, whose episodes end at the goal."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta


def navigation_optimum(goal, horizon=100):
    family = jaxmeta.tasks.make("navigation", horizon=horizon)
    return family.optimum(family.env.default_params.replace(goal=goal))


def test_hand_computed_optimum():
    # (0.3, 0.15): after one move 0.2 and 0.05 remain, after two 0.1 and 0, after three nothing.
    np.testing.assert_allclose(navigation_optimum(jnp.array([0.3, 0.15])), -(np.hypot(0.2, 0.05) + 0.1), rtol=1e-5)


def test_the_arriving_step_is_paid_and_nothing_after_it():
    np.testing.assert_allclose(navigation_optimum(jnp.array([0.108, 0.0])), -0.008, atol=1e-6)
    np.testing.assert_allclose(navigation_optimum(jnp.array([0.115, 0.0])), -0.015, atol=1e-6)


@pytest.mark.parametrize("goal", [(0.27, -0.13), (-0.46, 0.31), (0.02, 0.4)])
def test_no_plan_on_a_fine_grid_is_better(goal):
    # Backward induction over positions on a coarse grid, moves of up to a tenth along each axis.
    unit = 0.02
    positions = np.arange(-30, 31) * unit
    x, y = np.meshgrid(positions, positions, indexing="ij")
    cost = np.hypot(x - goal[0], y - goal[1])
    ends = (np.abs(x - goal[0]) < 0.01) & (np.abs(y - goal[1]) < 0.01)
    to_go = np.zeros_like(cost)
    moves = [(i, j) for i in range(-5, 6) for j in range(-5, 6)]
    for _ in range(10):
        arrive = cost + np.where(ends, 0.0, to_go)
        padded = np.pad(arrive, 5, constant_values=np.inf)
        to_go = np.min([padded[5 + i : 66 + i, 5 + j : 66 + j] for i, j in moves], axis=0)
    planned = -to_go[30, 30]
    exact = float(navigation_optimum(jnp.array(goal), horizon=10))
    assert planned <= exact + 1e-6
    assert planned >= exact - 10 * unit
