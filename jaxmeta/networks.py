"""Policy networks: flax modules that map observations ``[..., O]`` to an action distribution with the same lead."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment, spaces

from jaxmeta.cells import Cell, cell_for
from jaxmeta.distributions import Categorical, Distribution, Gaussian
from jaxmeta.layers import MLP, Mixture, feedforward
from jaxmeta.types import Array, Key, PyTree


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
    """

    action_size: int
    hidden: Sequence[int] = (100, 100)
    activation: Callable[[Array], Array] = nn.relu
    initial_log_std: float = 0.0
    minimum_log_std: float = math.log(1e-6)
    experts: int = 1
    bounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @nn.compact
    def __call__(self, obs: Array, context: Array | None = None) -> Gaussian:
        network = feedforward((*self.hidden, self.action_size), self.activation, self.experts)
        mean = network(_with_context(obs, context))
        if self.bounds is not None:
            low, high = jnp.array(self.bounds)
            middle, reach = (high + low) / 2, (high - low) / 2
            mean = middle + reach * jnp.tanh((mean - middle) / reach)
        log_std = self.param("log_std", nn.initializers.constant(self.initial_log_std), (self.action_size,))
        return Gaussian(mean, jnp.maximum(log_std, self.minimum_log_std))


class CategoricalPolicy(nn.Module):
    """Logits of an MLP, or of experts."""

    num_actions: int
    hidden: Sequence[int] = (100, 100)
    activation: Callable[[Array], Array] = nn.relu
    experts: int = 1

    @nn.compact
    def __call__(self, obs: Array, context: Array | None = None) -> Categorical:
        network = feedforward((*self.hidden, self.num_actions), self.activation, self.experts)
        return Categorical(network(_with_context(obs, context)))


def from_module(
    module: Any,
    observation_shape: Sequence[int],
    *,
    head: Callable[[PyTree], PyTree] | None = None,
    context_size: int = 0,
    gate: Callable[..., Array] | None = None,
) -> Policy:
    """A ``Policy`` from a flax linen module that maps observations to a distribution.

    Args:
      module: called with observations, and with a context if there is one.
      observation_shape: of one observation.
      head: ``head(params) -> pytree of bool``, which parameters are the output layer's.
      context_size: length of the context, ≥ 0.
      gate: probabilities of the module's experts, if it has any.

    Raises:
      ValueError: ``context_size`` below 0.
    """
    if context_size < 0:
        raise ValueError(f"context_size: got {context_size}; must be at least 0")
    inputs = (jnp.zeros(tuple(observation_shape)), *([jnp.zeros(context_size)] if context_size else []))
    return Policy(lambda key: module.init(key, *inputs), module.apply, head, context_size, gate)


def policy_for(
    env: environment.Environment,
    *,
    hidden: Sequence[int] = (100, 100),
    activation: Callable[[Array], Array] = nn.relu,
    initial_log_std: float = 0.0,
    bounded_mean: bool = False,
    context_size: int = 0,
    experts: int = 1,
) -> Policy:
    """A policy that fits an environment's spaces: Gaussian for ``Box`` actions, categorical for ``Discrete`` ones.

    Args:
      env: a gymnax environment.
      hidden: widths of the hidden layers.
      activation: the nonlinearity between layers.
      initial_log_std: initial log standard deviation of a Gaussian policy, in the units of the action space.
      bounded_mean: a Gaussian's mean stays within the action space. Where actions are clipped to it, a mean far outside
        leaves noise without effect, and exploration ends.
      context_size: length of a context vector that is put beside the observation, ≥ 0; 0 is none.
      experts: K ≥ 1. Above 1 the mean, or the logits, are the sum of those of K networks, weighted by a gate: one more
        network, which also sees the context and, where weights adapt, adapts as they do.

    Returns:
      The policy. Its head is the output layer, of each expert and of the gate, and a Gaussian's standard deviation.

    Raises:
      ValueError: a width or a number of experts below 1, a negative context size, or spaces of another kind.
    """
    module = policy_module(env, hidden, activation, initial_log_std, bounded_mean, experts)
    shape = env.observation_space(env.default_params).shape
    head = lambda params: _parameters_under(params, {f"Dense_{len(hidden)}", "log_std"})  # noqa: E731
    return from_module(module, shape, head=head, context_size=context_size, gate=gate_of(module))


class RecurrentPolicy(NamedTuple):
    """A policy and a critic with a memory, as pure functions of one sequence; callers vmap.

    Attributes:
      init: ``init(key) -> params``.
      begin: ``begin(params) -> memory``, before the first observation.
      step: ``step(params, memory, obs) -> (distribution, value, memory)`` for one observation ``[O]``.
      sequence: ``sequence(params, memory, obs) -> (distribution, value, memory)`` for ``[T, O]``: what ``T`` steps
        would give, stacked.
      gate: of an actor of K experts, ``gate(params, memory, obs) -> (probabilities, memory)``, ``[T, K]``, likewise;
        ``None`` of one network.
    """

    init: Callable[[Key], PyTree]
    begin: Callable[[PyTree], PyTree]
    step: Callable[[PyTree, PyTree, Array], tuple[Distribution, Array, PyTree]]
    sequence: Callable[[PyTree, PyTree, Array], tuple[Distribution, Array, PyTree]]
    gate: Callable[[PyTree, PyTree, Array], tuple[Array, PyTree]] | None = None


def recurrent_policy_for(
    env: environment.Environment,
    *,
    horizon: int,
    cell: str | Cell = "gru",
    size: int = 128,
    embedding: Sequence[int] = (),
    hidden: Sequence[int] = (),
    activation: Callable[[Array], Array] = nn.relu,
    initial_log_std: float = 0.0,
    bounded_mean: bool = False,
    experts: int = 1,
) -> RecurrentPolicy:
    """A recurrent actor and critic that fit an environment's spaces: observation, cell, one head each.

    Args:
      env: a gymnax environment with flat observations.
      horizon: steps in a lifetime, ≥ 1; a transformer remembers as many.
      cell: a name in ``CELLS``, or a ``Cell``.
      size: H ≥ 1, features that the cell gives; used where ``cell`` is a name.
      embedding: widths of layers between the observation and the cell.
      hidden: widths of the hidden layers of each head.
      activation: the nonlinearity of those layers.
      initial_log_std: initial log standard deviation of a Gaussian policy, in the units of the action space.
      bounded_mean: of a Gaussian policy, as in ``policy_for``.
      experts: K ≥ 1 of the actor, as in ``policy_for``; their gate sees the features that the cell gives.

    Raises:
      ValueError: an unknown cell, a size out of its range, or spaces of another kind.
    """
    cell = cell_for(cell, size, horizon) if isinstance(cell, str) else cell
    actor = policy_module(env, hidden, activation, initial_log_std, bounded_mean, experts)
    gate = gate_of(actor)
    critic, norm = MLP((*hidden, 1), activation), nn.LayerNorm()
    embed = MLP(tuple(embedding), activation) if embedding else None
    observation = jnp.zeros(env.observation_space(env.default_params).shape)

    def init_fn(key: Key) -> PyTree:
        key_embed, key_cell, key_actor, key_critic, key_norm = jax.random.split(key, 5)
        params = {} if embed is None else {"embedding": embed.init(key_embed, observation)}
        inputs = read(params, observation)
        params["cell"] = cell.init(key_cell, inputs.shape[-1])
        features = cell.step(params["cell"], cell.start(), inputs)[1]
        params |= {"critic": critic.init(key_critic, features), "norm": norm.init(key_norm, features)}
        return {**params, "actor": undecided(actor.init(key_actor, features), len(hidden))}

    def read(params: PyTree, obs: Array) -> Array:
        return obs if embed is None else activation(cast(Array, embed.apply(params["embedding"], obs)))

    def judge(params: PyTree, features: Array) -> tuple[Distribution, Array]:
        features = cast(Array, norm.apply(params["norm"], features))
        value = cast(Array, critic.apply(params["critic"], features))[..., 0]
        distribution = cast(Distribution, actor.apply(params["actor"], features))
        # A deviation that does not depend on the state gets the axes of those that do.
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (*value.shape, x.shape[-1])), distribution), value

    def step_fn(params: PyTree, memory: PyTree, obs: Array) -> tuple[Distribution, Array, PyTree]:
        memory, features = cell.step(params["cell"], memory, read(params, obs))
        return *judge(params, features), memory

    def sequence_fn(params: PyTree, memory: PyTree, obs: Array) -> tuple[Distribution, Array, PyTree]:
        memory, features = cell.sequence(params["cell"], memory, read(params, obs))
        return *judge(params, features), memory

    def gate_fn(params: PyTree, memory: PyTree, obs: Array) -> tuple[Array, PyTree]:
        memory, features = cell.sequence(params["cell"], memory, read(params, obs))
        assert gate is not None
        return gate(params["actor"], norm.apply(params["norm"], features)), memory

    return RecurrentPolicy(
        init_fn, lambda params: cell.start(), step_fn, sequence_fn, None if gate is None else gate_fn
    )


def in_segments(policy: RecurrentPolicy, length: int) -> RecurrentPolicy:
    """The same, whose sequences are differentiated ``length`` steps back at most.

    The memory enters each segment as it left the one before, but as a constant. A segment's activations are computed
    again when it is differentiated, so that they do not grow with the number of segments.

    Args:
      policy: the network.
      length: steps in a segment, ≥ 1; must divide the sequence.

    Raises:
      ValueError: ``length`` below 1, or, when a sequence is given, one that does not divide it.
    """
    if length < 1:
        raise ValueError(f"segment: got {length}; must be at least 1")

    def cut(function: Callable[..., Any]) -> Callable[..., Any]:
        def in_parts(params: PyTree, memory: PyTree, obs: Array) -> tuple[Any, ...]:
            if obs.shape[0] % length:
                raise ValueError(f"segment: got {length}; must divide the lifetime's {obs.shape[0]} steps")

            @jax.checkpoint
            def segment(memory: PyTree, part: Array):
                *outputs, memory = function(params, jax.lax.stop_gradient(memory), part)
                return memory, outputs

            parts = obs.reshape(-1, length, *obs.shape[1:])
            memory, outputs = jax.lax.scan(segment, memory, parts)
            return *jax.tree.map(lambda x: x.reshape(obs.shape[0], *x.shape[2:]), outputs), memory

        return in_parts

    return policy._replace(sequence=cut(policy.sequence), gate=None if policy.gate is None else cut(policy.gate))


def policy_module(
    env: environment.Environment,
    hidden: Sequence[int],
    activation: Callable[[Array], Array],
    initial_log_std: float,
    bounded_mean: bool,
    experts: int,
) -> GaussianPolicy | CategoricalPolicy:
    """The module of ``policy_for``: Gaussian or categorical, by the action space.

    Raises:
      ValueError: a width or a number of experts below 1, a bounded mean without bounds, or spaces of another kind.
    """
    if experts < 1:
        raise ValueError(f"experts: got {experts}; must be at least 1")
    if any(width < 1 for width in hidden):
        raise ValueError(f"hidden: got {tuple(hidden)}; every width must be at least 1")
    params = env.default_params
    action_space, observation_space = env.action_space(params), env.observation_space(params)
    if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 1:
        raise ValueError(f"env: observation space is {observation_space}; a policy needs a Box of rank 1")
    if isinstance(action_space, spaces.Discrete):
        return CategoricalPolicy(action_space.n, tuple(hidden), activation, experts=experts)
    if isinstance(action_space, spaces.Box) and len(action_space.shape) == 1:
        bounds = _bounds_of(action_space) if bounded_mean else None
        size = action_space.shape[0]
        return GaussianPolicy(size, tuple(hidden), activation, initial_log_std, experts=experts, bounds=bounds)
    raise ValueError(f"env: action space is {action_space}; a policy needs Discrete, or a Box of rank 1")


def _bounds_of(space: spaces.Box) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low, high = (np.broadcast_to(np.asarray(bound, np.float32), space.shape) for bound in (space.low, space.high))
    if not np.all(np.isfinite([low, high])):
        raise ValueError("bounded_mean: the action space has no bounds")
    return tuple(low.tolist()), tuple(high.tolist())


def gate_of(module: GaussianPolicy | CategoricalPolicy) -> Callable[..., Array] | None:
    """``gate(params, obs, context=None) -> [..., K]`` of a policy module's parameters; ``None`` for one expert."""
    if module.experts == 1:
        return None
    mixture = Mixture(module.experts, (*module.hidden, 1), module.activation)

    def gate_fn(params: PyTree, obs: Array, context: Array | None = None) -> Array:
        inputs = _with_context(obs, context)
        return cast(Array, mixture.apply({"params": params["params"]["Mixture_0"]}, inputs, method="probabilities"))

    return gate_fn


def undecided(params: PyTree, layer: int) -> PyTree:
    """An actor's parameters with last weights a hundredth as large: all actions are about as likely at first.

    What Andrychowicz et al. 2021 (section 3.2) recommend.

    Args:
      params: of a ``policy_module``.
      layer: index of its output layer.
    """
    last = _parameters_under(params, {f"Dense_{layer}"})
    return jax.tree.map(lambda x, last: 0.01 * x if last else x, params, last)


def _parameters_under(params: PyTree, names: set[str]) -> PyTree:
    """A pytree of bool: which parameters are those of modules, or themselves, of these names."""
    named = lambda path, _: any(getattr(part, "key", None) in names for part in path)  # noqa: E731
    return jax.tree_util.tree_map_with_path(named, params)


def _with_context(obs: Array, context: Array | None) -> Array:
    """Observations ``[..., O]`` with the context ``[C]`` beside each."""
    if context is None:
        return obs
    return jnp.concatenate([obs, jnp.broadcast_to(context, (*obs.shape[:-1], context.shape[-1]))], axis=-1)


def count_parameters(params: PyTree) -> int:
    """Number of scalars in a parameter pytree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
