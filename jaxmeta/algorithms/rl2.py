"""RL²: a recurrent network learns by acting (Duan et al. 2016; Wang et al. 2016), trained by PPO on whole lifetimes."""

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.compose import compose
from jaxmeta.cells import Cell
from jaxmeta.estimators import critic_baseline, standardise
from jaxmeta.learners.gradient import act_by_mode
from jaxmeta.learners.recurrent import recurrent_learner, replay
from jaxmeta.losses import clipped
from jaxmeta.networks import RecurrentPolicy, in_segments, recurrent_policy_for
from jaxmeta.objectives import actor_critic
from jaxmeta.outer import by_optax
from jaxmeta.tasks.lifetimes import LifetimeEnv
from jaxmeta.types import Array, Estimator, Lifetime, MetaAlgorithm, Outer, Phi, TaskDistribution, Theta, Trajectory


def rl2(
    tasks: TaskDistribution,
    *,
    cell: str | Cell = "gru",
    size: int = 128,
    policy: RecurrentPolicy | None = None,
    segment: int | None = None,
    clip: float = 0.2,
    value_weight: float = 0.5,
    entropy_weight: float = 0.01,
    outer: Outer | None = None,
    estimator: Estimator | None = None,
    task_chunk: int | None = None,
) -> MetaAlgorithm:
    """``max_θ E[Σ r]`` over a lifetime in one task, by a policy that remembers all of it.

    The advantages of a meta-batch are standardised together. A lifetime is collected in each task; the more tasks, the
    wider the matrix products.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      cell: a name in ``CELLS``, or a ``Cell``; used where ``policy`` is not given.
      size: features of the cell, ≥ 1; likewise.
      policy: a recurrent actor and critic; by default the cell with a linear head for each.
      segment: steps that are differentiated together, ≥ 1; must divide the lifetime. By default all of them.
      clip: ε > 0 of the clipped surrogate.
      value_weight: weight of the critic's squared error, ≥ 0.
      entropy_weight: weight of the policy's entropy, in nats, ≥ 0.
      outer: moves θ; by default Adam at 1e-3 with gradients clipped at norm 0.5, 4 epochs of 4 minibatches.
      estimator: advantages; by default ``critic_baseline()``, γ = 0.99 and λ = 0.95.
      task_chunk: lifetimes differentiated together, ≥ 1; by default by their length.

    Raises:
      ValueError: an argument out of its range, or a family that is not one of lifetimes.
    """
    if not isinstance(tasks.env, LifetimeEnv):
        raise ValueError("tasks: not a family of lifetimes; give as_lifetime(tasks, episodes)")
    for name, value in (("value_weight", value_weight), ("entropy_weight", entropy_weight)):
        if isinstance(value, (int, float)) and value < 0:
            raise ValueError(f"{name}: got {value}; must be at least 0")
    if policy is None:
        policy = recurrent_policy_for(tasks.env, horizon=tasks.horizon, cell=cell, size=size)
    trained = policy if segment is None else in_segments(policy, segment)
    if segment is not None and tasks.horizon % segment:
        raise ValueError(f"segment: got {segment}; must divide the lifetime's {tasks.horizon} steps")
    if outer is None:
        outer = by_optax(optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3, eps=1e-5)), 4, 4)

    def evaluate(theta: Theta, phi: Phi, batch: Trajectory):
        return replay(trained, theta, phi, batch.obs)[:2]

    def distribution(theta: Theta, phi: Phi, obs: Array):
        return replay(trained, theta, phi, obs)[0]

    learner = recurrent_learner(policy)
    objective = actor_critic(
        evaluate, learner.begin, clipped(clip), value_weight=value_weight, entropy_weight=entropy_weight
    )
    return compose(
        tasks,
        learner,
        recurrent_learner(policy, act_by_mode),
        objective,
        outer,
        critic_baseline() if estimator is None else estimator,
        distribution,
        adaptation_steps=0,
        episodes=1,
        task_chunk=lifetime_chunk(tasks.horizon) if task_chunk is None else task_chunk,
        across_tasks=standardised_together,
    )


def standardised_together(lifetimes: Lifetime) -> Lifetime:
    """Advantages with mean 0 and standard deviation 1 over all tasks."""
    batch = lifetimes.trajectory
    advantage = standardise(jax.lax.stop_gradient(batch.advantage), batch.mask)
    return lifetimes._replace(trajectory=batch._replace(advantage=jnp.asarray(advantage)))


def lifetime_chunk(horizon: int) -> int:
    """Lifetimes differentiated together, where nobody says: about 33,000 steps, and no fewer than 16 lifetimes."""
    return max(16, 2**15 // horizon)
