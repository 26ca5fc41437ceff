"""Networks that infer a task from transitions in any order, and an actor and critics that are given what they infer."""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

from jaxmeta.checks import check_least, has_bounds
from jaxmeta.networks.distributions import Gaussian, SquashedGaussian
from jaxmeta.networks.encoders import Encoder, cnn, reading
from jaxmeta.networks.layers import MLP, Activation, activation_for, check_widths, feedforward
from jaxmeta.networks.policies import FLAT
from jaxmeta.parts import built, part
from jaxmeta.tasks import ObservationPart, observation_parts
from jaxmeta.types import Array, Key, PyTree


class Belief(NamedTuple):
    """A diagonal normal posterior over latents, by its natural parameters: products of densities are their sums.

    Attributes:
      precision: ``[..., L]``.
      shift: precision times mean, ``[..., L]``.
    """

    precision: Array
    shift: Array

    def gaussian(self) -> Gaussian:
        """Mean and log standard deviation."""
        return Gaussian(self.shift / self.precision, -0.5 * jnp.log(self.precision))


class LatentModel(NamedTuple):
    """What PEARL learns.

    Attributes:
      init: ``init(key) -> params``: ``{"encoder": ..., "actor": ..., "critics": ...}``.
      latent: L, dimensions of the latent.
      factors: ``factors(params, obs, action, reward, next_obs) -> Belief``: what each transition says, ``[..., L]``.
      actor: ``actor(params, latent, obs) -> SquashedGaussian``.
      values: ``values(params, latent, obs, action) -> [2, ...]``, two estimates of the action's value.
      gate: of an actor of K experts, ``gate(params, latent, obs) -> [..., K]``; ``None`` of one network.
    """

    init: Callable[[Key], PyTree]
    latent: int
    factors: Callable[[PyTree, Array, Array, Array, Array], Belief]
    actor: Callable[[PyTree, Array, Array], SquashedGaussian]
    values: Callable[[PyTree, Array, Array, Array], Array]
    gate: Callable[[PyTree, Array, Array], Array] | None = None


def prior(latent: int) -> Belief:
    """A standard normal."""
    return Belief(jnp.ones(latent), jnp.zeros(latent))


def update_belief(belief: Belief, factors: Belief, weight: Array) -> Belief:
    """The posterior after transitions in no order: the product of ``belief`` and those of weight 1.

    Args:
      belief: ``[L]``.
      factors: of transitions, ``[..., L]``.
      weight: 1 for a transition that counts, 0 for one that does not, ``[...]``.
    """
    axes = tuple(range(weight.ndim))
    return jax.tree.map(lambda x, each: x + jnp.sum(each * weight[..., None], axis=axes), belief, factors)


def latent_model_for(
    env: Environment,
    *,
    latent: int = 5,
    hidden: tuple[int, ...] = (64, 64),
    inference: tuple[int, ...] = (64, 64),
    activation: str | Activation = "relu",
    experts: int = 1,
    encoder: Encoder = part(cnn),
) -> LatentModel:
    """A context model that fits an environment's spaces.

    Args:
      env: with flat observations and a bounded box of actions.
      latent: L ≥ 1, dimensions of the latent.
      hidden: widths of the hidden layers of the actor and of the critics.
      inference: widths of the hidden layers of the network that infers the latent from transitions.
      activation: the nonlinearity of the actor, the critics and the inference, by its name in ``jax.nn``.
      experts: K ≥ 1 networks of the actor; above 1 a gate mixes them, which sees the observation and the latent.
      encoder: how images among the observations are read, by each network with weights of its own.
    """
    check_least(1, latent=latent, experts=experts)
    check_widths(hidden=hidden, inference=inference)
    activation = activation_for(activation)
    params = env.default_params
    actions, observations = env.action_space(params), env.observation_space(params)
    if not isinstance(observations, spaces.Box) or len(observations.shape) != 1:
        raise ValueError(f"env: observation space is {observations}; {FLAT}")
    if not isinstance(actions, spaces.Box) or len(actions.shape) != 1:
        raise ValueError(f"env: action space is {actions}; soft actor-critic needs a Box of rank 1")
    if not has_bounds(actions):
        raise ValueError(f"env: action space is {actions}; soft actor-critic needs bounded actions")
    low, high = (jnp.broadcast_to(jnp.asarray(x, jnp.float32), actions.shape) for x in (actions.low, actions.high))
    size, seen = actions.shape[0], observations.shape[0]
    seen_parts = observation_parts(env)
    # A transition is an observation, an action with a reward, and a move.
    transition = (*seen_parts, ObservationPart((size + 1,)), *seen_parts)

    of_transition, of_state = (built(encoder, parts) for parts in (transition, seen_parts))
    networks = {
        "encoder": reading(of_transition, MLP((*inference, 2 * latent), activation)),
        "actor": reading(of_state, feedforward((*hidden, 2 * size), activation, experts)),
        "critics": reading(of_state, MLP((*hidden, 1), activation)),
    }

    def init_fn(key: Key) -> PyTree:
        key_encoder, key_actor, key_critics = jax.random.split(key, 3)
        critic = jnp.zeros(latent + seen + size)
        return {
            "encoder": networks["encoder"].init(key_encoder, jnp.zeros(2 * seen + size + 1)),
            "actor": networks["actor"].init(key_actor, jnp.zeros(latent + seen)),
            "critics": jax.vmap(networks["critics"].init, (0, None))(jax.random.split(key_critics, 2), critic),
        }

    def call(params: PyTree, name: str, *parts: Array, method: str = "__call__") -> Array:
        lead = jnp.broadcast_shapes(*(x.shape[:-1] for x in parts))
        inputs = jnp.concatenate([jnp.broadcast_to(x, (*lead, x.shape[-1])) for x in parts], axis=-1)
        return cast(Array, networks[name].apply(params[name], inputs, method=method))

    def factors_fn(params: PyTree, obs: Array, action: Array, reward: Array, next_obs: Array) -> Belief:
        # The move, and not where it led: small moves would drown in the position.
        output = call(params, "encoder", obs, action, reward[..., None], next_obs - obs)
        mean, raw = jnp.split(output, 2, axis=-1)
        precision = 1.0 / jnp.maximum(jax.nn.softplus(raw), 1e-7)
        return Belief(precision, precision * mean)

    def actor_fn(params: PyTree, latent: Array, obs: Array) -> SquashedGaussian:
        mean, log_std = jnp.split(call(params, "actor", obs, latent), 2, axis=-1)
        return SquashedGaussian(Gaussian(mean, jnp.clip(log_std, -20.0, 2.0)), low, high)

    def gate_fn(params: PyTree, latent: Array, obs: Array) -> Array:
        return call(params, "actor", obs, latent, method="probabilities")

    def values_fn(params: PyTree, latent: Array, obs: Array, action: Array) -> Array:
        value = lambda critic: call({"critics": critic}, "critics", obs, action, latent)[..., 0]  # noqa: E731
        return jax.vmap(value)(params["critics"])

    gate = gate_fn if experts > 1 else None
    return LatentModel(init_fn, latent, factors_fn, actor_fn, values_fn, gate)
