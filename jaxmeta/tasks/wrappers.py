"""Wrappers: gymnax environments around gymnax environments, with the same parameters."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces

from jaxmeta.checks import bounded_entries, check_action, check_least
from jaxmeta.tasks.environments import EpisodeView, TaskEnvironment, figures_of, kept_types
from jaxmeta.tasks.spaces import ObservationPart, flat_action_space, flat_bounds, parts_of_space, unflat_action
from jaxmeta.types import TaskDistribution

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _that_of(path: str) -> Any:
    """An attribute of a wrapper that is the one at ``path``."""
    return property(operator.attrgetter(path))


class Wrapper(TaskEnvironment):
    """The wrapped environment unchanged; a wrapper says only what it changes. The raw one is at ``env``."""

    default_params = _that_of("env.default_params")  # pyright: ignore[reportIncompatibleMethodOverride]
    name = _that_of("env.name")  # pyright: ignore[reportIncompatibleMethodOverride]
    num_actions = _that_of("env.num_actions")  # pyright: ignore[reportIncompatibleMethodOverride]
    action_space = _that_of("env.action_space")
    observation_space = _that_of("env.observation_space")
    state_space = _that_of("env.state_space")
    reset_env = _that_of("env.reset_env")
    observe = _that_of("env.observe")
    get_obs = _that_of("env.get_obs")
    is_terminated = _that_of("env.is_terminated")
    is_truncated = _that_of("env.is_truncated")
    render = _that_of("env.render")
    episode_view = _that_of("figures.episode_view")
    plane = _that_of("figures.plane")
    points = _that_of("figures.points")
    arm_rewards = _that_of("figures.arm_rewards")
    goal_belief = _that_of("figures.goal_belief")
    film = _that_of("figures.film")
    has_film = _that_of("figures.has_film")
    has_goal_belief: Any = property(lambda self: self.figures.has_goal_belief and self.episode_view is EpisodeView.PATH)

    def __init__(self, env: environment.Environment):
        self.env = env
        self.figures = figures_of(env)

    @property
    def observation_parts(self) -> tuple[ObservationPart, ...]:
        """What the wrapped environment's observation consists of, and what a wrapper puts beside it."""
        inner = observation_parts(self.env)
        more = flat_bounds(self.observation_space(self.default_params))[2] - sum(part.size for part in inner)
        return (*inner, ObservationPart((more,))) if more > 0 else inner

    @property
    def unwrapped(self) -> Any:
        """The environment under all wrappers, with the attributes of its own class."""
        return self.env.unwrapped if isinstance(self.env, Wrapper) else self.env

    def step_env(self, key, state, action, params):
        check_action(self, action)
        return self.env.step_env(key, state, action, params)


def observation_parts(env: environment.Environment) -> tuple[ObservationPart, ...]:
    """What an environment's flat observations consist of, in order: images keep their shape, all else is vectors."""
    if isinstance(env, Wrapper):
        return env.observation_parts
    return parts_of_space(env.observation_space(env.default_params))


class ScaledActions(Wrapper):
    """Actions live in ``[−1, 1]``, are clipped there and mapped linearly onto the wrapped environment's box.

    Entries without bounds are passed on as they are.
    """

    def __init__(self, env: environment.Environment):
        super().__init__(env)
        self.bounded = bounded_entries(env.action_space(env.default_params))

    def step_env(self, key, state, action, params):
        check_action(self, action)
        space = self.env.action_space(params)
        low, high = (jnp.asarray(end, jnp.float32) for end in (space.low, space.high))
        unit = (jnp.clip(action, -1.0, 1.0) + 1.0) / 2.0
        # Without infinite numbers in what is not taken, whose derivatives would be NaN.
        low, high = (jnp.where(self.bounded, end, 0.0) for end in (low, high))
        return self.env.step_env(key, state, jnp.where(self.bounded, low + unit * (high - low), action), params)

    def action_space(self, params=None) -> spaces.Box:
        space = self.env.action_space(params)
        if self.bounded.all():
            return spaces.Box(-1.0, 1.0, space.shape, jnp.float32)
        with jax.ensure_compile_time_eval():
            low, high = (jnp.where(self.bounded, side, end) for side, end in ((-1.0, space.low), (1.0, space.high)))
        return spaces.Box(low, high, space.shape, jnp.float32)


def scale_actions(env: environment.Environment) -> ScaledActions:
    """Wrap an environment with bounded continuous actions so that a policy acts in ``[−1, 1]``."""
    space = env.action_space(env.default_params)
    if not isinstance(space, spaces.Box):
        raise ValueError(f"env: {env.name} has action space {space}; scale_actions needs a Box")
    return ScaledActions(env)


class Rendered(Wrapper):
    """The same environment, with a way to draw a state: ``render(state, params) -> Figure``."""

    def __init__(self, env: environment.Environment, render: Callable[..., Figure]):
        super().__init__(env)
        self.figure_of = render

    render = _that_of("figure_of")


class FlatActions(Wrapper):
    """Actions of several parts as one: their combinations numbered, or their numbers one after the other."""

    def step_env(self, key, state, action, params):
        check_action(self, action)
        return self.env.step_env(key, state, unflat_action(action, self.env.action_space(params)), params)

    def action_space(self, params=None) -> spaces.Discrete | spaces.Box:
        return flat_action_space(self.env.action_space(params))

    @property
    def num_actions(self) -> int:
        space = self.action_space(self.default_params)
        return space.n if isinstance(space, spaces.Discrete) else space.shape[0]


def flat_actions(env: environment.Environment) -> environment.Environment:
    """The same environment, its actions ``Discrete`` or a ``Box`` of rank 1, if they are not."""
    space = env.action_space(env.default_params)
    one = flat_action_space(space)
    return env if type(one) is type(space) and one.shape == tuple(space.shape) else FlatActions(env)


class RepeatedActions(Wrapper):
    """Each action is taken for some steps, or until an end; the rewards and the costs of these are added up."""

    def __init__(self, env: environment.Environment, times: int):
        super().__init__(env)
        self.times = times

    def step_env(self, key, state, action, params):
        def advance(last, key):
            over = last[3] | self.env.is_truncated(last[1], params)
            obs, state, reward, terminated, info = self.env.step_env(key, last[1], action, params)
            cost = jax.tree.map(lambda cost, more: cost + more, last[4], info.get("cost", ()))
            new = (obs, kept_types(state, last[1]), last[2] + reward, terminated, cost)
            return jax.tree.map(lambda new, old: jnp.where(over, old, new).astype(old.dtype), new, last), None

        first, *others = jax.random.split(key, self.times)
        *step, info = self.env.step_env(first, state, action, params)
        # Costs may be truth values, whose sum would be one again.
        cost = jax.tree.map(lambda cost: jnp.asarray(cost, jnp.float32), info.get("cost", ()))
        step = jax.tree.map(jnp.asarray, (*step, cost))
        if others:
            step, _ = jax.lax.scan(advance, step, jnp.stack(others))
        return *step[:4], {**info, "cost": step[4]} if "cost" in info else info


def repeat_actions(tasks: TaskDistribution, times: int) -> TaskDistribution:
    """The family in which each action is taken several steps in a row (the frame skip of Mnih et al. 2015).

    Random actions then explore further. A step's reward, and its cost, is the sum of those of the environment's steps.

    Args:
      tasks: a family.
      times: steps of the environment that an action is taken for, ≥ 1; from 2 on no exact optimum is known.
    """
    check_least(1, times=times)
    optimum = tasks.optimum if times == 1 else None
    env, horizon = RepeatedActions(tasks.env, times), -(-tasks.horizon // times)
    return tasks._replace(env=env, horizon=horizon, optimum=optimum, controllers={})
