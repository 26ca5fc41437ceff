"""Learners that adapt by differentiable gradient steps on their own episodes."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import optax

from jaxmeta.mixed_mode import inner_gradient
from jaxmeta.networks import Distribution, Policy
from jaxmeta.types import Array, Gate, Key, Learner, Phi, PyTree, Surrogate, Theta, Trajectory


class FastWeights(NamedTuple):
    """The fast state of a gradient learner: adapted weights, and the state of the optimiser that adapts them."""

    params: PyTree
    inner_state: PyTree


class Adaptation(NamedTuple):
    """How a fast state makes a policy, and how it moves: a ``Learner`` but for the choice of actions.

    Attributes:
      init: ``init(key) -> theta``.
      begin: ``begin(theta) -> phi``.
      distribution: ``distribution(theta, phi, obs) -> action distribution``, for ``obs`` ``[..., O]``.
      absorb: ``absorb(theta, phi, trajectory) -> phi``.
    """

    init: Callable[[Key], Theta]
    begin: Callable[[Theta], Phi]
    distribution: Callable[[Theta, Phi, Array], Distribution]
    absorb: Callable[[Theta, Phi, Trajectory], Phi]


MakeAdaptation = Callable[[Policy, Surrogate, optax.GradientTransformation], Adaptation]
"""``make(policy, inner_loss, inner_optimizer) -> Adaptation``: what sets gradient methods apart from each other."""

Absorbing = TypeVar("Absorbing", Learner, Adaptation)


def act_by_sample(key: Key, distribution: Distribution) -> Array:
    return distribution.sample(key)


def act_by_mode(key: Key, distribution: Distribution) -> Array:
    return distribution.mode()


def acting(adaptation: Adaptation, choose: Callable[[Key, Distribution], Array] = act_by_sample) -> Learner:
    """The learner that acts by its fast state's policy; with ``act_by_mode``, by the deterministic one."""

    def act_fn(key: Key, theta: Theta, phi: Phi, obs: Array):
        distribution = adaptation.distribution(theta, phi, obs)
        action = choose(key, distribution)
        return action, distribution.log_prob(action), jnp.zeros(()), phi

    def score_fn(theta: Theta, phi: Phi, trajectory: Trajectory):
        log_prob = adaptation.distribution(theta, phi, trajectory.obs).log_prob(trajectory.action)
        return log_prob, jnp.zeros_like(log_prob)

    return Learner(adaptation.init, adaptation.begin, act_fn, adaptation.absorb, score_fn)


def gradient_adaptation(
    init: Callable[[Key], Theta],
    start: Callable[[Theta], PyTree],
    apply: Callable[[Theta, PyTree, Array], Distribution],
    inner_loss: Surrogate,
    inner_optimizer: Callable[[Theta], optax.GradientTransformation],
) -> Adaptation:
    """``w ← w + U(∇ inner_loss(w))`` on fast weights ``w``, whatever part of the network they are.

    Args:
      init: ``init(key) -> theta``.
      start: ``start(theta) -> w``, the fast weights before the first step.
      apply: ``apply(theta, w, obs) -> action distribution``.
      inner_loss: surrogate on the log-probabilities of one batch of episodes.
      inner_optimizer: ``inner_optimizer(theta) -> optax transformation``, so that parts of it can be learned; one that
        takes a square root of a moment needs ``eps_root > 0`` to be differentiated through.
    """

    def begin_fn(theta: Theta) -> FastWeights:
        weights = start(theta)
        return FastWeights(weights, inner_optimizer(theta).init(weights))

    def loss(weights: PyTree, theta: Theta, trajectory: Trajectory) -> Array:
        return inner_loss(apply(theta, weights, trajectory.obs).log_prob(trajectory.action), trajectory)

    def absorb_fn(theta: Theta, phi: FastWeights, trajectory: Trajectory) -> FastWeights:
        gradient = inner_gradient(loss)(phi.params, theta, trajectory)
        updates, inner_state = inner_optimizer(theta).update(gradient, phi.inner_state, phi.params)
        return FastWeights(optax.apply_updates(phi.params, updates), inner_state)

    return Adaptation(init, begin_fn, lambda theta, phi, obs: apply(theta, phi.params, obs), absorb_fn)


def whole_network(policy: Policy, inner_loss: Surrogate, inner_optimizer: optax.GradientTransformation) -> Adaptation:
    """``φ ← φ − U(∇ inner_loss(φ))`` from ``φ = θ``: the adaptation of MAML (Finn et al. 2017, equation 1)."""
    apply = lambda theta, weights, obs: policy.apply(weights, obs)  # noqa: E731
    return gradient_adaptation(policy.init, lambda theta: theta, apply, inner_loss, lambda theta: inner_optimizer)


def gate_of_adapted(
    make: MakeAdaptation, policy: Policy, inner_loss: Surrogate, inner_optimizer: optax.GradientTransformation
) -> Gate | None:
    """The gate of the adapted policy, from ``make`` and the gate's output; ``None`` where the policy has no experts."""
    if policy.gate is None:
        return None
    reading = policy._replace(apply=cast(Any, policy.gate))
    return cast(Any, make(reading, inner_loss, inner_optimizer).distribution)


def gradient_learner(
    policy: Policy,
    inner_loss: Surrogate,
    inner_optimizer: optax.GradientTransformation,
    *,
    choose: Callable[[Key, Distribution], Array] = act_by_sample,
) -> Learner:
    """The learner of ``whole_network``: MAML's."""
    return acting(whole_network(policy, inner_loss, inner_optimizer), choose)


def first_order(learner: Absorbing) -> Absorbing:
    """``learner`` with an adaptation that counts as the identity when it is differentiated (FOMAML)."""

    def absorb_fn(theta: Theta, phi: Phi, trajectory: Trajectory) -> Phi:
        adapted = learner.absorb(theta, phi, trajectory)
        # Value of the adapted state, derivative of the state before: Finn et al. 2017, section 5.2.
        return jax.tree.map(lambda old, new: old + jax.lax.stop_gradient(new - old), phi, adapted)

    return learner._replace(absorb=absorb_fn)


def without_adaptation(learner: Absorbing) -> Absorbing:
    """``learner`` without adaptation: its fast state stays what it was at the beginning."""
    return learner._replace(absorb=lambda theta, phi, trajectory: phi)


def rematerialised(learner: Absorbing) -> Absorbing:
    """``learner`` with adaptation steps that are recomputed for the outer gradient instead of stored.

    Activations of one adaptation step are in memory at a time instead of K, for about half as much computation more.
    """
    return learner._replace(absorb=jax.checkpoint(learner.absorb))
