"""The generic meta-step: any learner, objective and outer optimiser make a meta-algorithm."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta.algorithms.contract import check_contract
from jaxmeta.checks import check_adaptation_steps, check_least
from jaxmeta.data import collect_lifetime, collect_lifetimes, stage_costs, stage_returns
from jaxmeta.objectives import objectives
from jaxmeta.over_tasks import Chunk, default_task_chunk, devices_for, over_tasks
from jaxmeta.types import (
    Array,
    Estimator,
    Gate,
    Info,
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
)


def compose(
    tasks: TaskDistribution,
    learner: Learner,
    greedy: Learner,
    objective: Objective,
    outer: Outer,
    estimator: Estimator,
    distribution: Callable[[Theta, Phi, Array], Any],
    *,
    adaptation_steps: int,
    episodes: int,
    task_chunk: Chunk | None = None,
    across_tasks: Callable[[Theta, Lifetime], Lifetime] = lambda theta, lifetimes: lifetimes,
    gate: Gate | None = None,
) -> MetaAlgorithm:
    """Collect in every task, adapt, collect again, differentiate through the adaptation, update.

    Args:
      tasks: the family; its environment and horizon are used, the tasks come with each step.
      learner: collects, and is differentiated through.
      greedy: the same learner acting by the mode of its distribution.
      objective: one task's loss.
      outer: moves ``theta``.
      estimator: fills in advantages after each batch of episodes.
      distribution: ``(theta, phi, obs) -> action distribution``, for the divergence that a trust region bounds.
      adaptation_steps: K ≥ 0.
      episodes: E ≥ 1.
      task_chunk: tasks differentiated together, ≥ 1; by default ``default_task_chunk``.
      across_tasks: ``(theta, lifetimes) -> lifetimes``, leaves ``[N, K + 1, E, T, ...]``, after collection: what needs
        the whole meta-batch, such as one scale for all advantages.
      gate: which experts act, if there are several; handed on to the algorithm.

    Returns:
      The algorithm. An update that would leave ``theta`` or the optimiser non-finite is undone and counted in
      ``Info["skipped"]``.

    Raises:
      ValueError: a learner or an objective that does not keep the contract.
    """
    check_adaptation_steps(adaptation_steps=adaptation_steps)
    check_least(1, episodes=episodes)
    task_chunk = default_task_chunk(episodes, tasks.horizon) if task_chunk is None else task_chunk
    check_contract(tasks, learner, objective, estimator, adaptation_steps=adaptation_steps, episodes=episodes)
    learn = learning(tasks, learner, objective, outer, distribution, task_chunk=task_chunk, across_tasks=across_tasks)

    def init_fn(key: Key) -> MetaState:
        theta = learner.init(key)
        return MetaState(theta, outer.init(theta))

    sizes = {"adaptation_steps": adaptation_steps, "episodes": episodes, "horizon": tasks.horizon}

    def adapt_fn(key: Key, theta: Theta, task: Task):
        return collect_lifetime(key, tasks.env, task, learner, theta, estimator, **sizes)

    def step_fn(key: Key, state: MetaState, batch: Task):
        keys = jax.random.split(key, jax.tree.leaves(batch)[0].shape[0])
        parts = (tasks.env, batch, learner, state.theta, estimator)
        return learn(state, collect_lifetimes(keys, *parts, **sizes, task_chunk=task_chunk)[1])

    return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, greedy, estimator, gate)


def learning(
    tasks: TaskDistribution,
    learner: Learner,
    objective: Objective,
    outer: Outer,
    distribution: Callable[[Theta, Phi, Array], Any],
    *,
    task_chunk: Chunk,
    across_tasks: Callable[[Theta, Lifetime], Lifetime] = lambda theta, lifetimes: lifetimes,
) -> Callable[[MetaState, Lifetime], tuple[MetaState, Info]]:
    """The half of ``compose`` that learns: ``learn(state, lifetimes) -> (state, Info)``, with the same arguments.

    ``lifetimes`` lead with ``[N]``, and were collected by the state's theta.
    """
    mean_objective = objectives.mean_over_tasks(objective, task_chunk)

    def learn_fn(state: MetaState, lifetimes: Lifetime) -> tuple[MetaState, Info]:
        lifetimes = across_tasks(state.theta, lifetimes)

        def objective_fn(theta: Theta, part: tuple[Array, int] | None = None):
            return mean_objective(theta, lifetimes if part is None else part_of(lifetimes, *part))

        divergence = objectives.adapted_divergence(learner, distribution, state.theta, lifetimes, task_chunk)
        theta, opt_state, info = outer.step(state.theta, state.opt_state, objective_fn, divergence)
        return guarded(state, MetaState(theta, opt_state), {**info, **summarise(tasks, lifetimes)})

    return learn_fn


def part_of(lifetimes: Lifetime, index: Array, count: int) -> Lifetime:
    """Every ``count``-th task, from the ``index``-th on; refuses a ``count`` that does not divide them.

    Each of the devices that tasks are shared out over has its share of every part.
    """
    tasks = lifetimes.peer_return.shape[0]
    devices = devices_for(tasks)
    if tasks % (count * devices):
        on = f" on each of {devices} devices" if devices > 1 else ""
        raise ValueError(f"minibatches: got {count}; must divide the {tasks // devices} tasks of the meta-batch{on}")
    return jax.tree.map(lambda x: x.reshape(tasks // count, count, *x.shape[1:])[:, index], lifetimes)


def guarded(old: MetaState, new: MetaState, info: Info) -> tuple[MetaState, Info]:
    """The new state, or the old one where the new one, its loss or its gradient is not finite: that is ``skipped``."""
    numbers = jax.tree.leaves((new, info["loss"], info["grad_norm"]))
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in numbers]))
    state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, old)
    return state, {**info, "skipped": 1.0 - finite.astype(jnp.float32)}


def summarise(tasks: TaskDistribution, lifetimes: Lifetime) -> Info:
    """Mean returns before and after adaptation, and the environment steps that they took, over a meta-batch.

    Where the family has costs, also an episode's mean cost, and the share of tasks in which that is over the limit.
    """

    def by_stage(lifetime: Lifetime) -> dict[str, Array]:
        found = {"return": stage_returns(tasks.env, lifetime.trajectory)}
        if tasks.cost_limit is not None:
            found["cost"] = stage_costs(tasks.env, lifetime.trajectory)
            found["over_limit"] = (found["cost"] > tasks.cost_limit(lifetime.task)).astype(jnp.float32)
        return found

    means = jax.tree.map(lambda x: jnp.mean(x, axis=0), over_tasks(by_stage, lifetimes))
    ends = {f"{name}_{when}": x[place] for name, x in means.items() for when, place in (("pre", 0), ("post", -1))}
    return {**ends, "env_steps": jnp.sum(lifetimes.trajectory.mask)}
