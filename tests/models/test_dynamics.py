"""Models of dynamics: a linear system is recovered, early stopping, calibration, adaptation, and what is imagined."""

import functools

import chex
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.data import Transitions
from jaxmeta.models import adapt_model, dynamics_model_for, fit_model, interval_coverage, open_loop, sample_step
from jaxmeta.networks import Gaussian

STEPS = 600
ANGLE = 0.7
TURN = 0.1 * np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])


@pytest.fixture(scope="module")
def env():
    return jaxmeta.tasks.make("navigation").env


def linear_system(key, noise=0.0, turn=TURN):
    """Moves by a turned action, and a reward that is linear in where it was and what was done."""
    key_obs, key_action, key_noise = jax.random.split(key, 3)
    obs = jax.random.normal(key_obs, (STEPS, 2))
    action = jax.random.uniform(key_action, (STEPS, 2), minval=-1.0)
    reward = 2.0 * obs[:, 0] - action[:, 1] + 3.0
    following = obs + action @ turn.T + noise * jax.random.normal(key_noise, (STEPS, 2))
    return Transitions(obs, action, reward, following, jnp.zeros(STEPS), jnp.ones(STEPS))


@pytest.fixture(scope="module")
def fitted(env):
    """A linear model of the linear system, of which a third is padding that would spoil it."""
    data = linear_system(jax.random.key(0))
    spoiled = jnp.arange(STEPS) % 3 == 0
    data = data._replace(next_obs=jnp.where(spoiled[:, None], 1e3, data.next_obs), mask=1.0 - spoiled)
    model = dynamics_model_for(env, hidden=(), probabilistic=False)
    optimizer = optax.adam(optax.exponential_decay(0.1, 50, 0.9))
    fitting = functools.partial(fit_model, optimizer=optimizer, epochs=600, batch=100, patience=600)
    params, info = jax.jit(lambda key: fitting(key, model, model.init(key), data, data.mask))(jax.random.key(1))
    return model, params, info


def test_a_linear_system_is_recovered(fitted):
    model, params, _ = fitted
    obs, action = jnp.array([[0.3, -2.0], [1.0, 0.5]]), jnp.array([[0.5, -0.4], [-1.0, 0.9]])
    mean = model.predict(params, obs, action).outcome.mean
    np.testing.assert_allclose(mean[:, :2], action @ TURN.T, atol=2e-4)
    np.testing.assert_allclose(mean[:, 2], 2.0 * obs[:, 0] - action[:, 1] + 3.0, atol=2e-3)


@pytest.mark.parametrize("ends", [0, 30])
def test_what_has_not_learned_ends_as_often_as_the_data(env, ends):
    data = linear_system(jax.random.key(0))
    data = data._replace(terminated=(jnp.arange(STEPS) < ends).astype(jnp.float32))
    model = dynamics_model_for(env, hidden=())
    params = model.scaled(model.init(jax.random.key(1)), data, data.mask)
    # A linear model of normalised inputs says 0 on average.
    said = model.predict(params, data.obs, data.action).ending.mean()
    np.testing.assert_allclose(said, np.log((ends + 0.5) / (STEPS - ends + 0.5)), atol=1e-4)


def test_imagined_steps_follow_it(fitted):
    model, params, _ = fitted
    actions = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]])
    path, rewards, alive = open_loop(model, params, jnp.array([0.1, 0.2]), actions)
    expected = jnp.array([0.1, 0.2]) + jnp.cumsum(actions @ TURN.T, axis=0)
    np.testing.assert_allclose(path, expected, atol=1e-3)
    before = jnp.concatenate([jnp.array([[0.1, 0.2]]), expected[:-1]])
    np.testing.assert_allclose(rewards, 2.0 * before[:, 0] - actions[:, 1] + 3.0, atol=1e-2)
    assert alive[0] == 1.0
    assert float(alive[2]) > 0.98
    step = sample_step(jax.random.key(0), model, params, jnp.array([0.1, 0.2]), actions[0])
    np.testing.assert_allclose(step[0], expected[0], atol=1e-3)
    np.testing.assert_allclose(step[1], rewards[0], atol=1e-3)


def test_predictions_stay_where_data_was(fitted):
    model, params, _ = fitted
    np.testing.assert_array_equal(model.bounded(params, jnp.array([100.0, -100.0]))[0], params["box"]["high"][0])
    assert float(params["box"]["high"][0]) < 5.0


def test_fitting_stops_when_held_out_data_is_no_longer_predicted_better(env):
    """With targets that are noise alone there is nothing to learn, and the first epochs are the best."""
    data = linear_system(jax.random.key(0))
    noise = jax.random.normal(jax.random.key(1), (STEPS, 2))
    data = data._replace(next_obs=data.obs + noise, reward=noise[:, 0])
    model = dynamics_model_for(env, hidden=(64,), probabilistic=False)
    run = jax.jit(
        functools.partial(fit_model, model=model, epochs=100, batch=50, patience=3, optimizer=optax.adam(1e-2))
    )
    params, info = run(jax.random.key(2), params=model.init(jax.random.key(3)), data=data, weight=data.mask)
    assert float(info["epochs"]) < 50
    # What it gives back is not what it ended with: on new data it is no worse than the mean, whose error is 3 / 2.
    new = jax.random.normal(jax.random.key(4), (STEPS, 3))
    again = data._replace(next_obs=data.obs + new[:, :2], reward=new[:, 2])
    constant = 1.5 * jnp.log(2.0 * jnp.pi)
    assert float(model.loss(params, again, data.mask) - constant) < 1.8


def test_intervals_hold_what_they_say_and_endings_are_learned(env):
    """Noise of 0.05 and 0.05 in the moves; the episode ends where the first coordinate is positive."""
    data = linear_system(jax.random.key(0), noise=0.05)
    data = data._replace(terminated=(data.obs[:, 0] > 0).astype(jnp.float32))
    model = dynamics_model_for(env, hidden=(16,))
    run = jax.jit(
        functools.partial(fit_model, model=model, epochs=200, batch=50, patience=20, optimizer=optax.adam(1e-2))
    )
    params, _ = run(jax.random.key(1), params=model.init(jax.random.key(2)), data=data, weight=data.mask)
    new = linear_system(jax.random.key(5), noise=0.05)
    said = model.predict(params, new.obs, new.action)
    np.testing.assert_allclose(np.exp(said.outcome.log_std[:, :2]).mean(), 0.05, rtol=0.25)
    targets = jnp.concatenate([new.next_obs - new.obs, new.reward[:, None]], axis=-1)
    np.testing.assert_allclose(interval_coverage(said.outcome, targets, new.mask, level=0.8)[:2], 0.8, atol=0.08)
    clear = jnp.abs(new.obs[:, 0]) > 0.3
    assert float(jnp.mean(((said.ending > 0) == (new.obs[:, 0] > 0))[clear])) > 0.97


def test_coverage_by_hand():
    """Intervals of 68.27 % are one deviation wide to either side; the last target has no weight."""
    outcome = Gaussian(jnp.zeros((4, 1)), jnp.log(jnp.full((4, 1), 2.0)))
    targets = jnp.array([[1.9], [-1.9], [2.1], [0.0]])
    np.testing.assert_allclose(
        interval_coverage(outcome, targets, jnp.array([1, 1, 1, 0]), level=0.6827), [2 / 3], rtol=1e-5
    )


def test_adaptation_lowers_the_error_on_a_new_task_and_is_differentiable(env):
    model = dynamics_model_for(env, hidden=(), probabilistic=False)
    data = linear_system(jax.random.key(0), turn=-TURN)
    half = (jnp.arange(STEPS) % 2).astype(jnp.float32)
    params = model.scaled(model.init(jax.random.key(1)), data, data.mask)

    def after(params, steps):
        return model.loss(adapt_model(model, params, data, half, rate=0.1, steps=steps), data, 1.0 - half)

    losses = [float(after(params, steps)) for steps in (0, 1, 5)]
    assert losses[0] > losses[1] > losses[2]
    slope, flat = (jax.grad(lambda params, k=k: after(params, k))(params)["outcome"] for k in (1, 0))
    assert float(optax.global_norm(jax.tree.map(jnp.subtract, slope, flat))) > 1e-3
    unmoved = adapt_model(model, params, data, jnp.zeros(STEPS), rate=0.1, steps=3)
    chex.assert_trees_all_equal(unmoved, params)


def test_discrete_actions_are_told_apart(env):
    env = jaxmeta.tasks.make("cartpole").env
    model = dynamics_model_for(env, hidden=(8,))
    params = model.init(jax.random.key(0))
    left, right = (model.predict(params, jnp.zeros(4), jnp.int32(action)) for action in (0, 1))
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


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("batch", 0), ("patience", 0), ("validation_share", 1.0)])
def test_bad_settings_of_a_fit_are_refused(env, name, value):
    model = dynamics_model_for(env)
    data = linear_system(jax.random.key(0))
    with pytest.raises(ValueError, match=f"{name}: got {value}; must be"):
        fit_model(jax.random.key(0), model, {}, data, data.mask, **{name: value})


def test_a_model_needs_a_vector_of_observations():
    with pytest.raises(ValueError, match="a model needs a Box of rank 1"):
        dynamics_model_for(gymnax.make("Breakout-MinAtar")[0])
