"""Model-agnostic meta-learning for reinforcement learning, with its second derivatives (Finn et al. 2017)."""

from collections.abc import Callable
from typing import Any, cast

import optax

from jaxmeta.algorithms.balance import load_balancing
from jaxmeta.algorithms.compose import compose
from jaxmeta.data.advantages import linear_baseline
from jaxmeta.learners.gradient import (
    MakeAdaptation,
    act_by_mode,
    acting,
    first_order,
    gate_of_adapted,
    whole_network,
)
from jaxmeta.networks.policies import Policy, policy_for
from jaxmeta.objectives.objectives import post_adaptation
from jaxmeta.objectives.surrogates import clipped, likelihood_ratio, score_function, standardised
from jaxmeta.outer.descent import by_optax
from jaxmeta.outer.trust_region import trust_region
from jaxmeta.types import Array, Estimator, Learner, MetaAlgorithm, Objective, Outer, Surrogate, TaskDistribution

STANDARDISED = standardised(likelihood_ratio)


def maml(
    tasks: TaskDistribution,
    *,
    inner_rate: float | Callable[[Array], Array] = 0.5,
    adaptation_steps: int = 1,
    episodes: int = 20,
    inner_loss: Surrogate = STANDARDISED,
    inner_optimizer: Callable[..., optax.GradientTransformation] = optax.sgd,
    outer: Outer | None = None,
    outer_loss: Surrogate = STANDARDISED,
    objective: Callable[[Learner, Surrogate], Objective] = post_adaptation,
    estimator: Estimator | None = None,
    policy: Policy | None = None,
    task_chunk: int | None = None,
    adaptation: MakeAdaptation = whole_network,
    balance_weight: float = 0.0,
) -> MetaAlgorithm:
    """``min_θ mean_i L_i(θ − α ∇L_i(θ))``, differentiated through the adaptation.

    Args:
      tasks: the family.
      inner_rate: α > 0, or a schedule over adaptation steps, ``step -> α``.
      adaptation_steps: K ≥ 0 gradient steps, each on fresh episodes.
      episodes: E ≥ 1 episodes in each of the ``K + 1`` batches.
      inner_loss: surrogate that adaptation descends.
      inner_optimizer: ``inner_optimizer(inner_rate) -> optax transformation``. One that takes a square root of a moment
        needs ``eps_root > 0`` to be differentiated through: ``lambda rate: optax.adam(rate, eps_root=1e-8)``.
      outer: moves θ; by default Adam at 3e-3.
      outer_loss: surrogate of the data after adaptation.
      objective: builds the outer objective from the learner and ``outer_loss``; ``after_every_step`` for one.
      estimator: advantages; by default a linear baseline with γ = 0.99 and λ = 1.
      policy: a network; by default two layers of 100 ReLU units for the environment's spaces.
      task_chunk: tasks differentiated together, ≥ 1. On CPU a small chunk keeps its activations in cache; on an
        accelerator take as many as memory allows. By default chosen from the device and the sizes.
      adaptation: ``(policy, inner_loss, inner_optimizer) -> Adaptation``: what adapts, and how.
      balance_weight: of ``load_balancing``, ≥ 0: keeps all experts of the adapted policies in use, across tasks.

    Raises:
      ValueError: an argument out of its range.
    """
    if isinstance(inner_rate, (int, float)) and inner_rate <= 0:
        raise ValueError(f"inner_rate: got {inner_rate}; must be positive")
    policy = policy_for(tasks.env) if policy is None else policy
    outer = by_optax(optax.adam(3e-3)) if outer is None else outer
    estimator = linear_baseline() if estimator is None else estimator
    parts = (policy, inner_loss, inner_optimizer(cast(Any, inner_rate)))
    adapting, gate = adaptation(*parts), gate_of_adapted(adaptation, *parts)
    learner = acting(adapting)
    return compose(
        tasks,
        learner,
        acting(adapting, act_by_mode),
        objective(learner, outer_loss),
        outer,
        estimator,
        adapting.distribution,
        adaptation_steps=adaptation_steps,
        episodes=episodes,
        task_chunk=task_chunk,
        regulariser=load_balancing(learner, gate, balance_weight=balance_weight, task_chunk=task_chunk),
        gate=gate,
    )


def fomaml(tasks: TaskDistribution, **settings) -> MetaAlgorithm:
    """``maml`` whose adaptation counts as the identity in the outer gradient (Finn et al. 2017, section 5.2).

    Args:
      tasks: the family.
      **settings: those of ``maml``.
    """
    return maml(tasks, adaptation=lambda *parts: first_order(whole_network(*parts)), **settings)


def maml_vpg(tasks: TaskDistribution, **settings) -> MetaAlgorithm:
    """``maml`` with the plain policy gradient in both loops: log-probabilities times advantages, and one Adam step.

    The surrogate of Finn et al. 2017's equation 4, without the trust region. Its meta-gradient is biased: see
    ``score_function``.

    Args:
      tasks: the family.
      **settings: those of ``maml`` but for the two losses.
    """
    loss = standardised(score_function)
    return maml(tasks, inner_loss=loss, outer_loss=loss, **settings)


def maml_ppo(
    tasks: TaskDistribution, *, clip: float = 0.2, epochs: int = 5, outer: Outer | None = None, **settings
) -> MetaAlgorithm:
    """``maml`` with several clipped steps on each meta-batch (Schulman et al. 2017's surrogate as the outer loss).

    Args:
      tasks: the family.
      clip: ε > 0, how far the ratio of the post-adaptation policies may go before it stops to count.
      epochs: Adam steps on a meta-batch, ≥ 1; used where ``outer`` is not given.
      outer: moves θ; by default Adam at 1e-3 for ``epochs`` steps.
      **settings: those of ``maml`` but for the outer loss.
    """
    outer = by_optax(optax.adam(1e-3), epochs) if outer is None else outer
    return maml(tasks, outer=outer, outer_loss=standardised(clipped(clip)), **settings)


def trpo_maml(
    tasks: TaskDistribution, *, max_divergence: float = 0.01, outer: Outer | None = None, **settings
) -> MetaAlgorithm:
    """``maml`` with the outer step of Finn et al. 2017: TRPO on the divergence of the post-adaptation policies.

    Args:
      tasks: the family.
      max_divergence: bound on the mean divergence, in nats, > 0; used where ``outer`` is not given.
      outer: moves θ; by default ``trust_region(max_divergence=max_divergence)``.
      **settings: those of ``maml``.
    """
    return maml(tasks, outer=trust_region(max_divergence=max_divergence) if outer is None else outer, **settings)
