"""What is observed of a family: scaled, in part, or with the task beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.tasks import MOVES


def test_revealed_tasks_end_in_what_varies():
    family = tasks.make("navigation")
    revealed = tasks.reveal_task(family)
    task = family.sample(jax.random.key(0))
    obs, state = revealed.env.reset_env(jax.random.key(0), task)
    np.testing.assert_allclose(obs, [0, 0, *np.asarray(task.goal)])
    obs, _, _, _, _ = revealed.env.step_env(jax.random.key(0), state, jnp.array([1.0, 0.5]), task)
    np.testing.assert_allclose(obs, [0.1, 0.05, *np.asarray(task.goal)], rtol=1e-6)
    assert revealed.env.observation_space(task).shape == (4,)
    assert revealed.env.observation_space(task).contains(obs)
    # Whole numbers vary too; and gravity, two masses, their sum, length, its product, and force.
    assert tasks.reveal_task(tasks.make("gridnavi")).env.observation_space().shape == (4,)
    assert tasks.reveal_task(tasks.make("cartpole")).env.observation_space().shape == (4 + 7,)


def test_who_is_told_the_task_can_tell_all_listed_tasks_apart():
    # One arm in ten pays at its own value: few draws do not show that each of them may.
    family = tasks.make("informative-bandit")
    features = np.asarray(jax.vmap(tasks.varying_features(family))(family.every))
    assert features.shape == (10, 11)
    assert len(np.unique(features, axis=0)) == 10


def test_revealed_features_of_ones_own():
    family = tasks.make("gridnavi")
    revealed = tasks.reveal_task(family, lambda task: jax.nn.one_hot(task.goal[0], 5))
    task = family.sample(jax.random.key(0)).replace(goal=jnp.array([3, 1], jnp.int32))
    obs, _ = revealed.env.reset_env(jax.random.key(0), task)
    np.testing.assert_array_equal(obs, [0, 0, 0, 0, 0, 1, 0])
    with pytest.raises(ValueError, match="features: return shape"):
        tasks.reveal_task(family, lambda task: jnp.zeros(()))
    lifetime = tasks.as_lifetime(revealed, 2)
    assert lifetime.env.observation_space().shape == (7 + len(MOVES) + 1 + 2,)


def test_what_is_not_observed_is_left_out():
    family = tasks.make("cartpole")
    seen = tasks.observe_only(family, (2, 0))
    key, task = jax.random.key(0), family.sample(jax.random.key(1))
    whole, state = family.env.reset_env(key, task)
    part, same = seen.env.reset_env(key, task)
    np.testing.assert_array_equal(part, whole[jnp.array([2, 0])])
    whole, part = (each.env.step_env(key, at, 1, task)[0] for each, at in ((family, state), (seen, same)))
    np.testing.assert_array_equal(part, whole[jnp.array([2, 0])])
    space, of_all = seen.env.observation_space(task), family.env.observation_space(task)
    np.testing.assert_array_equal(space.high, of_all.high[jnp.array([2, 0])])
    assert space.shape == (2,)
    for observed in ((), (4,), (-1,)):
        with pytest.raises(ValueError, match=r"^observed: got .*; must be some of the entries 0 to 3$"):
            tasks.observe_only(family, observed)


def test_observations_with_bounds_are_seen_between_minus_one_and_one():
    scaled = tasks.scale_observations(tasks.make("mountain-car"))
    params = scaled.env.default_params
    _, state = scaled.env.reset_env(jax.random.key(0), params)
    state = state.replace(position=jnp.float32(0.6), velocity=jnp.float32(-0.035))
    np.testing.assert_allclose(scaled.env.get_obs(state, params), [1.0, -0.5], rtol=1e-5)
    space = scaled.env.observation_space(params)
    np.testing.assert_array_equal((space.low, space.high), [[-1, -1], [1, 1]])
    # CartPole's velocities have no bounds.
    scaled = tasks.scale_observations(tasks.make("cartpole"))
    params = scaled.env.default_params
    _, state = scaled.env.reset_env(jax.random.key(0), params)
    state = state.replace(
        x=jnp.float32(2.4), x_dot=jnp.float32(7.0), theta=jnp.float32(0.0), theta_dot=jnp.float32(9.0)
    )
    np.testing.assert_allclose(scaled.env.get_obs(state, params), [0.5, 7.0, 0.0, 9.0], rtol=1e-5)
