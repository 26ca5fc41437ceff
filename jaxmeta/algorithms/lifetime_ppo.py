"""What methods with a memory share: PPO on whole lifetimes (Schulman et al. 2017)."""

from collections.abc import Callable, Sequence

import jax

from jaxmeta.algorithms.compose import compose
from jaxmeta.checks import check_positive, check_weights
from jaxmeta.data import scaled_rewards, standardise
from jaxmeta.learners import act_by_mode, gate_of_memory, recurrent_learner, replay_lifetimes
from jaxmeta.networks import RecurrentPolicy
from jaxmeta.objectives import actor_critic, clipped
from jaxmeta.types import (
    Array,
    Estimator,
    Info,
    Lifetime,
    MetaAlgorithm,
    Objective,
    Outer,
    Phi,
    TaskDistribution,
    Theta,
    Trajectory,
)


def lifetime_ppo(
    tasks: TaskDistribution,
    acting: RecurrentPolicy,
    learning: RecurrentPolicy,
    *,
    clip: float,
    value_weight: float,
    entropy_weight: float,
    outer: Outer,
    estimator: Estimator,
    reward_scale: float,
    task_chunk: int | None,
    auxiliaries: Sequence[Objective] = (),
    bonus: Callable[[Theta, Lifetime], Array] | None = None,
) -> MetaAlgorithm:
    """A clipped actor and critic with a memory; the advantages of a meta-batch are standardised together.

    Args:
      tasks: a family of lifetimes.
      acting: the network, as it acts.
      learning: the same network, as it is differentiated: such as ``in_segments``.
      clip: ε > 0 of the clipped surrogate.
      value_weight: weight of the critic's squared error, ≥ 0.
      entropy_weight: weight of the policy's entropy, in nats, ≥ 0.
      outer: moves θ.
      estimator: advantages.
      reward_scale: > 0, multiplies the rewards, and bonuses, that ``estimator`` sees.
      task_chunk: lifetimes differentiated together, ≥ 1; by default about 33,000 steps, and no fewer than 16 lifetimes.
      auxiliaries: further losses of a lifetime, added.
      bonus: ``bonus(theta, lifetime) -> [T]``, by the theta that collected; added to the rewards that are learned from,
        but not to the returns that are reported.

    Raises:
      ValueError: an argument out of its range.
    """
    check_weights(value_weight=value_weight, entropy_weight=entropy_weight)
    check_positive(reward_scale=reward_scale)
    learner = recurrent_learner(acting)
    estimator = scaled_rewards(estimator, reward_scale)
    task_chunk = max(16, 2**15 // tasks.horizon) if task_chunk is None else task_chunk

    def evaluate(theta: Theta, phi: Phi, batch: Trajectory):
        return replay_lifetimes(learning, theta, phi, batch.obs)[:2]

    ppo = actor_critic(evaluate, learner.begin, clipped(clip), value_weight=value_weight, entropy_weight=entropy_weight)

    def objective(theta: Theta, lifetime: Lifetime) -> tuple[Array, Info]:
        loss, info = ppo(theta, lifetime)
        for auxiliary in auxiliaries:
            further, further_info = auxiliary(theta, lifetime)
            loss, info = loss + further, {**info, **further_info}
        return loss, info

    def with_bonus(theta: Theta, lifetime: Lifetime) -> Lifetime:
        batch = jax.tree.map(lambda x: x[-1], lifetime.trajectory)
        assert bonus is not None
        rewarded = estimator(batch._replace(reward=batch.reward + bonus(theta, lifetime) * batch.mask))
        estimated = rewarded._replace(reward=batch.reward)
        return lifetime._replace(trajectory=jax.tree.map(lambda x: x[None], estimated))

    def across_tasks(theta: Theta, lifetimes: Lifetime) -> Lifetime:
        if bonus is not None:
            lifetimes = jax.lax.map(lambda one: with_bonus(theta, one), lifetimes, batch_size=task_chunk)
        return standardised_together(lifetimes)

    return compose(
        tasks,
        learner,
        recurrent_learner(acting, act_by_mode),
        objective,
        outer,
        estimator,
        lambda theta, phi, obs: replay_lifetimes(learning, theta, phi, obs)[0],
        adaptation_steps=0,
        episodes=1,
        task_chunk=task_chunk,
        across_tasks=across_tasks,
        gate=gate_of_memory(learning),
    )


def standardised_together(lifetimes: Lifetime) -> Lifetime:
    """Advantages with mean 0 and standard deviation 1 over all tasks."""
    batch = lifetimes.trajectory
    advantage = standardise(batch.advantage, batch.mask)
    return lifetimes._replace(trajectory=batch._replace(advantage=advantage))
