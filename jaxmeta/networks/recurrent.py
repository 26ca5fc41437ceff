"""Recurrent actors and critics: a memory of a lifetime, as pure functions of one sequence."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from gymnax.environments import environment

from jaxmeta.networks.cells import Cell, cell_for
from jaxmeta.networks.distributions import Distribution
from jaxmeta.networks.layers import MLP, Activation, activation_for
from jaxmeta.networks.policies import gate_of, parameters_under, policy_module
from jaxmeta.types import Array, Key, PyTree


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
    horizon: int,
    *,
    cell: str | Cell = "gru",
    size: int = 128,
    embedding: tuple[int, ...] = (),
    hidden: tuple[int, ...] = (),
    activation: str | Activation = "relu",
    initial_log_std: float = -0.7,
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
      activation: the nonlinearity of those layers, by its name in ``jax.nn`` or as a function.
      initial_log_std: initial log standard deviation of a Gaussian policy, in the units of the action space.
      bounded_mean: of a Gaussian policy, as in ``policy_for``.
      experts: K ≥ 1 of the actor, as in ``policy_for``; their gate sees the features that the cell gives.

    Raises:
      ValueError: an unknown cell, a size out of its range, or spaces of another kind.
    """
    activation = activation_for(activation)
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


def undecided(params: PyTree, layer: int) -> PyTree:
    """An actor's parameters with last weights a hundredth as large: all actions are about as likely at first.

    What Andrychowicz et al. 2021 (section 3.2) recommend.

    Args:
      params: of a ``policy_module``.
      layer: index of its output layer.
    """
    last = parameters_under(params, {f"Dense_{layer}"})
    return jax.tree.map(lambda x, last: 0.01 * x if last else x, params, last)
