"""Baselines under the same interface: without adaptation, without meta-training, and with the task observed."""

from jaxmeta.algorithms.maml import maml
from jaxmeta.learners import whole_network, without_adaptation
from jaxmeta.outer import no_step
from jaxmeta.parts import extends
from jaxmeta.tasks import Revealed
from jaxmeta.types import MetaAlgorithm, TaskDistribution


@extends(maml, without=("adaptation",))
def multi_task(tasks: TaskDistribution, *, adaptation_steps: int = 0, **settings) -> MetaAlgorithm:
    """One policy for all tasks, trained by the policy gradient on their mean return; it never adapts.

    Args:
      adaptation_steps: batches of episodes before the one that is trained on, ≥ 0; of use only in evaluation, beside
        methods that adapt.
    """
    never = lambda *parts: without_adaptation(whole_network(*parts))  # noqa: E731
    return maml(tasks, adaptation_steps=adaptation_steps, adaptation=never, **settings)


@extends(multi_task)
def oracle(tasks: Revealed, **settings) -> MetaAlgorithm:
    """``multi_task`` that sees the task's parameters beside the observation: an upper bound for methods that adapt.

    Args:
      tasks: a family that ``reveal_task`` made.
    """
    return multi_task(tasks, **settings)


@extends(maml, without=("outer",))
def from_scratch(tasks: TaskDistribution, **settings) -> MetaAlgorithm:
    """``maml`` whose slow weights stay as they were drawn: every test task is learned from scratch."""
    return maml(tasks, outer=no_step(), **settings)
