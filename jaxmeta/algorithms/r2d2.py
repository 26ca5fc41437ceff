"""Recurrent Q-learning with replay of stored sequences (R2D2, Kapturowski et al. 2019), on lifetimes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnax.environments import spaces

from jaxmeta.algorithms.compose import guarded, summarise
from jaxmeta.algorithms.on_lifetimes import check_lifetimes
from jaxmeta.buffers import Buffer, append, draw, empty_buffer, reprioritise
from jaxmeta.cells import Cell
from jaxmeta.estimators import n_step_targets, rescaled, unscaled
from jaxmeta.learners.recurrent import duelling, gate_of_memory, recurrent_q_learner
from jaxmeta.networks import RecurrentPolicy, recurrent_policy_for
from jaxmeta.rollout import collect_lifetime, collect_lifetimes
from jaxmeta.types import (
    Array,
    Info,
    Key,
    Lifetime,
    MetaAlgorithm,
    MetaState,
    Phi,
    PyTree,
    Task,
    TaskDistribution,
    Theta,
)


class Sequence(NamedTuple):
    """A stretch of a lifetime, leaves ``[W, ...]``, and the memory that it was acted with from its first step on."""

    obs: Array
    action: Array
    reward: Array
    done: Array
    mask: Array
    learned: Array
    memory: PyTree


class ReplayState(NamedTuple):
    """What the algorithm keeps beside the slow weights."""

    optimizer: PyTree
    target: PyTree
    buffer: Buffer
    iteration: Array


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
    actions = tasks.env.action_space(tasks.env.default_params)
    if not isinstance(actions, spaces.Discrete):
        raise ValueError(f"tasks: actions are {actions}; Q-learning takes the best of a few: they must be Discrete")
    segment = tasks.horizon - burn_in if segment is None else segment
    for name, value, least in (
        ("n_step", n_step, 1),
        ("burn_in", burn_in, 0),
        ("segment", segment, 1),
        ("batch", batch, 1),
        ("updates", updates, 1),
        ("target_every", target_every, 1),
        ("epsilon_decay", epsilon_decay, 1),
    ):
        if value < least:
            raise ValueError(f"{name}: got {value}; must be at least {least}")
    if (tasks.horizon - burn_in) % segment:
        rest = f"the lifetime's {tasks.horizon} steps" + (f" but for {burn_in} of burn-in" if burn_in else "")
        raise ValueError(f"segment: got {segment}; must divide {rest}")
    for name, value in (
        ("discount", discount),
        ("priority_exponent", priority_exponent),
        ("weight_exponent", weight_exponent),
        ("max_share", max_share),
        ("epsilon", epsilon),
        ("epsilon_end", epsilon_end),
    ):
        if isinstance(value, (int, float)) and not 0.0 <= value <= 1.0:
            raise ValueError(f"{name}: got {value}; must be in [0, 1]")
    if policy is None:
        policy = recurrent_policy_for(tasks.env, horizon=tasks.horizon, cell=cell, size=size)
    if optimizer is None:
        optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(1e-3))
    learner, greedy = recurrent_q_learner(policy), recurrent_q_learner(policy, explore=False)
    sizes = {"adaptation_steps": 0, "episodes": 1, "horizon": tasks.horizon}
    window, count = burn_in + segment, (tasks.horizon - burn_in) // segment

    def begin_fn(key: Key) -> Theta:
        return {"network": policy.init(key), "epsilon": jnp.asarray(epsilon, jnp.float32)}

    def init_fn(key: Key) -> MetaState:
        task = jax.eval_shape(tasks.sample, key)
        theta = begin_fn(key)
        network = theta["network"]
        sequences = jax.eval_shape(lambda theta, task: cut(theta, adapt_fn(key, theta, task)[1]), theta, task)
        item = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), sequences)
        state = ReplayState(optimizer.init(network), network, empty_buffer(item, capacity), jnp.zeros((), jnp.int32))
        return MetaState(theta, state)

    def adapt_fn(key: Key, theta: Theta, task: Task) -> tuple[Phi, Lifetime]:
        return collect_lifetime(key, tasks.env, task, learner, theta, lambda trajectory: trajectory, **sizes)

    def cut(theta: Theta, lifetime: Lifetime) -> Sequence:
        """The sequences of one lifetime, leaves ``[count, W, ...]``, with the memories that they began with."""
        data = jax.tree.map(lambda x: x[-1, 0], lifetime.trajectory)

        def forward(memory: PyTree, part: Array) -> tuple[PyTree, PyTree]:
            return policy.sequence(theta["network"], memory, part)[2], memory

        parts = data.obs[: count * segment].reshape(count, segment, -1)
        _, memory = jax.lax.scan(forward, learner.begin(theta), parts)
        first = jnp.arange(count) * segment
        steps = first[:, None] + jnp.arange(window)
        done = jnp.maximum(data.terminated, data.truncated) if time_ends else data.terminated
        learned = (jnp.arange(window) >= burn_in) | (first == 0)[:, None]
        return Sequence(
            obs=data.obs[steps],
            action=data.action[steps],
            reward=data.reward[steps],
            done=done[steps],
            mask=data.mask[steps],
            learned=learned.astype(jnp.float32),
            memory=memory,
        )

    def errors(network: PyTree, target: PyTree, sequence: Sequence) -> tuple[Array, Array]:
        """Temporal-difference errors of one sequence ``[W]``, and where they count."""
        online, frozen = (
            duelling(*policy.sequence(each, sequence.memory, sequence.obs)[:2]) for each in (network, target)
        )
        best = jnp.argmax(online, axis=-1)
        value = unscaled(jnp.take_along_axis(frozen, best[:, None], axis=-1)[:, 0])
        wanted = rescaled(n_step_targets(sequence.reward, sequence.done, value, discount, n_step))
        taken = jnp.take_along_axis(online, sequence.action[:, None], axis=-1)[:, 0]
        # The state after a sequence's last step is not in it.
        known = jnp.maximum(jnp.arange(window) < window - 1, sequence.done)
        return jax.lax.stop_gradient(wanted) - taken, sequence.mask * sequence.learned * known

    def priority_of(error: Array, counted: Array) -> Array:
        size = jnp.abs(error) * counted
        mean = jnp.sum(size) / jnp.maximum(jnp.sum(counted), 1.0)
        return (max_share * jnp.max(size) + (1.0 - max_share) * mean + 1e-6) ** priority_exponent

    def update(carry: tuple[Theta, ReplayState], key: Key) -> tuple[tuple[Theta, ReplayState], Info]:
        theta, state = carry
        sequences, places, probability = draw(key, state.buffer, batch)
        stored = jnp.sum(state.buffer.priority > 0)
        weight = (stored * probability) ** -weight_exponent
        weight /= jnp.max(weight)

        def loss(network: PyTree) -> tuple[Array, tuple[Array, Array]]:
            error, counted = jax.vmap(errors, (None, None, 0))(network, state.target, sequences)
            each = 0.5 * jnp.sum(jnp.square(error) * counted, axis=1) / jnp.maximum(jnp.sum(counted, axis=1), 1.0)
            return jnp.mean(weight * each), (error, counted)

        (value, judged), gradient = jax.value_and_grad(loss, has_aux=True)(theta["network"])
        moves, optimizer_state = optimizer.update(gradient, state.optimizer, theta["network"])
        network = optax.apply_updates(theta["network"], moves)
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
        identity = lambda trajectory: trajectory  # noqa: E731
        _, lifetimes = collect_lifetimes(keys, tasks.env, batch_of_tasks, learner, state.theta, identity, **sizes)
        theta, replay = state
        sequences = jax.vmap(cut, (None, 0))(theta, lifetimes)
        sequences = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), sequences)
        judged = jax.vmap(errors, (None, None, 0))(theta["network"], replay.target, sequences)
        replay = replay._replace(buffer=append(replay.buffer, sequences, jax.vmap(priority_of)(*judged)))
        (theta, replay), infos = jax.lax.scan(update, (theta, replay), jax.random.split(key_learn, updates))
        done = replay.iteration / (updates * epsilon_decay)
        theta = {**theta, "epsilon": epsilon + (epsilon_end - epsilon) * jnp.clip(done, 0.0, 1.0)}
        info = {**jax.tree.map(jnp.mean, infos), "epsilon": state.theta["epsilon"]}
        return guarded(state, MetaState(theta, replay), {**info, **summarise(tasks.env, lifetimes)})

    learner, greedy = (each._replace(init=begin_fn) for each in (learner, greedy))
    gate = gate_of_memory(policy)
    of_network = None if gate is None else lambda theta, phi, obs: gate(theta["network"], phi, obs)
    return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, greedy, of_network)
