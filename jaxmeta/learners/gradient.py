"""Learners that adapt by differentiable gradient steps on their own episodes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.distributions import Distribution
from jaxmeta.networks import Policy
from jaxmeta.types import Array, Key, Learner, PyTree, Surrogate, Trajectory


class FastWeights(NamedTuple):
    """The fast state of a gradient learner: adapted weights, and the state of the optimiser that adapts them."""

    params: PyTree
    inner_state: PyTree


def act_by_sample(key: Key, distribution: Distribution) -> Array:
    return distribution.sample(key)


def act_by_mode(key: Key, distribution: Distribution) -> Array:
    return distribution.mode()


def gradient_learner(
    policy: Policy,
    inner_loss: Surrogate,
    inner_optimizer: optax.GradientTransformation,
    *,
    choose: Callable[[Key, Any], Array] = act_by_sample,
) -> Learner:
    """``φ ← φ − U(∇ inner_loss(φ))`` from ``φ = θ``: the adaptation of MAML (Finn et al. 2017, equation 1).

    Args:
      policy: the network; ``theta`` is its parameters.
      inner_loss: surrogate on the log-probabilities of one batch of episodes.
      inner_optimizer: any optax transformation; one that takes a square root of a moment needs ``eps_root > 0`` to be
        differentiated through.
      choose: ``(key, distribution) -> action``; ``act_by_mode`` gives the deterministic policy.
    """

    def begin_fn(theta: PyTree) -> FastWeights:
        return FastWeights(theta, inner_optimizer.init(theta))

    def act_fn(key: Key, theta: PyTree, phi: FastWeights, obs: Array):
        distribution = policy.apply(phi.params, obs)
        action = choose(key, distribution)
        return action, distribution.log_prob(action), jnp.zeros(()), phi

    def loss(params: PyTree, trajectory: Trajectory) -> Array:
        return inner_loss(policy.apply(params, trajectory.obs).log_prob(trajectory.action), trajectory)

    def absorb_fn(theta: PyTree, phi: FastWeights, trajectory: Trajectory) -> FastWeights:
        gradient = jax.grad(loss)(phi.params, trajectory)
        updates, inner_state = inner_optimizer.update(gradient, phi.inner_state, phi.params)
        return FastWeights(optax.apply_updates(phi.params, updates), inner_state)

    def score_fn(theta: PyTree, phi: FastWeights, trajectory: Trajectory):
        log_prob = policy.apply(phi.params, trajectory.obs).log_prob(trajectory.action)
        return log_prob, jnp.zeros_like(log_prob)

    return Learner(policy.init, begin_fn, act_fn, absorb_fn, score_fn)


def first_order(learner: Learner) -> Learner:
    """The same learner, whose adaptation counts as the identity when it is differentiated (FOMAML)."""

    def absorb_fn(theta: PyTree, phi: PyTree, trajectory: Trajectory) -> PyTree:
        adapted = learner.absorb(theta, phi, trajectory)
        # Value of the adapted state, derivative of the state before: Finn et al. 2017, section 5.2.
        return jax.tree.map(lambda old, new: old + jax.lax.stop_gradient(new - old), phi, adapted)

    return learner._replace(absorb=absorb_fn)
