"""Wrappers that change what is observed: flat, scaled, in part, with the task beside it."""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment, spaces

from jaxmeta.tasks.environments import EpisodeView, numbers
from jaxmeta.tasks.spaces import ObservationPart, flat_bounds, flat_observation
from jaxmeta.tasks.wrappers import Wrapper, observation_parts
from jaxmeta.types import Array, Task, TaskDistribution


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
