import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta


def test_cartpole_tasks_keep_derived_parameters_consistent_and_differ():
    tasks = jaxmeta.tasks.make("cartpole")
    batch = jaxmeta.sample_tasks(jax.random.key(0), tasks, 100)
    np.testing.assert_allclose(batch.total_mass, batch.masscart + batch.masspole, rtol=1e-6)
    np.testing.assert_allclose(batch.polemass_length, batch.masspole * batch.length, rtol=1e-6)
    assert float(batch.masscart.min()) >= 0.5
    assert float(batch.masscart.max()) <= 2.0
    assert float(batch.force_mag.std()) > 1.0
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(batch))


def test_a_physical_parameter_changes_the_motion():
    tasks = jaxmeta.tasks.make("cartpole")
    one, other = (jax.tree.map(lambda x, i=i: x[i], jaxmeta.sample_tasks(jax.random.key(0), tasks, 2)) for i in (0, 1))
    _, state = tasks.env.reset_env(jax.random.key(1), one)
    moves = [tasks.env.step_env(jax.random.key(2), state, 1, task)[0] for task in (one, other)]
    assert not np.allclose(moves[0], moves[1])


def test_any_gymnax_environment_becomes_a_family_and_bounded_actions_are_scaled():
    env, params = gymnax.make("Pendulum-v1")
    tasks = jaxmeta.tasks.from_gymnax(
        env, lambda key: params.replace(g=jax.random.uniform(key, (), minval=5.0, maxval=15.0))
    )
    assert tasks.horizon == 200
    space = tasks.env.action_space(tasks.env.default_params)
    assert (space.low, space.high) == (-1.0, 1.0)
    task = tasks.sample(jax.random.key(0))
    _, state = tasks.env.reset_env(jax.random.key(1), task)
    scaled = tasks.env.step_env(jax.random.key(2), state, jnp.array([1.0]), task)[0]
    np.testing.assert_allclose(scaled, env.step_env(jax.random.key(2), state, jnp.array([2.0]), task)[0], rtol=1e-6)


def test_what_is_not_a_family_is_refused_in_one_line():
    env, params = gymnax.make("CartPole-v1")
    with pytest.raises(TypeError, match=r"^env: got tuple; must be a gymnax Environment"):
        jaxmeta.tasks.from_gymnax((env, params), lambda key: params)
    with pytest.raises(TypeError, match=r"^sample: returns"):
        jaxmeta.tasks.from_gymnax(env, lambda key: {"length": 1.0})
    with pytest.raises(ValueError, match=r"^horizon: got 0; must be at least 1$"):
        jaxmeta.tasks.from_gymnax(env, lambda key: params, horizon=0)
    with pytest.raises(ValueError, match="action space"):
        jaxmeta.tasks.scale_actions(env)
    with pytest.raises(ValueError, match=r"^force: got \(3.0, 1.0\); must be 0 < low <= high$"):
        jaxmeta.tasks.make("cartpole", force=(3, 1))
