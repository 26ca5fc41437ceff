"""Model-agnostic meta-learning of action values, from replayed lifetimes: MAML (Finn et al. 2017) around double DQN."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.checks import check_discrete
from jaxmeta.algorithms.compose import default_task_chunk, guarded, summarise
from jaxmeta.algorithms.value_based import ReplayState, annealed, clipped_adam, moved, unestimated
from jaxmeta.checks import check_least, check_positive, check_unit
from jaxmeta.data.buffers import append, draw, empty_buffer, importance_weights, reprioritise
from jaxmeta.data.rollout import collect_lifetime, collect_lifetimes
from jaxmeta.learners.q_learning import at_shares, errors, n_step_transitions, q_learner, targets
from jaxmeta.networks.policies import Policy, policy_for
from jaxmeta.over_tasks import mean_over_tasks
from jaxmeta.types import (
    Array,
    Info,
    Key,
    Learner,
    Lifetime,
    MetaAlgorithm,
    MetaState,
    Phi,
    PyTree,
    Task,
    TaskDistribution,
    Theta,
    Trajectory,
)


class Episodes(NamedTuple):
    """What is stored of a lifetime's trajectory, and learned from: leaves ``[K + 1, E, T, ...]``."""

    obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    mask: Array
    final_obs: Array

    def trajectory(self) -> Trajectory:
        nothing = jnp.zeros_like(self.reward)
        unused = dict.fromkeys(("log_prob", "value", "advantage", "value_target"), nothing)
        return Trajectory(**self._asdict(), **unused)


def maml_q(
    tasks: TaskDistribution,
    *,
    inner_rate: float = 0.05,
    adaptation_steps: int = 1,
    episodes: int = 2,
    inner_optimizer: Callable[..., optax.GradientTransformation] = optax.sgd,
    inner_updates: int = 4,
    inner_batch: int = 128,
    policy: Policy | None = None,
    adaptation: Callable[[Learner], Learner] = lambda learner: learner,
    optimizer: optax.GradientTransformation | None = None,
    discount: float = 0.99,
    n_step: int = 3,
    double: bool = True,
    early_weight: float = 0.5,
    target_rate: float = 0.01,
    capacity: int = 1000,
    batch_tasks: int = 16,
    batch: int = 128,
    updates: int = 32,
    priority_exponent: float = 0.0,
    weight_exponent: float = 0.6,
    epsilon: float = 1.0,
    epsilon_end: float = 0.05,
    epsilon_decay: int = 50,
    task_chunk: int | None = None,
) -> MetaAlgorithm:
    """``min_θ mean_i L_i(φ_i)``, with ``φ_i`` from ``θ`` by double-Q steps in task i, and ``L_i`` its squared errors.

    Each meta-step collects a lifetime in every task by an ε-greedy policy, and stores it as one item of a ring, so that
    what is adapted with and what is learned from come from one task. An update draws ``batch_tasks`` of the stored
    tasks, adapts to each with the stored data, and is differentiated through that. The adapted values are judged on
    transitions that they were not adapted with, against those that a slow copy of ``θ`` adapts to.

    Args:
      tasks: a family with discrete actions.
      inner_rate: α > 0.
      adaptation_steps: K ≥ 0 batches of episodes that are adapted with.
      episodes: E ≥ 1 episodes in each of the ``K + 1`` batches.
      inner_optimizer: ``inner_optimizer(inner_rate) -> optax transformation``, begun anew at each batch.
      inner_updates: steps on each batch, ≥ 0.
      inner_batch: transitions of each of them, ≥ 1.
      policy: its logits are taken for ``h(Q)``; by default two layers of 100 ReLU units.
      adaptation: wraps the learner: ``first_order`` or ``rematerialised``.
      optimizer: of the slow weights; by default Adam at 1e-3 with gradients clipped at norm 10.
      discount: γ in [0, 1].
      n_step: n ≥ 1, of all targets.
      double: double Q-learning, in both loops.
      early_weight: in [0, 1], of the errors after 0 to K − 1 adaptation steps against that after K: where the values
        are right before adaptation as far as they can be, the data that is adapted with is of use.
      target_rate: share of the weights that enters their slow copy at each update, in (0, 1].
      capacity: tasks in the buffer, ≥ those of one meta-step. As many as those, and nothing older is learned from.
      batch_tasks: stored tasks in an update, ≥ 1.
      batch: transitions of each, ≥ 1.
      updates: in a meta-step, ≥ 1.
      priority_exponent: of a task's mean absolute error, in [0, 1]; 0 draws uniformly.
      weight_exponent: β in [0, 1] of the importance weights.
      epsilon: share of random actions at first, in [0, 1].
      epsilon_end: and after ``epsilon_decay`` meta-steps, ≥ 1; in between it falls linearly.
      epsilon_decay: see above.
      task_chunk: tasks differentiated together, ≥ 1; by default what ``default_task_chunk`` says.

    Raises:
      ValueError: an argument out of its range, or continuous actions.
    """
    check_discrete(tasks)
    check_least(
        1,
        episodes=episodes,
        inner_batch=inner_batch,
        n_step=n_step,
        batch_tasks=batch_tasks,
        batch=batch,
        updates=updates,
        epsilon_decay=epsilon_decay,
    )
    check_least(0, adaptation_steps=adaptation_steps, inner_updates=inner_updates)
    check_unit(
        discount=discount,
        early_weight=early_weight,
        priority_exponent=priority_exponent,
        weight_exponent=weight_exponent,
        epsilon=epsilon,
        epsilon_end=epsilon_end,
    )
    check_positive(inner_rate=inner_rate)
    if isinstance(target_rate, (int, float)) and not 0.0 < target_rate <= 1.0:
        raise ValueError(f"target_rate: got {target_rate}; must be in (0, 1]")
    network = policy_for(tasks.env) if policy is None else policy
    optimizer = clipped_adam(optimizer)
    task_chunk = default_task_chunk(episodes, tasks.horizon) if task_chunk is None else task_chunk
    learner, greedy = (
        adaptation(
            q_learner(
                network,
                inner_optimizer=inner_optimizer(inner_rate),
                inner_updates=inner_updates,
                inner_batch=inner_batch,
                discount=discount,
                n_step=n_step,
                double=double,
                explore=explore,
            )
        )
        for explore in (True, False)
    )
    sizes = {"adaptation_steps": adaptation_steps, "episodes": episodes, "horizon": tasks.horizon}

    def begin_fn(key: Key) -> Theta:
        return {"network": network.init(key), "epsilon": jnp.asarray(epsilon_end, jnp.float32)}

    def adapt_fn(key: Key, theta: Theta, task: Task) -> tuple[Phi, Lifetime]:
        return collect_lifetime(key, tasks.env, task, learner, theta, unestimated, **sizes)

    def init_fn(key: Key) -> MetaState:
        task = jax.eval_shape(tasks.sample, key)
        theta = begin_fn(key)
        item = jax.eval_shape(lambda task: stored(adapt_fn(key, theta, task)[1].trajectory), task)
        buffer = empty_buffer(item, capacity)
        state = ReplayState(optimizer.init(theta["network"]), theta["network"], buffer, jnp.zeros((), jnp.int32))
        return MetaState({**theta, "epsilon": jnp.asarray(epsilon, jnp.float32)}, state)

    def errors_after(key: Key, weights: PyTree, slow: PyTree, data: Trajectory, step: int) -> Array:
        """Of transitions by lot, with replacement, from the batches that the weights were not adapted with."""
        unseen = n_step_transitions(jax.tree.map(lambda x: x[step:], data), discount, n_step)
        drawn = at_shares(unseen, jax.random.uniform(key, (batch,)))
        wanted = jax.lax.stop_gradient(targets(network, weights if double else slow, slow, drawn))
        return errors(network, weights, wanted, drawn)

    def loss(theta: Theta, key: Key, weight: Array, place: Array, data: Trajectory) -> tuple[Array, Info]:
        """Of one task, which stands at ``place`` among those drawn; ``theta`` has the slow copy beside the weights."""
        theta_slow = {**theta, "network": theta["slow"]}
        phi, slow = learner.begin(theta), learner.begin(theta_slow)
        value, error = jnp.zeros(()), jnp.zeros(batch)
        for step, key_step in enumerate(jax.random.split(key, adaptation_steps + 1)):
            last = step == adaptation_steps
            error = errors_after(key_step, phi, slow, data, step)
            share = 1.0 if last else early_weight / adaptation_steps
            value += share * 0.5 * jnp.mean(jnp.square(error))
            if not last:
                one = jax.tree.map(lambda x, step=step: x[step], data)
                phi = learner.absorb(theta, phi, one)
                slow = jax.lax.stop_gradient(learner.absorb(theta_slow, slow, one))
        size = jnp.mean(jnp.abs(error))
        # Of the mean over tasks that is taken of it, each task has its own entry.
        each = batch_tasks * size * (jnp.arange(batch_tasks) == place)
        return weight * value, {"error": size, "errors": each}

    mean_loss = mean_over_tasks(loss, task_chunk)

    def update(carry: tuple[Theta, ReplayState], key: Key) -> tuple[tuple[Theta, ReplayState], Info]:
        theta, state = carry
        key_tasks, key_loss = jax.random.split(key)
        drawn, places, probability = draw(key_tasks, state.buffer, batch_tasks)
        weight = importance_weights(state.buffer, probability, weight_exponent)
        keys = jax.random.split(key_loss, batch_tasks)

        def objective(weights: PyTree) -> tuple[Array, Info]:
            slow_and_fast = {**theta, "network": weights, "slow": state.target}
            return mean_loss(slow_and_fast, keys, weight, jnp.arange(batch_tasks), drawn.trajectory())

        (value, info), gradient = jax.value_and_grad(objective, has_aux=True)(theta["network"])
        weights, optimizer_state = moved(optimizer, gradient, state.optimizer, theta["network"])
        target = optax.incremental_update(weights, state.target, target_rate)
        buffer = reprioritise(state.buffer, places, (info.pop("errors") + 1e-6) ** priority_exponent)
        info = {**info, "loss": value, "grad_norm": optax.global_norm(gradient)}
        return ({**theta, "network": weights}, ReplayState(optimizer_state, target, buffer, state.iteration)), info

    def step_fn(key: Key, state: MetaState, batch_of_tasks: Task) -> tuple[MetaState, Info]:
        key_act, key_learn = jax.random.split(key)
        keys = jax.random.split(key_act, jax.tree.leaves(batch_of_tasks)[0].shape[0])
        _, lifetimes = collect_lifetimes(
            keys, tasks.env, batch_of_tasks, learner, state.theta, unestimated, **sizes, task_chunk=task_chunk
        )
        theta, replay = state
        # A new task is drawn as often as any until its error is known (Schaul et al. 2016, algorithm 1).
        highest = jnp.max(replay.buffer.priority)
        priority = jnp.full(keys.shape[0], jnp.where(highest > 0, highest, 1.0))
        iteration = replay.iteration + 1
        buffer = append(replay.buffer, stored(lifetimes.trajectory), priority)
        carry = (theta, replay._replace(buffer=buffer, iteration=iteration))
        (theta, replay), infos = jax.lax.scan(update, carry, jax.random.split(key_learn, updates))
        theta = {**theta, "epsilon": annealed(epsilon, epsilon_end, iteration / epsilon_decay)}
        info = {**jax.tree.map(jnp.mean, infos), "epsilon": state.theta["epsilon"]}
        return guarded(state, MetaState(theta, replay), {**info, **summarise(tasks.env, lifetimes)})

    learner, greedy = (each._replace(init=begin_fn) for each in (learner, greedy))
    reads = network.gate
    gate = None if reads is None else lambda theta, phi, obs: reads(phi, obs)
    return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, greedy, gate)


def stored(trajectory: Trajectory) -> Episodes:
    """The part of a trajectory that is learned from."""
    return Episodes(*(getattr(trajectory, name) for name in Episodes._fields))
