"""Spaces of several parts: observations become vectors that know their parts, actions become one."""

from types import SimpleNamespace

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment, spaces
from gymnax.registration import registered_envs

import jaxmeta
from jaxmeta.tasks import ObservationPart, flat_bounds, flat_observation, observation_parts

MIXED = spaces.Dict(
    {
        "picture": spaces.Box(0, 255, (4, 3), jnp.uint8),
        "cell": spaces.Discrete(3),
        "arm": spaces.Tuple((spaces.Box(-2.0, 2.0, (2,)), spaces.Box(-1.0, 1.0, ()))),
    }
)


@struct.dataclass
class Moved(environment.EnvState):
    x: jax.Array


class Mixed(environment.Environment):
    """Observations of ``MIXED``; the reward tells which action arrived."""

    def __init__(self, actions, reward):
        super().__init__()
        self.actions, self.reward = actions, reward

    default_params = environment.EnvParams(max_steps_in_episode=3)

    def reset_env(self, key, params):
        return self.seen(jnp.zeros(())), Moved(time=0, x=jnp.zeros(()))

    def step_env(self, key, state, action, params):
        x = state.x + 1.0
        return self.seen(x), Moved(time=state.time + 1, x=x), self.reward(action), jnp.zeros((), bool), {}

    def seen(self, x):
        picture = jnp.full((4, 3), 51.0 * x).astype(jnp.uint8)
        return {"picture": picture, "cell": x.astype(jnp.int32) % 3, "arm": (jnp.array([x, -x]), x / 4)}

    def is_truncated(self, state, params):
        return state.time >= params.max_steps_in_episode

    def action_space(self, params=None):
        return self.actions

    def observation_space(self, params=None):
        return MIXED


def family(actions, reward=lambda action: 0.0, **settings):
    env = Mixed(actions, reward)
    return jaxmeta.from_gymnax(env, lambda key: env.default_params, **settings)


def test_an_observation_of_several_parts_is_a_vector_in_the_order_of_their_names():
    low, high, size = flat_bounds(MIXED)
    np.testing.assert_array_equal(low, [-2, -2, -1, 0, 0, 0, *[0] * 12])
    np.testing.assert_array_equal(high, [2, 2, 1, 1, 1, 1, *[255] * 12])
    assert size == 18
    obs = {"picture": jnp.arange(12).reshape(4, 3), "cell": 2, "arm": (jnp.array([0.5, 1.5]), jnp.array(-1.0))}
    expected = [0.5, 1.5, -1.0, 0, 0, 1, *range(12)]
    np.testing.assert_array_equal(flat_observation(obs, MIXED), expected)
    # Observations may be structures with attributes, too.
    np.testing.assert_array_equal(flat_observation(SimpleNamespace(**obs), MIXED), expected)


def test_the_parts_are_known_through_all_wrappers():
    parts = (*(ObservationPart((size,)) for size in (2, 1, 3)), ObservationPart((4, 3), 255.0))
    tasks = family(spaces.Discrete(2))
    assert observation_parts(tasks.env) == parts
    # Single pixels against time would tell little.
    assert tasks.env.episode_view is jaxmeta.tasks.EpisodeView.ACTIONS
    # Three entries for the action and none, the reward, the end.
    assert observation_parts(jaxmeta.as_lifetime(tasks, 1).env) == (*parts, ObservationPart((5,)))
    told = jaxmeta.tasks.reveal_task(tasks, lambda task: jnp.zeros(2))
    assert observation_parts(told.env) == (*parts, ObservationPart((2,)))
    assert observation_parts(jaxmeta.tasks.flatten_observations(tasks).env) == (ObservationPart((18,)),)
    assert observation_parts(jaxmeta.tasks.observe_only(tasks, (3, 1)).env) == (ObservationPart((2,)),)


def collected(tasks, action, env=None):
    learner = jaxmeta.learners.uniform_learner(tasks.env)
    act = lambda key, theta, phi, obs: (action, jnp.zeros(()), jnp.zeros(()), phi)  # noqa: E731
    task = tasks.sample(jax.random.key(0))
    return jaxmeta.data.collect_episodes(
        jax.random.key(1), tasks.env, task, learner._replace(act=act), {}, learner.begin({}), episodes=1, horizon=3
    )[0]


@pytest.mark.parametrize(
    ("space", "action", "arrives"),
    [
        (spaces.Tuple((spaces.Discrete(3), spaces.Discrete(4))), 7, lambda a: a[0] * 10 + a[1]),  # 7 is (1, 3)
        (spaces.Dict({"b": spaces.Discrete(4), "a": spaces.Discrete(3)}), 7, lambda a: a["a"] * 10 + a["b"]),
        (SimpleNamespace(nvec=np.array([3, 4])), 7, lambda a: a[0] * 10 + a[1]),
    ],
    ids=["tuple", "dict", "multi-discrete"],
)
def test_discrete_actions_of_several_parts_are_numbered(space, action, arrives):
    if isinstance(space, SimpleNamespace):
        # As other libraries have it: an array of so many choices each.
        space = type(
            "MultiDiscrete", (spaces.Space,), {"nvec": space.nvec, "sample": lambda self, key: jnp.zeros(2, int)}
        )()
    tasks = family(space, lambda a: jnp.asarray(arrives(a), jnp.float32))
    assert tasks.env.action_space(tasks.env.default_params).n == 12
    np.testing.assert_array_equal(collected(tasks, jnp.int32(action)).reward, [[13.0] * 3])


def test_continuous_actions_of_several_parts_are_one_vector_scaled_to_one():
    space = spaces.Tuple((spaces.Box(-1.0, 3.0, (2, 1)), spaces.Box(0.0, 10.0, ())))
    tasks = family(space, lambda a: 100 * a[0][0, 0] + 10 * a[0][1, 0] + a[1])
    assert tasks.env.action_space(tasks.env.default_params).shape == (3,)
    np.testing.assert_allclose(collected(tasks, jnp.array([-1.0, 1.0, 0.5])).reward, [[-100 + 30 + 7.5] * 3])


def beginning_at(start):
    space = spaces.Discrete(3)
    space.start = start
    return space


def test_entries_of_an_action_are_scaled_and_clipped_where_they_have_bounds():
    space = spaces.Tuple((spaces.Box(-2.0, 4.0, (1,)), spaces.Box(-jnp.inf, jnp.inf, ()), spaces.Box(0.0, jnp.inf, ())))
    tasks = family(space, lambda a: 100 * a[0][0] + 10 * a[1] + a[2])
    low, high, _ = flat_bounds(tasks.env.action_space(tasks.env.default_params))
    np.testing.assert_array_equal(low, [-1.0, -jnp.inf, 0.0])
    np.testing.assert_array_equal(high, [1.0, jnp.inf, jnp.inf])
    np.testing.assert_allclose(collected(tasks, jnp.array([0.0, 3.0, 2.0])).reward, [[100 + 30 + 2.0] * 3])
    np.testing.assert_allclose(collected(tasks, jnp.array([9.0, -3.0, 2.0])).reward, [[400 - 30 + 2.0] * 3])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, (1,)))), "must be all Discrete or all Box"),
        (spaces.Tuple((spaces.Discrete(100), spaces.Discrete(100))), "10,000 combinations; at most 4,096"),
        (spaces.Tuple(()), "must have at least one part"),
        (spaces.Box(0, 3, (2,), jnp.int32), "whole numbers are a Discrete each, not a Box"),
        (spaces.Discrete(0), "got 0 choices from 0 on; must be at least 1 from 0 on"),
        (beginning_at(1), "got 3 choices from 1 on"),
        (spaces.Tuple((beginning_at(1), spaces.Discrete(2))), "got 3 choices from 1 on"),
    ],
)
def test_actions_that_cannot_be_one_are_refused(space, message):
    with pytest.raises(ValueError, match=message):
        family(space)


def test_observations_may_stay_a_pytree_for_a_network_of_your_own():
    def apply(params, obs):
        return jaxmeta.networks.Categorical(
            obs["cell"][..., None] * params["w"] + jnp.mean(obs["picture"], (-2, -1))[..., None]
        )

    policy = jaxmeta.networks.Policy(lambda key: {"w": jax.random.normal(key, (2,))}, apply)
    tasks = family(spaces.Discrete(2), lambda action: action.astype(jnp.float32), flatten=False)
    algorithm = jaxmeta.maml(tasks, policy=policy, episodes=2)
    step = jax.jit(jaxmeta.runs.meta_iteration(algorithm, tasks, 2))
    state, info = step(jaxmeta.runs.init_state(jax.random.key(0), algorithm))
    assert float(info["skipped"]) == 0.0
    assert bool(jnp.all(jnp.isfinite(state.meta.theta["w"])))


GYMNAX = [name for name in registered_envs if not name.endswith("-jaxmeta") and "MNIST" not in name]


def test_all_of_gymnax_is_here_but_what_needs_a_download():
    assert len(GYMNAX) == 25


@pytest.mark.parametrize("name", GYMNAX)
def test_an_environment_of_gymnax_fits_learners_that_adapt_by_gradients_and_by_memory(name):
    """Building a method runs all of its functions on shapes: episodes, adaptation, objective."""
    env, params = gymnax.make(name)
    tasks = jaxmeta.from_gymnax(env, lambda key: params, horizon=4)
    small = {"policy": jaxmeta.networks.policy_for(tasks.env, hidden=(4,))}
    assert jaxmeta.maml(tasks, episodes=2, **small).step is not None
    lifetimes = jaxmeta.as_lifetime(tasks, 1)
    memory = jaxmeta.networks.recurrent_policy_for(lifetimes.env, lifetimes.horizon, size=4)
    assert jaxmeta.rl2(lifetimes, policy=memory).step is not None


@pytest.mark.parametrize(
    ("space", "obs", "message"),
    [
        (MIXED.spaces["picture"], jnp.zeros((3, 4)), r"observes shape \(3, 4\) where .* has shape \(4, 3\)"),
        (spaces.Discrete(3), jnp.zeros(1, int), r"observes shape \(1,\) where .* has shape \(\)"),
        (spaces.Box(0, 1, (2,)), {"a": jnp.zeros(2)}, "observes a dict where"),
        (spaces.Dict({"a": spaces.Box(0, 1, ())}), {"a": 0.0, "b": 0.0}, "observes 2 parts where .* has 1"),
        (spaces.Dict({"a": spaces.Box(0, 1, ())}), {"b": 0.0}, "observes no 'a'"),
    ],
)
def test_an_observation_that_does_not_fit_its_space_is_refused(space, obs, message):
    with pytest.raises(ValueError, match=message):
        flat_observation(obs, space)


def seen(space, see):
    env = Mixed(spaces.Discrete(2), lambda action: 0.0)
    env.observation_space = lambda params=None: space
    env.seen = see
    return jaxmeta.from_gymnax(env, lambda key: env.default_params)


def test_from_gymnax_looks_at_what_is_observed():
    with pytest.raises(ValueError, match="got 3 choices from 1 on"):
        seen(beginning_at(1), lambda x: 1)
    with pytest.raises(ValueError, match=r"^env: observes shape \(3,\) where its observation space has shape \(2,\)"):
        seen(spaces.Box(0, 1, (2,)), lambda x: jnp.full(3, x))


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.int32, jnp.float16, jnp.float32])
@pytest.mark.parametrize("declared", [True, False])
def test_every_vector_is_of_float32(dtype, declared):
    """Differences of small whole numbers would wrap around."""
    tasks = seen(
        spaces.Box(-100, 100, (1,), dtype if declared else jnp.float32), lambda x: (100 * (x - 1))[None].astype(dtype)
    )
    obs = collected(tasks, jnp.int32(0)).obs
    assert obs.dtype == jnp.float32
    np.testing.assert_array_equal(obs[0, :, 0], [-100, 0, 100])


def test_parts_may_be_empty():
    space = spaces.Dict({"nothing": spaces.Dict({}), "x": spaces.Box(0, 9, (1,)), "none": spaces.Tuple(())})
    obs = collected(seen(space, lambda x: {"nothing": {}, "x": x[None], "none": ()}), jnp.int32(0)).obs
    np.testing.assert_array_equal(obs[0, :, 0], [0, 1, 2])


def test_families_of_several_parts_can_be_built_inside_of_jit():
    def reset(key):
        tasks = family(spaces.Tuple((spaces.Box(-1.0, 1.0, (2,)), spaces.Box(-jnp.inf, jnp.inf, ()))))
        jaxmeta.networks.policy_for(tasks.env)
        return tasks.env.reset_env(key, tasks.env.default_params)[0]

    assert jax.eval_shape(reset, jax.random.key(0)).shape == (18,)


def test_a_scaled_image_is_not_scaled_again():
    tasks = jaxmeta.tasks.scale_observations(family(spaces.Discrete(2)))
    assert observation_parts(tasks.env)[-1] == ObservationPart((4, 3), 1.0)
    np.testing.assert_allclose(collected(tasks, jnp.int32(0)).obs[0, 1, -12:], 2 * 51 / 255 - 1, rtol=1e-5)
