"""Lifetimes, scaled and repeated actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.classic_control import cartpole as gymnax_cartpole

from jaxmeta import tasks
from jaxmeta.data import collect_episodes
from jaxmeta.learners import uniform_learner
from jaxmeta.networks import policy_for


def play(family, task, actions, seed=0):
    """Observations (the first included), rewards, terminations and truncations of a list of actions."""

    def step(state, inputs):
        key, action = inputs
        obs, state, reward, terminated, _ = family.env.step_env(key, state, action, task)
        return state, (obs, reward, terminated, family.env.is_truncated(state, task))

    def run(key_reset, key_steps):
        obs, state = family.env.reset_env(key_reset, task)
        keys = jax.random.split(key_steps, len(actions))
        return obs, jax.lax.scan(step, jax.tree.map(jnp.asarray, state), (keys, jnp.asarray(actions)))[1]

    obs, (later, *rest) = jax.jit(run)(jax.random.key(seed), jax.random.key(seed + 1))
    return np.concatenate([obs[None], later]), *map(np.asarray, rest)


def test_a_lifetime_of_continuous_actions():
    family = tasks.make("navigation", horizon=3)
    lifetime = tasks.as_lifetime(family, 2)
    task = family.sample(jax.random.key(0)).replace(goal=jnp.array([0.4, 0.4]))
    actions = np.array([[0.5, -0.5], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0]], np.float32)
    obs, reward, terminated, truncated = play(lifetime, task, actions)
    assert lifetime.horizon == 6
    assert obs.shape == (7, 2 + 3 + 1 + 1)
    positions = [[0, 0], [0.05, -0.05], [0.15, -0.05], [0, 0], [-0.1, 0], [-0.1, 0], [0, 0]]
    np.testing.assert_allclose(obs[:, :2], positions, atol=1e-6)
    np.testing.assert_allclose(obs[:, 2:5], [[0, 0, 0], *np.append(actions, np.ones((6, 1)), 1)])
    np.testing.assert_allclose(obs[1:, 5], reward)
    # The reward of an episode's last step comes with the next one's first observation.
    np.testing.assert_allclose(reward[2], -np.hypot(0.4 - 0.15, 0.4 - 0.05), atol=1e-6)
    np.testing.assert_array_equal(obs[:, 6], [0, 0, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(truncated, [0, 0, 0, 0, 0, 1])
    assert not terminated.any()


def test_a_lifetime_of_discrete_actions_begins_with_none_of_them():
    family = tasks.make("gridnavi", horizon=4)
    lifetime = tasks.as_lifetime(family, 2)
    task = family.sample(jax.random.key(0)).replace(goal=jnp.array([2, 0], jnp.int32))
    obs, reward, _, _ = play(lifetime, task, [2, 2, 0, 1, 2, 0, 0, 0])
    np.testing.assert_array_equal(obs[0, 2:8], [0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(obs[1:, 2:8].argmax(1), [2, 2, 0, 1, 2, 0, 0, 0])
    np.testing.assert_allclose(reward, [-0.1, 1, 1, -0.1, -0.1, -0.1, -0.1, -0.1], atol=1e-6)
    np.testing.assert_allclose(float(lifetime.optimum(task)), 2 * (3 * 1.0 - 0.1), rtol=1e-6)


def test_an_episode_that_ends_early_is_followed_by_the_next_one():
    family = tasks.make("frozen-lake", slippery=False, horizon=20)
    lifetime = tasks.as_lifetime(family, 3)
    task = family.env.default_params.replace(max_steps_in_episode=jnp.int32(20))
    down, right = 1, 2
    to_goal = [right] * 3 + [down] * 3
    obs, reward, terminated, truncated = play(lifetime, task, to_goal * 3)
    np.testing.assert_array_equal(reward, ([0] * 5 + [1]) * 3)
    np.testing.assert_array_equal(obs[1:, -1], reward)
    np.testing.assert_array_equal(obs[::6, 0], 1)
    # The last episode has reached the goal, and with it the lifetime is over; time has cut nothing off.
    np.testing.assert_array_equal(terminated, [0] * 17 + [1])
    assert not truncated.any()


def test_a_lifetime_ends_its_episodes_at_the_familys_horizon():
    def sample(key):
        return gymnax_cartpole.EnvParams(masscart=jax.random.uniform(key))

    family = tasks.from_gymnax(gymnax_cartpole.CartPole(), sample, horizon=4)
    lifetime = tasks.as_lifetime(family, 2)
    obs, _, _, truncated = play(lifetime, lifetime.sample(jax.random.key(0)), [0, 1] * 4)
    np.testing.assert_array_equal(obs[1:, -1], [0, 0, 0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(truncated, [0] * 7 + [1])


@pytest.mark.parametrize("name", ["navigation-wind", "four-rooms", "t-maze"])
def test_lifetimes_run_in_the_rollout_and_stay_in_their_spaces(name):
    lifetime = tasks.as_lifetime(tasks.make(name, horizon=25), 3)
    batch = jax.jit(jax.vmap(lifetime.sample))(jax.random.split(jax.random.key(0), 8))
    learner = uniform_learner(lifetime.env)

    def run(key, task):
        trajectory, _ = collect_episodes(key, lifetime.env, task, learner, (), (), episodes=2, horizon=75)
        inside = jax.vmap(jax.vmap(lifetime.env.observation_space(task).contains))(trajectory.obs)
        return trajectory, inside

    run_all = jax.jit(jax.vmap(run))
    trajectory, inside = run_all(jax.random.split(jax.random.key(1), 8), batch)
    assert inside.all()
    assert ((trajectory.terminated + trajectory.truncated).sum(-1) == 1).all()
    assert (trajectory.final_obs[..., -1] == 1).all()
    ends = (trajectory.obs[..., -1] * trajectory.mask).sum(-1) + 1
    assert (ends == 3).all()
    policy = policy_for(lifetime.env, hidden=(4,))
    mode = policy.apply(jax.jit(policy.init)(jax.random.key(0)), trajectory.obs[0, 0]).mode()
    assert mode.shape == (75, *lifetime.env.action_space().shape)


def test_lifetimes_of_nothing_are_refused():
    with pytest.raises(ValueError, match="episodes: got 0"):
        tasks.as_lifetime(tasks.make("navigation"), 0)


@pytest.mark.parametrize(
    ("name", "action"), [("navigation", (3,)), ("gridnavi", (1,)), ("pendulum", ()), ("cartpole", (2,))]
)
def test_actions_of_another_shape_are_refused(name, action):
    family = tasks.make(name)
    task = family.sample(jax.random.key(0))
    _, state = family.env.reset_env(jax.random.key(0), task)
    with pytest.raises(ValueError, match="action: got shape"):
        family.env.step_env(jax.random.key(0), state, jnp.zeros(action, jnp.int32), task)


def test_a_repeated_action_is_its_steps_one_after_the_other_up_to_an_end():
    family = tasks.make("mountain-car", horizon=7)
    repeated = tasks.repeat_actions(family, 3)
    assert repeated.horizon == 3
    params, env = family.sample(jax.random.key(0)), repeated.env
    step = jax.jit(env.step_env)
    _, start = env.reset_env(jax.random.key(1), params)
    start = jax.tree.map(jnp.asarray, start)
    expected = start
    for _ in range(3):
        obs, expected, *_ = family.env.step_env(jax.random.key(2), expected, 2, params)
    got, state, reward, terminated, _ = step(jax.random.key(2), start, 2, params)
    np.testing.assert_allclose(got, obs, rtol=1e-6)
    assert (int(state.time), float(reward), bool(terminated)) == (3, -3.0, False)
    # One step before the goal, and one before the end of time.
    near = start.replace(position=params.goal_position - 0.01, velocity=jnp.float32(0.06))
    _, state, reward, terminated, _ = step(jax.random.key(2), near, 2, params)
    assert (int(state.time), float(reward), bool(terminated)) == (1, -1.0, True)
    _, state, reward, terminated, _ = step(jax.random.key(2), start.replace(time=6), 2, params)
    assert (int(state.time), float(reward), bool(terminated)) == (7, -1.0, False)
    assert bool(env.is_truncated(state, params))
    with pytest.raises(ValueError, match="times: got 0; must be at least 1"):
        tasks.repeat_actions(family, 0)


def test_costs_of_a_repeated_action_are_added_up_though_they_are_truth_values():
    class Costly(tasks.Wrapper):
        def step_env(self, key, state, action, params):
            *step, info = self.env.step_env(key, state, action, params)
            return *step, {**info, "cost": jnp.ones((), bool)}

    family = tasks.make("mountain-car", horizon=7)
    repeated = tasks.repeat_actions(family._replace(env=Costly(family.env)), 3)
    params = family.sample(jax.random.key(0))
    _, start = repeated.env.reset_env(jax.random.key(1), params)
    for time, cost in ((0, 3.0), (5, 2.0)):
        assert repeated.env.step_env(jax.random.key(2), start.replace(time=time), 2, params)[4]["cost"] == cost
