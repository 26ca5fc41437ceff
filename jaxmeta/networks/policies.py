"""Policy networks: flax modules that map observations ``[..., O]`` to an action distribution with the same lead."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least, has_bounds
from jaxmeta.networks.distributions import Categorical, Distribution, Gaussian
from jaxmeta.networks.encoders import Encoder, cnn
from jaxmeta.networks.layers import Activation, Mixture, activation_for, aligned, check_widths, feedforward
from jaxmeta.parts import built, part
from jaxmeta.tasks import observation_parts
from jaxmeta.types import Array, Key, PyTree

FLAT = "networks need a Box of rank 1 (actions may be Discrete): from_gymnax(env, ...) or flatten_observations(tasks)"
"""What to do about an environment whose spaces are not flat."""


class Policy(NamedTuple):
    """A policy as two pure functions; anything with these two fits, flax or not.

    Attributes:
      init: ``init(key) -> params``.
      apply: ``apply(params, obs) -> distribution``; ``obs`` is ``[..., O]``. With a context,
        ``apply(params, obs, context)``, where ``context`` is ``[C]``, the same for all observations.
      head: ``head(params) -> pytree of bool`` of the same structure: which parameters are the output layer's; ``None``
        where nobody says.
      context_size: C, the length of the context that ``apply`` takes as well; 0 where it takes none.
      gate: of a mixture of K experts, their probabilities ``[..., K]`` from what ``apply`` takes; ``None`` of one
        network.
    """

    init: Callable[[Key], PyTree]
    apply: Callable[..., Distribution]
    head: Callable[[PyTree], PyTree] | None = None
    context_size: int = 0
    gate: Callable[..., Array] | None = None


class GaussianPolicy(nn.Module):
    """Mean of an MLP, or of experts, and a state-independent ``log_std`` parameter, as in Finn et al. 2017.

    ``bounds``, the lowest and the highest mean of each entry, are approached by a hyperbolic tangent; ``None`` is none.
    ``images`` reads observations first, if it is given.
    """

    action_size: int
    hidden: Sequence[int] = (100, 100)
    activation: Callable[[Array], Array] = nn.relu
    initial_log_std: float = 0.0
    minimum_log_std: float = math.log(1e-6)
    experts: int = 1
    bounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    images: nn.Module | None = None

    @nn.compact
    def __call__(self, obs: Array, context: Array | None = None) -> Gaussian:
        network = feedforward((*self.hidden, self.action_size), self.activation, self.experts)
        mean = network(_features(self.images, obs, context))
        if self.bounds is not None:
            low, high = (aligned(jnp.array(end), mean) for end in self.bounds)
            middle, reach = (high + low) / 2, (high - low) / 2
            mean = middle + reach * jnp.tanh((mean - middle) / reach)
        log_std = self.param("log_std", nn.initializers.constant(self.initial_log_std), (self.action_size,))
        return Gaussian(mean, jnp.maximum(log_std, self.minimum_log_std))


class CategoricalPolicy(nn.Module):
    """Logits of an MLP, or of experts; ``images`` reads observations first, if it is given."""

    num_actions: int
    hidden: Sequence[int] = (100, 100)
    activation: Callable[[Array], Array] = nn.relu
    experts: int = 1
    images: nn.Module | None = None

    @nn.compact
    def __call__(self, obs: Array, context: Array | None = None) -> Categorical:
        network = feedforward((*self.hidden, self.num_actions), self.activation, self.experts)
        return Categorical(network(_features(self.images, obs, context)))


def from_module(
    module: Any,
    observation_shape: Sequence[int],
    *,
    head: Callable[[PyTree], PyTree] | None = None,
    context_size: int = 0,
    gate: Callable[..., Array] | None = None,
) -> Policy:
    """A ``Policy`` from a flax linen module; ``head``, ``context_size`` ≥ 0 and ``gate`` are the policy's own.

    Args:
      module: maps observations, and a context if there is one, to a distribution.
      observation_shape: of one observation.
    """
    check_least(0, context_size=context_size)
    if not (hasattr(module, "init") and hasattr(module, "apply")):
        raise TypeError(
            f"module: got {type(module).__name__}; must be a flax linen module (see from_nnx, from_equinox)"
        )
    inputs = (jnp.zeros(tuple(observation_shape)), *([jnp.zeros(context_size)] if context_size else []))
    if more := set(jax.eval_shape(module.init, jax.random.key(0), *inputs)) - {"params"}:
        kept = ", ".join(sorted(more))
        raise ValueError(
            f"module: keeps {kept} beside its parameters, as BatchNorm does; a policy is a function of them alone"
        )
    return Policy(lambda key: module.init(key, *inputs), module.apply, head, context_size, gate)


def from_nnx(
    make: Callable[[Any], Any], *, head: Callable[[PyTree], PyTree] | None = None, context_size: int = 0
) -> Policy:
    """A ``Policy`` from a flax nnx module; ``head`` and ``context_size`` ≥ 0 are the policy's own.

    Args:
      make: ``make(rngs) -> module``, which maps observations ``[..., O]``, and a context if there is one, to a
        distribution. Its parameters are learned; it must not keep anything else that changes.
    """
    from flax import nnx

    check_least(0, context_size=context_size)
    graph, like, rest = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param, ...)
    if more := [path for path, _ in nnx.to_flat_state(rest)]:
        raise ValueError(
            f"make: the module keeps {more[0]} beside its parameters; a policy is a function of them alone"
        )

    def init_fn(key: Key) -> PyTree:
        return nnx.to_pure_dict(nnx.split(make(nnx.Rngs(key)), nnx.Param, ...)[1])

    def apply_fn(params: PyTree, *inputs: Array) -> Distribution:
        state = jax.tree.map(lambda x: x, like)
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state, rest)(*inputs)

    return Policy(init_fn, apply_fn, head, context_size)


def from_equinox(
    make: Callable[[Key], Any], *, head: Callable[[PyTree], PyTree] | None = None, context_size: int = 0
) -> Policy:
    """A ``Policy`` from an equinox module, or any callable pytree; ``head`` and ``context_size`` are the policy's own.

    Args:
      make: ``make(key) -> module``, which maps one observation ``[O]``, and a context if there is one, to a
        distribution. Its arrays of floating-point numbers are learned.
    """
    check_least(0, context_size=context_size)
    with jax.ensure_compile_time_eval():
        leaves, structure = jax.tree.flatten(make(jax.random.key(0)))
    learned = [isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]

    def init_fn(key: Key) -> PyTree:
        drawn = jax.tree.leaves(make(key))
        return [leaf for leaf, is_learned in zip(drawn, learned, strict=True) if is_learned]

    def apply_fn(params: PyTree, obs: Array, *context: Array) -> Distribution:
        weights = iter(params)
        whole = [next(weights) if is_learned else leaf for leaf, is_learned in zip(leaves, learned, strict=True)]
        call = jax.tree.unflatten(structure, whole)
        for _ in range(obs.ndim - 1):
            call = jax.vmap(call, (0, *[None] * len(context)))
        return call(obs, *context)

    return Policy(init_fn, apply_fn, head, context_size)


def policy_for(
    env: environment.Environment,
    context_size: int = 0,
    *,
    hidden: tuple[int, ...] = (100, 100),
    activation: str | Activation = "relu",
    initial_log_std: float = -0.7,
    bounded_mean: bool = False,
    experts: int = 1,
    encoder: Encoder = part(cnn),
) -> Policy:
    """A policy that fits an environment's spaces: Gaussian for ``Box`` actions, categorical for ``Discrete`` ones.

    Its head is the output layer, of each expert and of the gate, and a Gaussian's standard deviation.

    Args:
      env: a gymnax environment.
      context_size: length of a context vector that is put beside the observation, ≥ 0; 0 is none.
      hidden: widths of the hidden layers.
      activation: the nonlinearity between layers, by its name in ``jax.nn`` (relu, silu, tanh, ...) or as a function.
      initial_log_std: initial log standard deviation of a Gaussian policy, in the units of the action space.
      bounded_mean: whether a Gaussian policy's mean stays within the action space. Where actions are clipped to it, a
        mean far outside leaves noise without effect, and exploration ends.
      experts: K ≥ 1 networks. Above 1 the mean, or the logits, are their sum, weighted by a gate: one more network,
        which also sees the context and, where weights adapt, adapts as they do.
      encoder: how images among the observations are read.
    """
    images = built(encoder, observation_parts(env)).module
    module = policy_module(env, hidden, activation_for(activation), initial_log_std, bounded_mean, experts, images)
    shape = env.observation_space(env.default_params).shape
    head = lambda params: parameters_under(params, {f"Dense_{len(hidden)}", "log_std"})  # noqa: E731
    return from_module(module, shape, head=head, context_size=context_size, gate=gate_of(module))


def policy_module(
    env: environment.Environment,
    hidden: Sequence[int],
    activation: Callable[[Array], Array],
    initial_log_std: float,
    bounded_mean: bool,
    experts: int,
    images: nn.Module | None = None,
) -> GaussianPolicy | CategoricalPolicy:
    """The module of ``policy_for``: Gaussian or categorical, by the action space."""
    check_least(1, experts=experts)
    check_widths(hidden=hidden)
    params = env.default_params
    action_space, observation_space = env.action_space(params), env.observation_space(params)
    if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 1:
        raise ValueError(f"env: observation space is {observation_space}; {FLAT}")
    if isinstance(action_space, spaces.Discrete):
        return CategoricalPolicy(action_space.n, tuple(hidden), activation, experts=experts, images=images)
    if isinstance(action_space, spaces.Box) and len(action_space.shape) == 1:
        bounds = _bounds_of(action_space) if bounded_mean else None
        size = action_space.shape[0]
        own = {"experts": experts, "bounds": bounds, "images": images}
        return GaussianPolicy(size, tuple(hidden), activation, initial_log_std, **own)
    raise ValueError(f"env: action space is {action_space}; {FLAT}")


def _bounds_of(space: spaces.Box) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not has_bounds(space):
        raise ValueError("bounded_mean: the action space has no bounds")
    low, high = (np.broadcast_to(np.asarray(bound, np.float32), space.shape) for bound in (space.low, space.high))
    return tuple(low.tolist()), tuple(high.tolist())


def gate_of(module: GaussianPolicy | CategoricalPolicy) -> Callable[..., Array] | None:
    """``gate(params, obs, context=None) -> [..., K]`` of a policy module's parameters; ``None`` for one expert."""
    if module.experts == 1:
        return None
    mixture = Mixture(module.experts, (*module.hidden, 1), module.activation)

    def gate_fn(params: PyTree, obs: Array, context: Array | None = None) -> Array:
        inputs = _with_context(obs, context)
        if module.images is not None:
            inputs = module.images.apply({"params": params["params"]["images"]}, inputs)
        return cast(Array, mixture.apply({"params": params["params"]["Mixture_0"]}, inputs, method="probabilities"))

    return gate_fn


def parameters_under(params: PyTree, names: set[str]) -> PyTree:
    """A pytree of bool: which parameters are those of modules, or themselves, of these names."""
    named = lambda path, _: any(getattr(part, "key", None) in names for part in path)  # noqa: E731
    return jax.tree_util.tree_map_with_path(named, params)


def _features(images: nn.Module | None, obs: Array, context: Array | None) -> Array:
    """What a policy's layers read: the observations, through ``images`` if given, and the context beside each."""
    inputs = _with_context(obs, context)
    return inputs if images is None else images(inputs)


def _with_context(obs: Array, context: Array | None) -> Array:
    """Observations ``[..., O]`` with the context ``[C]`` beside each."""
    if context is None:
        return obs
    return jnp.concatenate([obs, jnp.broadcast_to(context, (*obs.shape[:-1], context.shape[-1]))], axis=-1)
