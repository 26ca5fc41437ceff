"""RL²: a recurrent network learns by acting (Duan et al. 2016; Wang et al. 2016), trained by PPO on whole lifetimes."""

from jaxmeta.algorithms.contract import check_lifetimes
from jaxmeta.algorithms.lifetime_ppo import lifetime_ppo
from jaxmeta.networks import RecurrentPolicy, in_segments, recurrent_policy_for
from jaxmeta.parts import built, extends, part
from jaxmeta.tasks import Lifetimes
from jaxmeta.types import MetaAlgorithm


@extends(lifetime_ppo)
def rl2(
    tasks: Lifetimes, *, policy: RecurrentPolicy = part(recurrent_policy_for), segment: int | None = None, **settings
) -> MetaAlgorithm:
    """``max_θ E[Σ r]`` over a lifetime in one task, by a policy that remembers all of it.

    A lifetime is collected in each task; the more tasks, the wider the matrix products.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      policy: a recurrent actor and critic. In bandits and tabular MDPs ``tabular_policy_for`` learns from far fewer
        lifetimes.
      segment: steps that are differentiated together, ≥ 1; must divide the lifetime. By default all of them.

    Raises:
      ValueError: a family that is not one of lifetimes, or a ``segment`` that does not divide them.
    """
    check_lifetimes(tasks)
    policy = built(policy, tasks.env, tasks.horizon)
    learning = policy if segment is None else in_segments(policy, segment)
    if segment is not None and tasks.horizon % segment:
        raise ValueError(f"segment: got {segment}; must divide the lifetime's {tasks.horizon} steps")
    return lifetime_ppo(tasks, policy, learning, **settings)
