"""ProMP: proximal meta-policy search (Rothfuss et al. 2019)."""

import functools

from jaxmeta.algorithms.maml import maml
from jaxmeta.checks import check_weights
from jaxmeta.objectives import clipped, likelihood_ratio, standardised, with_inner_penalty
from jaxmeta.outer import adam
from jaxmeta.parts import extends, part
from jaxmeta.types import MetaAlgorithm, Outer, TaskDistribution


@extends(maml, without=("inner_loss", "outer_loss", "objective"))
def promp(
    tasks: TaskDistribution,
    *,
    clip: float = 0.3,
    penalty: float = 5e-4,
    outer: Outer = part(adam, rate=1e-3, epochs=5),
    **settings,
) -> MetaAlgorithm:
    """``maml`` with a likelihood-ratio inner loss, a clipped outer loss, a penalty on the inner policies, five epochs.

    Their equation 14; clip and penalty are those of their experiments.

    Args:
      clip: ε > 0 of the clipped ratio in the outer loss.
      penalty: η ≥ 0, weight of the divergence from the policies that collected before adaptation.
    """
    check_weights(penalty=penalty)
    objective = functools.partial(with_inner_penalty, weight=penalty)
    losses = {"inner_loss": standardised(likelihood_ratio), "outer_loss": standardised(clipped(clip))}
    return maml(tasks, outer=outer, objective=objective, **losses, **settings)
