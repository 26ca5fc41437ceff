"""What methods with a memory share: PPO on whole lifetimes (Schulman et al. 2017)."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxmeta.algorithms.compose import compose
from jaxmeta.checks import check_positive, check_weights
from jaxmeta.data import critic_baseline, masked_mean, scaled_rewards, standardise
from jaxmeta.learners import act_by_mode, gate_of_memory, recurrent_learner, replay_lifetimes
from jaxmeta.networks import RecurrentPolicy
from jaxmeta.objectives import batch_of, clipped
from jaxmeta.outer import adam
from jaxmeta.over_tasks import default_task_chunk, over_tasks
from jaxmeta.parts import built, part
from jaxmeta.types import Array, Estimator, Lifetime, MetaAlgorithm, Objective, Outer, TaskDistribution, Theta


def lifetime_ppo(
    tasks: TaskDistribution,
    acting: RecurrentPolicy,
    learning: RecurrentPolicy,
    *,
    clip: float = 0.2,
    value_weight: float = 0.5,
    entropy_weight: float = 0.01,
    outer: Outer = part(adam, rate=1e-3, epochs=4, minibatches=4, max_grad_norm=0.5),
    estimator: Estimator = part(critic_baseline),
    reward_scale: float = 1.0,
    task_chunk: int | None = None,
    auxiliaries: Sequence[Objective] = (),
    bonus: Callable[[Theta, Lifetime], Array] | None = None,
    composition: Callable[..., MetaAlgorithm] = compose,
) -> MetaAlgorithm:
    """``L_clip + c_v ½ (V − target)² − c_e H`` on lifetimes (Schulman et al. 2017, equation 9), by a recurrent policy.

    The advantages of a meta-batch are standardised together.

    Args:
      tasks: a family of lifetimes.
      acting: the network that acts.
      learning: the same network as it is differentiated, such as ``in_segments``.
      clip: ε > 0: PPO's ratio of probabilities counts between 1 − ε and 1 + ε.
      value_weight: c_v ≥ 0, weight of the critic's squared error.
      entropy_weight: c_e ≥ 0, weight of the policy's entropy in nats.
      outer: optimiser of the slow weights θ. Its minibatches must divide the number of tasks in a meta-batch.
      estimator: estimator of advantages.
      reward_scale: > 0, multiplies the rewards that advantages and values are made of, but not those that are observed
        or reported. Where returns are large, the critic's errors outweigh the policy's gradient: take about 1 / (the
        returns' standard deviation).
      task_chunk: lifetimes differentiated together, ≥ 1. By default on a CPU about 33,000 steps, and no fewer than 16
        lifetimes; elsewhere a million steps.
      auxiliaries: further losses of a lifetime, added to PPO's.
      bonus: ``bonus(theta, lifetime) -> [T]``, by the theta that collected; added to the rewards of the advantages and
        values, but not to the returns that are reported.
      composition: makes the algorithm of its parts, with the arguments of ``compose``.
    """
    check_weights(value_weight=value_weight, entropy_weight=entropy_weight)
    check_positive(reward_scale=reward_scale)
    learner = recurrent_learner(acting)
    outer, estimator, surrogate = built(outer), scaled_rewards(built(estimator), reward_scale), clipped(clip)
    # A lifetime is one row of each matrix product: even on a CPU some must go together.
    default = default_task_chunk(1, tasks.horizon, on_cpu=max(16, 2**15 // tasks.horizon))
    chunk = default if task_chunk is None else task_chunk

    def objective(theta: Theta, lifetime: Lifetime):
        batch = batch_of(lifetime, -1)
        distribution, value, _ = replay_lifetimes(learning, theta, learner.begin(theta), batch.obs)
        error = 0.5 * masked_mean(jnp.square(value - batch.value_target), batch.mask)
        entropy = masked_mean(distribution.entropy(), batch.mask)
        loss = surrogate(distribution.log_prob(batch.action), batch) + value_weight * error - entropy_weight * entropy
        info = {"value_error": error, "entropy": entropy}
        for auxiliary in auxiliaries:
            further, further_info = auxiliary(theta, lifetime)
            loss, info = loss + further, {**info, **further_info}
        return loss, info

    def with_bonus(theta: Theta, lifetime: Lifetime) -> Lifetime:
        batch = batch_of(lifetime, -1)
        assert bonus is not None
        rewarded = estimator(batch._replace(reward=batch.reward + bonus(theta, lifetime)[None] * batch.mask))
        estimated = rewarded._replace(reward=batch.reward)
        return lifetime._replace(trajectory=jax.tree.map(lambda x: x[None], estimated))

    def across_tasks(theta: Theta, lifetimes: Lifetime) -> Lifetime:
        if bonus is not None:
            lifetimes = over_tasks(with_bonus, lifetimes, shared=theta, task_chunk=chunk)
        return standardised_together(lifetimes)

    return composition(
        tasks,
        learner,
        recurrent_learner(acting, act_by_mode),
        objective,
        outer,
        estimator,
        lambda theta, phi, obs: replay_lifetimes(learning, theta, phi, obs)[0],
        adaptation_steps=0,
        episodes=1,
        task_chunk=chunk,
        across_tasks=across_tasks,
        gate=gate_of_memory(learning),
    )


def standardised_together(lifetimes: Lifetime) -> Lifetime:
    """Advantages scaled to mean 0 and standard deviation 1 over all tasks."""
    batch = lifetimes.trajectory
    return lifetimes._replace(trajectory=batch._replace(advantage=standardise(batch.advantage, batch.mask)))
