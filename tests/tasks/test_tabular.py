"""Random tabular MDPs: their definition, and that the dynamics are the task's."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.tasks import TabularParams


def test_the_defaults_are_the_published_definition():
    family = tasks.tabular_mdp()
    batch = jax.jit(jax.vmap(family.sample))(jax.random.split(jax.random.key(0), 2_000))
    assert batch.transition.shape == (2_000, 10, 5, 10)
    assert batch.reward.shape == (2_000, 10, 5)
    assert family.horizon == 10
    np.testing.assert_allclose(batch.transition.sum(-1), 1.0, atol=1e-5)
    # A flat Dirichlet over ten states: mean 1/10, variance (1/10)(9/10)/11.
    np.testing.assert_allclose(float(batch.transition.std()), np.sqrt(0.09 / 11), rtol=0.01)
    assert abs(float(batch.reward.mean()) - 1.0) < 0.02
    assert abs(float(batch.reward.std()) - 1.0) < 0.02


def test_an_episode_starts_in_state_zero_and_is_truncated_at_the_horizon():
    family = tasks.tabular_mdp(states=4, actions=2, horizon=3)
    task = family.sample(jax.random.key(0))
    obs, state = family.env.reset(jax.random.key(1), task)
    np.testing.assert_array_equal(obs, [1, 0, 0, 0])
    ends = []
    for t in range(3):
        obs, state, reward, terminated, truncated, _ = family.env.step(jax.random.key(t), state, 1, task)
        assert family.env.observation_space(task).contains(obs)
        assert float(obs.sum()) == 1.0
        assert reward.dtype == jnp.float32
        assert not terminated
        ends.append(bool(truncated))
    assert ends == [False, False, True]
    np.testing.assert_array_equal(obs, [1, 0, 0, 0])


def test_transitions_and_rewards_follow_the_task():
    family = tasks.tabular_mdp(states=3, actions=2, noise=0.5)
    transition = jnp.zeros((3, 2, 3)).at[0, 1].set(jnp.array([0.2, 0.0, 0.8])).at[0, 0, 0].set(1.0)
    task = TabularParams(transition=transition, reward=jnp.array([[5.0, -2.0], [0, 0], [0, 0]]), noise=0.5)
    _, state = family.env.reset_env(jax.random.key(0), task)
    keys = jax.random.split(jax.random.key(1), 20_000)
    obs, _, reward, _, _ = jax.jit(jax.vmap(lambda key: family.env.step_env(key, state, 1, task)))(keys)
    frequency = np.asarray(obs.mean(axis=0))
    assert frequency[1] == 0.0
    assert abs(frequency[2] - 0.8) < 4 * np.sqrt(0.16 / 20_000)
    assert abs(float(reward.mean()) + 2.0) < 4 * 0.5 / np.sqrt(20_000)
    assert abs(float(reward.std()) - 0.5) < 0.02
    stay, _, _, _, _ = family.env.step_env(jax.random.key(2), state, 0, task)
    np.testing.assert_array_equal(stay, [1, 0, 0])


def test_two_tasks_give_two_returns_under_the_same_actions_and_keys():
    family = tasks.tabular_mdp()

    @jax.jit
    def episode(task):
        def step(state, key):
            _, state, reward, _, _ = family.env.step_env(key, state, 2, task)
            return state, reward

        _, state = family.env.reset_env(jax.random.key(0), task)
        return jax.lax.scan(step, state, jax.random.split(jax.random.key(1), 10))[1].sum()

    returns = [float(episode(family.sample(jax.random.key(seed)))) for seed in (0, 1, 0)]
    assert returns[0] != returns[1]
    assert returns[0] == returns[2]


def test_gymnax_finds_it():
    env, params = gymnax.make("TabularMDP-jaxmeta", states=6, actions=3)
    assert params.transition.shape == (6, 3, 6)
    obs, state = env.reset(jax.random.key(0), params)
    assert env.state_space(params).contains(state)
    obs, *_ = env.step(jax.random.key(1), state, 2, params)
    # The default task: action a moves a + 1 states on.
    assert int(jnp.argmax(obs)) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"states": 0}, "states: got 0; must be at least 1"),
        ({"actions": 0}, "actions: got 0; must be at least 1"),
        ({"horizon": 0}, "horizon: got 0; must be at least 1"),
        ({"noise": -0.1}, "noise: got -0.1; must be at least 0"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ValueError, match=message):
        tasks.make("tabular-mdp", **settings)
