"""Baselines under the same interface: no adaptation, no meta-training, and told the task."""

import optax

from jaxmeta.algorithms.maml import maml
from jaxmeta.learners.gradient import whole_network, without_adaptation
from jaxmeta.outer.descent import by_optax
from jaxmeta.types import MetaAlgorithm, TaskDistribution


def multi_task(tasks: TaskDistribution, *, adaptation_steps: int = 0, **settings) -> MetaAlgorithm:
    """One policy for all tasks, trained by the policy gradient on their mean return; it never adapts.

    With ``reveal_task(tasks)`` in place of ``tasks`` it is the task-conditioned oracle.

    Args:
      tasks: the family.
      adaptation_steps: batches before the one that is trained on, ≥ 0; of use only in evaluation, beside methods that
        adapt.
      **settings: those of ``maml``.
    """
    return maml(
        tasks,
        adaptation_steps=adaptation_steps,
        adaptation=lambda *parts: without_adaptation(whole_network(*parts)),
        **settings,
    )


def from_scratch(tasks: TaskDistribution, **settings) -> MetaAlgorithm:
    """``maml`` whose slow weights stay as they were drawn: every test task is learned from scratch.

    Args:
      tasks: the family.
      **settings: those of ``maml`` but for the outer step.
    """
    return maml(tasks, outer=by_optax(optax.set_to_zero()), **settings)
