"""ProMP: proximal meta-policy search (Rothfuss et al. 2019)."""

import functools

import optax

from jaxmeta.algorithms.maml import maml
from jaxmeta.objectives.objectives import with_inner_penalty
from jaxmeta.objectives.surrogates import clipped, likelihood_ratio, standardised
from jaxmeta.outer.descent import by_optax
from jaxmeta.types import MetaAlgorithm, Outer, TaskDistribution


def promp(
    tasks: TaskDistribution,
    *,
    inner_rate: float = 0.1,
    clip: float = 0.3,
    penalty: float = 5e-4,
    epochs: int = 5,
    outer: Outer | None = None,
    **settings,
) -> MetaAlgorithm:
    """``maml`` with a likelihood-ratio inner loss, a clipped outer loss, a penalty on the inner policies, five epochs.

    Their equation 14; the defaults are those of their experiments.

    Args:
      tasks: the family.
      inner_rate: α > 0, or a schedule.
      clip: ε > 0 of the clipped ratio.
      penalty: η ≥ 0, weight of the divergence from the policies that collected before adaptation.
      epochs: Adam steps on a meta-batch, ≥ 1; used where ``outer`` is not given.
      outer: moves θ; by default Adam at 1e-3 for ``epochs`` steps.
      **settings: those of ``maml`` but for the losses and the objective.

    Raises:
      ValueError: ``penalty`` negative.
    """
    if isinstance(penalty, (int, float)) and penalty < 0:
        raise ValueError(f"penalty: got {penalty}; must not be negative")
    return maml(
        tasks,
        inner_rate=inner_rate,
        inner_loss=standardised(likelihood_ratio),
        outer_loss=standardised(clipped(clip)),
        objective=functools.partial(with_inner_penalty, weight=penalty),
        outer=by_optax(optax.adam(1e-3), epochs) if outer is None else outer,
        **settings,
    )
