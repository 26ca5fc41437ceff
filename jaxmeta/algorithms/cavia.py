"""CAVIA: only a context vector adapts (Zintgraf et al. 2019, Fast Context Adaptation via Meta-Learning)."""

from collections.abc import Callable

import jax.numpy as jnp
import optax

from jaxmeta.algorithms.maml import maml
from jaxmeta.checks import check_least
from jaxmeta.learners import Adaptation, gradient_adaptation
from jaxmeta.networks import Policy, policy_for
from jaxmeta.parts import built, extends, part
from jaxmeta.types import Array, MetaAlgorithm, Surrogate, TaskDistribution


@extends(maml, without=("adaptation",))
def cavia(
    tasks: TaskDistribution,
    *,
    inner_rate: float | Callable[[Array], Array] = 1.0,
    context_size: int = 5,
    policy: Policy = part(policy_for),
    **settings,
) -> MetaAlgorithm:
    """``maml`` whose fast state is a context, put beside the observation and zero at the start of each task.

    Args:
      inner_rate: step size on the context, > 0, or a schedule.
      context_size: length of the context, ≥ 1; a network that is built already has its own.
      policy: network of the policy, which gets a context input.

    Raises:
      ValueError: a policy without a context input.
    """
    check_least(1, context_size=context_size)
    policy = built(policy, tasks.env, context_size)
    return maml(tasks, inner_rate=inner_rate, policy=policy, adaptation=context_only, **settings)


def context_only(policy: Policy, inner_loss: Surrogate, inner_optimizer: optax.GradientTransformation) -> Adaptation:
    """Inner steps on the policy's context, from zero."""
    if policy.context_size < 1:
        raise ValueError("policy: has no context input; use policy_for(env, context_size=...)")
    return gradient_adaptation(
        policy.init,
        lambda theta: jnp.zeros(policy.context_size),
        lambda theta, context, obs: policy.apply(theta, obs, context),
        inner_loss,
        lambda theta: inner_optimizer,
    )
