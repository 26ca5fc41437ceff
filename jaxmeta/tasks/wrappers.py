"""Wrappers: gymnax environments around gymnax environments, with the same parameters."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment, spaces

from jaxmeta.checks import bounded_entries, check_action, check_least
from jaxmeta.tasks.environments import EpisodeView, TaskEnvironment, figures_of, kept_types, numbers
from jaxmeta.tasks.spaces import (
    ObservationPart,
    flat_action_space,
    flat_bounds,
    flat_observation,
    parts_of_space,
    unflat_action,
)
from jaxmeta.types import Array, Task, TaskDistribution

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


class ChangedObservations(Wrapper):
    """The same environment, each flat observation replaced by ``changed(obs, params)``, within ``bounds(low, high)``.

    ``restored(obs)`` gives an old observation where this is a point of the plane; ``None`` where it cannot be restored.
    ``parts`` are what the new one consists of; by default the parts of the old one, and what is put beside them.
    """

    def __init__(
        self,
        env: environment.Environment,
        changed: Callable[[Array, Task], Array],
        bounds: Callable[[Array, Array], tuple[Array, Array]],
        restored: Callable[[np.ndarray], np.ndarray] | None = None,
        parts: tuple[ObservationPart, ...] | None = None,
    ):
        super().__init__(env)
        self.changed, self.bounds, self.restored, self.parts = changed, bounds, restored, parts

    def observation_space(self, params=None) -> spaces.Box:
        params = self.default_params if params is None else params
        low, high = self.bounds(*flat_bounds(self.env.observation_space(params))[:2])
        return spaces.Box(low, high, low.shape, jnp.float32)

    def step_env(self, key, state, action, params):
        obs, next_state, reward, terminated, info = self.env.step_env(key, state, action, params)
        return self._change(obs, params), next_state, reward, terminated, info

    def reset_env(self, key, params):
        obs, state = self.env.reset_env(key, params)
        return self._change(obs, params), state

    def observe(self, key, state, action, params):
        return self._change(self.env.observe(key, state, action, params), params)

    def get_obs(self, state, params=None, key=None):
        return self._change(self.env.get_obs(state, params, key), params)

    @property
    def observation_parts(self) -> tuple[ObservationPart, ...]:
        return super().observation_parts if self.parts is None else self.parts

    def _change(self, obs, params):
        return self.changed(flat_observation(obs, self.env.observation_space(params)), params)

    @property
    def episode_view(self) -> EpisodeView:
        view = self.figures.episode_view
        if view is EpisodeView.PATH and self.restored is None:
            return EpisodeView.OBSERVATIONS
        # Single pixels against time tell little.
        images = any(len(part.shape) > 1 for part in self.observation_parts)
        few = isinstance(self.action_space(self.default_params), spaces.Discrete)
        return EpisodeView.ACTIONS if view is EpisodeView.OBSERVATIONS and images and few else view

    def points(self, obs: Any) -> np.ndarray:
        assert self.restored is not None
        return self.figures.points(self.restored(np.asarray(obs)))


def flat_observations(env: environment.Environment) -> environment.Environment:
    """The same environment, its observations as float32 vectors ``[D]``, if they are not; it knows their parts."""
    space = env.observation_space(env.default_params)
    obs, _ = jax.eval_shape(env.reset_env, jax.random.key(0), env.default_params)
    flat = jax.eval_shape(lambda obs: flat_observation(obs, space), obs)
    # What is observed has the last word on the type: a space says what it likes.
    if isinstance(space, spaces.Box) and (obs.shape, obs.dtype) == (flat.shape, flat.dtype):
        return env
    return ChangedObservations(env, lambda obs, params: obs, lambda low, high: (low, high))


def flatten_observations(tasks: TaskDistribution) -> TaskDistribution:
    """The family whose observations are vectors ``[D]`` of plain numbers: one-hot if discrete, images ravelled.

    No network then sees an image in it: for those, ``from_gymnax`` alone flattens, and the parts are still known.
    """
    size = flat_bounds(tasks.env.observation_space(tasks.env.default_params))[2]
    same = lambda obs, params: obs  # noqa: E731
    env = ChangedObservations(tasks.env, same, lambda low, high: (low, high), parts=(ObservationPart((size,)),))
    return tasks._replace(env=env, controllers={})


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


def scale_observations(tasks: TaskDistribution) -> TaskDistribution:
    """The family whose bounded observations are scaled to ``[−1, 1]``, such as a velocity of at most 0.07.

    Entries of the observation without bounds stay as they are.
    """
    low, high, _ = flat_bounds(tasks.env.observation_space(tasks.env.default_params))
    # gymnax writes the largest number where there is no bound.
    bounded = (low > -1e6) & (high < 1e6) & (high > low)
    middle, half = (jnp.where(bounded, x, y) for x, y in ((0.5 * (high + low), 0.0), (0.5 * (high - low), 1.0)))
    limit = jnp.where(bounded, 1.0, jnp.finfo(jnp.float32).max)
    scaled = ChangedObservations(
        tasks.env,
        lambda obs, params: (obs - middle) / half,
        lambda low, high: (-limit, limit),
        lambda obs: obs * np.asarray(half) + np.asarray(middle),
        parts=tuple(part._replace(scale=1.0) for part in observation_parts(tasks.env)),
    )
    return tasks._replace(env=scaled, controllers={})


def observe_only(tasks: TaskDistribution, observed: tuple[int, ...]) -> TaskDistribution:
    """The family of which only some entries of the observation are seen, such as positions without velocities.

    Args:
      tasks: a family with flat or discrete observations ``[D]``.
      observed: the entries, from 0 to D − 1, at least one, in the order in which they are shown.
    """
    size = flat_bounds(tasks.env.observation_space(tasks.env.default_params))[2]
    if not observed or not all(0 <= entry < size for entry in observed):
        raise ValueError(f"observed: got {tuple(observed)}; must be some of the entries 0 to {size - 1}")
    kept = np.array(observed)
    env = ChangedObservations(
        tasks.env,
        lambda obs, params: obs[kept],
        lambda low, high: (low[kept], high[kept]),
        parts=(ObservationPart((len(observed),)),),
    )
    return tasks._replace(env=env, controllers={})


def reveal_task(tasks: TaskDistribution, features: Callable[[Task], Array] | None = None) -> TaskDistribution:
    """The family as an oracle sees it: observations are ``[D + F]``, the last F entries features of the task.

    Args:
      tasks: a family with flat or discrete observations.
      features: ``features(task) -> [F]``, float32; by default ``varying_features(tasks)``.
    """
    features = varying_features(tasks) if features is None else features
    size = flat_bounds(tasks.env.observation_space(tasks.env.default_params))[2]
    shape = jax.eval_shape(features, tasks.env.default_params).shape
    if len(shape) != 1:
        raise ValueError(f"features: return shape {shape}; must be of rank 1")

    def bounds(low: Array, high: Array) -> tuple[Array, Array]:
        # Any real number may be a feature: its range belongs to the family, which an environment does not know.
        limit = jnp.full(shape, jnp.finfo(jnp.float32).max)
        return jnp.concatenate([low, -limit]), jnp.concatenate([high, limit])

    def changed(obs: Array, params: Task) -> Array:
        return jnp.concatenate([obs, features(params)])

    env = ChangedObservations(tasks.env, changed, bounds, lambda obs: obs[..., :size])
    return tasks._replace(env=env, controllers={})


def varying_features(tasks: TaskDistribution) -> Callable[[Task], Array]:
    """``features(task) -> [F]``: the numbers of a task, in the pytree's order, that vary between tasks of the family.

    Which ones do is found once: from all tasks where they are listed, and else from 1,024 that a fixed key draws.
    """
    batch = tasks.every
    if batch is None:
        batch = jax.jit(jax.vmap(tasks.sample))(jax.random.split(jax.random.key(0), 1024))
    leaves = [np.asarray(numbers(leaf)) for leaf in jax.tree.leaves(batch)]
    varies = [np.flatnonzero(np.any(leaf != leaf[:1], axis=0)) for leaf in leaves]

    def features_fn(task: Task) -> Array:
        leaves = [jnp.ravel(jnp.asarray(numbers(leaf), jnp.float32)) for leaf in jax.tree.leaves(task)]
        return jnp.concatenate([leaf[index] for leaf, index in zip(leaves, varies, strict=True)])

    return features_fn


Revealed = Annotated[TaskDistribution, reveal_task]
"""The type of ``tasks`` for methods whose policy sees the task: a run applies ``reveal_task`` first."""
