"""Wrappers: gymnax environments around gymnax environments, with the same parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_action, check_least
from jaxmeta.tasks.environments import EpisodeView, Plane, TaskEnvironment, figures_of
from jaxmeta.types import Array, Task, TaskDistribution

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Wrapper(TaskEnvironment):
    """The wrapped environment unchanged; a wrapper says only what it changes. The raw one is at ``env``."""

    def __init__(self, env: environment.Environment):
        self.env = env
        self.figures = figures_of(env)

    @property
    def unwrapped(self) -> Any:
        """The environment under all wrappers, with the attributes of its own class."""
        return self.env.unwrapped if isinstance(self.env, Wrapper) else self.env

    @property
    def default_params(self):
        return self.env.default_params

    def step_env(self, key, state, action, params):
        check_action(self, action)
        return self.env.step_env(key, state, action, params)

    def reset_env(self, key, params):
        return self.env.reset_env(key, params)

    def observe(self, key, state, action, params):
        return self.env.observe(key, state, action, params)

    def get_obs(self, state, params=None, key=None):
        return self.env.get_obs(state, params, key)

    def is_terminated(self, state, params):
        return self.env.is_terminated(state, params)

    def is_truncated(self, state, params):
        return self.env.is_truncated(state, params)

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def num_actions(self) -> int:
        return self.env.num_actions

    def action_space(self, params=None):
        return self.env.action_space(params)

    def observation_space(self, params=None):
        return self.env.observation_space(params)

    def state_space(self, params=None):
        return self.env.state_space(params)

    def render(self, state, params) -> Figure:
        """A figure of one state in one task."""
        return self.env.render(state, params)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def episode_view(self) -> EpisodeView:
        return self.figures.episode_view

    def plane(self, params) -> Plane:
        return self.figures.plane(params)

    def points(self, obs: Any) -> np.ndarray:
        return self.figures.points(obs)

    def arm_rewards(self, params) -> Array | None:
        return self.figures.arm_rewards(params)

    @property
    def has_goal_belief(self) -> bool:
        return self.figures.has_goal_belief and self.episode_view is EpisodeView.PATH

    def goal_belief(self, arrived: np.ndarray, goal: np.ndarray) -> np.ndarray:
        return self.figures.goal_belief(arrived, goal)


class ScaledActions(Wrapper):
    """Actions live in ``[−1, 1]``, are clipped there and mapped linearly onto the wrapped environment's box."""

    def step_env(self, key, state, action, params):
        check_action(self, action)
        space = self.env.action_space(params)
        unit = (jnp.clip(action, -1.0, 1.0) + 1.0) / 2.0
        return self.env.step_env(key, state, space.low + unit * (space.high - space.low), params)

    def action_space(self, params=None) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, self.env.action_space(params).shape, jnp.float32)


def scale_actions(env: environment.Environment) -> ScaledActions:
    """Wrap an environment with bounded continuous actions so that a policy acts in ``[−1, 1]``.

    Raises:
      ValueError: the action space is not a ``Box``.
    """
    space = env.action_space(env.default_params)
    if not isinstance(space, spaces.Box):
        raise ValueError(f"env: {env.name} has action space {space}; scale_actions needs a Box")
    return ScaledActions(env)


class Rendered(Wrapper):
    """The same environment, with a way to draw a state: ``draw(state, params) -> Figure``."""

    def __init__(self, env: environment.Environment, draw: Callable[..., Figure]):
        super().__init__(env)
        self.draw = draw

    def render(self, state, params) -> Figure:
        return self.draw(state, params)


class ChangedObservations(Wrapper):
    """The same environment seen otherwise: ``changed(obs, params)`` takes a flat observation, and gives another."""

    def __init__(self, env: environment.Environment, changed: Callable[[Array, Task], Array]):
        super().__init__(env)
        self.changed = changed

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

    def _change(self, obs, params):
        return self.changed(flat_observation(obs, self.env.observation_space(params)), params)

    @property
    def episode_view(self) -> EpisodeView:
        # What is observed may be points of a plane no more.
        view = self.figures.episode_view
        return EpisodeView.OBSERVATIONS if view is EpisodeView.PATH else view


class RevealedTask(ChangedObservations):
    """The observation, followed by features of the task."""

    def __init__(self, env: environment.Environment, features: Callable[[Task], Array]):
        super().__init__(env, lambda obs, params: jnp.concatenate([obs, features(params)]))
        self.features = features

    def observation_space(self, params=None) -> spaces.Box:
        params = self.default_params if params is None else params
        low, high, size = flat_bounds(self.env.observation_space(params))
        revealed = jax.eval_shape(self.features, params).shape[0]
        # Any real number may be a feature: its range belongs to the family, which an environment does not know.
        limit = jnp.full(revealed, jnp.finfo(jnp.float32).max)
        low, high = jnp.concatenate([low, -limit]), jnp.concatenate([high, limit])
        return spaces.Box(low, high, (size + revealed,), jnp.float32)

    @property
    def episode_view(self) -> EpisodeView:
        return self.figures.episode_view

    def points(self, obs: Any) -> np.ndarray:
        size = flat_bounds(self.env.observation_space(self.env.default_params))[2]
        return self.figures.points(obs[..., :size])


class PartlyObserved(ChangedObservations):
    """Some entries of the observation."""

    def __init__(self, env: environment.Environment, observed: tuple[int, ...]):
        super().__init__(env, lambda obs, params: obs[jnp.array(observed)])
        self.observed = observed

    def observation_space(self, params=None) -> spaces.Box:
        low, high, _ = flat_bounds(self.env.observation_space(params))
        entries = jnp.array(self.observed)
        return spaces.Box(low[entries], high[entries], entries.shape, jnp.float32)


class RepeatedActions(Wrapper):
    """Each action is taken for some steps of the wrapped environment, whose rewards are added up, or until an end."""

    def __init__(self, env: environment.Environment, times: int):
        super().__init__(env)
        self.times = times

    def step_env(self, key, state, action, params):
        def advance(carry, key):
            last, over = carry
            step = self.env.step_env(key, last[1], action, params)
            new = (step[0], step[1], last[2] + step[2], step[3])
            kept = jax.tree.map(lambda new, old: jnp.where(over, old, new).astype(old.dtype), new, last)
            return (kept, kept[3] | self.env.is_truncated(kept[1], params)), None

        first, *others = jax.random.split(key, self.times)
        *start, info = self.env.step_env(first, state, action, params)
        start = jax.tree.map(jnp.asarray, tuple(start))
        carry = (start, start[3] | self.env.is_truncated(start[1], params))
        if others:
            carry, _ = jax.lax.scan(advance, carry, jnp.stack(others))
        return *carry[0], info


def repeat_actions(tasks: TaskDistribution, times: int) -> TaskDistribution:
    """The family in which an action lasts: what is tried at random then goes somewhere (Mnih et al. 2015's frame skip).

    Args:
      tasks: a family.
      times: steps of the environment that an action is taken for, ≥ 1; returns stay those of the environment's steps.

    Raises:
      ValueError: ``times`` below 1.
    """
    check_least(1, times=times)
    return tasks._replace(env=RepeatedActions(tasks.env, times), horizon=-(-tasks.horizon // times))


class ScaledObservations(ChangedObservations):
    """Entries of the observation that have bounds are mapped linearly onto ``[−1, 1]``; the others stay as they are."""

    def __init__(self, env: environment.Environment):
        low, high, _ = flat_bounds(env.observation_space(env.default_params))
        # gymnax writes the largest number where there is no bound.
        bounded = (low > -1e6) & (high < 1e6) & (high > low)
        middle, half = (jnp.where(bounded, x, y) for x, y in ((0.5 * (high + low), 0.0), (0.5 * (high - low), 1.0)))
        super().__init__(env, lambda obs, params: (obs - middle) / half)
        self.middle, self.half = np.asarray(middle), np.asarray(half)
        limit = jnp.where(bounded, 1.0, jnp.finfo(jnp.float32).max)
        self.space = spaces.Box(-limit, limit, limit.shape, jnp.float32)

    @property
    def episode_view(self) -> EpisodeView:
        return self.figures.episode_view

    def points(self, obs: Any) -> np.ndarray:
        return self.figures.points(np.asarray(obs) * self.half + self.middle)

    def observation_space(self, params=None) -> spaces.Box:
        return self.space


def scale_observations(tasks: TaskDistribution) -> TaskDistribution:
    """The family whose bounded observations are seen in ``[−1, 1]``, such as a velocity of at most 0.07.

    Args:
      tasks: a family with flat or discrete observations.
    """
    return tasks._replace(env=ScaledObservations(tasks.env))


def observe_only(tasks: TaskDistribution, observed: tuple[int, ...]) -> TaskDistribution:
    """The family of which only some entries of the observation are seen, such as positions without velocities.

    Args:
      tasks: a family with flat or discrete observations.
      observed: the entries, in the order in which they are shown.

    Raises:
      ValueError: no entry, or one that the observation does not have.
    """
    size = flat_bounds(tasks.env.observation_space(tasks.env.default_params))[2]
    if not observed or not all(0 <= entry < size for entry in observed):
        raise ValueError(f"observed: got {tuple(observed)}; must be some of the entries 0 to {size - 1}")
    return tasks._replace(env=PartlyObserved(tasks.env, tuple(observed)))


def reveal_task(tasks: TaskDistribution, features: Callable[[Task], Array] | None = None) -> TaskDistribution:
    """The family as an oracle sees it: each observation ends in features of the task.

    Args:
      tasks: a family with flat or discrete observations.
      features: ``features(task) -> [F]``, float32; ``None`` takes every number of the task's pytree that varies between
        16 tasks drawn from ``tasks.sample``, integers among them, in the pytree's order.

    Returns:
      The family, its environment's observations ``[D + F]``.

    Raises:
      ValueError: observations that are not a ``Box`` or ``Discrete``; features that are not of rank 1.
    """
    features = varying_features(tasks) if features is None else features
    flat_bounds(tasks.env.observation_space(tasks.env.default_params))
    shape = jax.eval_shape(features, tasks.env.default_params).shape
    if len(shape) != 1:
        raise ValueError(f"features: return shape {shape}; must be of rank 1")
    return tasks._replace(env=RevealedTask(tasks.env, features))


def flat_bounds(space: spaces.Space) -> tuple[Array, Array, int]:
    """Lower and upper bounds ``[D]`` and size D of the flat form of a ``Box`` or ``Discrete`` space.

    Raises:
      ValueError: a space of another kind.
    """
    if isinstance(space, spaces.Discrete):
        return jnp.zeros(space.n), jnp.ones(space.n), space.n
    if not isinstance(space, spaces.Box):
        raise ValueError(f"observation space: got {space}; must be a Box or Discrete")
    low, high = (
        jnp.broadcast_to(jnp.asarray(bound, jnp.float32), space.shape).ravel() for bound in (space.low, space.high)
    )
    return low, high, low.shape[0]


def flat_observation(obs: Array, space: spaces.Space) -> Array:
    """An observation as a float32 vector ``[D]``: one-hot if it is discrete, ravelled if it is not."""
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(obs, space.n, dtype=jnp.float32)
    return jnp.ravel(jnp.asarray(obs, jnp.float32))


def varying_features(tasks: TaskDistribution) -> Callable[[Task], Array]:
    """``features(task) -> [F]``: all numbers of a task that are not the same in 16 tasks of the family.

    Which ones is a property of the family, found once, from tasks that nobody trains on.
    """
    batch = jax.jit(jax.vmap(tasks.sample))(jax.random.split(jax.random.key(0), 16))
    varies = [jnp.any(leaf != leaf[:1], axis=0).ravel().nonzero()[0] for leaf in jax.tree.leaves(batch)]

    def features_fn(task: Task) -> Array:
        leaves = [jnp.ravel(jnp.asarray(leaf, jnp.float32)) for leaf in jax.tree.leaves(task)]
        return jnp.concatenate([leaf[index] for leaf, index in zip(leaves, varies, strict=True)])

    return features_fn


Revealed = Annotated[TaskDistribution, reveal_task]
"""The type of ``tasks`` for methods that are told the task: a run puts it into the observation first."""
