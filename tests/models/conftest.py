"""A linear system, as data and as what a linear model has learned of it."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.data import Transitions
from jaxmeta.models import dynamics_model_for, fit_model

STEPS = 600
ANGLE = 0.7
TURN = 0.1 * np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])


def drawn(key, noise=0.0, turn=TURN):
    """Moves by a turned action, and a reward that is linear in where it was and what was done."""
    key_obs, key_action, key_noise = jax.random.split(key, 3)
    obs = jax.random.normal(key_obs, (STEPS, 2))
    action = jax.random.uniform(key_action, (STEPS, 2), minval=-1.0)
    reward = 2.0 * obs[:, 0] - action[:, 1] + 3.0
    following = obs + action @ turn.T + noise * jax.random.normal(key_noise, (STEPS, 2))
    return Transitions(obs, action, reward, following, jnp.zeros(STEPS), jnp.ones(STEPS))


@pytest.fixture(scope="session")
def env():
    return jaxmeta.tasks.make("navigation").env


@pytest.fixture(scope="session")
def linear_system():
    """``linear_system.drawn(key, noise=0.0, turn=linear_system.turn)``: its transitions ``[linear_system.steps]``."""
    return types.SimpleNamespace(drawn=jax.jit(drawn), turn=TURN, steps=STEPS)


@pytest.fixture(scope="session")
def fitted(env, linear_system):
    """A linear model of the linear system, of which a third is padding that would spoil it."""
    data = linear_system.drawn(jax.random.key(0))
    spoiled = jnp.arange(STEPS) % 3 == 0
    data = data._replace(next_obs=jnp.where(spoiled[:, None], 1e3, data.next_obs), mask=1.0 - spoiled)
    model = dynamics_model_for(env, hidden=(), probabilistic=False)
    optimizer = optax.adam(optax.exponential_decay(0.1, 50, 0.9))
    fitting = functools.partial(fit_model, optimizer=optimizer, epochs=600, batch=100, patience=600)
    params, info = jax.jit(lambda key: fitting(key, model, model.init(key), data, data.mask))(jax.random.key(1))
    return model, params, info
