"""Fitting models: a linear system is recovered, early stopping, noise and endings, and adaptation to a new task."""

import functools
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta.models import adapt_model, dynamics_model_for, fit_model, fitting, interval_coverage


def test_a_linear_system_is_recovered(fitted, linear_system):
    model, params, _ = fitted
    obs, action = jnp.array([[0.3, -2.0], [1.0, 0.5]]), jnp.array([[0.5, -0.4], [-1.0, 0.9]])
    mean = jax.jit(model.predict)(params, obs, action).outcome.mean
    np.testing.assert_allclose(mean[:, :2], action @ linear_system.turn.T, atol=2e-4)
    np.testing.assert_allclose(mean[:, 2], 2.0 * obs[:, 0] - action[:, 1] + 3.0, atol=2e-3)


def test_fitting_stops_when_held_out_data_is_no_longer_predicted_better(env, linear_system):
    """With targets that are noise alone there is nothing to learn, and the first epochs are the best."""
    data = linear_system.drawn(jax.random.key(0))
    noise = jax.random.normal(jax.random.key(1), (linear_system.steps, 2))
    data = data._replace(next_obs=data.obs + noise, reward=noise[:, 0])
    model = dynamics_model_for(env, hidden=(64,), probabilistic=False)
    run = jax.jit(
        functools.partial(fit_model, model=model, epochs=100, batch=50, patience=3, optimizer=optax.adam(1e-2))
    )
    params, info = run(jax.random.key(2), params=jax.jit(model.init)(jax.random.key(3)), data=data, weight=data.mask)
    assert float(info["epochs"]) < 50
    # What it gives back is not what it ended with: on new data it is no worse than the mean, whose error is 3 / 2.
    new = jax.random.normal(jax.random.key(4), (linear_system.steps, 3))
    again = data._replace(next_obs=data.obs + new[:, :2], reward=new[:, 2])
    constant = 1.5 * jnp.log(2.0 * jnp.pi)
    assert float(jax.jit(model.loss)(params, again, data.mask) - constant) < 1.8


def test_intervals_hold_what_they_say_and_endings_are_learned(env, linear_system):
    """Noise of 0.05 and 0.05 in the moves; the episode ends where the first coordinate is positive."""
    data = linear_system.drawn(jax.random.key(0), noise=0.05)
    data = data._replace(terminated=(data.obs[:, 0] > 0).astype(jnp.float32))
    model = dynamics_model_for(env, hidden=(16,))
    run = jax.jit(
        functools.partial(fit_model, model=model, epochs=200, batch=50, patience=20, optimizer=optax.adam(1e-2))
    )
    params, _ = run(jax.random.key(1), params=jax.jit(model.init)(jax.random.key(2)), data=data, weight=data.mask)
    new = linear_system.drawn(jax.random.key(5), noise=0.05)
    said = jax.jit(model.predict)(params, new.obs, new.action)
    np.testing.assert_allclose(np.exp(said.outcome.log_std[:, :2]).mean(), 0.05, rtol=0.25)
    targets = jnp.concatenate([new.next_obs - new.obs, new.reward[:, None]], axis=-1)
    np.testing.assert_allclose(interval_coverage(said.outcome, targets, new.mask, level=0.8)[:2], 0.8, atol=0.08)
    clear = jnp.abs(new.obs[:, 0]) > 0.3
    assert float(jnp.mean(((said.ending > 0) == (new.obs[:, 0] > 0))[clear])) > 0.97


def test_adaptation_lowers_the_error_on_a_new_task_and_is_differentiable(env, linear_system, monkeypatch):
    model = dynamics_model_for(env, hidden=(), probabilistic=False)
    data = linear_system.drawn(jax.random.key(0), turn=-linear_system.turn)
    half = (jnp.arange(linear_system.steps) % 2).astype(jnp.float32)
    params = jax.jit(lambda key: model.scaled(model.init(key), data, data.mask))(jax.random.key(1))

    @functools.partial(jax.jit, static_argnums=1)
    def after(params, steps):
        return model.loss(adapt_model(model, params, data, half, rate=0.1, steps=steps), data, 1.0 - half)

    losses = [float(after(params, steps)) for steps in (0, 1, 5)]
    assert losses[0] > losses[1] > losses[2]
    slope, flat = (jax.jit(jax.grad(after), static_argnums=1)(params, k)["outcome"] for k in (1, 0))
    assert float(optax.global_norm(jax.tree.map(jnp.subtract, slope, flat))) > 1e-3
    monkeypatch.setattr(fitting, "inner_gradient", jax.grad)
    reverse = jax.jit(jax.grad(lambda params: after.__wrapped__(params, 1)))(params)["outcome"]
    chex.assert_trees_all_close(slope, reverse, rtol=1e-4, atol=1e-6)
    unmoved = adapt_model(model, params, data, jnp.zeros(linear_system.steps), rate=0.1, steps=3)
    chex.assert_trees_all_equal(unmoved, params)


ON_DEVICES = """
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
from jaxmeta.data import Transitions
from jaxmeta.models.fitting import _weighted_draws
from jaxmeta.over_tasks import by_all_devices, task_mesh

value, weight = jnp.arange(16.0), jnp.where(jnp.arange(16) < 4, 0.0, jnp.arange(16.0) ** 2)


def mean_of_draws(devices, key, value, weight):
    draw, mean = _weighted_draws(devices, Transitions(*[value] * 6), weight)
    return mean(jnp.mean(draw(key, 40_000).reward)), mean(jnp.float32(1.0))


for count in (1, 4):
    with jax.set_mesh(task_mesh(count)):
        print(*jax.jit(lambda key: by_all_devices(mean_of_draws, key, value, weight))(jax.random.key(0)))
"""


def test_devices_that_hold_different_weights_estimate_the_weighted_mean_together():
    """Weights are squares, and 0 all over the first of four devices."""
    done = subprocess.run([sys.executable, "-c", ON_DEVICES], check=True, capture_output=True, text=True)
    weight = np.arange(16.0) ** 2 * (np.arange(16) >= 4)
    expected = np.average(np.arange(16.0), weights=weight)
    for line in done.stdout.splitlines():
        np.testing.assert_allclose(list(map(float, line.split())), [expected, 1.0], rtol=3e-3)


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("batch", 0), ("patience", 0), ("validation_share", 1.0)])
def test_bad_settings_of_a_fit_are_refused(env, name, value, linear_system):
    model = dynamics_model_for(env)
    data = linear_system.drawn(jax.random.key(0))
    with pytest.raises(ValueError, match=f"{name}: got {value}; must be"):
        fit_model(jax.random.key(0), model, {}, data, data.mask, **{name: value})
