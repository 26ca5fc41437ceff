"""Environments with the interfaces of Brax and of Jumanji as families of tasks; neither package is imported."""

import abc
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_action, check_least
from jaxmeta.tasks.environments import TaskEnvironment, TimedState
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Array, Key, PyTree, Task, TaskDistribution


@struct.dataclass
class AdaptedState(TimedState):
    """``inner``: what the adapted environment needs for its next step. The ends are those of the last step."""

    inner: PyTree
    obs: Array
    terminated: Array
    truncated: Array


@struct.dataclass
class AdaptedParams(environment.EnvParams):
    """``task``: what the function that makes the environment is given."""

    task: PyTree = 0.0
    max_steps_in_episode: int = 100


class Adapted(TaskEnvironment, abc.ABC):
    """An environment that ``make(task)`` builds anew inside of each step, where its task may be traced.

    Observations are one vector ``[O]`` of all the numbers that the environment shows.

    Args:
      make: ``make(task) -> environment``; all that it computes from the task must be JAX's.
      task: one task, for shapes.
      horizon: steps in an episode at most.
    """

    def __init__(self, make: Callable[[Task], Any], task: Task, horizon: int):
        self.make, self.horizon, self.task = make, horizon, task
        self.size = jax.eval_shape(self.begin, jax.random.key(0), task)[1].shape[0]

    @abc.abstractmethod
    def begin(self, key: Key, task: Task) -> tuple[PyTree, Array]:
        """The first inner state and observation."""

    @abc.abstractmethod
    def advance(self, inner: PyTree, action: Array, task: Task) -> tuple[PyTree, Array, Array, Array, Array, Mapping]:
        """The next inner state, observation, reward, whether the step terminated or truncated the episode, and more.

        Of what more is told the ``cost`` is kept, if there is one.
        """

    @property
    def default_params(self) -> AdaptedParams:
        return AdaptedParams(task=self.task, max_steps_in_episode=self.horizon)

    @property
    def num_actions(self) -> int:
        space = self.action_space()
        return space.n if isinstance(space, spaces.Discrete) else int(np.prod(space.shape))

    def reset_env(self, key, params):
        inner, obs = self.begin(key, params.task)
        no = jnp.zeros((), bool)
        return obs, AdaptedState(time=jnp.zeros((), jnp.int32), inner=inner, obs=obs, terminated=no, truncated=no)

    def step_env(self, key, state, action, params):
        check_action(self, action)
        stepped = self.advance(state.inner, cast(Array, action), params.task)
        inner, obs, reward, terminated, truncated, told = stepped
        time = state.time + 1
        truncated = truncated | (time >= params.max_steps_in_episode)
        next_state = AdaptedState(time=time, inner=inner, obs=obs, terminated=terminated, truncated=truncated)
        info = {"discount": 1.0 - terminated.astype(jnp.float32)}
        if "cost" in told:
            info["cost"] = jnp.asarray(told["cost"], jnp.float32)
        return obs, next_state, reward.astype(jnp.float32), terminated, info

    def get_obs(self, state, params=None, key=None):
        return state.obs

    def is_terminated(self, state, params):
        return state.terminated

    def is_truncated(self, state, params):
        return state.truncated & ~state.terminated

    @abc.abstractmethod
    def action_space(self, params=None) -> Any:
        """A ``Box`` or ``Discrete``, or a ``Tuple`` of such."""

    def observation_space(self, params=None) -> spaces.Box:
        limit = float(jnp.finfo(jnp.float32).max)
        return spaces.Box(-limit, limit, (self.size,), jnp.float32)

    def state_space(self, params=None) -> spaces.Dict:
        """Of what this environment knows: the inner state's spaces are not told."""
        flag, time = spaces.Discrete(2), spaces.Discrete(self.horizon + 1)
        return spaces.Dict({"time": time, "obs": self.observation_space(params), "terminated": flag, "truncated": flag})


def _vector(obs: PyTree) -> Array:
    """All numbers of an observation, ``[O]``."""
    leaves = [jnp.ravel(jnp.asarray(leaf, jnp.float32)) for leaf in jax.tree.leaves(obs)]
    return jnp.concatenate(leaves)


class BraxEnv(Adapted):
    """An environment with Brax's interface: ``reset(key) -> state``, ``step(state, action) -> state``."""

    def begin(self, key, task):
        state = self.make(task).reset(key)
        return state, _vector(state.obs)

    def advance(self, inner, action, task):
        state = self.make(task).step(inner, action)
        # Its wrappers, such as the one that counts the steps, may say that time ran out.
        late = jnp.asarray(state.info.get("truncation", 0.0)) > 0.5
        ended = jnp.asarray(state.done) > 0.5
        return state, _vector(state.obs), jnp.asarray(state.reward), ended & ~late, late, state.info

    def action_space(self, params=None) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, (int(self.make(self.task).action_size),), jnp.float32)


class JumanjiEnv(Adapted):
    """One with Jumanji's interface: ``reset(key)`` and ``step(state, action)`` give a state and a time step."""

    def __init__(self, make: Callable[[Task], Any], task: Task, horizon: int):
        spec = make(task).action_spec
        # Before its version 1 this was a function. It is asked for here, where nothing is traced.
        self.spec: Any = spec() if callable(spec) else spec
        super().__init__(make, task, horizon)

    def begin(self, key, task):
        state, timestep = self.make(task).reset(key)
        return state, _vector(timestep.observation)

    def advance(self, inner, action, task):
        action = jnp.stack(action) if isinstance(action, tuple) else jnp.asarray(action)
        state, timestep = self.make(task).step(inner, action.reshape(self.spec.shape).astype(self.spec.dtype))
        ended = jnp.asarray(timestep.last())
        terminated = ended & (jnp.max(jnp.asarray(timestep.discount)) == 0.0)
        reward = jnp.sum(jnp.asarray(timestep.reward))
        told = getattr(timestep, "extras", None) or {}
        return state, _vector(timestep.observation), reward, terminated, ended & ~terminated, told

    def action_space(self, params=None) -> spaces.Space:
        spec = self.spec
        if (values := getattr(spec, "num_values", None)) is None:
            low, high = (np.broadcast_to(getattr(spec, end), spec.shape) for end in ("minimum", "maximum"))
            return spaces.Box(jnp.asarray(low), jnp.asarray(high), spec.shape, jnp.float32)
        if np.ndim(values) == 0:
            return spaces.Discrete(int(values))
        return spaces.Tuple([spaces.Discrete(int(value)) for value in np.ravel(values)])


def from_brax(
    make: Callable[[Task], Any], sample: Callable[[Key], Task], *, horizon: int = 1000, **settings: Any
) -> TaskDistribution:
    """A family of Brax environments, or of others with its interface, such as MuJoCo Playground's.

    ``make`` is called while a step is traced, with a task that may be traced too: it must build the environment from
    ready parts, such as ``env.replace(sys=...)`` of a copy, and not load files. Wrappers that reset by themselves
    (``AutoResetWrapper``) must be left out.

    Args:
      make: ``make(task) -> environment`` with ``reset(key) -> state``, ``step(state, action) -> state`` and
        ``action_size``; a state has ``obs``, ``reward``, ``done`` and ``info``, of which ``cost`` is a step's cost.
      sample: ``sample(key) -> task``, a pytree of arrays.
      horizon: steps in an episode at most, ≥ 1.
      **settings: further ones of ``from_gymnax``, whose tasks are those of ``sample``.

    Returns:
      The family. Actions are in [−1, 1], an observation is one vector of all numbers that are shown.

    Raises:
      TypeError: what ``make`` returns has no such ``reset`` and ``step``.
    """
    return _family(BraxEnv, ("reset", "step", "action_size"), make, sample, horizon, settings)


def from_jumanji(
    make: Callable[[Task], Any], sample: Callable[[Key], Task], *, horizon: int = 1000, **settings: Any
) -> TaskDistribution:
    """A family of Jumanji environments, or of others with its interface.

    ``make`` is called while a step is traced, with a task that may be traced too. Their constructors do not bear that:
    build one environment beforehand, and let ``make`` change a ``copy.copy`` of it.

    Args:
      make: ``make(task) -> environment`` with ``reset(key)`` and ``step(state, action)``, which return a state and a
        time step, and an ``action_spec``; the task may be traced. The time step's ``extras`` may have a ``cost``.
      sample: ``sample(key) -> task``, a pytree of arrays.
      horizon: steps in an episode at most, ≥ 1.
      **settings: further ones of ``from_gymnax``, whose tasks are those of ``sample``.

    Returns:
      The family. Actions of several discrete parts are numbered; an observation is one vector of all numbers that are
      shown, masks of actions among them. A step whose discount is not 0 at the end truncates the episode.

    Raises:
      TypeError: what ``make`` returns has no such ``reset`` and ``step``.
    """
    return _family(JumanjiEnv, ("reset", "step", "action_spec"), make, sample, horizon, settings)


def _family(
    adapter: type[Adapted],
    needs: tuple[str, ...],
    make: Callable[[Task], Any],
    sample: Callable[[Key], Task],
    horizon: int,
    settings: dict[str, Any],
) -> TaskDistribution:
    check_least(1, horizon=horizon)
    task = jax.tree.map(jnp.asarray, sample(jax.random.key(0)))
    made = make(task)
    if lacks := [name for name in needs if not hasattr(made, name)]:
        raise TypeError(f"make: returns {type(made).__name__} without {', '.join(lacks)}")

    def params_of(task: Task) -> AdaptedParams:
        return AdaptedParams(task=task, max_steps_in_episode=horizon)

    def of(sampler: Callable[[Key], Task]) -> Callable[[Key], AdaptedParams]:
        return lambda key: params_of(sampler(key))

    for name in ("optimum", "cost_limit"):
        if (function := settings.get(name)) is not None:
            settings[name] = lambda params, function=function: function(params.task)
    if (by_hand := settings.get("controllers")) is not None:
        settings["controllers"] = {
            name: one._replace(begin=lambda params, begin=one.begin: begin(params.task))
            for name, one in by_hand.items()
        }
    for name in ("every", "every_test"):
        if (tasks := settings.get(name)) is not None:
            settings[name] = jax.vmap(params_of)(tasks)
    if (test := settings.pop("sample_test", None)) is not None:
        settings["sample_test"] = of(test)
    return from_gymnax(adapter(make, task, horizon), of(sample), horizon=horizon, **settings)
