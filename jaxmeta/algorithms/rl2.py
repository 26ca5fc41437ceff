"""RL²: a recurrent network learns by acting (Duan et al. 2016; Wang et al. 2016), trained by PPO on whole lifetimes."""

from jaxmeta.algorithms.checks import check_lifetimes
from jaxmeta.algorithms.lifetime_ppo import lifetime_ppo
from jaxmeta.data import critic_baseline
from jaxmeta.networks import RecurrentPolicy, in_segments, recurrent_policy_for
from jaxmeta.outer import adam
from jaxmeta.parts import built, part
from jaxmeta.tasks import Lifetimes
from jaxmeta.types import Estimator, MetaAlgorithm, Outer


def rl2(
    tasks: Lifetimes,
    *,
    policy: RecurrentPolicy = part(recurrent_policy_for),
    segment: int | None = None,
    clip: float = 0.2,
    value_weight: float = 0.5,
    entropy_weight: float = 0.01,
    outer: Outer = part(adam, rate=1e-3, epochs=4, minibatches=4, max_grad_norm=0.5),
    estimator: Estimator = part(critic_baseline),
    reward_scale: float = 1.0,
    task_chunk: int | None = None,
) -> MetaAlgorithm:
    """``max_θ E[Σ r]`` over a lifetime in one task, by a policy that remembers all of it.

    The advantages of a meta-batch are standardised together. A lifetime is collected in each task; the more tasks, the
    wider the matrix products.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      policy: a recurrent actor and critic. In bandits and tabular MDPs ``tabular_policy_for`` learns from far fewer
        lifetimes.
      segment: steps that are differentiated together, ≥ 1; must divide the lifetime. By default all of them.
      clip: ε > 0 of the clipped surrogate.
      value_weight: weight of the critic's squared error, ≥ 0.
      entropy_weight: weight of the policy's entropy, in nats, ≥ 0.
      outer: moves θ. Its minibatches must divide the tasks of a meta-batch.
      estimator: advantages.
      reward_scale: > 0, multiplies the rewards that advantages and values are made of, not those that are seen or
        reported. Long returns make the critic's errors outweigh the policy's gradient: about 1 / (their deviation).
      task_chunk: lifetimes differentiated together, ≥ 1; by default by their length.

    Raises:
      ValueError: an argument out of its range, or a family that is not one of lifetimes.
    """
    check_lifetimes(tasks)
    policy = built(policy, tasks.env, tasks.horizon)
    learning = policy if segment is None else in_segments(policy, segment)
    if segment is not None and tasks.horizon % segment:
        raise ValueError(f"segment: got {segment}; must divide the lifetime's {tasks.horizon} steps")
    return lifetime_ppo(
        tasks,
        policy,
        learning,
        clip=clip,
        value_weight=value_weight,
        entropy_weight=entropy_weight,
        outer=built(outer),
        estimator=built(estimator),
        reward_scale=reward_scale,
        task_chunk=task_chunk,
    )
