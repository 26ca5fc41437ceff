"""E-MAML: credit for exploration before adaptation (Stadie et al. 2018, Some Considerations on Learning to Explore)."""

import functools

from jaxmeta.algorithms.maml import maml
from jaxmeta.checks import check_weights
from jaxmeta.objectives import likelihood_ratio, score_function, standardised, with_sampling_term
from jaxmeta.parts import extends
from jaxmeta.types import MetaAlgorithm, TaskDistribution


@extends(maml, without=("inner_loss", "outer_loss", "objective"))
def e_maml(tasks: TaskDistribution, *, episodes: int = 20, weight: float | None = None, **settings) -> MetaAlgorithm:
    """``maml`` whose outer loss also raises the probability of adaptation data after which the return was high.

    The inner loss is the score function: its derivative takes the data as given, and the added term says how they
    depend on the policy. A likelihood ratio or DiCE would give that credit a second time. The outer advantages are in
    units of reward, as the added term is, and both terms are sums over an episode's steps divided by the horizon.

    Args:
      weight: weight of the added term, ≥ 0. 1 is the exact derivative (of the undiscounted return, with
        ``estimator.discount`` 1), a sum over all E episodes, and noisy; by default 1 / E, a mean over them, as in
        published implementations.
    """
    check_weights(weight=weight)
    objective = functools.partial(with_sampling_term, weight=1.0 / max(episodes, 1) if weight is None else weight)
    losses = {"inner_loss": standardised(score_function), "outer_loss": likelihood_ratio}
    return maml(tasks, episodes=episodes, objective=objective, **losses, **settings)
