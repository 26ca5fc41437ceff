"""Recurrent actors and critics: a memory of a lifetime, as pure functions of one sequence."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from gymnax.environments import environment

from jaxmeta.checks import check_least
from jaxmeta.networks.cells import Cell, cell_for
from jaxmeta.networks.distributions import Distribution
from jaxmeta.networks.encoders import Encoder, cnn
from jaxmeta.networks.layers import MLP, Activation, activation_for
from jaxmeta.networks.policies import gate_of, parameters_under, policy_module
from jaxmeta.parts import built, part
from jaxmeta.tasks import observation_parts
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
    encoder: Encoder = part(cnn),
) -> RecurrentPolicy:
    """A recurrent actor and critic that fit an environment's spaces: observation, cell, one head each.

    Args:
      env: a gymnax environment with flat observations.
      horizon: steps in a lifetime, ≥ 1; a transformer remembers as many.
      cell: a name in ``CELLS``, or a ``Cell``.
      size: H ≥ 1, features that the cell gives; used where ``cell`` is a name.
      embedding: widths of layers between the observation and the cell.
      hidden: widths of the hidden layers of actor and critic.
      activation: the nonlinearity of those layers, by its name in ``jax.nn`` or as a function.
      initial_log_std: initial log standard deviation of a Gaussian policy, in the units of the action space.
      bounded_mean: whether a Gaussian policy's mean stays within the action space.
      experts: K ≥ 1 networks of the actor; above 1 a gate mixes them, which sees the features that the cell gives.
      encoder: how images among the observations are read, before the embedding.
    """
    activation = activation_for(activation)
    cell = cell_for(cell, size, horizon)
    actor = policy_module(env, hidden, activation, initial_log_std, bounded_mean, experts)
    gate = gate_of(actor)
    critic, norm = MLP((*hidden, 1), activation), nn.LayerNorm()
    embed = MLP(tuple(embedding), activation) if embedding else None
    observation = jnp.zeros(env.observation_space(env.default_params).shape)
    encoder = built(encoder, observation_parts(env))

    def init_fn(key: Key) -> PyTree:
        key_embed, key_cell, key_actor, key_critic, key_norm = jax.random.split(key, 5)
        params = encoder.init(jax.random.fold_in(key_embed, 0), observation)
        if embed is not None:
            params["embedding"] = embed.init(key_embed, encoder.read(params, observation))
        inputs = read(params, observation)
        params["cell"] = cell.init(key_cell, inputs.shape[-1])
        features = cell.step(params["cell"], cell.start(), inputs)[1]
        params |= {"critic": critic.init(key_critic, features), "norm": norm.init(key_norm, features)}
        return {**params, "actor": undecided(actor.init(key_actor, features), len(hidden))}

    def read(params: PyTree, obs: Array) -> Array:
        obs = encoder.read(params, obs)
        return obs if embed is None else activation(cast(Array, embed.apply(params["embedding"], obs)))

    def judge(params: PyTree, features: Array, _: Array) -> tuple[Distribution, Array]:
        features = cast(Array, norm.apply(params["norm"], features))
        value = cast(Array, critic.apply(params["critic"], features))[..., 0]
        return cast(Distribution, actor.apply(params["actor"], features)), value

    def gate_fn(params: PyTree, features: Array, _: Array) -> Array:
        assert gate is not None
        return gate(params["actor"], norm.apply(params["norm"], features))

    def advance(mode: Mode, params: PyTree, memory: PyTree, obs: Array) -> tuple[PyTree, Array]:
        return mode(params["cell"], memory, read(params, obs))

    return with_memory(cell, init_fn, advance, judge, gate_fn if gate else None)


Mode = Callable[[PyTree, PyTree, Array], tuple[PyTree, Array]]
"""A cell's ``step`` or ``sequence``."""


def with_memory(
    cell: Cell,
    init: Callable[[Key], PyTree],
    advance: Callable[[Mode, PyTree, PyTree, Array], tuple[PyTree, Array]],
    judge: Callable[[PyTree, Array, Array], tuple[Distribution, Array]],
    gate: Callable[[PyTree, Array, Array], Array] | None,
) -> RecurrentPolicy:
    """The policy whose memory is a cell's: ``advance(mode, params, memory, obs) -> (memory, features)``.

    ``judge(params, features, obs) -> (distribution, value)``; the ``gate`` of K experts gives ``[..., K]`` likewise.
    """

    def output(mode: Mode, of_features: Callable[..., tuple[Any, ...]]) -> Callable[..., Any]:
        def output_fn(params: PyTree, memory: PyTree, obs: Array) -> tuple[Any, ...]:
            memory, features = advance(mode, params, memory, obs)
            return *of_features(params, features, obs), memory

        return output_fn

    def decide(params: PyTree, features: Array, obs: Array) -> tuple[Distribution, Array]:
        distribution, value = judge(params, features, obs)
        # A deviation that does not depend on the state gets the axes of those that do.
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (*value.shape, x.shape[-1])), distribution), value

    gate_fn = gate and output(cell.sequence, lambda *features: (gate(*features),))
    step_fn, sequence_fn = output(cell.step, decide), output(cell.sequence, decide)
    return RecurrentPolicy(init, lambda params: cell.start(), step_fn, sequence_fn, gate_fn)


def in_segments(policy: RecurrentPolicy, length: int) -> RecurrentPolicy:
    """The same, whose sequences are differentiated ``length`` steps back at most.

    The memory enters each segment as it left the one before, but as a constant. A segment's activations are computed
    again when it is differentiated, so that they do not grow with the number of segments.

    Args:
      policy: the network.
      length: steps in a segment, ≥ 1; must divide the sequence.
    """
    check_least(1, segment=length)

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
    """The parameters of a ``policy_module``, the weights of its output ``layer`` a hundredth as large.

    All actions are then about as likely at first, as Andrychowicz et al. 2021 (section 3.2) recommend.
    """
    last = parameters_under(params, {f"Dense_{layer}"})
    return jax.tree.map(lambda x, last: 0.01 * x if last else x, params, last)
