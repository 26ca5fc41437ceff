"""RL²: a recurrent network learns by acting (Duan et al. 2016; Wang et al. 2016), trained by PPO on whole lifetimes."""

import optax

from jaxmeta.algorithms.checks import check_lifetimes
from jaxmeta.algorithms.on_lifetimes import ppo_on_lifetimes
from jaxmeta.networks.cells import Cell
from jaxmeta.networks.recurrent import RecurrentPolicy, in_segments, recurrent_policy_for
from jaxmeta.outer.descent import by_optax
from jaxmeta.types import Estimator, MetaAlgorithm, Outer, TaskDistribution


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
    reward_scale: float = 1.0,
    task_chunk: int | None = None,
    balance_weight: float = 0.0,
) -> MetaAlgorithm:
    """``max_θ E[Σ r]`` over a lifetime in one task, by a policy that remembers all of it.

    The advantages of a meta-batch are standardised together. A lifetime is collected in each task; the more tasks, the
    wider the matrix products.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      cell: a name in ``CELLS``, or a ``Cell``; used where ``policy`` is not given.
      size: features of the cell, ≥ 1; likewise.
      policy: a recurrent actor and critic; by default the cell with a linear head for each. In bandits and tabular MDPs
        ``tabular_policy_for`` learns from far fewer lifetimes.
      segment: steps that are differentiated together, ≥ 1; must divide the lifetime. By default all of them.
      clip: ε > 0 of the clipped surrogate.
      value_weight: weight of the critic's squared error, ≥ 0.
      entropy_weight: weight of the policy's entropy, in nats, ≥ 0.
      outer: moves θ; by default Adam at 1e-3 with gradients clipped at norm 0.5, 4 epochs of 4 minibatches: the
        tasks of a meta-batch must then be a multiple of 4.
      estimator: advantages; by default ``critic_baseline()``, γ = 0.99 and λ = 0.95.
      reward_scale: > 0, multiplies the rewards that advantages and values are made of, not those that are seen or
        reported. Long returns make the critic's errors outweigh the policy's gradient: about 1 / (their deviation).
      task_chunk: lifetimes differentiated together, ≥ 1; by default by their length.
      balance_weight: of ``load_balancing``, ≥ 0: keeps all experts of the actor in use, across tasks.

    Raises:
      ValueError: an argument out of its range, or a family that is not one of lifetimes.
    """
    check_lifetimes(tasks)
    if policy is None:
        policy = recurrent_policy_for(tasks.env, horizon=tasks.horizon, cell=cell, size=size)
    learning = policy if segment is None else in_segments(policy, segment)
    if segment is not None and tasks.horizon % segment:
        raise ValueError(f"segment: got {segment}; must divide the lifetime's {tasks.horizon} steps")
    if outer is None:
        outer = by_optax(optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3, eps=1e-5)), 4, 4)
    return ppo_on_lifetimes(
        tasks,
        policy,
        learning,
        clip=clip,
        value_weight=value_weight,
        entropy_weight=entropy_weight,
        outer=outer,
        estimator=estimator,
        reward_scale=reward_scale,
        task_chunk=task_chunk,
        balance_weight=balance_weight,
    )
