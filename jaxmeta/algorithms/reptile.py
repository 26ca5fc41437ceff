"""Reptile: move towards the adapted weights (Nichol, Achiam and Schulman 2018)."""

import optax

from jaxmeta.algorithms.maml import maml
from jaxmeta.objectives.objectives import towards_adapted
from jaxmeta.outer.descent import by_optax
from jaxmeta.types import MetaAlgorithm, Outer, TaskDistribution


def reptile(
    tasks: TaskDistribution, *, adaptation_steps: int = 3, outer: Outer | None = None, **settings
) -> MetaAlgorithm:
    """``θ ← θ + ε mean_i (φ_i − θ)`` after K inner steps in each task; with K = 1 it is joint training.

    Args:
      tasks: the family.
      adaptation_steps: K ≥ 1; more than 1, or nothing is learned about adaptation.
      outer: moves θ along ``θ − φ``; by default plain steps of ε = 0.5.
      **settings: those of ``maml`` but for the objective; the outer loss has no part in it.

    Raises:
      ValueError: ``adaptation_steps`` below 1.
    """
    if adaptation_steps < 1:
        raise ValueError(f"adaptation_steps: got {adaptation_steps}; must be at least 1")
    outer = by_optax(optax.sgd(0.5)) if outer is None else outer
    return maml(tasks, adaptation_steps=adaptation_steps, objective=towards_adapted, outer=outer, **settings)
