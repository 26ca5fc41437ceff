"""Model-agnostic meta-learning of action values, from replayed lifetimes: MAML (Finn et al. 2017) around double DQN."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.contract import check_discrete
from jaxmeta.algorithms.replay import Loss, ReplayState, annealing, gradient_updates, replay_method
from jaxmeta.checks import check_least, check_positive, check_share, check_unit
from jaxmeta.learners import at_shares, n_step_transitions, q_learner, td_errors, td_targets
from jaxmeta.networks import Policy, policy_for
from jaxmeta.outer import adam_updates
from jaxmeta.over_tasks import Chunk, default_task_chunk, mean_over_tasks
from jaxmeta.parts import built, extends, part
from jaxmeta.types import Array, Key, Learner, MetaAlgorithm, PyTree, TaskDistribution, Theta, Trajectory


class Episodes(NamedTuple):
    """The part of a lifetime's trajectory that is stored: leaves ``[K + 1, E, T, ...]``."""

    obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    mask: Array
    final_obs: Array

    def trajectory(self) -> Trajectory:
        unused = dict.fromkeys(("log_prob", "value", "advantage", "value_target"), jnp.zeros_like(self.reward))
        return Trajectory(**self._asdict(), **unused)


@extends(annealing)
def maml_q(
    tasks: TaskDistribution,
    *,
    inner_rate: float = 0.05,
    adaptation_steps: int = 1,
    episodes: int = 2,
    inner_optimizer: Callable[..., optax.GradientTransformation] = optax.sgd,
    inner_updates: int = 4,
    inner_batch: int = 128,
    policy: Policy = part(policy_for, hidden=(64, 64)),
    adaptation: Callable[[Learner], Learner] = lambda learner: learner,
    optimizer: optax.GradientTransformation = part(adam_updates, rate=1e-3, max_grad_norm=10.0),
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
    epsilon_end: float = 0.05,
    task_chunk: int | None = None,
    **exploration,
) -> MetaAlgorithm:
    """``min_θ mean_i L_i(φ_i)``, with ``φ_i`` from ``θ`` by double-Q steps in task i, and ``L_i`` its squared errors.

    Each meta-step collects a lifetime in every task by an ε-greedy policy, and stores it as one item of a ring, so that
    adaptation and learning use data of one task. An update draws ``batch_tasks`` of the stored tasks, adapts to each
    with the stored data, and is differentiated through that. The errors of the adapted values are taken on transitions
    that they were not adapted to, against the values that a slow copy of ``θ`` adapts to.
    ``adapt`` acts with the last share of random actions, ``epsilon_end``.

    Args:
      tasks: a family with discrete actions.
      inner_rate: step size α > 0 of adaptation.
      adaptation_steps: K ≥ 0 batches of episodes to adapt on.
      episodes: E ≥ 1 episodes in each of the ``K + 1`` batches.
      inner_optimizer: ``inner_optimizer(inner_rate) -> optax transformation``, begun anew at each batch.
      inner_updates: gradient steps on each batch of episodes, ≥ 0.
      inner_batch: transitions in a gradient step of adaptation, ≥ 1.
      policy: network whose logits are the rescaled action values ``h(Q)``.
      adaptation: wraps the learner: ``first_order`` or ``rematerialised``.
      optimizer: optimiser of the slow weights.
      discount: discount factor γ in [0, 1].
      n_step: steps n ≥ 1 of the n-step targets, in both loops.
      double: double Q-learning, in both loops.
      early_weight: weight of the errors after 0 to K − 1 adaptation steps against that after K, in [0, 1]. It makes
        values as good as they can be before adaptation, so that the episodes to adapt on are of use.
      target_rate: share of the weights that enters their slow copy at each update, in (0, 1].
      capacity: tasks in the replay buffer, ≥ those of one meta-step; if equal, no older data is learned from.
      batch_tasks: stored tasks in an update, ≥ 1.
      batch: transitions of each stored task in an update, ≥ 1.
      updates: gradient updates in a meta-step, ≥ 1.
      priority_exponent: exponent of a task's mean absolute error in its priority, in [0, 1]; 0 draws uniformly.
      weight_exponent: exponent β of the importance weights, in [0, 1]; 1 corrects for the priorities in full.
      task_chunk: tasks differentiated together, ≥ 1; by default chosen from the device and the sizes.

    Raises:
      ValueError: continuous actions.
    """
    check_discrete(tasks)
    check_least(1, batch_tasks=batch_tasks)
    check_positive(inner_rate=inner_rate)
    check_share(target_rate=target_rate)
    epsilon_at = annealing(epsilon_end=epsilon_end, **exploration)
    network = built(policy, tasks.env)
    chunk = default_task_chunk(episodes, tasks.horizon) if task_chunk is None else task_chunk

    td_settings = {"discount": discount, "n_step": n_step, "double": double}
    inner = {"inner_optimizer": inner_optimizer(inner_rate), "inner_updates": inner_updates, "inner_batch": inner_batch}

    def learner_with(epsilon: float | Array) -> Learner:
        return adaptation(q_learner(network, **inner, **td_settings, epsilon=epsilon))

    greedy = learner_with(0.0)
    sizes = {"adaptation_steps": adaptation_steps, "early_weight": early_weight, "batch": batch}
    loss = adapted_errors(network, greedy, **td_settings, **sizes)
    training = gradient_updates(
        mean_with_priorities(loss, batch_tasks, chunk, priority_exponent),
        built(optimizer, updates),
        updates=updates,
        batch=batch_tasks,
        target_of=lambda weights: weights,
        follow=lambda weights, target, count: optax.incremental_update(weights, target, target_rate),
        weight_exponent=weight_exponent,
    )

    gate = network.gate
    return replay_method(
        tasks,
        learner_with(epsilon_end),
        greedy,
        init=lambda key: training.start(network.init(key)),
        store=lambda keys, theta, lifetimes: Episodes(*(getattr(lifetimes.trajectory, x) for x in Episodes._fields)),
        learn=training.learn,
        priority=as_the_highest,
        collecting=lambda iteration: learner_with(epsilon_at(iteration)),
        report=lambda iteration: {"epsilon": epsilon_at(iteration)},
        capacity=capacity,
        adaptation_steps=adaptation_steps,
        episodes=episodes,
        task_chunk=chunk,
        gate=None if gate is None else lambda theta, phi, obs: gate(phi, obs),
    )


def adapted_errors(
    network: Policy,
    learner: Learner,
    *,
    adaptation_steps: int,
    discount: float,
    n_step: int,
    double: bool,
    early_weight: float,
    batch: int,
) -> Callable[[Theta, PyTree, Key, Trajectory], tuple[Array, Array]]:
    """``loss(theta, target, key, data) -> (loss, error)`` of one stored task, differentiable through the adaptation.

    ``target`` is a slow copy of ``theta``, and ``error`` the mean size of the errors after the last adaptation step.
    """
    check_least(1, batch=batch)
    check_unit(early_weight=early_weight)

    def errors_after(key: Key, weights: PyTree, slow: PyTree, data: Trajectory, step: int) -> Array:
        """On transitions drawn with replacement from the batches that the weights were not adapted to."""
        unseen = n_step_transitions(jax.tree.map(lambda x: x[step:], data), discount, n_step)
        drawn = at_shares(unseen, jax.random.uniform(key, (batch,)))
        target = jax.lax.stop_gradient(td_targets(network, weights if double else slow, slow, drawn))
        return td_errors(network, weights, target, drawn)

    def loss_fn(theta: Theta, target: PyTree, key: Key, data: Trajectory) -> tuple[Array, Array]:
        phi, slow = learner.begin(theta), learner.begin(target)
        value, error = jnp.zeros(()), jnp.zeros(batch)
        for step, key_step in enumerate(jax.random.split(key, adaptation_steps + 1)):
            last = step == adaptation_steps
            error = errors_after(key_step, phi, slow, data, step)
            share = 1.0 if last else early_weight / adaptation_steps
            value += share * 0.5 * jnp.mean(jnp.square(error))
            if not last:
                one = jax.tree.map(lambda x, step=step: x[step], data)
                phi = learner.absorb(theta, phi, one)
                slow = jax.lax.stop_gradient(learner.absorb(target, slow, one))
        return value, jnp.mean(jnp.abs(error))

    return loss_fn


def mean_with_priorities(
    loss: Callable[[Theta, PyTree, Key, Trajectory], tuple[Array, Array]],
    batch_tasks: int,
    task_chunk: Chunk,
    priority_exponent: float,
) -> Loss:
    """The weighted mean of a loss of ``adapted_errors`` over the tasks drawn, and their priorities by their errors."""
    check_unit(priority_exponent=priority_exponent)

    def weighted(both: tuple[Theta, PyTree], key: Key, weight: Array, place: Array, data: Trajectory):
        value, error = loss(*both, key, data)
        # An entry for each task, at its place: the mean over tasks leaves each task its own error.
        each = batch_tasks * error * (jnp.arange(batch_tasks) == place)
        return weight * value, {"error": error, "errors": each}

    mean = mean_over_tasks(weighted, task_chunk)

    def loss_fn(theta: Theta, target: PyTree, keys: Key, drawn: Episodes, importance: Array):
        value, info = mean((theta, target), keys, importance, jnp.arange(batch_tasks), drawn.trajectory())
        return value, ({"error": info["error"]}, (info["errors"] + 1e-6) ** priority_exponent)

    return loss_fn


def as_the_highest(theta: Theta, state: ReplayState, items: Episodes) -> Array:
    """The highest priority in the ring, for new tasks ``[B]``: Schaul et al. 2016, algorithm 1."""
    highest = jnp.max(state.buffer.priority)
    return jnp.full(items.mask.shape[0], jnp.where(highest > 0, highest, 1.0))
