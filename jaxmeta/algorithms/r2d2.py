"""Recurrent Q-learning with replay of stored sequences (R2D2, Kapturowski et al. 2019), on lifetimes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.contract import check_discrete, check_lifetimes
from jaxmeta.algorithms.replay import Keys, ReplayState, annealing, gradient_updates, replay_method
from jaxmeta.algorithms.sequence_values import Sequence, SequenceValues, sequence_values
from jaxmeta.checks import check_least, check_unit
from jaxmeta.learners import gate_of_memory, recurrent_q_learner
from jaxmeta.networks import RecurrentPolicy, recurrent_policy_for
from jaxmeta.objectives import batch_of
from jaxmeta.outer import adam_updates
from jaxmeta.over_tasks import over_tasks
from jaxmeta.parts import built, extends, part
from jaxmeta.tasks import Lifetimes
from jaxmeta.types import Array, Lifetime, MetaAlgorithm, PyTree

Extension = Callable[[MetaAlgorithm, RecurrentPolicy, SequenceValues], MetaAlgorithm]
"""``extend(algorithm, policy, values) -> algorithm``: what builds on R2D2, as MQL does."""


@extends(annealing)
def r2d2(
    tasks: Lifetimes,
    *,
    policy: RecurrentPolicy = part(recurrent_policy_for),
    optimizer: optax.GradientTransformation = part(adam_updates, rate=1e-3, max_grad_norm=10.0),
    discount: float = 0.99,
    n_step: int = 5,
    burn_in: int = 0,
    segment: int | None = None,
    capacity: int = 10_000,
    batch: int = 64,
    updates: int = 16,
    target_every: int = 100,
    priority_exponent: float = 0.9,
    weight_exponent: float = 0.6,
    max_share: float = 0.9,
    epsilon_end: float = 0.02,
    time_ends: bool = True,
    extension: Extension = lambda algorithm, policy, values: algorithm,
    **exploration,
) -> MetaAlgorithm:
    """Double Q-learning with a duelling recurrent network, from sequences of lifetimes drawn by their errors.

    Each meta-step collects a lifetime in every task by an ε-greedy policy, cuts it into sequences, stores them with the
    memory that acted at their beginning, and makes ``updates`` steps on batches from the buffer. The network is run
    through a sequence's first ``burn_in`` steps, whose errors do not count, so that the memory is that of the present
    weights; a lifetime's first sequence needs none. Unlike theirs, gradients of later errors pass through those steps.
    ``adapt`` acts with the last share of random actions, ``epsilon_end``.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``, with discrete actions.
      policy: recurrent network. Its logits are advantages A, its value is the state's V: ``Q = V + A − mean A``.
      optimizer: optimiser of the network.
      discount: discount factor γ in [0, 1].
      n_step: steps n ≥ 1 of the n-step targets.
      burn_in: first steps of a sequence that only move the memory, ≥ 0.
      segment: steps of a sequence that are learned from, ≥ 1; must divide what ``burn_in`` leaves of the lifetime. By
        default all of it.
      capacity: sequences in the replay buffer, ≥ those of one meta-step.
      batch: sequences in an update, ≥ 1.
      updates: gradient updates in a meta-step, ≥ 1.
      target_every: updates between copies of the network into the target network, ≥ 1.
      priority_exponent: exponent of a sequence's error in its priority, in [0, 1]; 0 draws uniformly.
      weight_exponent: exponent β of the importance weights, in [0, 1]; 1 corrects for the priorities in full.
      max_share: share of the largest error in a sequence's priority, in [0, 1]; the rest is their mean.
      time_ends: count the value after a lifetime's last step as 0. Where a long lifetime is cut off midway, and its end
        cannot be foreseen, take ``False``: values then go on.
      extension: ``(algorithm, policy, values) -> algorithm``: a method that builds on this one, such as ``mql``.

    Raises:
      ValueError: continuous actions, or a family that is not one of lifetimes.
    """
    check_lifetimes(tasks)
    check_discrete(tasks)
    check_least(1, target_every=target_every)
    check_unit(discount=discount)
    epsilon_at = annealing(epsilon_end=epsilon_end, **exploration)
    priority_of = sequence_priority(priority_exponent=priority_exponent, max_share=max_share)
    policy = built(policy, tasks.env, tasks.horizon)
    settings = {"discount": discount, "n_step": n_step, "burn_in": burn_in, "segment": segment, "time_ends": time_ends}
    values = sequence_values(tasks, policy, **settings)

    def loss_fn(network: PyTree, target: PyTree, keys: None, drawn: Sequence, importance: Array):
        value, errors = values.loss(network, target, drawn, importance)
        return value, ({}, over_tasks(priority_of, *errors))

    def store_fn(keys: Keys, network: PyTree, lifetimes: Lifetime) -> Sequence:
        of_one = lambda network, lifetime: values.cut(network, batch_of(lifetime, -1))  # noqa: E731
        cut = over_tasks(of_one, lifetimes, shared=network)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), cut)

    def priority_fn(network: PyTree, state: ReplayState, sequences: Sequence) -> Array:
        of_one = lambda both, sequence: priority_of(*values.errors(both[0], both[1], sequence))  # noqa: E731
        return over_tasks(of_one, sequences, shared=(network, state.carried.target))

    training = gradient_updates(
        loss_fn,
        built(optimizer, updates),
        updates=updates,
        batch=batch,
        target_of=lambda network: network,
        follow=lambda network, target, count: optax.periodic_update(network, target, count, target_every),
        weight_exponent=weight_exponent,
        random=False,
    )

    algorithm = replay_method(
        tasks,
        recurrent_q_learner(policy, epsilon=epsilon_end),
        recurrent_q_learner(policy),
        init=lambda key: training.start(policy.init(key)),
        store=store_fn,
        learn=training.learn,
        priority=priority_fn,
        collecting=lambda iteration: recurrent_q_learner(policy, epsilon=epsilon_at(iteration)),
        report=lambda iteration: {"epsilon": epsilon_at(iteration)},
        capacity=capacity,
        adaptation_steps=0,
        episodes=1,
        gate=gate_of_memory(policy),
    )
    return extension(algorithm, policy, values)


def sequence_priority(*, priority_exponent: float, max_share: float) -> Callable[[Array, Array], Array]:
    """``priority(error, counted)`` of a sequence ``[W]``: a mix of its largest and its mean error, to a power."""
    check_unit(priority_exponent=priority_exponent, max_share=max_share)

    def priority_fn(error: Array, counted: Array) -> Array:
        size = jnp.abs(error) * counted
        mean = jnp.sum(size) / jnp.maximum(jnp.sum(counted), 1.0)
        return (max_share * jnp.max(size) + (1.0 - max_share) * mean + 1e-6) ** priority_exponent

    return priority_fn
