"""Model-agnostic meta-learning for reinforcement learning, with its second derivatives (Finn et al. 2017)."""

from collections.abc import Callable
from typing import Any, cast

import optax

from jaxmeta.algorithms.compose import compose
from jaxmeta.checks import check_positive
from jaxmeta.data import linear_baseline
from jaxmeta.learners import MakeAdaptation, act_by_mode, acting, first_order, gate_of_adapted, whole_network
from jaxmeta.networks import Policy, policy_for
from jaxmeta.objectives import after_adaptation, clipped, ratio_surrogate, score_function, standardised
from jaxmeta.outer import adam, trust_region
from jaxmeta.parts import built, extends, part
from jaxmeta.types import Array, Estimator, MetaAlgorithm, ObjectiveMaker, Outer, Surrogate, TaskDistribution


def maml(
    tasks: TaskDistribution,
    *,
    inner_rate: float | Callable[[Array], Array] = 0.5,
    adaptation_steps: int = 1,
    episodes: int = 20,
    inner_loss: Surrogate = part(ratio_surrogate),
    inner_optimizer: Callable[..., optax.GradientTransformation] = optax.sgd,
    outer: Outer = part(adam),
    outer_loss: Surrogate = part(ratio_surrogate),
    objective: ObjectiveMaker = part(after_adaptation),
    estimator: Estimator = part(linear_baseline),
    policy: Policy = part(policy_for),
    task_chunk: int | None = None,
    adaptation: MakeAdaptation = whole_network,
    composition: Callable[..., MetaAlgorithm] = compose,
) -> MetaAlgorithm:
    """``min_θ mean_i L_i(θ − α ∇L_i(θ))``, differentiated through the adaptation.

    Args:
      tasks: the family.
      inner_rate: step size α > 0 of adaptation, or a schedule over adaptation steps, ``step -> α``.
      adaptation_steps: K ≥ 0 gradient steps, each on fresh episodes.
      episodes: E ≥ 1 episodes in each of the ``K + 1`` batches.
      inner_loss: surrogate loss that adaptation descends.
      inner_optimizer: ``inner_optimizer(inner_rate) -> optax transformation``. One that takes a square root of a moment
        needs ``eps_root > 0`` to be differentiated through: ``lambda rate: optax.adam(rate, eps_root=1e-8)``.
      outer: optimiser of the slow weights θ.
      outer_loss: surrogate loss on the data after adaptation.
      objective: which batches of episodes ``outer_loss`` is taken on.
      estimator: estimator of advantages.
      policy: network of the policy.
      task_chunk: tasks differentiated together, ≥ 1. On CPU a small chunk keeps its activations in cache; on an
        accelerator take as many as memory allows. By default chosen from the device and the sizes.
      adaptation: ``(policy, inner_loss, inner_optimizer) -> Adaptation``: what adapts, and how.
      composition: makes the algorithm of its parts, with the arguments of ``compose``.
    """
    check_positive(inner_rate=inner_rate)
    parts = (built(policy, tasks.env), built(inner_loss), inner_optimizer(cast(Any, inner_rate)))
    adapting, gate = adaptation(*parts), gate_of_adapted(adaptation, *parts)
    learner = acting(adapting)
    return composition(
        tasks,
        learner,
        acting(adapting, act_by_mode),
        built(objective)(learner, built(outer_loss)),
        built(outer),
        built(estimator),
        adapting.distribution,
        adaptation_steps=adaptation_steps,
        episodes=episodes,
        task_chunk=task_chunk,
        gate=gate,
    )


@extends(maml, without=("adaptation",))
def fomaml(tasks: TaskDistribution, **settings) -> MetaAlgorithm:
    """``maml`` whose adaptation counts as the identity in the outer gradient (Finn et al. 2017, section 5.2)."""
    return maml(tasks, adaptation=lambda *parts: first_order(whole_network(*parts)), **settings)


@extends(maml, without=("inner_loss", "outer_loss"))
def maml_vpg(tasks: TaskDistribution, **settings) -> MetaAlgorithm:
    """``maml`` with the plain policy gradient in both loops: log-probabilities times advantages, and one Adam step.

    The surrogate of Finn et al. 2017's equation 4, without the trust region. Its meta-gradient is biased: see
    ``score_function``.
    """
    loss = standardised(score_function)
    return maml(tasks, inner_loss=loss, outer_loss=loss, **settings)


@extends(maml, without=("outer_loss",))
def maml_ppo(
    tasks: TaskDistribution, *, clip: float = 0.2, outer: Outer = part(adam, rate=1e-3, epochs=5), **settings
) -> MetaAlgorithm:
    """``maml`` with several clipped steps on each meta-batch (Schulman et al. 2017's surrogate as the outer loss).

    Args:
      clip: ε > 0: the ratio of the post-adaptation policies counts between 1 − ε and 1 + ε.
    """
    return maml(tasks, outer=outer, outer_loss=standardised(clipped(clip)), **settings)


@extends(maml)
def trpo_maml(tasks: TaskDistribution, *, outer: Outer = part(trust_region), **settings) -> MetaAlgorithm:
    """``maml`` with the outer step of Finn et al. 2017: TRPO on the divergence of the post-adaptation policies."""
    return maml(tasks, outer=outer, **settings)
