"""Models that adapt in a lifetime: what their window holds, that nothing is seen too early, and that adapting helps."""

import functools

import chex
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.data import Transitions, transitions_of
from jaxmeta.models import online_model_for, step_between, steps_of

STEPS, EPISODES = 5, 2


@pytest.fixture(scope="module")
def lifetimes():
    return jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation-rotated", horizon=STEPS), EPISODES)


def small(env, kind, **settings):
    if kind == "recurrent":
        return jaxmeta.models.recurrent_model(env, size=6, hidden=(8,), future=3, **settings)
    return jaxmeta.models.windowed_model(env, window=4, future=3, hidden=(8,), inner_rate=0.1, **settings)


@pytest.fixture(scope="module")
def trajectory(lifetimes):
    """One lifetime of random actions, [1, T]."""
    learner = jaxmeta.learners.uniform_learner(lifetimes.env)
    sizes = {"episodes": 1, "horizon": EPISODES * STEPS}
    collect = jax.jit(
        lambda key, task: jaxmeta.data.collect_episodes(key, lifetimes.env, task, learner, (), (), **sizes)[0]
    )
    return collect(jax.random.key(0), lifetimes.sample(jax.random.key(1)))


@pytest.fixture(scope="module", params=["windowed", "recurrent"])
def online_and_theta(request, lifetimes):
    online = small(lifetimes.env, request.param)
    return online, jax.jit(online.init)(jax.random.key(0))


@functools.partial(jax.jit, static_argnums=0)
def observed(online, theta, obs):
    """Memories after each of ``obs`` [T, O]."""

    def step(memory, one):
        memory = online.observe(theta, memory, one)
        return memory, memory

    return jax.lax.scan(step, online.begin(), obs)[1]


def at(tree, time):
    return jax.tree.map(lambda x: x[time], tree)


def test_predictions_do_not_depend_on_what_comes_later(online_and_theta, trajectory):
    online, theta = online_and_theta
    obs = trajectory.obs[0]
    changed = obs.at[7:].add(1.0)

    def predictions(obs):
        def one(memory, obs):
            model, params = online.adapted(theta, memory)
            return model.predict(params, obs[:2], jnp.ones(2)).outcome.mean

        return jax.jit(jax.vmap(one))(observed(online, theta, obs), trajectory.obs[0])

    before, after = predictions(obs), predictions(changed)
    np.testing.assert_array_equal(before[:7], after[:7])
    assert not np.allclose(before[7:], after[7:])


def test_the_loss_does_not_look_ahead(online_and_theta, trajectory):
    """Of a lifetime of which four steps are real, what the rest holds makes no difference."""
    online, theta = online_and_theta
    data = transitions_of(trajectory)
    data = data._replace(mask=(jnp.arange(10) < 4).astype(jnp.float32))
    spoiled = data._replace(obs=data.obs.at[4:].add(9.0), next_obs=data.next_obs.at[4:].add(9.0))
    loss = jax.jit(lambda data: online.loss(jax.random.key(0), theta, data))
    losses = [float(loss(each)) for each in (data, spoiled)]
    assert losses[0] == losses[1]
    assert losses[0] != float(loss(data._replace(next_obs=data.next_obs + 1)))


def test_the_window_holds_the_last_transitions_and_none_across_a_reset(lifetimes, trajectory):
    """Four places; two episodes of five steps, so that the fifth one leads to the next episode's start."""
    online = small(lifetimes.env, "windowed")
    obs, action, reward = trajectory.obs[0], trajectory.action[0], trajectory.reward[0]
    memories = observed(online, jax.jit(online.init)(jax.random.key(0)), obs)
    # Steps that an observation of that time tells of, but for the fifth.
    known = {0: [], 1: [0], 4: [0, 1, 2, 3], 5: [0, 1, 2, 3], 6: [1, 2, 3, 5], 7: [2, 3, 5, 6], 9: [5, 6, 7, 8]}
    for time, expected in known.items():
        held = at(memories.steps, time)
        np.testing.assert_array_equal(held.mask, [0.0] * (4 - len(expected)) + [1.0] * len(expected))
        places = np.array(expected, int)
        real = 4 - len(expected)
        np.testing.assert_array_equal(held.obs[real:], obs[places, :2])
        np.testing.assert_array_equal(held.next_obs[real:], obs[places + 1, :2])
        np.testing.assert_array_equal(held.action[real:], action[places])
        np.testing.assert_array_equal(held.reward[real:], reward[places])
        np.testing.assert_array_equal(held.terminated, np.zeros(4))
    np.testing.assert_array_equal(memories.time, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    stored = steps_of(lifetimes.env, transitions_of(trajectory))
    np.testing.assert_array_equal(stored.mask, [1, 1, 1, 1, 0, 1, 1, 1, 1, 0])
    np.testing.assert_allclose(stored.action, action)


def test_an_end_before_the_horizon_is_one_and_an_end_at_it_is_not():
    env = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("cartpole", horizon=20), 2).env
    before = jnp.concatenate([jnp.arange(4.0), jnp.array([0.0, 0.0, 1.0, 0.0, 0.0])])
    now = jnp.concatenate([jnp.ones(4), jnp.array([0.0, 1.0, 0.0, 0.7, 1.0])])
    early, late = (step_between(env, before, now, jnp.int32(time)) for time in (18, 19))
    assert (float(early.mask), float(early.terminated)) == (1.0, 1.0)
    assert (float(late.mask), float(late.terminated)) == (0.0, 0.0)
    np.testing.assert_array_equal(early.obs, jnp.arange(4.0))
    np.testing.assert_allclose([early.action, early.reward], [1, 0.7], rtol=1e-6)
    went_on = step_between(env, before, now.at[-1].set(0.0), jnp.int32(3))
    assert (float(went_on.mask), float(went_on.terminated)) == (1.0, 0.0)


def test_where_an_ended_episode_led_to_is_not_learned():
    """But that it ended, and what it paid, is."""
    env = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("cartpole", horizon=20), 2).env
    model = online_model_for(env, hidden=(8,))
    key = jax.random.key(0)
    data = Transitions(
        jax.random.normal(key, (6, 4)),
        jnp.arange(6) % 2,
        jnp.arange(6.0),
        jax.random.normal(jax.random.key(1), (6, 4)),
        jnp.array([0.0, 0, 1, 0, 0, 1]),
        jnp.ones(6),
    )
    scaled = jax.jit(model.scaled)
    params = scaled(jax.jit(model.init)(key), data, data.mask)
    moved = data._replace(next_obs=data.next_obs + 50.0 * data.terminated[:, None])
    chex.assert_trees_all_equal(scaled(params, moved, data.mask), params)
    loss = jax.jit(lambda data: model.loss(params, data, data.mask))
    value = float(loss(data))
    assert value == float(loss(moved))
    assert value != float(loss(data._replace(reward=data.reward + 3.0 * data.terminated)))
    assert value != float(loss(data._replace(terminated=jnp.zeros(6), next_obs=data.obs)))


def test_the_gradient_goes_through_the_adaptation_unless_it_is_first_order(online_and_theta, trajectory, lifetimes):
    online, theta = online_and_theta
    if online.begin()._fields[0] != "steps":
        pytest.skip("a memory has no gradient steps")
    data = transitions_of(trajectory)
    values, slopes = [], []
    for first_order in (False, True):
        each = small(lifetimes.env, "windowed", first_order=first_order)
        loss = jax.jit(lambda params, each=each: each.loss(jax.random.key(3), params, data))
        value, slope = jax.jit(jax.value_and_grad(loss))(theta)
        values.append(float(value))
        slopes.append(slope["model"]["outcome"])
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    difference = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), *slopes)
    assert max(jax.tree.leaves(difference)) > 1e-4

    def along(step):
        params = jax.tree.map(lambda x, s: x + step * s, theta["model"]["outcome"], slopes[0])
        return float(loss({"model": {**theta["model"], "outcome": params}}))

    square = sum(float(jnp.sum(jnp.square(x))) for x in jax.tree.leaves(slopes[0]))
    np.testing.assert_allclose((along(0.01) - along(-0.01)) / 0.02, square, rtol=0.02)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("windowed", {"window": 0}, "window: got 0; must be at least 1"),
        ("windowed", {"future": 0}, "future: got 0; must be at least 1"),
        ("windowed", {"inner_rate": 0.0}, "inner_rate: got 0.0; must be positive"),
        ("windowed", {"hidden": (0,)}, r"hidden: got \(0,\); every width must be at least 1"),
        ("recurrent", {"future": 0}, "future: got 0; must be at least 1"),
        ("recurrent", {"size": 0}, "size: got 0; must be at least 1"),
        ("recurrent", {"cell": "rnn"}, "cell: unknown name 'rnn'. Known: gru, lstm, linear, transformer"),
    ],
)
def test_bad_settings_are_named(lifetimes, kind, settings, message):
    make = {"windowed": jaxmeta.models.windowed_model, "recurrent": jaxmeta.models.recurrent_model}[kind]
    with pytest.raises(ValueError, match=f"^{message}$"):
        make(lifetimes.env, **settings)


def test_environments_of_another_kind_are_refused(navigation, lifetimes):
    for make in (jaxmeta.models.windowed_model, jaxmeta.models.recurrent_model):
        with pytest.raises(ValueError, match="env: not one of lifetimes"):
            make(navigation.env)
    breakout, params = gymnax.make("Breakout-MinAtar")
    images = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.from_gymnax(breakout, lambda key: params, horizon=3), 1)
    with pytest.raises(ValueError, match="observations have images, which no model here predicts"):
        jaxmeta.models.windowed_model(images.env)
