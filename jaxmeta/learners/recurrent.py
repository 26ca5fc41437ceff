"""Learners whose fast state is the memory of a network: they adapt by acting."""

from collections.abc import Callable

import jax

from jaxmeta.distributions import Distribution
from jaxmeta.learners.gradient import act_by_sample
from jaxmeta.networks import RecurrentPolicy
from jaxmeta.types import Array, Key, Learner, Phi, Theta, Trajectory


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
        distribution, value, _ = replay(policy, theta, phi, trajectory.obs)
        return distribution.log_prob(trajectory.action), value

    return Learner(policy.init, policy.begin, act_fn, lambda theta, phi, trajectory: phi, score_fn)


def replay(policy: RecurrentPolicy, theta: Theta, phi: Phi, obs: Array) -> tuple[Distribution, Array, Phi]:
    """``policy.sequence`` of stored lifetimes ``[E, T, O]``, each from the memory ``phi``."""
    return jax.vmap(policy.sequence, (None, None, 0))(theta, phi, obs)
