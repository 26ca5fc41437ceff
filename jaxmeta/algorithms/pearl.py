"""PEARL: soft actor-critic on replayed data, given a latent that is inferred from it (Rakelly et al. 2019)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.replay import gradient_updates, replay_method
from jaxmeta.checks import check_adaptation_steps, check_least, check_positive, check_share, check_unit, check_weights
from jaxmeta.data import Transitions, draw_places, transitions_of
from jaxmeta.learners import acting_latent, context_learner
from jaxmeta.networks import Gaussian, LatentModel, latent_model_for, prior, update_belief
from jaxmeta.outer import adam_updates
from jaxmeta.over_tasks import over_tasks
from jaxmeta.parts import built, part
from jaxmeta.types import Array, Info, Key, MetaAlgorithm, PyTree, Task, TaskDistribution, Theta


def pearl(
    tasks: TaskDistribution,
    *,
    model: LatentModel = part(latent_model_for),
    adaptation_steps: int = 2,
    optimizer: optax.GradientTransformation = part(adam_updates, rate=1e-3),
    discount: float = 0.9,
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
    ring, so that a task is inferred and learned from its own data. An update draws ``batch_tasks`` of the stored tasks.
    Of each, a random part of its transitions is the context: its share is uniform on [0, 1], so that the posterior is
    trained for little data and for much. One latent is drawn from the posterior. On ``batch`` transitions the encoder
    learns by the critics' error and its divergence from the prior, the actor with the latent held fixed.

    Unlike theirs, tasks are drawn anew at each meta-step instead of visited again: the context comes from all of a
    task's episodes, however old, and not from its newest ones under the prior. The prior is itself a factor of the
    posterior, and there are two critics with slow copies in place of a value function.

    Args:
      tasks: a family with a bounded box of actions.
      model: networks of the encoder, the actor and the critics.
      adaptation_steps: K ≥ 0, episodes after which the posterior is updated.
      optimizer: optimiser of all networks.
      discount: discount factor γ in [0, 1].
      temperature: weight α > 0 of the policy's entropy against the reward. By default it is learned, for an entropy of
        −1 nat for each dimension of the actions, in units where they lie in [−1, 1] (Haarnoja et al. 2018).
      divergence_weight: weight of the posterior's divergence from the prior, ≥ 0.
      target_rate: share of the critics that enters their slow copies at each update, in (0, 1].
      capacity: tasks in the replay buffer, ≥ those of one meta-step.
      batch_tasks: stored tasks in an update, ≥ 1.
      batch: transitions of each stored task in an update, ≥ 1.
      updates: gradient updates in a meta-step, ≥ 1.

    Raises:
      ValueError: spaces of another kind.
    """
    check_adaptation_steps(adaptation_steps=adaptation_steps)
    check_least(1, batch_tasks=batch_tasks, batch=batch, updates=updates)
    check_weights(divergence_weight=divergence_weight)
    check_positive(temperature=temperature)
    check_unit(discount=discount)
    check_share(target_rate=target_rate)
    model = built(model, tasks.env)
    entropy = target_entropy(tasks) if temperature is None else None
    loss = soft_actor_critic(model, discount, divergence_weight, batch, entropy)

    def mean_loss(theta: Theta, target: PyTree, keys: Key, drawn: Transitions, importance: Array):
        each = over_tasks(lambda both, *one: loss(*both, *one), keys, drawn, shared=(theta, target))
        value, info = jax.tree.map(jnp.mean, each)
        return value, (info, None)

    training = gradient_updates(
        mean_loss,
        built(optimizer, updates),
        updates=updates,
        batch=batch_tasks,
        target_of=lambda theta: theta["critics"],
        follow=lambda theta, target, count: optax.incremental_update(theta["critics"], target, target_rate),
    )

    def init_theta(key: Key) -> Theta:
        start = jnp.asarray(1.0 if temperature is None else temperature, jnp.float32)
        return {**model.init(key), "log_temperature": jnp.log(start)}

    def adapt_fn(key: Key, theta: Theta, task: Task):
        phi, lifetime = algorithm.adapt(key, theta, task)
        # The next episode draws a latent of its own.
        return phi._replace(stale=jnp.ones(())), lifetime

    gate = model.gate
    algorithm = replay_method(
        tasks,
        *(context_learner(model, explore=each)._replace(init=init_theta) for each in (True, False)),
        init=lambda key: training.start(init_theta(key)),
        store=lambda keys, theta, lifetimes: over_tasks(transitions_of, lifetimes.trajectory),
        learn=training.learn,
        capacity=capacity,
        adaptation_steps=adaptation_steps,
        episodes=1,
        gate=None if gate is None else lambda theta, phi, obs: gate(theta, acting_latent(phi), obs),
    )
    return algorithm._replace(adapt=adapt_fn)


def target_entropy(tasks: TaskDistribution) -> Array:
    """−1 nat for each dimension of the actions, in units where they lie in [−1, 1]."""
    space = tasks.env.action_space(tasks.env.default_params)
    return jnp.sum(jnp.log(0.5 * (jnp.asarray(space.high) - jnp.asarray(space.low))) - jnp.ones(space.shape))


def soft_actor_critic(
    model: LatentModel, discount: float, divergence_weight: float, batch: int, target_entropy: Array | None
) -> Callable[[Theta, PyTree, Key, Transitions], tuple[Array, Info]]:
    """``loss(theta, target, key, data) -> (loss, Info)`` of one task's data; ``target`` are the critics' slow copies.

    The temperature is learned towards ``target_entropy``, in nats, and fixed where that is ``None``.
    """

    def loss(theta: Theta, target: PyTree, key: Key, data: Transitions):
        key_share, key_context, key_latent, key_batch, key_next, key_now = jax.random.split(key, 6)
        share = jax.random.uniform(key_share)
        context = data.mask * (jax.random.uniform(key_context, data.mask.shape) < share)
        factors = model.factors(theta, data.obs, data.action, data.reward, data.next_obs)
        posterior = update_belief(prior(model.latent), factors, context).gaussian()
        latent = posterior.sample(key_latent)
        divergence = posterior.kl(Gaussian(jnp.zeros(model.latent), jnp.zeros(model.latent)))

        # Real steps, drawn with replacement.
        places = draw_places(key_batch, jnp.cumsum(data.mask), batch)
        step = jax.tree.map(lambda x: x[places], data)
        frozen = jax.lax.stop_gradient(latent)
        following, log_prob = model.actor(theta, frozen, step.next_obs).sample_with_log_prob(key_next)
        later = jnp.min(model.values({"critics": target}, frozen, step.next_obs, following), axis=0)
        weight = jnp.exp(jax.lax.stop_gradient(theta["log_temperature"]))
        value_target = step.reward + discount * (1.0 - step.terminated) * (later - weight * log_prob)
        estimated = model.values(theta, latent, step.obs, step.action)
        error = jnp.square(estimated - jax.lax.stop_gradient(value_target)[None])
        critic_loss = 0.5 * jnp.mean(jnp.sum(error, axis=0))

        action, log_prob = model.actor(theta, frozen, step.obs).sample_with_log_prob(key_now)
        fixed = jax.lax.stop_gradient(theta["critics"])
        value = jnp.min(model.values({"critics": fixed}, frozen, step.obs, action), axis=0)
        actor_loss = jnp.mean(weight * log_prob - value)
        entropy = -jnp.mean(log_prob)
        if target_entropy is not None:
            actor_loss += theta["log_temperature"] * jax.lax.stop_gradient(entropy - target_entropy)
        info = {"critic_loss": critic_loss, "value": jnp.mean(value), "entropy": entropy}
        info |= {"temperature": weight, "belief_kl": divergence}
        return critic_loss + actor_loss + divergence_weight * divergence, info

    return loss
