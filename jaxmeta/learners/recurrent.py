"""Learners whose fast state is the memory of a network: they adapt by acting."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmeta.checks import check_unit
from jaxmeta.learners.gradient import act_by_sample
from jaxmeta.networks import Distribution, RecurrentPolicy
from jaxmeta.types import Array, Gate, Key, Learner, Phi, Theta, Trajectory


def recurrent_learner(policy: RecurrentPolicy, choose: Callable[[Key, Distribution], Array] = act_by_sample) -> Learner:
    """``act`` moves the memory at every step of a lifetime; nothing is left to absorb after it.

    ``score`` replays a stored lifetime from the memory that it began with.

    Args:
      policy: the network.
      choose: ``(key, distribution) -> action``; ``act_by_mode`` gives the deterministic policy.
    """

    def act_fn(key: Key, theta: Theta, phi: Phi, obs: Array):
        distribution, value, phi = policy.step(theta, phi, obs)
        action = choose(key, distribution)
        return action, distribution.log_prob(action), value, phi

    def score_fn(theta: Theta, phi: Phi, trajectory: Trajectory):
        distribution, value, _ = replay_lifetimes(policy, theta, phi, trajectory.obs)
        return distribution.log_prob(trajectory.action), value

    return Learner(policy.init, policy.begin, act_fn, lambda theta, phi, trajectory: phi, score_fn)


def recurrent_q_learner(policy: RecurrentPolicy, *, epsilon: float | Array = 0.0) -> Learner:
    """Acts by the largest action value, and in a share of steps at random.

    Args:
      policy: its parameters are theta; its logits are advantages, its value the state's, for ``Q = V + A − mean A``
        (Wang et al. 2016).
      epsilon: share of random actions, in [0, 1].

    Raises:
      ValueError: ``epsilon`` outside [0, 1].
    """
    check_unit(epsilon=epsilon)

    def act_fn(key: Key, theta: Theta, phi: Phi, obs: Array):
        distribution, value, phi = policy.step(theta, phi, obs)
        values = duelling(distribution, value)
        log_prob = epsilon_greedy(values, epsilon)
        action = jax.random.categorical(key, log_prob).astype(jnp.int32)
        return action, log_prob[action], jnp.max(values), phi

    def score_fn(theta: Theta, phi: Phi, trajectory: Trajectory):
        distribution, value, _ = replay_lifetimes(policy, theta, phi, trajectory.obs)
        values = duelling(distribution, value)
        log_prob = epsilon_greedy(values, epsilon)
        taken = jnp.take_along_axis(log_prob, trajectory.action[..., None], axis=-1)[..., 0]
        return taken, jnp.max(values, axis=-1)

    return Learner(policy.init, policy.begin, act_fn, lambda theta, phi, trajectory: phi, score_fn)


def epsilon_greedy(values: Array, epsilon: float | Array) -> Array:
    """Log-probabilities ``[..., actions]`` of the action with the largest value, but for a share at random.

    Args:
      values: of all actions, ``[..., actions]``.
      epsilon: share of random actions, in [0, 1].
    """
    best = jax.nn.one_hot(jnp.argmax(values, axis=-1), values.shape[-1])
    return jnp.log((1.0 - epsilon) * best + epsilon / values.shape[-1])


def duelling(distribution: Distribution, value: Array) -> Array:
    """Action values ``[..., actions]`` of a categorical distribution's logits and a state's value ``[...]``."""
    advantage = jax.tree.leaves(distribution)[0]
    return value[..., None] + advantage - jnp.mean(advantage, axis=-1, keepdims=True)


def replay_lifetimes(policy: RecurrentPolicy, theta: Theta, phi: Phi, obs: Array) -> tuple[Distribution, Array, Phi]:
    """``policy.sequence`` of stored lifetimes ``[E, T, O]``, each from the memory ``phi``."""
    return jax.vmap(policy.sequence, (None, None, 0))(theta, phi, obs)


def gate_of_memory(policy: RecurrentPolicy) -> Gate | None:
    """The gate along lifetimes ``[E, T, O]``, each from the memory ``phi``; ``None`` of an actor without experts."""
    gate = policy.gate
    if gate is None:
        return None
    return lambda theta, phi, obs: jax.vmap(gate, (None, None, 0))(theta, phi, obs)[0]
