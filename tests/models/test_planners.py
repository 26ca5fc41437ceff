"""Planners: the optimum of a linear-quadratic problem, exact answers of tiny ones, and where a search starts from."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

import jaxmeta
from jaxmeta.models import DynamicsModel, cross_entropy_method, imagined_return, random_shooting
from jaxmeta.models.dynamics import Prediction
from jaxmeta.networks import Gaussian

HORIZON = 6
A, B = np.array([[1.0, 0.2], [0.0, 1.0]]), np.array([[0.0], [0.2]])
Q, R = np.diag([1.0, 0.1]), np.array([[0.05]])
START = np.array([1.0, -0.5])
BOX = spaces.Box(-8.0, 8.0, (1,), jnp.float32)


def exact_model(step, *, ending=-40.0):
    """A model that knows ``step(obs, action) -> (change, reward)``."""

    def predict(params, obs, action):
        change, reward = step(obs, action)
        mean = jnp.append(change, reward)
        return Prediction(Gaussian(mean, jnp.zeros_like(mean)), jnp.float32(ending))

    nothing = lambda *arguments: None  # noqa: E731
    return DynamicsModel(nothing, predict, nothing, nothing, nothing, lambda params, obs: obs)


def linear_quadratic():
    return exact_model(lambda obs, action: (A @ obs + B @ action - obs, -(obs @ Q @ obs) - action @ R @ action))


def riccati():
    """The largest return of ``HORIZON`` steps from ``START``, and the actions."""
    value, gains = np.zeros((2, 2)), []
    for _ in range(HORIZON):
        gain = np.linalg.solve(R + B.T @ value @ B, B.T @ value @ A)
        value = Q + gain.T @ R @ gain + (A - B @ gain).T @ value @ (A - B @ gain)
        gains.insert(0, gain)
    state, actions = START, []
    for gain in gains:
        actions.append(-gain @ state)
        state = A @ state + B @ actions[-1]
    return -START @ value @ START, np.array(actions)


def test_the_cross_entropy_method_finds_the_optimum_of_a_linear_quadratic_problem():
    planner = cross_entropy_method(BOX, horizon=HORIZON, candidates=400, elites=40, iterations=25, smoothing=0.0)
    model = linear_quadratic()

    def score(actions):
        return imagined_return(model, None, jnp.asarray(START), actions)

    found, _ = jax.jit(lambda key: planner.plan(key, planner.begin(), score))(jax.random.key(0))
    best, actions = riccati()
    np.testing.assert_allclose(score(jnp.asarray(actions, jnp.float32)), best, rtol=1e-5)
    np.testing.assert_allclose(score(found), best, rtol=2e-4)
    np.testing.assert_allclose(found, actions, atol=0.1)


def test_a_plan_that_is_made_anew_at_each_step_does_as_well_as_the_whole_plan():
    """Fewer draws at each step: what the last search found is not lost."""
    planner = cross_entropy_method(BOX, horizon=HORIZON, candidates=200, elites=20, iterations=8)
    model = linear_quadratic()

    def step(carry, inputs):
        state, plan = carry
        key, left = inputs

        def score(actions):
            # What lies beyond the end of the problem does not count.
            counted = jnp.where(jnp.arange(HORIZON)[:, None] < left, actions, 0.0)
            _, reward, _ = jaxmeta.models.open_loop(model, None, state, counted)
            return jnp.sum(jnp.where(jnp.arange(HORIZON) < left, reward, 0.0))

        actions, plan = planner.plan(key, plan, score)
        change, reward = A @ state + B @ actions[0] - state, -(state @ Q @ state) - actions[0] @ R @ actions[0]
        return (state + change, plan), reward

    inputs = (jax.random.split(jax.random.key(1), HORIZON), HORIZON - jnp.arange(HORIZON))
    _, rewards = jax.jit(lambda: jax.lax.scan(step, (jnp.asarray(START, jnp.float32), planner.begin()), inputs))()
    np.testing.assert_allclose(jnp.sum(rewards), riccati()[0], rtol=0.01)


def test_imagined_returns_by_hand():
    """Three steps with rewards 1, 2, 3, of which each ends with probability one half; γ = 0.5."""
    model = exact_model(lambda obs, action: (jnp.ones(1), obs[0]), ending=0.0)
    got = imagined_return(model, None, jnp.array([1.0]), jnp.zeros((3, 1)), 0.5)
    np.testing.assert_allclose(got, 1.0 + 0.25 * 2.0 + 0.0625 * 3.0, rtol=1e-6)


@pytest.mark.parametrize("make", [random_shooting, cross_entropy_method])
def test_the_best_of_eight_sequences_is_found(make):
    worth = jnp.array([3.0, 1.0, 4.0, 1.0, 5.0, jnp.nan, 2.0, 6.0])
    planner = make(spaces.Discrete(2), horizon=3, candidates=120)

    def score(actions):
        # The reward of 7 comes only at the end of the one path that is the best.
        return worth[actions @ jnp.array([4, 2, 1])]

    for seed in range(3):
        actions, _ = planner.plan(jax.random.key(seed), planner.begin(), score)
        np.testing.assert_array_equal(actions, [1, 1, 1])
        assert actions.dtype == jnp.int32


def test_uniform_sequences_fill_the_box():
    box = spaces.Box(jnp.array([-1.0, 2.0]), jnp.array([1.0, 3.0]), (2,), jnp.float32)
    planner = random_shooting(box, horizon=4, candidates=200)
    ends = [
        planner.plan(jax.random.key(0), (), lambda actions, sign=sign: sign * jnp.min(actions))[0] for sign in (1, -1)
    ]
    for actions in ends:
        assert actions.shape == (4, 2)
        assert jnp.all((actions >= box.low) & (actions <= box.high))
    assert float(jnp.min(ends[0][:, 0])) > 0.2
    assert float(jnp.min(ends[1])) < -0.9


def test_the_next_search_starts_one_step_further_on():
    wanted = jnp.array([[0.8], [-0.6], [0.4]])
    box = spaces.Box(-1.0, 1.0, (1,), jnp.float32)
    planner = cross_entropy_method(box, horizon=3, candidates=200, elites=10, iterations=15, smoothing=0.0)
    found, plan = planner.plan(jax.random.key(0), planner.begin(), lambda actions: -jnp.sum((actions - wanted) ** 2))
    np.testing.assert_allclose(found, wanted, atol=0.02)
    mean, deviation = plan
    np.testing.assert_allclose(mean, [[-0.6], [0.4], [0.0]], atol=0.02)
    np.testing.assert_array_equal(deviation, planner.begin()[1])
    chex.assert_trees_all_equal_shapes_and_dtypes(plan, planner.begin())

    told = cross_entropy_method(spaces.Discrete(3), horizon=3, candidates=60, elites=6, iterations=10, smoothing=0.0)
    best = jnp.array([2, 0, 1])
    found, plan = told.plan(jax.random.key(0), told.begin(), lambda actions: jnp.sum(actions == best))
    np.testing.assert_array_equal(found, best)
    # Half of what was found, one step earlier, and half of it spread evenly.
    np.testing.assert_allclose(plan, [[4 / 6, 1 / 6, 1 / 6], [1 / 6, 4 / 6, 1 / 6], [1 / 3] * 3], atol=1e-5)


def test_a_search_that_starts_from_the_answer_keeps_it():
    """The mode is among the sequences: with one candidate there is nothing else."""
    planner = cross_entropy_method(BOX, horizon=2, candidates=1, elites=1, iterations=3)
    mean = jnp.array([[3.0], [-4.0]])
    found, _ = planner.plan(
        jax.random.key(0), (mean, planner.begin()[1]), lambda actions: -jnp.sum(jnp.abs(actions - mean))
    )
    np.testing.assert_array_equal(found, mean)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizon": 0}, "horizon: got 0; must be at least 1"),
        ({"candidates": 0}, "candidates: got 0; must be at least 1"),
        ({"elites": 65}, "elites: got 65; must be at most the 64 candidates"),
        ({"iterations": 0}, "iterations: got 0; must be at least 1"),
        ({"smoothing": 1.0}, r"smoothing: got 1.0; must be in \[0, 1\)"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        cross_entropy_method(BOX, **settings)


@pytest.mark.parametrize("limit", [jnp.inf, jnp.finfo(jnp.float32).max])
def test_actions_without_bounds_are_refused(limit):
    with pytest.raises(ValueError, match="a planner needs Discrete actions, or a bounded Box of rank 1"):
        random_shooting(spaces.Box(-limit, limit, (1,), jnp.float32))
