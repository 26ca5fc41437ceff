"""ANIL: only the network's head adapts (Raghu et al. 2020, Rapid Learning or Feature Reuse?)."""

import jax
import optax

from jaxmeta.algorithms.maml import maml
from jaxmeta.learners import Adaptation, gradient_adaptation
from jaxmeta.networks import Distribution, Policy
from jaxmeta.parts import extends
from jaxmeta.types import Array, MetaAlgorithm, PyTree, Surrogate, TaskDistribution, Theta


@extends(maml, without=("adaptation",))
def anil(tasks: TaskDistribution, **settings) -> MetaAlgorithm:
    """``maml`` whose inner steps move the head alone; all weights are meta-learned.

    Raises:
      ValueError: a policy without a ``head``.
    """
    return maml(tasks, adaptation=head_only, **settings)


def head_only(policy: Policy, inner_loss: Surrogate, inner_optimizer: optax.GradientTransformation) -> Adaptation:
    """Inner steps on the parameters that ``policy.head`` marks."""
    marks = policy.head
    if marks is None:
        raise ValueError("policy: has no head; use policy_for, or from_module(..., head=...)")

    def start(theta: Theta) -> PyTree:
        return jax.tree.map(lambda is_head, leaf: leaf if is_head else None, marks(theta), theta)

    def apply(theta: Theta, head: PyTree, obs: Array) -> Distribution:
        params = jax.tree.map(
            lambda fast, slow: slow if fast is None else fast, head, theta, is_leaf=lambda leaf: leaf is None
        )
        return policy.apply(params, obs)

    return gradient_adaptation(policy.init, start, apply, inner_loss, lambda theta: inner_optimizer)
