"""One table over every registered family: what a family of tasks must be, whoever registered it."""

import functools

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import environment
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxmeta import registry, tasks
from jaxmeta.types import TaskDistribution

TASKS, STEPS, HELD = 64, 160, 8  # 10,240 random steps a family, each action held for a few of them to get somewhere


def sizes(name):
    """Tasks and steps: fewer where an engine takes milliseconds for a step."""
    slow = name in registry.OPTIONAL and registry.OPTIONAL[name].extra == "locomotion"
    return (8, 3 * HELD) if slow else (TASKS, STEPS)


def roll(env, steps, keys, batch):
    """Random actions under gymnax's own ``step``, in one task per key; everything seen, leaves ``[N, ...]``."""

    def one(key, task):
        key_reset, key_act, key_steps = jax.random.split(key, 3)
        obs_space, action_space = env.observation_space(task), env.action_space(task)
        obs, state = env.reset_env(key_reset, task)
        state = jax.tree.map(jnp.asarray, state)
        actions = jnp.repeat(jax.vmap(action_space.sample)(jax.random.split(key_act, steps // HELD)), HELD, axis=0)

        def step(carry, inputs):
            state, count = carry
            key, action = inputs
            obs, state, reward, terminated, truncated, info = env.step(key, state, action, task)
            last = info["final_observation"]
            inside = obs_space.contains(obs) & obs_space.contains(last) & action_space.contains(action)
            count = count + 1
            seen = {"obs": obs, "last": last, "state": state, "reward": reward, "inside": inside, "count": count}
            seen |= {"terminated": terminated, "truncated": truncated}
            return (state, jnp.where(terminated | truncated, 0, count)), seen

        _, seen = jax.lax.scan(step, (state, jnp.int32(0)), (jax.random.split(key_steps, steps), actions))
        return {"first_obs": obs, "first_state": state, "inside_first": obs_space.contains(obs), **seen}

    return jax.vmap(one)(keys, batch)


@functools.cache
def family_and_sampler(name):
    family = tasks.make(name)
    sampler = jax.jit(jax.vmap(family.sample))
    return family, lambda: sampler(jax.random.split(jax.random.key(0), sizes(name)[0]))


@functools.cache
def family_and_roll(name):
    family, sampler = family_and_sampler(name)
    return family, sampler(), jax.jit(functools.partial(roll, family.env, sizes(name)[1]))


@functools.cache
def seen_of(name):
    _, batch, compiled = family_and_roll(name)
    return jax.tree.map(np.asarray, compiled(jax.random.split(jax.random.key(1), sizes(name)[0]), batch))


def hidden_draws(seen):
    """State leaves that never change within an episode, and yet differ between resets of one and the same task.

    ``seen`` is of one task under many keys: such a leaf is a task drawn by ``reset_env``.
    """
    in_first = np.cumsum(seen["terminated"] | seen["truncated"], axis=1) == 0
    found = []
    for (path, first), (_, later) in zip(
        jax.tree_util.tree_leaves_with_path(seen["first_state"]),
        jax.tree_util.tree_leaves_with_path(seen["state"]),
        strict=True,
    ):
        moved = (later != first[:, None]).reshape(*in_first.shape, -1).any(-1) & in_first
        if not moved.any() and (first != first[:1]).any():
            found.append(jax.tree_util.keystr(path))
    return found


every_family = pytest.mark.parametrize("name", tasks.names())


@every_family
def test_returns_are_finite_in_their_spaces_and_of_one_type(name):
    family, batch, _ = family_and_roll(name)
    seen, (count, steps) = seen_of(name), sizes(name)
    space = family.env.observation_space(family.env.default_params)
    assert seen["inside"].all()
    assert seen["inside_first"].all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((seen, batch)) if leaf.dtype.kind == "f")
    assert seen["first_obs"].shape == (count, *space.shape)
    assert seen["obs"].shape == seen["last"].shape == (count, steps, *space.shape)
    assert seen["first_obs"].dtype == seen["obs"].dtype == seen["last"].dtype == space.dtype
    assert seen["reward"].shape == (count, steps)
    assert seen["reward"].dtype == np.float32
    assert seen["terminated"].dtype == seen["truncated"].dtype == np.bool_
    for first, later in zip(*(jax.tree.leaves(seen[part]) for part in ("first_state", "state")), strict=True):
        assert first.dtype == later.dtype
        assert first.shape[1:] == later.shape[2:]


@every_family
def test_the_same_keys_give_the_same_results(name):
    _, batch, compiled = family_and_roll(name)
    again = compiled(jax.random.split(jax.random.key(1), sizes(name)[0]), batch)
    jax.tree.map(np.testing.assert_array_equal, seen_of(name), jax.tree.map(np.asarray, again))
    other = compiled(jax.random.split(jax.random.key(2), sizes(name)[0]), batch)
    assert any((a != np.asarray(b)).any() for a, b in zip(*map(jax.tree.leaves, (seen_of(name), other)), strict=True))


@every_family
def test_a_task_changes_what_the_same_actions_do(name):
    _, batch, compiled = family_and_roll(name)
    key = jnp.broadcast_to(jax.random.key(3), (sizes(name)[0],))
    seen = compiled(key, batch)
    parts = [np.asarray(seen[part]) for part in ("first_obs", "obs", "reward")]
    assert any((part != part[:1]).any() for part in parts)
    one_task = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), batch)
    alone = compiled(key, one_task)
    for part in ("first_obs", "obs", "reward"):
        assert (np.asarray(alone[part]) == np.asarray(alone[part])[:1]).all()


@every_family
def test_no_task_is_drawn_outside_sample(name):
    _, batch, compiled = family_and_roll(name)
    one_task = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), batch)
    seen = compiled(jax.random.split(jax.random.key(4), sizes(name)[0]), one_task)
    assert hidden_draws(jax.tree.map(np.asarray, seen)) == []
    jax.tree.map(np.testing.assert_array_equal, family_and_sampler(name)[1](), batch)


def test_a_task_drawn_at_a_reset_is_noticed():
    env, params = gymnax.make("PointRobot-misc")
    batch = jax.tree.map(lambda leaf: jnp.broadcast_to(jnp.asarray(leaf), (TASKS, *jnp.shape(leaf))), params)
    seen = jax.jit(functools.partial(roll, env, STEPS))(jax.random.split(jax.random.key(4), TASKS), batch)
    assert ".goal" in hidden_draws(jax.tree.map(np.asarray, seen))


@every_family
def test_termination_and_truncation_are_apart(name):
    _, batch, compiled = family_and_roll(name)
    seen = seen_of(name)
    limit = np.asarray(batch.max_steps_in_episode)
    np.testing.assert_array_equal(seen["truncated"], seen["count"] >= limit[:, None])
    # The same first step where time runs out at once: truncated for sure, and terminated only if it was before.
    short = batch.replace(max_steps_in_episode=jnp.ones_like(batch.max_steps_in_episode))
    hurried = compiled(jax.random.split(jax.random.key(1), sizes(name)[0]), short)
    np.testing.assert_array_equal(np.asarray(hurried["terminated"])[:, 0], seen["terminated"][:, 0])
    assert np.asarray(hurried["truncated"]).all()


@every_family
def test_tasks_are_strongly_typed_and_as_long_as_the_horizon(name):
    family, batch, _ = family_and_roll(name)
    assert isinstance(family, TaskDistribution)
    assert isinstance(family.env, environment.Environment)
    samplers = [family.sample] + ([family.sample_test] if family.sample_test else [])
    structure = jax.tree.structure(family.env.default_params)
    for sampler in samplers:
        shapes = jax.eval_shape(sampler, jax.random.key(0))
        assert jax.tree.structure(shapes) == structure
        assert not any(leaf.weak_type for leaf in jax.tree.leaves(shapes))
    assert (np.asarray(batch.max_steps_in_episode) == family.horizon).all()
    assert gymnax.make(family.env.name)[0].name == family.env.name


@every_family
def test_random_actions_stay_below_the_optimum(name):
    family, batch, _ = family_and_roll(name)
    if family.optimum is None:
        assert name in {
            "acrobot",
            "glucose",
            "mountain-car",
            "mountain-car-continuous",
            "pendulum",
            "robot-arm",
            "tutoring",
            "xland",
        } | {name for name, optional in registry.OPTIONAL.items() if optional.extra == "locomotion"}
        return
    seen = seen_of(name)
    ended = np.cumsum(seen["terminated"] | seen["truncated"], axis=1)
    in_first = np.concatenate([np.zeros((TASKS, 1)), ended[:, :-1]], axis=1) == 0
    optimum = np.asarray(jax.jit(jax.vmap(family.optimum))(batch))
    assert optimum.shape == (TASKS,)
    assert np.isfinite(optimum).all()
    assert np.mean(np.sum(seen["reward"] * in_first, axis=1)) < np.mean(optimum)


LISTED = {"dark-key-to-door": 6561, "four-rooms": 103, "gridnavi": 21, "informative-bandit": 10, "meta-maze": 65}
LISTED |= {"t-maze": 12, "ant-direction": 2, "half-cheetah-direction": 2}


def rows_of(batch):
    """Tasks as rows of numbers, exactly."""
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(batch)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def check_list(sampler, every, count):
    """The list has ``count`` distinct tasks of the sampler's types, and the sampler draws each equally often."""
    listed = rows_of(every)
    assert len(np.unique(listed, axis=0)) == len(listed) == count
    one = jax.eval_shape(sampler, jax.random.key(0))
    types = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype), one)
    assert jax.eval_shape(lambda: every) == types
    drawn, counts = np.unique(
        rows_of(jax.jit(jax.vmap(sampler))(jax.random.split(jax.random.key(5), 16 * count))), axis=0, return_counts=True
    )
    np.testing.assert_array_equal(drawn, np.unique(listed, axis=0))
    # Counts of equally likely tasks are spread as a binomial distribution's: the variance is about 16.
    assert np.var(counts) < 3 * 16


@every_family
def test_a_finite_family_lists_what_it_draws(name):
    family, _ = family_and_sampler(name)
    assert (family.every is not None) == (name in LISTED)
    assert (family.every_test is not None) == (name == "t-maze")
    if family.every is not None:
        check_list(family.sample, family.every, LISTED[name])
    if family.every_test is not None:
        check_list(family.sample_test, family.every_test, 20)


def test_settings_decide_whether_tasks_are_listed():
    easy = tasks.make("dependent-bandit", level="easy")
    check_list(easy.sample, easy.every, 2)
    # 17^4 tasks are listed, 19^4 are more than 100,000; so are a million corridors.
    assert tasks.make("dark-key-to-door", size=17).every is not None
    assert tasks.make("dark-key-to-door", size=19).every is None
    assert tasks.make("t-maze", horizon=2_000_000, lengths=(1, 1_000_000)).every is None


@pytest.mark.parametrize("name", tasks.names())
def test_a_state_can_be_drawn(name):
    family = tasks.make(name)
    pictures = []
    for seed in range(4):
        task = jax.tree.map(lambda leaf, seed=seed: leaf[seed], family_and_sampler(name)[1]())
        state = jax.tree.map(lambda leaf, seed=seed: leaf[seed], seen_of(name)["first_state"])
        figure = family.env.render(state, task)
        assert isinstance(figure, Figure)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba()).copy())
    assert any((picture != pictures[0]).any() for picture in pictures)
