"""Models of dynamics: what is predicted before and after learning, what is imagined, and calibration."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.models import dynamics_model_for, interval_coverage, open_loop, sample_step
from jaxmeta.networks import Gaussian


@pytest.mark.parametrize("ends", [0, 30])
def test_what_has_not_learned_ends_as_often_as_the_data(env, ends, linear_system):
    data = linear_system.drawn(jax.random.key(0))
    data = data._replace(terminated=(jnp.arange(linear_system.steps) < ends).astype(jnp.float32))
    model = dynamics_model_for(env, hidden=())
    params = jax.jit(lambda key: model.scaled(model.init(key), data, data.mask))(jax.random.key(1))
    # A linear model of normalised inputs says 0 on average.
    said = jax.jit(model.predict)(params, data.obs, data.action).ending.mean()
    np.testing.assert_allclose(said, np.log((ends + 0.5) / (linear_system.steps - ends + 0.5)), atol=1e-4)


def test_imagined_steps_follow_it(fitted, linear_system):
    model, params, _ = fitted
    actions = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]])
    start = jnp.array([0.1, 0.2])
    path, rewards, alive = jax.jit(lambda start, actions: open_loop(model, params, start, actions))(start, actions)
    expected = start + jnp.cumsum(actions @ linear_system.turn.T, axis=0)
    np.testing.assert_allclose(path, expected, atol=1e-3)
    before = jnp.concatenate([start[None], expected[:-1]])
    np.testing.assert_allclose(rewards, 2.0 * before[:, 0] - actions[:, 1] + 3.0, atol=1e-2)
    assert alive[0] == 1.0
    assert float(alive[2]) > 0.98
    step = jax.jit(lambda key: sample_step(key, model, params, start, actions[0]))(jax.random.key(0))
    np.testing.assert_allclose(step[0], expected[0], atol=1e-3)
    np.testing.assert_allclose(step[1], rewards[0], atol=1e-3)


def test_predictions_stay_where_data_was(fitted):
    model, params, _ = fitted
    np.testing.assert_array_equal(model.bounded(params, jnp.array([100.0, -100.0]))[0], params["box"]["high"][0])
    assert float(params["box"]["high"][0]) < 5.0


def test_coverage_by_hand():
    """Intervals of 68.27 % are one deviation wide to either side; the last target has no weight."""
    outcome = Gaussian(jnp.zeros((4, 1)), jnp.log(jnp.full((4, 1), 2.0)))
    targets = jnp.array([[1.9], [-1.9], [2.1], [0.0]])
    np.testing.assert_allclose(
        interval_coverage(outcome, targets, jnp.array([1, 1, 1, 0]), level=0.6827), [2 / 3], rtol=1e-5
    )


def test_discrete_actions_are_told_apart(env):
    env = jaxmeta.tasks.make("cartpole").env
    model = dynamics_model_for(env, hidden=(8,))
    params = jax.jit(model.init)(jax.random.key(0))
    left, right = (jax.jit(model.predict)(params, jnp.zeros(4), jnp.int32(action)) for action in (0, 1))
    assert left.outcome.mean.shape == (5,)
    assert not np.allclose(left.outcome.mean, right.outcome.mean)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": (0,)}, r"hidden: got \(0,\); every width must be at least 1"),
        ({"context": -1}, "context: got -1; must be at least 0"),
    ],
)
def test_bad_sizes_are_refused(env, settings, message):
    with pytest.raises(ValueError, match=message):
        dynamics_model_for(env, **settings)


def test_a_model_needs_a_vector_of_observations():
    with pytest.raises(ValueError, match=r"networks need a Box of rank 1 .*from_gymnax"):
        dynamics_model_for(gymnax.make("Breakout-MinAtar")[0])
