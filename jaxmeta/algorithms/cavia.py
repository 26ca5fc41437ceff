"""CAVIA: only a context vector adapts (Zintgraf et al. 2019, Fast Context Adaptation via Meta-Learning)."""

from typing import Any

import jax.numpy as jnp
import optax

from jaxmeta.algorithms.maml import maml
from jaxmeta.learners.gradient import Adaptation, gradient_adaptation
from jaxmeta.networks.policies import Policy, policy_for
from jaxmeta.types import MetaAlgorithm, Surrogate, TaskDistribution


def cavia(
    tasks: TaskDistribution,
    *,
    inner_rate: Any = 1.0,
    context_size: int = 5,
    policy: Policy | None = None,
    **settings,
) -> MetaAlgorithm:
    """``maml`` whose fast state is a context, put beside the observation and zero at the start of each task.

    Args:
      tasks: the family.
      inner_rate: step size on the context, > 0, or a schedule.
      context_size: length of the context, ≥ 1; used where ``policy`` is not given.
      policy: a network with a context input.
      **settings: those of ``maml``.

    Raises:
      ValueError: a policy without a context input, or a context size below 1.
    """
    if context_size < 1:
        raise ValueError(f"context_size: got {context_size}; must be at least 1")
    policy = policy_for(tasks.env, context_size=context_size) if policy is None else policy
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
