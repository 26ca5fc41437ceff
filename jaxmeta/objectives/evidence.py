"""How well a posterior predicts a lifetime: the evidence lower bound, and what of a lifetime there is to predict."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmeta.checks import is_zero
from jaxmeta.data import masked_mean
from jaxmeta.networks import BeliefModel
from jaxmeta.objectives.objectives import batch_of
from jaxmeta.types import Array, Info, Lifetime, Task, Theta


def evidence_bound(
    model: BeliefModel,
    *,
    prefixes: int,
    divergence_weight: float,
    state_weight: float,
    task_weight: float = 0.0,
    task_error: Callable[[Theta, Array, Task], Array] | None = None,
) -> Callable[[Theta, Lifetime], tuple[Array, Info]]:
    """The negative evidence lower bound of a lifetime's rewards and states (Zintgraf et al. 2020, equation 9).

    A latent is drawn from the posterior after each of a few prefixes. It must predict every reward and next state of
    the *whole* lifetime, those to come as well. The prior of a posterior is the posterior one step before; the first
    prior is standard normal.

    Args:
      model: posterior and predictions, with unit variance.
      prefixes: how many, drawn from the lifetime's steps without replacement, ≥ 1; all of them if it has fewer.
      divergence_weight: of the divergence from the prior, ≥ 0; 1 in the bound itself.
      state_weight: of the prediction of states, ≥ 0; tasks that differ only in their rewards need none.
      task_weight: of ``task_error``, ≥ 0.
      task_error: ``task_error(theta, latent, task)``: a scalar error of the task predicted from a latent ``[L]``; by
        default the task is not predicted.
    """

    def objective_fn(theta: Theta, lifetime: Lifetime) -> tuple[Array, Info]:
        batch = jax.tree.map(lambda x: x[0], batch_of(lifetime, -1))
        steps = batch.mask.shape[0]
        belief = model.beliefs(theta, batch.obs)
        before = jax.tree.map(lambda x: jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]]), belief)
        divergence = masked_mean(belief.kl(before), batch.mask)

        key_choice, key_noise = jax.random.split(lifetime.key)
        chosen = jax.random.permutation(key_choice, steps)[: min(prefixes, steps)]
        drawn = jax.tree.map(lambda x: x[chosen], belief)
        latents = drawn.mean + jnp.exp(drawn.log_std) * jax.random.normal(key_noise, drawn.mean.shape)

        def errors(latent: Array) -> tuple[Array, Array]:
            reward, next_obs = model.predict(theta, latent, batch.obs, batch.action)
            goes_on, target = next_states(batch.obs, batch.mask, next_obs.shape[-1])
            of_states = jnp.sum(jnp.square(next_obs - target), axis=-1)
            return 0.5 * jnp.sum(jnp.square(reward - batch.reward) * batch.mask), 0.5 * jnp.sum(of_states * goes_on)

        # A prefix that is longer than the lifetime was does not count.
        counted = batch.mask[chosen]
        rewards, states = (masked_mean(each, counted) for each in jax.vmap(errors)(latents))
        length = jnp.maximum(jnp.sum(batch.mask), 1.0)
        info = {"reward_error": rewards / length, "belief_kl": divergence}
        loss = rewards + divergence_weight * divergence
        if task_error is not None:
            of_tasks = jax.vmap(task_error, (None, 0, None))(theta, latents, lifetime.task)
            info["task_error"] = masked_mean(of_tasks, counted)
            loss += task_weight * info["task_error"]
        if is_zero(state_weight):
            # What is not used is not computed either.
            return loss, info
        return loss + state_weight * states, {**info, "state_error": states / length}

    return objective_fn


def next_states(obs: Array, mask: Array, size: int) -> tuple[Array, Array]:
    """1 for each step of a lifetime that led to a state of the same episode ``[T]``, and that state ``[T, size]``.

    What follows an episode's last step is the first observation of the next episode, which cannot be predicted.

    Args:
      obs: a lifetime's observations, ``[T, O]``: their first entries are the state, their last is 1 where it is new.
      mask: 1 for real steps, ``[T]``.
      size: entries of the state.
    """
    return jnp.append(mask[1:] * (1.0 - obs[1:, -1]), 0.0), jnp.roll(obs, -1, axis=0)[:, :size]
