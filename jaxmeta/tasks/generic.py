"""Any gymnax environment as a family of tasks."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment, spaces

from jaxmeta.checks import bounded_entries, check_least
from jaxmeta.tasks.controllers import Controller
from jaxmeta.tasks.environments import typed
from jaxmeta.tasks.observations import flat_observations
from jaxmeta.tasks.wrappers import Wrapper, flat_actions, scale_actions
from jaxmeta.types import Array, Key, PyTree, Task, TaskDistribution

MOST_LISTED = 100_000
"""Tasks of a finite family that are listed, at most."""


def from_gymnax(
    env: environment.Environment,
    sample: Callable[[Key], Task],
    *,
    horizon: int | None = None,
    optimum: Callable[[Task], Array] | None = None,
    sample_test: Callable[[Key], Task] | None = None,
    every: Task | None = None,
    every_test: Task | None = None,
    cost_limit: Callable[[Task], Array] | None = None,
    controllers: Mapping[str, Controller] | None = None,
    flatten: bool = True,
) -> TaskDistribution:
    """A family from a gymnax environment and a distribution over its parameters.

    Bounded entries of continuous actions are scaled to ``[−1, 1]``; actions of several parts become one, their
    combinations numbered where they are discrete. Observations become vectors of float32: discrete ones one-hot, the
    parts of a ``Dict`` in the order of their names; networks know which of the entries are an image. Truth values and
    unsigned numbers become float32 in any case, and a state has the types that ``step_env`` gives it from the first
    step on. Python numbers among the parameters that a sampler gives become arrays. Only what is in the parameters can
    be a task: an environment that draws its goal in ``reset_env`` changes the task with every episode.

    Args:
      env: a gymnax environment.
      sample: ``sample(key) -> EnvParams``, of the type of ``env.default_params``.
      horizon: steps in an episode at most; ``None`` takes the default parameters' ``max_steps_in_episode``.
      optimum: ``optimum(task) -> return`` of the best policy that knows the task, if there is one.
      sample_test: the distribution of test tasks, where it is not ``sample``.
      every: each task that ``sample`` draws, once, leaves ``[N, ...]``, where they are finitely many and equally
        likely.
      every_test: the same of ``sample_test``.
      cost_limit: ``cost_limit(task) -> cost`` that an episode may have at most, in the mean, where ``step_env`` gives
        each step's as ``info["cost"]``.
      controllers: policies written by hand, by name, for the family's ``env``; evaluations show what they reach.
      flatten: whether observations become vectors; otherwise they stay as they are, for a network of your own.

    Raises:
      TypeError: ``env`` is not a gymnax environment, or a sampler or a list has another pytree than its parameters.
      ValueError: what ``reset_env`` or ``step_env`` returns is not of one shape at each step, or an observation not of
        its space; it is named. Or a list is not of the tasks that ``sample`` returns.
    """
    if not isinstance(env, environment.Environment):
        raise TypeError(f"env: got {type(env).__name__}; must be a gymnax Environment (gymnax.make returns a pair)")
    horizon = int(env.default_params.max_steps_in_episode) if horizon is None else horizon
    check_least(1, horizon=horizon)
    expected = jax.tree.structure(env.default_params)
    for name, sampler in {"sample": sample, "sample_test": sample_test}.items():
        if sampler and (sampled := jax.tree.structure(jax.eval_shape(sampler, jax.random.key(0)))) != expected:
            raise TypeError(f"{name}: returns {sampled}; must return {env.name}'s parameters, {expected}")
    task = jax.eval_shape(sample, jax.random.key(0))
    for name, tasks in {"every": every, "every_test": every_test}.items():
        if tasks is not None and (given := jax.tree.structure(tasks)) != expected:
            raise TypeError(f"{name}: got {given}; must be {env.name}'s parameters, {expected}")
        if tasks is not None and not _are_tasks(tasks, task):
            raise ValueError(f"{name}: must have leaves [N, ...], N tasks as sample returns them")
    if cost_limit is not None:
        _check_cost(env, cost_limit, task)
    env = flat_actions(with_steady_types(env, task))
    env = flat_observations(env) if flatten else env
    space = env.action_space(env.default_params)
    bounded = isinstance(space, spaces.Box) and bounded_entries(space).any()

    def strong(sampler: Callable[[Key], Task]) -> Callable[[Key], Task]:
        return lambda key: typed(sampler(key))

    return TaskDistribution(
        env=scale_actions(env) if bounded else env,
        sample=strong(sample),
        horizon=horizon,
        optimum=optimum,
        sample_test=None if sample_test is None else strong(sample_test),
        every=typed(every),
        every_test=typed(every_test),
        cost_limit=cost_limit,
        controllers=controllers or {},
    )


def listed(task: Callable[..., Task], *choices: Sequence[Any] | np.ndarray) -> Task | None:
    """``task(*values)`` of each combination of one value of every choice, leaves ``[N, ...]``: a family's ``every``.

    ``None`` where these are more than 100,000.

    Args:
      task: a task from its values: whole numbers of 32 bits, or single precision.
      *choices: the values that there are of each, ``[C, ...]``.
    """
    counts = [len(each) for each in choices]
    if math.prod(counts) > MOST_LISTED:
        return None
    places = np.unravel_index(np.arange(math.prod(counts)), counts)
    values = [np.asarray(each)[place] for each, place in zip(choices, places, strict=True)]
    types = [jnp.int32 if np.issubdtype(each.dtype, np.integer) else jnp.float32 for each in values]
    return jax.vmap(task)(*(jnp.asarray(each, kind) for each, kind in zip(values, types, strict=True)))


def _check_cost(env: environment.Environment, cost_limit: Callable[[Task], Array], task: Task) -> None:
    """Refuse a limit or an environment's cost that is not a scalar."""

    def first_info(key: Key, task: Task) -> dict[str, Any]:
        _, state = env.reset_env(key, task)
        action = env.action_space(env.default_params).sample(key)
        return jax.tree.map(jnp.asarray, env.step_env(key, state, action, task)[4])

    info = jax.eval_shape(first_info, jax.random.key(0), task)
    if "cost" not in info:
        raise ValueError(f"cost_limit: {env.name}'s step_env tells no cost; it must return info['cost']")
    for name, got in (
        ("cost_limit: returns", jax.eval_shape(cost_limit, task)),
        ("env: info['cost'] has", info["cost"]),
    ):
        if jnp.shape(got) != ():
            raise ValueError(f"{name} shape {jnp.shape(got)}; must be a scalar")


def _are_tasks(tasks: Task, task: Task) -> bool:
    """Whether all leaves have one leading axis, and are behind it those of a task."""
    leaves, like = ([np.shape(leaf) for leaf in jax.tree.leaves(each)] for each in (tasks, task))
    return (
        len({shape[:1] for shape in leaves}) == 1 and [shape[1:] for shape in leaves] == like and leaves[0][:1] > (0,)
    )


class SteadyTypes(Wrapper):
    """The same environment, with observations and states of one type at each step, and ends that are truth values."""

    def __init__(self, env: environment.Environment, obs_types: PyTree, state_types: PyTree):
        super().__init__(env)
        self.obs_types, self.state_types = obs_types, state_types

    def observation_space(self, params=None) -> spaces.Space:
        space = self.env.observation_space(self.default_params if params is None else params)
        if isinstance(space, spaces.Box) and _is_raw(jnp.dtype(space.dtype)):
            return spaces.Box(space.low, space.high, space.shape, jnp.float32)
        return space

    def reset_env(self, key, params):
        obs, state = self.env.reset_env(key, params)
        return self._seen(obs), self._kept(state)

    def step_env(self, key, state, action, params):
        obs, state, reward, terminated, info = super().step_env(key, state, action, params)
        return self._seen(obs), self._kept(state), jnp.asarray(reward), jnp.asarray(terminated, bool), info

    def observe(self, key, state, action, params):
        return self._seen(self.env.observe(key, state, action, params))

    def get_obs(self, state, params=None, key=None):
        return self._seen(self.env.get_obs(state, params, key))

    def _seen(self, obs: Any) -> Any:
        as_number = lambda x, like: jnp.asarray(x, jnp.float32 if _is_raw(like.dtype) else like.dtype)  # noqa: E731
        return jax.tree.map(as_number, obs, self.obs_types)

    def _kept(self, state: Any) -> Any:
        return jax.tree.map(lambda x, like: jnp.asarray(x, like.dtype), state, self.state_types)


def with_steady_types(env: environment.Environment, task: Task) -> environment.Environment:
    """``env`` itself if all that it returns has one shape and type at each step, else a wrapper that sees to the types.

    Raises:
      ValueError: shapes that change, or a reward or an end that is not a scalar.
    """
    key = jax.random.key(0)

    def first(key: Key, task: Task) -> tuple[Any, Any]:
        return jax.tree.map(jnp.asarray, env.reset_env(key, task))

    def then(key: Key, state: Any, task: Task) -> tuple[Any, ...]:
        stepped = env.step_env(key, state, env.action_space(env.default_params).sample(key), task)
        return jax.tree.map(jnp.asarray, stepped[:4])

    obs, state = jax.eval_shape(first, key, task)
    later_obs, later, reward, terminated = jax.eval_shape(then, key, state, task)
    for name, got in (("reward", reward), ("end", terminated)):
        if got.shape != ():
            raise ValueError(f"env: step_env's {name} has shape {got.shape}; must be a scalar")
    for name, one, other in (("observation", obs, later_obs), ("state", state, later)):
        if jax.tree.structure(one) != jax.tree.structure(other):
            raise ValueError(f"env: step_env returns another kind of {name} than reset_env")
        for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other), strict=True):
            if x.shape != y.shape:
                leaf = f"{name}{jax.tree_util.keystr(path)}"
                raise ValueError(f"env: step_env returns {leaf} of shape {y.shape}, reset_env of shape {x.shape}")
    again = jax.eval_shape(then, key, later, task)[1]
    types, moved = (jax.tree.map(lambda x: x.dtype, tree) for tree in (later, again))
    if types != moved:
        raise ValueError(f"env: the types of its state change at each step: {types}, then {moved}")
    steady = jax.tree.map(lambda x: x.dtype, (obs, state)) == jax.tree.map(lambda x: x.dtype, (later_obs, later))
    raw = any(_is_raw(x.dtype) for x in jax.tree.leaves(obs))
    return env if steady and not raw and terminated.dtype == jnp.bool_ else SteadyTypes(env, later_obs, later)


def _is_raw(dtype: Any) -> bool:
    """Of pixels and flags, whose differences wrap around or do not exist."""
    return jnp.issubdtype(dtype, jnp.bool_) or jnp.issubdtype(dtype, jnp.unsignedinteger)
