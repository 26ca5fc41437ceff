"""PEARL: soft actor-critic on replayed data, told a latent that is inferred from it (Rakelly et al. 2019)."""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.compose import guarded, summarise
from jaxmeta.algorithms.value_based import unestimated
from jaxmeta.checks import check_least, check_positive, check_unit, check_weights
from jaxmeta.data.buffers import Buffer, Transitions, append, draw, draw_places, empty_buffer
from jaxmeta.data.rollout import collect_lifetime, collect_lifetimes, transitions_of
from jaxmeta.learners.context import acted_by, context_learner
from jaxmeta.networks.distributions import Gaussian
from jaxmeta.networks.latents import LatentModel, latent_model_for, prior, update_belief
from jaxmeta.types import (
    Array,
    Info,
    Key,
    Lifetime,
    MetaAlgorithm,
    MetaState,
    Phi,
    PyTree,
    Task,
    TaskDistribution,
    Theta,
)


class PearlState(NamedTuple):
    """What the algorithm keeps beside the slow weights."""

    optimizer: PyTree
    target: PyTree
    buffer: Buffer


def pearl(
    tasks: TaskDistribution,
    *,
    model: LatentModel | None = None,
    adaptation_steps: int = 2,
    optimizer: optax.GradientTransformation | None = None,
    discount: float = 0.99,
    temperature: float | None = None,
    divergence_weight: float = 0.01,
    target_rate: float = 0.005,
    capacity: int = 1000,
    batch_tasks: int = 16,
    batch: int = 64,
    updates: int = 100,
) -> MetaAlgorithm:
    """Explore for some episodes by samples from the posterior over tasks, updated after each; learn off-policy.

    Each meta-step collects a lifetime of ``adaptation_steps + 1`` episodes in every task and stores it as one item of a
    ring, so that what is inferred and what is learned of a task come from its own data and no other's. An update draws
    ``batch_tasks`` of the stored tasks. Of each, a random part of its transitions is the context: their share is
    uniform on [0, 1], so that the posterior is trained for little data and for much. One latent is drawn from the
    posterior, and ``batch`` transitions are learned from: the encoder by the critics' error and its divergence from the
    prior, the actor with the latent held fixed.

    Unlike theirs, tasks are drawn anew at each meta-step instead of visited again, so that the context comes from all
    of a task's episodes, however old, and not from its newest ones that were acted by the prior; the prior is itself a
    factor of the posterior; and there are two critics with slow copies in place of a value function. The use of
    an actor's experts is not balanced: an update's tasks are drawn from many meta-batches.

    Args:
      tasks: a family with a bounded box of actions.
      model: networks; by default ``latent_model_for`` the environment.
      adaptation_steps: K ≥ 0, episodes that the posterior is updated after.
      optimizer: of all networks; by default Adam at 3e-4.
      discount: γ in [0, 1].
      temperature: α > 0, weight of the policy's entropy against the reward; by default learned, so that the entropy
        is about as many nats below 0 as there are actions' dimensions, of actions in [−1, 1] (Haarnoja et al. 2018).
      divergence_weight: of the posterior's divergence from the prior, ≥ 0.
      target_rate: share of the critics that enters their slow copies at each update, in (0, 1].
      capacity: tasks in the buffer, ≥ those of one meta-step.
      batch_tasks: stored tasks in an update, ≥ 1.
      batch: transitions of each, ≥ 1.
      updates: in a meta-step, ≥ 1.

    Raises:
      ValueError: an argument out of its range, or spaces of another kind.
    """
    check_least(0, adaptation_steps=adaptation_steps)
    check_least(1, batch_tasks=batch_tasks, batch=batch, updates=updates)
    check_weights(divergence_weight=divergence_weight)
    check_positive(temperature=temperature)
    check_unit(discount=discount)
    if isinstance(target_rate, (int, float)) and not 0.0 < target_rate <= 1.0:
        raise ValueError(f"target_rate: got {target_rate}; must be in (0, 1]")
    model = latent_model_for(tasks.env) if model is None else model

    def begin_fn(key: Key) -> Theta:
        start = jnp.asarray(1.0 if temperature is None else temperature, jnp.float32)
        return {**model.init(key), "log_temperature": jnp.log(start)}

    optimizer = optax.adam(3e-4) if optimizer is None else optimizer
    learner, greedy = (context_learner(model, explore=each)._replace(init=begin_fn) for each in (True, False))
    sizes = {"adaptation_steps": adaptation_steps, "episodes": 1, "horizon": tasks.horizon}
    space = tasks.env.action_space(tasks.env.default_params)
    wanted_entropy = jnp.sum(jnp.log(0.5 * (jnp.asarray(space.high) - jnp.asarray(space.low))) - jnp.ones(space.shape))

    def adapt_fn(key: Key, theta: Theta, task: Task) -> tuple[Phi, Lifetime]:
        phi, lifetime = collect_lifetime(key, tasks.env, task, learner, theta, unestimated, **sizes)
        # The next episode draws a latent of its own.
        return phi._replace(stale=jnp.ones(())), lifetime

    def init_fn(key: Key) -> MetaState:
        theta = begin_fn(key)
        task = jax.eval_shape(tasks.sample, key)
        item = jax.eval_shape(lambda task: transitions_of(adapt_fn(key, theta, task)[1].trajectory), task)
        state = PearlState(optimizer.init(theta), theta["critics"], empty_buffer(item, capacity))
        return MetaState(theta, state)

    def loss(theta: Theta, target: PyTree, key: Key, data: Transitions) -> tuple[Array, Info]:
        """Of one task's data."""
        key_share, key_context, key_latent, key_batch, key_next, key_now = jax.random.split(key, 6)
        share = jax.random.uniform(key_share)
        context = data.mask * (jax.random.uniform(key_context, data.mask.shape) < share)
        factors = model.factors(theta, data.obs, data.action, data.reward, data.next_obs)
        posterior = update_belief(prior(model.latent), factors, context).gaussian()
        latent = posterior.sample(key_latent)
        divergence = posterior.kl(Gaussian(jnp.zeros(model.latent), jnp.zeros(model.latent)))

        # The real steps, by lot, with replacement.
        places = draw_places(key_batch, jnp.cumsum(data.mask), batch)
        step = jax.tree.map(lambda x: x[places], data)
        frozen = jax.lax.stop_gradient(latent)
        following, log_prob = model.actor(theta, frozen, step.next_obs).sample_with_log_prob(key_next)
        later = jnp.min(model.values({"critics": target}, frozen, step.next_obs, following), axis=0)
        weight = jnp.exp(jax.lax.stop_gradient(theta["log_temperature"]))
        wanted = step.reward + discount * (1.0 - step.terminated) * (later - weight * log_prob)
        judged = model.values(theta, latent, step.obs, step.action)
        critic_loss = 0.5 * jnp.mean(jnp.sum(jnp.square(judged - jax.lax.stop_gradient(wanted)), axis=0))

        action, log_prob = model.actor(theta, frozen, step.obs).sample_with_log_prob(key_now)
        fixed = jax.lax.stop_gradient(theta["critics"])
        value = jnp.min(model.values({"critics": fixed}, frozen, step.obs, action), axis=0)
        actor_loss = jnp.mean(weight * log_prob - value)
        entropy = -jnp.mean(log_prob)
        if temperature is None:
            actor_loss += theta["log_temperature"] * jax.lax.stop_gradient(entropy - wanted_entropy)
        info = {
            "critic_loss": critic_loss,
            "value": jnp.mean(value),
            "entropy": entropy,
            "temperature": weight,
            "belief_kl": divergence,
        }
        return critic_loss + actor_loss + divergence_weight * divergence, info

    def mean_loss(theta: Theta, target: PyTree, key: Key, batch: Transitions) -> tuple[Array, Info]:
        keys = jax.random.split(key, batch_tasks)
        return jax.tree.map(jnp.mean, jax.vmap(loss, (None, None, 0, 0))(theta, target, keys, batch))

    def update(carry: tuple[Theta, PearlState], key: Key) -> tuple[tuple[Theta, PearlState], Info]:
        theta, state = carry
        key_tasks, key_loss = jax.random.split(key)
        drawn, _, _ = draw(key_tasks, state.buffer, batch_tasks)
        (value, info), gradient = jax.value_and_grad(mean_loss, has_aux=True)(theta, state.target, key_loss, drawn)
        moves, optimizer_state = optimizer.update(gradient, state.optimizer, theta)
        theta = cast(PyTree, optax.apply_updates(theta, moves))
        target = optax.incremental_update(theta["critics"], state.target, target_rate)
        info = {**info, "loss": value, "grad_norm": optax.global_norm(gradient)}
        return (theta, PearlState(optimizer_state, target, state.buffer)), info

    def step_fn(key: Key, state: MetaState, batch_of_tasks: Task) -> tuple[MetaState, Info]:
        key_act, key_learn = jax.random.split(key)
        keys = jax.random.split(key_act, jax.tree.leaves(batch_of_tasks)[0].shape[0])
        _, lifetimes = collect_lifetimes(keys, tasks.env, batch_of_tasks, learner, state.theta, unestimated, **sizes)
        items = jax.vmap(transitions_of)(lifetimes.trajectory)
        buffer = append(state.opt_state.buffer, items, jnp.ones(keys.shape[0]))
        carry = (state.theta, state.opt_state._replace(buffer=buffer))
        carry, infos = jax.lax.scan(update, carry, jax.random.split(key_learn, updates))
        info = {**jax.tree.map(jnp.mean, infos), **summarise(tasks.env, lifetimes)}
        return guarded(state, MetaState(*carry), info)

    reads = model.gate
    gate = None if reads is None else lambda theta, phi, obs: reads(theta, acted_by(phi), obs)
    return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, greedy, gate)
