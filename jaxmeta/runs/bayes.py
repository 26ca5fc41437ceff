"""The Bayes optimum of a family of lifetimes: what a learner that is not told the task can reach in each episode."""

import numpy as np

from jaxmeta.references import bernoulli_value, gridnavi
from jaxmeta.tasks import BernoulliBandit, GridNavi, LifetimeEnv
from jaxmeta.types import Task, TaskDistribution


def bayes_optimum(tasks: TaskDistribution, batch: Task) -> np.ndarray | None:
    """Returns of each episode of the Bayes-optimal policy in tasks, ``[N, episodes]``; ``None`` where it is not known.

    Known are GridNavi of 5 × 5 cells, 15 steps and up to four episodes, all goals equally likely at first, and
    independent Bernoulli arms, uniform at first, of up to ten pulls; of these every task is given the mean over tasks.

    Args:
      tasks: the family.
      batch: some of its tasks, leaves ``[N, ...]``.
    """
    lifetime = tasks.env
    if not isinstance(lifetime, LifetimeEnv):
        return None
    # What lies between a lifetime and its environment changes what is seen, or what a step is.
    env, episodes, horizon = lifetime.env, lifetime.episodes, lifetime.horizon
    if type(env) is GridNavi and (env.size, horizon) == (5, 15) and episodes <= 4:
        return gridnavi.plan_returns(gridnavi.bayes_optimal(episodes=episodes), np.asarray(batch.goal))
    if type(env) is BernoulliBandit and episodes == 1 and horizon <= 10:
        return np.full((len(batch.probability), 1), bernoulli_value(env.arms, horizon))
    return None
