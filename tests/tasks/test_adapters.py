"""Environments with the interfaces of Brax and Jumanji: small ones written here, whose answers are known."""

import dataclasses
import types
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta import tasks


@chex.dataclass
class State:
    obs: Any
    reward: Any
    done: Any
    info: Any


class Walk:
    """Brax's interface: a place moves by ``speed`` times the action; past 1 it is over, and past −1 it is late."""

    action_size = 1

    def __init__(self, speed):
        self.speed = speed

    def reset(self, key):
        place = 0.1 * jax.random.uniform(key)
        obs = {"place": place[None], "speed": jnp.zeros(2)}
        return State(obs=obs, reward=jnp.zeros(()), done=jnp.zeros(()), info={"truncation": jnp.zeros(())})

    def step(self, state, action):
        place = state.obs["place"][0] + self.speed * action[0]
        late = place < -1.0
        ended = jnp.float32((place > 1.0) | late)
        obs = {"place": place[None], "speed": self.speed * jnp.ones(2)}
        return State(obs=obs, reward=place, done=ended, info={"truncation": jnp.float32(late)})


def walks(**settings):
    return tasks.from_brax(Walk, lambda key: jax.random.uniform(key, minval=0.5, maxval=1.0), **settings)


def test_a_brax_environment_steps_as_it_does_alone_and_its_ends_are_told_apart():
    family = walks(horizon=3)
    task = family.sample(jax.random.key(0))
    obs, state = family.env.reset_env(jax.random.key(1), task)
    assert obs.shape == family.env.observation_space(task).shape == (3,)
    alone = Walk(task.task).reset(jax.random.key(1))
    for action, terminated, truncated in ((0.2, False, False), (2.0, True, False)):
        obs, state, reward, ended, _ = family.env.step_env(jax.random.key(2), state, jnp.array([action]), task)
        alone = Walk(task.task).step(alone, jnp.clip(jnp.array([action]), -1.0, 1.0))
        np.testing.assert_allclose(obs, [alone.obs["place"][0], *alone.obs["speed"]], rtol=1e-5)
        np.testing.assert_allclose(reward, alone.reward, rtol=1e-5)
        if action < 1.0:
            assert (bool(ended), bool(family.env.is_truncated(state, task))) == (terminated, truncated)
    ends = []
    for action in (-1.0, 0.0):
        _, state = family.env.reset_env(jax.random.key(1), task)
        for _ in range(3):
            _, state, _, ended, _ = family.env.step_env(jax.random.key(2), state, jnp.array([action]), task)
        ends.append((bool(ended), bool(family.env.is_truncated(state, task))))
    # Past −1 it is late by its own word, at the horizon by ours.
    assert ends == [(False, True), (False, True)]


def test_tasks_of_an_adapted_family_step_together_and_are_learned_on():
    family = walks(horizon=4, optimum=lambda speed: 4.0 * speed, every=jnp.array([0.5, 1.0]))
    np.testing.assert_allclose(jax.vmap(family.optimum)(family.every), [2.0, 4.0])
    algorithm = jaxmeta.maml(family, episodes=2, policy=jaxmeta.networks.policy_for(family.env, hidden=(4,)))
    batch = jaxmeta.sample_tasks(jax.random.key(2), family, 3)
    state, info = jax.jit(algorithm.step)(jax.random.key(1), algorithm.init(jax.random.key(0)), batch)
    assert np.isfinite(info["return_post"])
    assert state.theta


class Dear(Walk):
    """The same, where a step costs 2."""

    def reset(self, key):
        state = super().reset(key)
        return state.replace(info={**state.info, "cost": jnp.zeros(())})

    def step(self, state, action):
        return super().step(state, action).replace(info={"truncation": jnp.zeros(()), "cost": 2.0})


def test_costs_limits_and_controllers_are_told_the_task_itself():
    told = tasks.Controller(lambda speed: speed, lambda key, speed, obs: 0.1 * speed[None])
    family = tasks.from_brax(
        Dear,
        lambda key: jax.random.uniform(key, minval=0.5, maxval=1.0),
        horizon=3,
        cost_limit=lambda speed: 7.0 * speed,
        controllers={"told": told},
    )
    batch = jaxmeta.sample_tasks(jax.random.key(0), family, 2)
    np.testing.assert_allclose(jax.vmap(family.cost_limit)(batch), 7.0 * batch.task)
    returns = tasks.controller_returns(jax.random.key(1), family, family.controllers["told"], batch)
    # Places after one, two and three steps, from a start of less than 0.1.
    moved = 6.0 * 0.1 * batch.task**2
    assert np.all((returns >= moved) & (returns <= moved + 0.3))
    algorithm = jaxmeta.maml(family, episodes=1, policy=jaxmeta.networks.policy_for(family.env, hidden=(4,)))
    _, info = jax.jit(algorithm.step)(jax.random.key(1), algorithm.init(jax.random.key(0)), batch)
    assert info["cost_post"] == 6.0


def test_a_controller_s_return_ends_where_an_episode_is_truncated():
    family = walks(horizon=50)
    back = tasks.Controller(lambda task: (), lambda key, memory, obs: -jnp.ones(1))
    batch = jaxmeta.sample_tasks(jax.random.key(0), family, 4)
    returns = tasks.controller_returns(jax.random.key(1), family, back, batch)
    # Past −1 it is late: two or three steps of −0.5 to −1 m lead there.
    assert np.all((returns > -4.0) & (returns < -1.0))


class Count:
    """Jumanji's interface: two digits, of which the sum is counted until it is ``most``; 9 steps are all there are."""

    def __init__(self, most):
        self.most = most
        self.action_spec = types.SimpleNamespace(num_values=np.array([2, 3]), shape=(2,), dtype=jnp.int32)

    def reset(self, key):
        return jnp.zeros(2, jnp.int32), self.timestep(jnp.zeros(2, jnp.int32), 0.0)

    def timestep(self, state, reward):
        over, late = state[0] >= self.most, state[1] >= 9
        seen = {"count": state[0], "mask": jnp.ones(3, bool)}
        return Timestep(seen, jnp.float32(reward), 1.0 - jnp.float32(over), over | late, {"cost": state[0]})

    def step(self, state, action):
        assert action.shape == (2,)
        state = state + jnp.stack([jnp.sum(action), jnp.int32(1)])
        return state, self.timestep(state, jnp.sum(action))


@dataclasses.dataclass
class Timestep:
    observation: Any
    reward: Any
    discount: Any
    ended: Any
    extras: Any

    def last(self):
        return self.ended


def test_a_jumanji_environment_s_actions_are_numbered_and_its_ends_told_apart():
    family = tasks.from_jumanji(Count, lambda key: jax.random.randint(key, (), 4, 6), horizon=20)
    assert family.env.action_space(family.env.default_params).n == 6
    task = family.sample(jax.random.key(0)).replace(task=jnp.int32(4))
    step = jax.jit(family.env.step_env)
    ends, seen = [], []
    for number in (5, 3, 0):  # digits (1, 2), (1, 0), (0, 0)
        obs, state = family.env.reset_env(jax.random.key(1), task)
        assert obs.shape == (4,)
        ended, count = False, 0
        while not ended and not family.env.is_truncated(state, task):
            obs, state, reward, ended, info = step(jax.random.key(2), state, jnp.int32(number), task)
            assert info["cost"] == obs[0]
            count += 1
        seen.append((count, float(obs[0]), float(reward)))
        ends.append((bool(ended), bool(family.env.is_truncated(state, task))))
    assert seen == [(2, 6.0, 3.0), (4, 4.0, 1.0), (9, 0.0, 0.0)]
    assert ends == [(True, False), (True, False), (False, True)]


def test_bounded_actions_of_jumanji_are_scaled():
    class Push(Count):
        def __init__(self, most):
            super().__init__(most)
            self.action_spec = types.SimpleNamespace(minimum=0.0, maximum=4.0, shape=(2,), dtype=jnp.float32)

        def step(self, state, action):
            return super().step(state, jnp.round(action).astype(jnp.int32))

    family = tasks.from_jumanji(Push, lambda key: jnp.int32(7), horizon=20)
    task = family.sample(jax.random.key(0))
    _, state = family.env.reset_env(jax.random.key(1), task)
    assert family.env.step_env(jax.random.key(2), state, jnp.array([1.0, -1.0]), task)[2] == 4.0


def test_what_is_no_such_environment_is_refused():
    with pytest.raises(TypeError, match=r"^make: returns Count without action_size$"):
        tasks.from_brax(Count, lambda key: jnp.int32(4))
    with pytest.raises(ValueError, match=r"^horizon: "):
        walks(horizon=0)
    assert walks().horizon == 1000
