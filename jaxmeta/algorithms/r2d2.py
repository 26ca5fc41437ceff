"""Recurrent Q-learning with replay of stored sequences (R2D2, Kapturowski et al. 2019), on lifetimes."""

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.checks import check_discrete, check_lifetimes
from jaxmeta.algorithms.compose import guarded, summarise
from jaxmeta.algorithms.sequence_values import Sequence, sequence_values
from jaxmeta.algorithms.value_based import ReplayState, annealed, clipped_adam, moved, unestimated
from jaxmeta.checks import check_least, check_unit
from jaxmeta.data.buffers import append, draw, empty_buffer, importance_weights, reprioritise
from jaxmeta.data.rollout import collect_lifetime, collect_lifetimes
from jaxmeta.learners.recurrent import gate_of_memory, recurrent_q_learner
from jaxmeta.networks.cells import Cell
from jaxmeta.networks.recurrent import RecurrentPolicy, recurrent_policy_for
from jaxmeta.objectives.objectives import batch_of
from jaxmeta.types import Array, Info, Key, Lifetime, MetaAlgorithm, MetaState, Phi, Task, TaskDistribution, Theta


def r2d2(
    tasks: TaskDistribution,
    *,
    cell: str | Cell = "gru",
    size: int = 128,
    policy: RecurrentPolicy | None = None,
    optimizer: optax.GradientTransformation | None = None,
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
    epsilon: float = 1.0,
    epsilon_end: float = 0.02,
    epsilon_decay: int = 50,
    time_ends: bool = True,
) -> MetaAlgorithm:
    """Double Q-learning with a duelling recurrent network, from sequences of lifetimes drawn by their errors.

    Each meta-step collects a lifetime in every task by an ε-greedy policy, cuts it into sequences, stores them with the
    memory that acted at their beginning, and makes ``updates`` steps on batches from the buffer. The network is run
    through a sequence's first ``burn_in`` steps, whose errors do not count, so that the memory becomes its own; a
    lifetime's first sequence needs none. Unlike theirs, gradients of later errors pass through those steps. The
    use of a network's experts is not balanced: a batch is drawn from many meta-batches.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``, with discrete actions.
      cell: a name in ``CELLS``, or a ``Cell``; used where ``policy`` is not given.
      size: features of the cell, ≥ 1; likewise.
      policy: its logits are taken for advantages, and its value for the state's: ``Q = V + A − mean A``.
      optimizer: by default Adam at 1e-3 with gradients clipped at norm 10.
      discount: γ in [0, 1].
      n_step: n ≥ 1, of the targets.
      burn_in: steps of a sequence that only move the memory, ≥ 0.
      segment: steps of a sequence that are learned from, ≥ 1; must divide what ``burn_in`` leaves of the lifetime. By
        default all of it.
      capacity: sequences in the buffer, ≥ those of one meta-step.
      batch: sequences in an update, ≥ 1.
      updates: in a meta-step, ≥ 1.
      target_every: updates between copies of the network into the target network, ≥ 1.
      priority_exponent: of the errors, in [0, 1]; 0 draws uniformly.
      weight_exponent: β in [0, 1] of the importance weights, 1 where they make up for the priorities wholly.
      max_share: share of the largest error in a sequence's priority, in [0, 1]; the rest is their mean.
      epsilon: share of random actions at first, in [0, 1].
      epsilon_end: and after ``epsilon_decay`` meta-steps, ≥ 1; in between it falls linearly.
      epsilon_decay: see above.
      time_ends: nothing is to be had after the last step of a lifetime that time has cut off. Where a long one is cut
        off in the middle of what it does, and nothing tells that the end is near, ``False`` lets values go on instead.

    Raises:
      ValueError: an argument out of its range, continuous actions, or a family that is not one of lifetimes.
    """
    check_lifetimes(tasks)
    check_discrete(tasks)
    check_least(1, batch=batch, updates=updates, target_every=target_every, epsilon_decay=epsilon_decay)
    check_unit(
        discount=discount,
        priority_exponent=priority_exponent,
        weight_exponent=weight_exponent,
        max_share=max_share,
        epsilon=epsilon,
        epsilon_end=epsilon_end,
    )
    if policy is None:
        policy = recurrent_policy_for(tasks.env, horizon=tasks.horizon, cell=cell, size=size)
    targets = {"discount": discount, "n_step": n_step, "time_ends": time_ends}
    cut, errors, loss = sequence_values(tasks, policy, burn_in=burn_in, segment=segment, **targets)
    optimizer = clipped_adam(optimizer)
    learner, greedy = recurrent_q_learner(policy), recurrent_q_learner(policy, explore=False)
    sizes = {"adaptation_steps": 0, "episodes": 1, "horizon": tasks.horizon}

    def begin_fn(key: Key) -> Theta:
        return {"network": policy.init(key), "epsilon": jnp.asarray(epsilon, jnp.float32)}

    def init_fn(key: Key) -> MetaState:
        task = jax.eval_shape(tasks.sample, key)
        theta = begin_fn(key)
        network = theta["network"]

        def cut_of(theta: Theta, task: Task) -> Sequence:
            return cut(theta["network"], batch_of(adapt_fn(key, theta, task)[1], -1))

        sequences = jax.eval_shape(cut_of, theta, task)
        item = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), sequences)
        state = ReplayState(optimizer.init(network), network, empty_buffer(item, capacity), jnp.zeros((), jnp.int32))
        return MetaState(theta, state)

    def adapt_fn(key: Key, theta: Theta, task: Task) -> tuple[Phi, Lifetime]:
        return collect_lifetime(key, tasks.env, task, learner, theta, unestimated, **sizes)

    def priority_of(error: Array, counted: Array) -> Array:
        size = jnp.abs(error) * counted
        mean = jnp.sum(size) / jnp.maximum(jnp.sum(counted), 1.0)
        return (max_share * jnp.max(size) + (1.0 - max_share) * mean + 1e-6) ** priority_exponent

    def update(carry: tuple[Theta, ReplayState], key: Key) -> tuple[tuple[Theta, ReplayState], Info]:
        theta, state = carry
        sequences, places, probability = draw(key, state.buffer, batch)
        weight = importance_weights(state.buffer, probability, weight_exponent)
        differentiated = jax.value_and_grad(loss, has_aux=True)
        (value, judged), gradient = differentiated(theta["network"], state.target, sequences, weight)
        network, optimizer_state = moved(optimizer, gradient, state.optimizer, theta["network"])
        buffer = reprioritise(state.buffer, places, jax.vmap(priority_of)(*judged))
        iteration = state.iteration + 1
        target = jax.tree.map(
            lambda new, old: jnp.where(iteration % target_every == 0, new, old), network, state.target
        )
        info = {"loss": value, "grad_norm": optax.global_norm(gradient)}
        return ({**theta, "network": network}, ReplayState(optimizer_state, target, buffer, iteration)), info

    def step_fn(key: Key, state: MetaState, batch_of_tasks: Task) -> tuple[MetaState, Info]:
        key_act, key_learn = jax.random.split(key)
        keys = jax.random.split(key_act, jax.tree.leaves(batch_of_tasks)[0].shape[0])
        _, lifetimes = collect_lifetimes(keys, tasks.env, batch_of_tasks, learner, state.theta, unestimated, **sizes)
        theta, replay = state
        sequences = jax.vmap(lambda one: cut(theta["network"], batch_of(one, -1)))(lifetimes)
        sequences = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), sequences)
        judged = jax.vmap(errors, (None, None, 0))(theta["network"], replay.target, sequences)
        replay = replay._replace(buffer=append(replay.buffer, sequences, jax.vmap(priority_of)(*judged)))
        (theta, replay), infos = jax.lax.scan(update, (theta, replay), jax.random.split(key_learn, updates))
        progress = replay.iteration / (updates * epsilon_decay)
        theta = {**theta, "epsilon": annealed(epsilon, epsilon_end, progress)}
        info = {**jax.tree.map(jnp.mean, infos), "epsilon": state.theta["epsilon"]}
        return guarded(state, MetaState(theta, replay), {**info, **summarise(tasks.env, lifetimes)})

    learner, greedy = (each._replace(init=begin_fn) for each in (learner, greedy))
    gate = gate_of_memory(policy)
    of_network = None if gate is None else lambda theta, phi, obs: gate(theta["network"], phi, obs)
    return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, greedy, of_network)
