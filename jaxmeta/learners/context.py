"""The learner that infers its task from whole episodes, by a posterior that it samples from (PEARL)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.data import next_observations
from jaxmeta.networks import Belief, LatentModel, prior, update_belief
from jaxmeta.types import Array, Key, Learner, Phi, Theta, Trajectory


class Sampled(NamedTuple):
    """The fast state: the posterior, and the latent that the policy acts on in an episode.

    Attributes:
      belief: posterior over latents ``[L]``.
      latent: drawn at an episode's first step, ``[L]``.
      stale: 1 from an update of the posterior until the next episode's first step.
    """

    belief: Belief
    latent: Array
    stale: Array


def context_learner(model: LatentModel, *, explore: bool = True) -> Learner:
    """Acts through an episode as if one draw from the posterior were true, then updates it with the whole episode.

    Posterior sampling explores across episodes, not within one. ``score`` uses the latent of the episode; before an
    episode began, the posterior's mean. There is no critic: values are 0.

    Args:
      model: the networks.
      explore: sample the latent and the actions; otherwise take the posterior's mean and the policy's mode.
    """

    def begin_fn(theta: Theta) -> Phi:
        return Sampled(prior(model.latent), jnp.zeros(model.latent), jnp.ones(()))

    def act_fn(key: Key, theta: Theta, phi: Sampled, obs: Array):
        key_latent, key_action = jax.random.split(key)
        posterior = phi.belief.gaussian()
        latent = jnp.where(phi.stale > 0, posterior.sample(key_latent), phi.latent) if explore else posterior.mode()
        distribution = model.actor(theta, latent, obs)
        if explore:
            action, log_prob = distribution.sample_with_log_prob(key_action)
        else:
            action = distribution.mode()
            log_prob = distribution.log_prob(action)
        return action, log_prob, jnp.zeros(()), Sampled(phi.belief, latent, jnp.zeros(()))

    def absorb_fn(theta: Theta, phi: Sampled, trajectory: Trajectory) -> Phi:
        data = (trajectory.obs, trajectory.action, trajectory.reward, next_observations(trajectory))
        belief = update_belief(phi.belief, model.factors(theta, *data), trajectory.mask)
        return Sampled(belief, phi.latent, jnp.ones(()))

    def score_fn(theta: Theta, phi: Sampled, trajectory: Trajectory):
        log_prob = model.actor(theta, acting_latent(phi), trajectory.obs).log_prob(trajectory.action)
        return log_prob, jnp.zeros_like(log_prob)

    return Learner(model.init, begin_fn, act_fn, absorb_fn, score_fn)


def acting_latent(phi: Sampled) -> Array:
    """The latent ``[L]`` that a fast state acts on; before an episode began, the posterior's mean."""
    return jnp.where(phi.stale > 0, phi.belief.gaussian().mode(), phi.latent)
