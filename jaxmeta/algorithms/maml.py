"""Model-agnostic meta-learning for reinforcement learning, with its second derivatives (Finn et al. 2017)."""

from collections.abc import Callable
from typing import Any, cast

import optax

from jaxmeta.algorithms.compose import compose
from jaxmeta.distributions import Distribution
from jaxmeta.estimators import linear_baseline
from jaxmeta.learners.gradient import FastWeights, act_by_mode, first_order, gradient_learner
from jaxmeta.losses import likelihood_ratio, standardised
from jaxmeta.networks import Policy, policy_for
from jaxmeta.objectives import post_adaptation
from jaxmeta.outer import by_optax
from jaxmeta.types import Array, Estimator, Learner, MetaAlgorithm, Objective, Outer, Surrogate, TaskDistribution, Theta

STANDARDISED = standardised(likelihood_ratio)


def maml(
    tasks: TaskDistribution,
    *,
    inner_rate: float | Callable[[Array], Array] = 0.5,
    adaptation_steps: int = 1,
    episodes: int = 20,
    inner_loss: Surrogate = STANDARDISED,
    outer: Outer | None = None,
    outer_loss: Surrogate = STANDARDISED,
    objective: Callable[[Learner, Surrogate], Objective] = post_adaptation,
    estimator: Estimator | None = None,
    policy: Policy | None = None,
    task_chunk: int = 1,
    wrap_learner: Callable[[Learner], Learner] = lambda learner: learner,
) -> MetaAlgorithm:
    """``min_θ mean_i L_i(θ − α ∇L_i(θ))``, differentiated through the adaptation.

    Args:
      tasks: the family.
      inner_rate: α > 0, or a schedule over adaptation steps, ``step -> α``.
      adaptation_steps: K ≥ 0 gradient steps, each on fresh episodes.
      episodes: E ≥ 1 episodes in each of the ``K + 1`` batches.
      inner_loss: surrogate that adaptation descends.
      outer: moves θ; by default Adam at 3e-3.
      outer_loss: surrogate of the data after adaptation.
      objective: builds the outer objective from the learner and ``outer_loss``; ``after_every_step`` for one.
      estimator: advantages; by default a linear baseline with γ = 0.99 and λ = 1.
      policy: a network; by default two layers of 100 ReLU units for the environment's spaces.
      task_chunk: tasks differentiated together, ≥ 1. On CPU a small chunk keeps its activations in cache; on an
        accelerator take as many as memory allows.
      wrap_learner: changes how the learner adapts or is differentiated, ``first_order`` for one.

    Raises:
      ValueError: an argument out of its range.
    """
    if isinstance(inner_rate, (int, float)) and inner_rate <= 0:
        raise ValueError(f"inner_rate: got {inner_rate}; must be positive")
    policy = policy_for(tasks.env) if policy is None else policy
    outer = by_optax(optax.adam(3e-3)) if outer is None else outer
    estimator = linear_baseline() if estimator is None else estimator
    inner_optimizer = optax.sgd(cast(Any, inner_rate))
    learner = wrap_learner(gradient_learner(policy, inner_loss, inner_optimizer))
    greedy = wrap_learner(gradient_learner(policy, inner_loss, inner_optimizer, choose=act_by_mode))

    def distribution(theta: Theta, phi: FastWeights, obs: Array) -> Distribution:
        return policy.apply(phi.params, obs)

    return compose(
        tasks,
        learner,
        greedy,
        objective(learner, outer_loss),
        outer,
        estimator,
        distribution,
        adaptation_steps=adaptation_steps,
        episodes=episodes,
        task_chunk=task_chunk,
    )


def fomaml(tasks: TaskDistribution, **settings) -> MetaAlgorithm:
    """``maml`` whose adaptation counts as the identity in the outer gradient (Finn et al. 2017, section 5.2).

    Args:
      tasks: the family.
      **settings: those of ``maml``.
    """
    return maml(tasks, wrap_learner=first_order, **settings)
