import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment, spaces

import jaxmeta
from jaxmeta.learners import uniform_learner
from jaxmeta.objectives import batch_of
from jaxmeta.types import Learner


@struct.dataclass
class CounterState(environment.EnvState):
    time: jax.Array


@struct.dataclass
class CounterParams(environment.EnvParams):
    terminate_at: int = 3
    max_steps_in_episode: int = 5


class Counter(environment.Environment[CounterState, CounterParams]):
    """Rewards 1, 2, 3, …; terminates or is truncated at given times."""

    @property
    def default_params(self):
        return CounterParams()

    def step_env(self, key, state, action, params):
        state = CounterState(time=state.time + 1)
        return self.get_obs(state), state, state.time.astype(jnp.float32), state.time >= params.terminate_at, {}

    def reset_env(self, key, params):
        state = CounterState(time=jnp.int32(0))
        return self.get_obs(state), state

    def get_obs(self, state, params=None, key=None):
        return jnp.array([state.time], jnp.float32)

    def action_space(self, params=None):
        return spaces.Discrete(2)


def collect(terminate_at, time_limit, horizon, episodes=2):
    env, params = Counter(), CounterParams(terminate_at=terminate_at, max_steps_in_episode=time_limit)
    learner = uniform_learner(env)
    return jaxmeta.data.collect_episodes(
        jax.random.key(0), env, params, learner, (), (), episodes=episodes, horizon=horizon
    )[0]


def test_termination_pads_and_freezes():
    got = collect(terminate_at=3, time_limit=9, horizon=5)
    np.testing.assert_array_equal(got.mask[0], [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(got.reward[0], [1, 2, 3, 0, 0])
    np.testing.assert_array_equal(got.terminated[0], [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(got.truncated[0], [0, 0, 0, 0, 0])
    np.testing.assert_array_equal(got.obs[0, :, 0], [0, 1, 2, 3, 3])
    np.testing.assert_array_equal(got.final_obs, [[3], [3]])
    np.testing.assert_array_equal(jaxmeta.data.episode_returns(got), [6, 6])


def test_the_environments_time_limit_truncates():
    got = collect(terminate_at=9, time_limit=2, horizon=4)
    np.testing.assert_array_equal(got.mask[0], [1, 1, 0, 0])
    np.testing.assert_array_equal(got.terminated[0], [0, 0, 0, 0])
    np.testing.assert_array_equal(got.truncated[0], [0, 1, 0, 0])


def test_the_horizon_truncates_unless_the_last_step_terminates():
    np.testing.assert_array_equal(collect(9, 9, horizon=3).truncated[0], [0, 0, 1])
    at_the_end = collect(3, 3, horizon=3)
    np.testing.assert_array_equal(at_the_end.truncated[0], [0, 0, 0])
    np.testing.assert_array_equal(at_the_end.terminated[0], [0, 0, 1])


def test_discounted_returns_of_episodes():
    got = jaxmeta.data.episode_returns(collect(3, 9, horizon=5), discount=0.5)
    np.testing.assert_allclose(got, [1 + 2 * 0.5 + 3 * 0.25] * 2)


def test_score_replays_the_log_probabilities_of_act(collected, small_maml):
    theta, lifetimes = collected
    learner = small_maml.learner
    lifetime = jax.tree.map(lambda x: x[3], lifetimes)
    phi = learner.begin(theta)
    for step in range(2):
        batch = batch_of(lifetime, step)
        log_prob, value = learner.score(theta, phi, batch)
        np.testing.assert_allclose(log_prob * batch.mask, batch.log_prob * batch.mask, atol=2e-5)
        assert value.shape == log_prob.shape
        phi = learner.absorb(theta, phi, batch)


def test_episodes_differ_and_the_same_key_gives_the_same(navigation, small_maml):
    theta = jax.jit(small_maml.init)(jax.random.key(0)).theta
    task = navigation.sample(jax.random.key(5))
    adapt = jax.jit(small_maml.adapt)
    one, same, other = (adapt(jax.random.key(k), theta, task)[1].trajectory.action for k in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    assert not np.allclose(one[0, 0], one[0, 1])
    assert not np.allclose(one[0], one[1])


def moving_learner():
    """Counts its own steps in the fast state, by what it sees."""
    return Learner(
        init=lambda key: (),
        begin=lambda theta: jnp.float32(0),
        act=lambda key, theta, phi, obs: (jnp.int32(0), jnp.zeros(()), jnp.zeros(()), phi + 1 + 0 * obs[0]),
        absorb=lambda theta, phi, trajectory: phi,
        score=lambda theta, phi, trajectory: (trajectory.log_prob, trajectory.value),
    )


def test_a_fast_state_moved_by_act_is_carried_through_single_episodes():
    env, params = gymnax.make("CartPole-v1")
    phi, _ = jaxmeta.data.collect_lifetime(
        jax.random.key(0),
        env,
        params,
        moving_learner(),
        (),
        lambda trajectory: trajectory,
        adaptation_steps=2,
        episodes=1,
        horizon=7,
    )
    assert int(phi) == 21


def test_a_fast_state_moved_by_parallel_episodes_is_refused_in_one_line():
    env, params = gymnax.make("CartPole-v1")
    with pytest.raises(ValueError, match=r"^episodes: got 2, but the learner's act moves its fast state"):
        jaxmeta.data.collect_episodes(
            jax.random.key(0), env, params, moving_learner(), (), jnp.float32(0), episodes=2, horizon=3
        )


@pytest.mark.parametrize("name", ["episodes", "horizon"])
def test_counts_below_one_are_named(name):
    sizes = {"episodes": 2, "horizon": 3, name: 0}
    env, params = gymnax.make("CartPole-v1")
    with pytest.raises(ValueError, match=f"^{name}: got 0; must be at least 1$"):
        jaxmeta.data.collect_episodes(jax.random.key(0), env, params, moving_learner(), (), (), **sizes)


def test_a_cost_that_is_no_scalar_is_refused_in_one_line():
    class TwoCosts(Counter):
        def step_env(self, key, state, action, params):
            *step, info = super().step_env(key, state, action, params)
            return *step, {**info, "cost": jnp.ones(2)}

    env = TwoCosts()
    with pytest.raises(ValueError, match=r"^env: .*info\['cost'\] has shape \(2,\); must be a scalar"):
        jaxmeta.data.collect_episodes(
            jax.random.key(0), env, env.default_params, uniform_learner(env), (), (), episodes=2, horizon=3
        )
