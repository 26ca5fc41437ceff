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

    ``score`` replays a stored lifetime from the memory that it began with. With ``act_by_mode`` the policy is
    deterministic.
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
    """Acts by the largest action value, and in a share ``epsilon`` of steps, in [0, 1], at random.

    The policy's logits are advantages, its value is the state's: ``Q = V + A − mean A`` (Wang et al. 2016).
    """
    check_unit(epsilon=epsilon)

    def act_fn(key: Key, theta: Theta, phi: Phi, obs: Array):
        distribution, value, phi = policy.step(theta, phi, obs)
        return *act_epsilon_greedily(key, duelling(distribution, value), epsilon), phi

    def score_fn(theta: Theta, phi: Phi, trajectory: Trajectory):
        distribution, value, _ = replay_lifetimes(policy, theta, phi, trajectory.obs)
        return score_epsilon_greedily(duelling(distribution, value), trajectory.action, epsilon)

    return Learner(policy.init, policy.begin, act_fn, lambda theta, phi, trajectory: phi, score_fn)


def epsilon_greedy(values: Array, epsilon: float | Array) -> Array:
    """Log-probabilities ``[..., actions]``: the action with the largest value, and a share ``epsilon`` at random."""
    best = jax.nn.one_hot(jnp.argmax(values, axis=-1), values.shape[-1])
    return jnp.log((1.0 - epsilon) * best + epsilon / values.shape[-1])


def act_epsilon_greedily(key: Key, values: Array, epsilon: float | Array) -> tuple[Array, Array, Array]:
    """An action by its value ``[actions]``, its log-probability, and the largest value."""
    log_prob = epsilon_greedy(values, epsilon)
    action = jax.random.categorical(key, log_prob).astype(jnp.int32)
    return action, log_prob[action], jnp.max(values)


def score_epsilon_greedily(values: Array, action: Array, epsilon: float | Array) -> tuple[Array, Array]:
    """The log-probabilities of actions ``[...]`` among values ``[..., actions]``, and the largest values."""
    taken = jnp.take_along_axis(epsilon_greedy(values, epsilon), action[..., None], axis=-1)[..., 0]
    return taken, jnp.max(values, axis=-1)


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
    return None if gate is None else lambda theta, phi, obs: jax.vmap(gate, (None, None, 0))(theta, phi, obs)[0]
