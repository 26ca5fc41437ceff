"""Models of dynamics that learn within a lifetime, by gradient steps or by a memory (Nagabandi et al. 2019)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.environment import Environment

from jaxmeta.checks import check_least, check_positive
from jaxmeta.data import Transitions
from jaxmeta.models.dynamics import DynamicsModel, Scale, dynamics_model_for, with_context
from jaxmeta.models.fitting import adapt_model
from jaxmeta.networks import Cell, cell_for
from jaxmeta.parts import extends
from jaxmeta.tasks import LifetimeEnv
from jaxmeta.types import Array, Key, PyTree


class OnlineModel(NamedTuple):
    """A dynamics model of the environment that a ``LifetimeEnv`` wraps, which each observation of a lifetime adapts.

    Attributes:
      init: ``init(key) -> params``; ``params["model"]`` are those of ``model``.
      begin: ``begin() -> memory``, before the first observation.
      observe: ``observe(params, memory, obs) -> memory``, for the lifetime's next observation ``[O]``: only what it and
        those before it say is known.
      adapted: ``adapted(params, memory) -> (model, params)`` to predict with, from the last observation on.
      loss: ``loss(key, params, data) -> scalar``: errors of predictions that were adapted to what came before, in one
        lifetime ``[T]``, such as ``transitions_of`` it.
      model: the functions that ``adapted`` changes.
    """

    init: Callable[[Key], PyTree]
    begin: Callable[[], PyTree]
    observe: Callable[[PyTree, PyTree, Array], PyTree]
    adapted: Callable[[PyTree, PyTree], tuple[DynamicsModel, PyTree]]
    loss: Callable[[Key, PyTree, Transitions], Array]
    model: DynamicsModel


class Window(NamedTuple):
    """What a model learns from within a lifetime."""

    steps: Transitions  # the last M that are known, [M], the newest last; mask 0 where there were fewer
    last: Array  # the newest observation, of which the next one tells where it led, [O]
    time: Array  # its step in the episode


class Recalled(NamedTuple):
    """A cell's memory, and its features ``[H]``, after the newest observation."""

    carry: PyTree
    features: Array


def step_between(env: LifetimeEnv, before: Array, now: Array, time: Array) -> Transitions:
    """The wrapped environment's step between two observations of a lifetime, without a leading axis.

    An observation says that an episode ended, but not why. One that ended before the family's horizon is taken to have
    terminated: its reward and its end are known, but ``next_obs``, the next episode's first, is not where it led. One
    that lasted for the whole horizon was cut off by time, as far as anybody can tell: its last step gets mask 0, and
    so does what lies before a lifetime's first step. What terminates exactly at the horizon is therefore not learned.
    ``now`` ``[O]`` follows ``before`` ``[O]``, before which the episode had ``time`` steps.
    """
    old, new = env.split_observation(before), env.split_observation(now)
    early = (time + 1 < env.horizon).astype(jnp.float32)
    mask = new.has_action * (1.0 - new.episode_end * (1.0 - early))
    return Transitions(old.obs, new.action, new.reward, new.obs, new.episode_end * early, mask)


def steps_of(env: LifetimeEnv, data: Transitions) -> Transitions:
    """The wrapped environment's steps in lifetimes ``[..., T]`` in order of time, as ``step_between`` sees them."""
    if data.mask.ndim > 1:
        return jax.vmap(lambda one: steps_of(env, one))(data)
    index = jnp.arange(data.mask.shape[0])
    start = jax.lax.cummax(jnp.where(data.obs[:, -1] > 0, index, 0))
    steps = jax.vmap(lambda *each: step_between(env, *each))(data.obs, data.next_obs, index - start)
    return steps._replace(mask=steps.mask * data.mask)


@extends(dynamics_model_for, without=("ends_seen",))
def online_model_for(env: Environment, context: int = 0, **settings: Any) -> DynamicsModel:
    """``dynamics_model_for`` the wrapped environment, as an ``OnlineModel`` needs it: ends are not seen."""
    return dynamics_model_for(of_lifetimes(env).env, context, ends_seen=False, **settings)


@extends(online_model_for)
def windowed_model(
    env: Environment,
    model: DynamicsModel | None = None,
    *,
    window: int = 16,
    future: int = 16,
    inner_rate: float = 0.1,
    inner_steps: int = 1,
    first_order: bool = False,
    probabilistic: bool = False,
    **network: Any,
) -> OnlineModel:
    """GrBAL: at each step, gradient steps from the meta-trained weights on the last M transitions.

    The loss is that of the next K transitions, differentiated through the adaptation, at a time that is drawn
    uniformly; where fewer than M are known, the window is shorter, and at a lifetime's start nothing is adapted.

    Args:
      env: of lifetimes.
      model: by default ``online_model_for(env, ...)`` with the settings that follow the model's adaptation.
      window: M ≥ 1.
      future: K ≥ 1.
      inner_rate: step size, > 0.
      inner_steps: ≥ 1.
      first_order: whether the adaptation counts as the identity when it is differentiated.
    """
    check_least(1, window=window, future=future, inner_steps=inner_steps)
    check_positive(inner_rate=inner_rate)
    env = of_lifetimes(env)
    base = online_model_for(env, probabilistic=probabilistic, **network) if model is None else model
    blank = jnp.zeros(env.observation_space(env.default_params).shape, jnp.float32)

    def begin_fn() -> Window:
        step = step_between(env, blank, blank, jnp.zeros((), jnp.int32))
        empty = jax.tree.map(lambda x: jnp.zeros((window, *x.shape), x.dtype), step)
        return Window(empty, blank, jnp.zeros((), jnp.int32))

    def observe_fn(params: PyTree, memory: Window, obs: Array) -> Window:
        step = step_between(env, memory.last, obs, memory.time)
        rolled = jax.tree.map(lambda xs, x: jnp.concatenate([xs[1:], x[None]]), memory.steps, step)
        steps = jax.tree.map(lambda new, old: jnp.where(step.mask > 0, new, old), rolled, memory.steps)
        parts = env.split_observation(obs)
        first = (parts.has_action == 0) | (parts.episode_end > 0)
        return Window(steps, obs, jnp.where(first, 0, memory.time + 1))

    def adapt(params: PyTree, steps: Transitions) -> PyTree:
        return adapt_model(base, params, steps, steps.mask, rate=inner_rate, steps=inner_steps)

    def loss_fn(key: Key, params: PyTree, data: Transitions) -> Array:
        steps = steps_of(env, data)
        known = jnp.sum(steps.mask).astype(jnp.int32)
        # The known ones first, in order of time: windows of them are the ones that observe_fn keeps.
        order = jnp.argsort(1.0 - steps.mask, stable=True)
        padding = lambda x: ((window, future), *(((0, 0),) * (x.ndim - 1)))  # noqa: E731
        steps = jax.tree.map(lambda x: jnp.pad(x[order], padding(x)), steps)
        first = jax.random.randint(key, (), 0, jnp.maximum(known - future, 0) + 1)
        cut = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, first, window + future), steps)
        past, following = (
            jax.tree.map(lambda x, part=part: x[part], cut) for part in (slice(window), slice(window, None))
        )
        weights = adapt(params["model"], past)
        if first_order:
            # Value of the adapted weights, derivative of those before: Finn et al. 2017, section 5.2.
            shift = jax.tree.map(lambda new, old: new - old, weights, params["model"])
            weights = jax.tree.map(lambda x, move: x + jax.lax.stop_gradient(move), params["model"], shift)
        return base.loss(weights, following, following.mask)

    init_fn = lambda key: {"model": base.init(key)}  # noqa: E731
    adapted_fn = lambda params, memory: (base, adapt(params["model"], memory.steps))  # noqa: E731
    return OnlineModel(init_fn, begin_fn, observe_fn, adapted_fn, loss_fn, base)


@extends(online_model_for)
def recurrent_model(
    env: Environment,
    model: DynamicsModel | None = None,
    *,
    cell: str | Cell = "gru",
    size: int = 64,
    future: int = 16,
    probabilistic: bool = False,
    **network: Any,
) -> OnlineModel:
    """ReBAL: the features of a recurrent layer that reads the lifetime are part of the model's input.

    They are held as they are while the model is asked about steps to come, and so they are where it learns: the loss is
    that of each step given the features of 0 to K − 1 steps before, a number that is drawn uniformly. With K = 1 the
    last reward foretells the next so well that little else need be remembered, and a plan has nothing to go by.
    Observations and rewards enter the layer in units of the model's normalisation.

    Args:
      env: of lifetimes.
      model: with a context of the cell's features; by default ``online_model_for(env, features, ...)``.
      cell: a name in ``CELLS``, or a ``Cell``.
      size: H ≥ 1, features of the cell; used where ``cell`` is a name.
      future: K ≥ 1, steps that the memory is held for where the model learns.
    """
    check_least(1, future=future)
    env = of_lifetimes(env)
    layer = cell_for(cell, size, env.episodes * env.horizon + 1) if isinstance(cell, str) else cell
    observation = jnp.zeros(env.observation_space(env.default_params).shape, jnp.float32)

    step = lambda key: layer.step(layer.init(key, observation.shape[0]), layer.start(), observation)  # noqa: E731
    context = jax.eval_shape(step, jax.random.key(0))[1].shape[0]
    base = online_model_for(env, context, probabilistic=probabilistic, **network) if model is None else model

    def init_fn(key: Key) -> PyTree:
        key_model, key_cell = jax.random.split(key)
        return {"model": base.init(key_model), "cell": layer.init(key_cell, observation.shape[0])}

    def read(params: PyTree, obs: Array) -> Array:
        """Observations ``[..., O]``, normalised."""
        scale, parts = jax.lax.stop_gradient(params["model"]["scale"]), env.split_observation(obs)
        inputs, targets, seen = scale["inputs"], scale["targets"], parts.obs.shape[-1]
        inner = Scale(inputs.mean[:seen], inputs.deviation[:seen]).normalised(parts.obs)
        reward = parts.has_action * (parts.reward - targets.mean[-1]) / targets.deviation[-1]
        return jnp.concatenate([inner, obs[..., seen:-2], reward[..., None], parts.episode_end[..., None]], axis=-1)

    def observe_fn(params: PyTree, memory: Recalled, obs: Array) -> Recalled:
        return Recalled(*layer.step(params["cell"], memory.carry, read(params, obs)))

    def loss_fn(key: Key, params: PyTree, data: Transitions) -> Array:
        steps = steps_of(env, data)
        features = layer.sequence(params["cell"], layer.start(), read(params, data.obs))[1]
        index = jnp.arange(steps.mask.shape[0])
        # Never so long ago that nothing of a short lifetime would be left.
        ago = jax.random.randint(key, (), 0, jnp.clip(jnp.sum(data.mask), 1, future).astype(jnp.int32))
        features = features[jnp.maximum(index - ago, 0)]
        informed = steps._replace(obs=jnp.concatenate([steps.obs, features], axis=-1))
        return base.loss(params["model"], informed, steps.mask * (index >= ago))

    adapted_fn = lambda params, memory: (with_context(base, memory.features), params["model"])  # noqa: E731
    begin_fn = lambda: Recalled(layer.start(), jnp.zeros(context))  # noqa: E731
    return OnlineModel(init_fn, begin_fn, observe_fn, adapted_fn, loss_fn, base)


def of_lifetimes(env: Environment) -> LifetimeEnv:
    """The environment itself, or what is wrong with it."""
    if not isinstance(env, LifetimeEnv):
        raise ValueError("env: not one of lifetimes; give as_lifetime(tasks, episodes).env")
    return env
