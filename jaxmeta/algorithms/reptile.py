"""Reptile: move towards the adapted weights (Nichol, Achiam and Schulman 2018)."""

from jaxmeta.algorithms.maml import maml
from jaxmeta.checks import check_adaptation_steps
from jaxmeta.objectives import towards_adapted
from jaxmeta.outer import sgd
from jaxmeta.parts import extends, part
from jaxmeta.types import MetaAlgorithm, Outer, TaskDistribution


@extends(maml, without=("outer_loss", "objective"))
def reptile(
    tasks: TaskDistribution, *, adaptation_steps: int = 3, outer: Outer = part(sgd, rate=1.0), **settings
) -> MetaAlgorithm:
    """``θ ← θ + ε mean_i (φ_i − θ)`` after K inner steps in each task; with K = 1 it is joint training.

    Args:
      adaptation_steps: K ≥ 1 gradient steps, each on fresh episodes; with 1, nothing is learned about adaptation.
      outer: optimiser of the slow weights θ, along ``θ − φ``; the step size of ``sgd`` is ε.
    """
    check_adaptation_steps(1, adaptation_steps=adaptation_steps)
    return maml(tasks, adaptation_steps=adaptation_steps, objective=towards_adapted, outer=outer, **settings)
