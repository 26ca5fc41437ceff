"""Return and cost apart: the highest return whose cost keeps to a limit, by a Lagrange multiplier (Altman 1999)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.algorithms.compose import compose
from jaxmeta.algorithms.maml import maml
from jaxmeta.algorithms.rl2 import rl2
from jaxmeta.checks import check_least, check_positive
from jaxmeta.data import stage_costs
from jaxmeta.over_tasks import over_tasks
from jaxmeta.parts import extends
from jaxmeta.tasks import LifetimeEnv, Lifetimes
from jaxmeta.types import (
    Array,
    Estimator,
    Gate,
    Key,
    Learner,
    Lifetime,
    MetaAlgorithm,
    MetaState,
    Objective,
    Outer,
    Phi,
    Task,
    TaskDistribution,
    Theta,
    Trajectory,
)


class Constrained(NamedTuple):
    """Slow weights of a constrained method.

    Attributes:
      weights: those of the method itself.
      multiplier: λ ≥ 0, what a cost of 1 counts in rewards.
    """

    weights: Theta
    multiplier: Array


def penalised(estimator: Estimator, multiplier: Array) -> Estimator:
    """``estimator`` on ``(r − λ c) / (1 + λ)``; the trajectory keeps its own rewards.

    Dividing by ``1 + λ`` keeps the scale of a critic's targets (Stooke, Achiam and Abbeel 2020, equation 9). A
    trajectory without costs is a ``ValueError``.
    """

    def estimate_fn(trajectory: Trajectory) -> Trajectory:
        if isinstance(trajectory.cost, tuple):
            raise ValueError("cost: is missing; a method that keeps to a limit needs that of each step, [E, T]")
        gain = (trajectory.reward - multiplier * trajectory.cost) / (1.0 + multiplier)
        return estimator(trajectory._replace(reward=gain))._replace(reward=trajectory.reward)

    return estimate_fn


def constrained(multiplier: float, multiplier_rate: float) -> Callable[..., MetaAlgorithm]:
    """A ``compose`` that maximises ``E R`` subject to ``E (C − limit) ≤ 0``, in the mean over tasks.

    The Lagrangian ``E R − λ E (C − limit)`` is maximised over the weights and minimised over λ ≥ 0, which moves after
    each meta-step by its gradient (Tessler, Mankowitz and Mannor 2019; Ray, Achiam and Amodei 2019). Adaptation, too,
    learns from the penalised rewards; what a policy observes, and returns as they are reported, are the environment's
    own. ``C`` and the limit are of an episode of the last batch, or of any episode of a lifetime.

    Args:
      multiplier: λ at first, ≥ 0.
      multiplier_rate: > 0, by how much λ moves for each unit of cost per step above the limit.
    """
    check_least(0, multiplier=multiplier)
    check_positive(multiplier_rate=multiplier_rate)

    def compose_fn(
        tasks: TaskDistribution,
        learner: Learner,
        greedy: Learner,
        objective: Objective,
        outer: Outer,
        estimator: Estimator,
        distribution: Callable[[Theta, Phi, Array], Any],
        *,
        across_tasks: Callable[[Theta, Lifetime], Lifetime] = lambda theta, lifetimes: lifetimes,
        gate: Gate | None = None,
        **sizes: Any,
    ) -> MetaAlgorithm:
        limit_of = tasks.cost_limit
        if limit_of is None:
            raise ValueError("tasks: the family has no costs; take one that has a cost_limit, such as glucose")
        episodes = tasks.env.episodes if isinstance(tasks.env, LifetimeEnv) else 1
        steps = tasks.horizon / episodes

        def with_excess(theta: Constrained, lifetime: Lifetime):
            loss, info = objective(theta.weights, lifetime)
            cost = jnp.mean(stage_costs(tasks.env, lifetime.trajectory)[-episodes:])
            return loss, {**info, "cost_excess": (cost - limit_of(lifetime.task)) / steps}

        def estimated(multiplier: Array, trajectory: Trajectory) -> Trajectory:
            return jax.vmap(penalised(estimator, multiplier))(trajectory)

        def penalised_together(theta: Constrained, lifetimes: Lifetime) -> Lifetime:
            trajectory = over_tasks(estimated, lifetimes.trajectory, shared=theta.multiplier)
            return across_tasks(theta.weights, lifetimes._replace(trajectory=trajectory))

        algorithm = compose(
            tasks,
            _constrained_learner(learner, estimator, multiplier),
            _constrained_learner(greedy, estimator, multiplier),
            with_excess,
            outer,
            estimator,
            lambda theta, phi, obs: distribution(theta.weights, phi, obs),
            across_tasks=penalised_together,
            gate=None if gate is None else lambda theta, phi, obs: gate(theta.weights, phi, obs),
            **sizes,
        )

        def step_fn(key: Key, state: MetaState, batch: Task):
            new, info = algorithm.step(key, state, batch)
            before = state.theta.multiplier
            moved = jnp.maximum(before + multiplier_rate * info["cost_excess"], 0.0)
            kept = jnp.where(info["skipped"] > 0, before, moved)
            return new._replace(theta=new.theta._replace(multiplier=kept)), {**info, "multiplier": before}

        return algorithm._replace(step=step_fn)

    return compose_fn


def _constrained_learner(learner: Learner, estimator: Estimator, multiplier: float) -> Learner:
    """``learner`` by the weights of ``Constrained`` slow weights; what it absorbs is penalised by their multiplier."""

    def init_fn(key: Key) -> Constrained:
        return Constrained(learner.init(key), jnp.asarray(multiplier, jnp.float32))

    def absorb_fn(theta: Constrained, phi: Phi, trajectory: Trajectory) -> Phi:
        estimate = penalised(estimator, jax.lax.stop_gradient(theta.multiplier))
        return learner.absorb(theta.weights, phi, estimate(trajectory))

    return Learner(
        init_fn,
        lambda theta: learner.begin(theta.weights),
        lambda key, theta, phi, obs: learner.act(key, theta.weights, phi, obs),
        absorb_fn,
        lambda theta, phi, trajectory: learner.score(theta.weights, phi, trajectory),
    )


@extends(maml, without=("composition",))
def maml_lagrangian(
    tasks: TaskDistribution, *, multiplier: float = 0.0, multiplier_rate: float = 0.1, **settings
) -> MetaAlgorithm:
    """``maml`` whose policies keep an episode's cost after adaptation to a limit, in the mean over tasks.

    Args:
      tasks: a family with costs.
      multiplier: λ at first, ≥ 0: what a cost of 1 counts in rewards.
      multiplier_rate: > 0, by how much λ moves in a meta-step for each unit of cost per step above the limit.
    """
    return maml(tasks, composition=constrained(multiplier, multiplier_rate), **settings)


@extends(rl2, without=("composition",))
def rl2_lagrangian(
    tasks: Lifetimes, *, multiplier: float = 0.0, multiplier_rate: float = 0.1, **settings
) -> MetaAlgorithm:
    """``rl2`` whose policy keeps the cost of a lifetime's episodes to a limit, in the mean over episodes and tasks.

    Args:
      tasks: a family of lifetimes with costs.
      multiplier: λ at first, ≥ 0: what a cost of 1 counts in rewards.
      multiplier_rate: > 0, by how much λ moves in a meta-step for each unit of cost per step above the limit.
    """
    return rl2(tasks, composition=constrained(multiplier, multiplier_rate), **settings)
