"""What methods with replay share: collect, store in a ring, make updates on what is drawn from it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxmeta import data
from jaxmeta.algorithms.compose import guarded, summarise
from jaxmeta.algorithms.contract import check_contract, check_stored
from jaxmeta.checks import check_adaptation_steps, check_least, check_unit
from jaxmeta.over_tasks import Chunk
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
    Phi,
    PyTree,
    Task,
    TaskDistribution,
    Theta,
)

Keys = Sequence[Key]
"""``KEYS`` keys of a meta-step, besides the one that it collects with. A method uses each for one purpose."""
KEYS = 4


class ReplayState(NamedTuple):
    """What training carries beside the slow weights.

    Attributes:
      carried: what the method's updates carry, such as an ``UpdateState``.
      buffer: a ring of stored items.
      iteration: meta-steps made, a whole number.
    """

    carried: PyTree
    buffer: data.Buffer
    iteration: Array


class UpdateState(NamedTuple):
    """What updates by gradients carry.

    Attributes:
      optimizer: the state of the optimiser.
      target: slow copies of weights; ``()`` where there are none.
    """

    optimizer: PyTree
    target: PyTree = ()


def replay_method(
    tasks: TaskDistribution,
    learner: Learner,
    greedy: Learner,
    *,
    init: Callable[[Key], tuple[Theta, PyTree]],
    store: Callable[[Keys, Theta, Lifetime], PyTree],
    learn: Callable[[Keys, Theta, ReplayState, Lifetime], tuple[Theta, ReplayState, Info]],
    capacity: int,
    adaptation_steps: int,
    episodes: int,
    priority: Callable[[Theta, ReplayState, PyTree], Array] | None = None,
    collecting: Callable[[Array], Learner] | None = None,
    report: Callable[[Array], Info] = lambda iteration: {},
    estimator: Estimator = data.identity_estimator,
    task_chunk: Chunk | None = None,
    gate: Gate | None = None,
) -> MetaAlgorithm:
    """Collect a lifetime in every task, add items to a ring, learn from the ring.

    ``store`` and ``learn`` are given the same keys; a method uses each of them for one purpose.

    Args:
      tasks: the family; its environment and horizon are used, the tasks come with each step.
      learner: collects in ``adapt``.
      greedy: the same learner, without exploration.
      init: ``init(key) -> (theta, carried)``.
      store: ``store(keys, theta, lifetimes) -> items``, of lifetimes ``[N, ...]``: leaves ``[B, ...]``.
      learn: ``learn(keys, theta, state, lifetimes) -> (theta, state, Info)``, with the new items in the ring. ``Info``
        has at least ``loss`` and ``grad_norm``.
      capacity: items in the ring, ≥ those of one meta-step; as many whole meta-steps stay as fit.
      adaptation_steps: K ≥ 0.
      episodes: E ≥ 1.
      priority: ``priority(theta, state, items) -> [B]`` of new items, > 0; by default 1.
      collecting: ``collecting(iteration) -> learner`` that collects in training, after ``iteration`` meta-steps; by
        default ``learner``. Exploration that falls is made here, so that theta holds no share of random actions.
      report: ``report(iteration) -> Info`` of how that learner explores.
      estimator: fills in advantages after each batch of episodes.
      task_chunk: tasks that adapt together while they collect, ≥ 1; by default ``default_task_chunk``.
      gate: which experts act, if there are several; handed on to the algorithm.

    Returns:
      The algorithm. A meta-step that would leave something non-finite is undone and counted in ``Info["skipped"]``.

    Raises:
      ValueError: a learner or an item that does not keep the contract.
    """
    check_adaptation_steps(adaptation_steps=adaptation_steps)
    check_least(1, episodes=episodes, capacity=capacity)
    sizes = {"adaptation_steps": adaptation_steps, "episodes": episodes, "horizon": tasks.horizon}
    explorer = _with_iteration((lambda iteration: learner) if collecting is None else collecting)

    def collect(key: Key, theta: Theta, iteration: Array, batch: Task) -> Lifetime:
        keys = jax.random.split(key, jax.tree.leaves(batch)[0].shape[0])
        parts = (tasks.env, batch, explorer, (theta, iteration), estimator)
        return data.collect_lifetimes(keys, *parts, **sizes, task_chunk=task_chunk)[1]

    def items_of_two(key: Key, theta: Theta) -> PyTree:
        """What is stored of two tasks, for its shapes."""
        batch = jax.vmap(tasks.sample)(jax.random.split(key, 2))
        lifetimes = collect(key, theta, jnp.zeros((), jnp.int32), batch)
        return store(tuple(jax.random.split(key, KEYS)), theta, lifetimes)

    check_contract(tasks, learner, estimator=estimator, adaptation_steps=adaptation_steps, episodes=episodes)
    key = jax.random.key(0)
    items = jax.eval_shape(items_of_two, key, jax.eval_shape(learner.init, key))
    check_stored(items)
    item = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), items)

    def init_fn(key: Key) -> MetaState:
        theta, carried = init(key)
        return MetaState(theta, ReplayState(carried, data.empty_buffer(item, capacity), jnp.zeros((), jnp.int32)))

    def adapt_fn(key: Key, theta: Theta, task: Task):
        return data.collect_lifetime(key, tasks.env, task, learner, theta, estimator, **sizes)

    def step_fn(key: Key, state: MetaState, batch: Task) -> tuple[MetaState, Info]:
        key_collect, *keys = jax.random.split(key, 1 + KEYS)
        theta, replay = state
        lifetimes = collect(key_collect, theta, replay.iteration, batch)
        items = store(keys, theta, lifetimes)
        count = jax.tree.leaves(items)[0].shape[0]
        priorities = jnp.ones(count) if priority is None else priority(theta, replay, items)
        replay = replay._replace(buffer=data.append(replay.buffer, items, priorities))
        theta, replay, info = learn(keys, theta, replay, lifetimes)
        info = {**info, **report(replay.iteration), **summarise(tasks, lifetimes)}
        return guarded(state, MetaState(theta, replay._replace(iteration=replay.iteration + 1)), info)

    return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, greedy, estimator, gate)


def _with_iteration(collecting: Callable[[Array], Learner]) -> Learner:
    """The learner after some meta-steps, whose slow weights are ``(theta, iteration)``.

    So that number comes to the tasks of each device as the weights do: into a mesh it cannot be closed over.
    """

    def of(name: str) -> Callable[..., Any]:
        def call(both: tuple[Theta, Array], *arguments: Any) -> Any:
            return getattr(collecting(both[1]), name)(both[0], *arguments)

        return call

    def act_fn(key: Key, both: tuple[Theta, Array], phi: Phi, obs: Array):
        return collecting(both[1]).act(key, both[0], phi, obs)

    def init_fn(key: Key) -> Theta:
        return collecting(jnp.zeros((), jnp.int32)).init(key)

    return Learner(init_fn, of("begin"), act_fn, of("absorb"), of("score"))


Loss = Callable[[PyTree, PyTree, Any, PyTree, Array], tuple[Array, tuple[Info, Array | None]]]
"""``loss(weights, target, keys, items, importance) -> (loss, (Info, priority))`` of items ``[B]`` that were drawn.

``keys`` and ``importance`` are ``[B]``, one of each for an item; ``priority`` ``[B]`` is what their priority becomes,
or ``None`` where it stays.
"""


class Updates(NamedTuple):
    """Updates of weights on draws from a ring.

    Attributes:
      start: ``start(weights) -> (weights, UpdateState)``, before the first update.
      run: ``run(key, weights, state, buffer, iteration) -> (weights, state, buffer, Info)``: all updates of a
        meta-step, after ``iteration`` meta-steps; ``Info`` leads with ``[updates]``.
      learn: the ``learn`` of ``replay_method`` where the weights are all of theta: it uses the first key, and gives the
        mean of ``Info`` over updates.
    """

    start: Callable[[PyTree], tuple[PyTree, UpdateState]]
    run: Callable[[Key, PyTree, UpdateState, data.Buffer, Array], tuple[PyTree, UpdateState, data.Buffer, Info]]
    learn: Callable[[Keys, Theta, ReplayState, Lifetime], tuple[Theta, ReplayState, Info]]


def gradient_updates(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    updates: int,
    batch: int,
    target_of: Callable[[PyTree], PyTree] = lambda weights: (),
    follow: Callable[[PyTree, PyTree, Array], PyTree] = lambda weights, target, count: target,
    weight_exponent: float = 0.0,
    random: bool = True,
) -> Updates:
    """Draw items, descend their loss, let slow copies follow, set the priorities of what was drawn; many times.

    Args:
      loss: of a draw.
      optimizer: of the weights.
      updates: in a meta-step, ≥ 1.
      batch: items drawn for each, ≥ 1.
      target_of: ``target_of(weights) -> target``, the weights that have a slow copy.
      follow: ``follow(weights, target, count) -> target`` after the ``count``-th update.
      weight_exponent: β in [0, 1] of the importance weights.
      random: whether the loss draws anything; if not, its ``keys`` are ``None``.
    """
    check_least(1, updates=updates, batch=batch)
    check_unit(weight_exponent=weight_exponent)

    def start_fn(weights: PyTree) -> tuple[PyTree, UpdateState]:
        return weights, UpdateState(optimizer.init(weights), target_of(weights))

    def run_fn(key: Key, weights: PyTree, state: UpdateState, buffer: data.Buffer, iteration: Array):
        def update(carry: tuple[PyTree, UpdateState, Array], inputs: tuple[Key, Array]):
            weights, state, priorities = carry
            key, count = inputs
            key_draw, key_loss = jax.random.split(key) if random else (key, None)
            ring = buffer._replace(priority=priorities)
            items, places, probability = data.draw(key_draw, ring, batch)
            importance = data.importance_weights(ring, probability, weight_exponent)
            keys = None if key_loss is None else jax.random.split(key_loss, batch)
            differentiated = jax.value_and_grad(loss, has_aux=True)
            (value, (info, priority)), gradient = differentiated(weights, state.target, keys, items, importance)
            weights, optimizer_state = descend(optimizer, gradient, state.optimizer, weights)
            if priority is not None:
                ring = data.reprioritise(ring, places, priority)
            target = follow(weights, state.target, iteration * updates + count)
            info = {**info, "loss": value, "grad_norm": optax.global_norm(gradient)}
            return (weights, UpdateState(optimizer_state, target), ring.priority), info

        inputs = (jax.random.split(key, updates), 1 + jnp.arange(updates, dtype=jnp.int32))
        (weights, state, priorities), infos = jax.lax.scan(update, (weights, state, buffer.priority), inputs)
        return weights, state, buffer._replace(priority=priorities), infos

    def learn_fn(keys: Keys, theta: Theta, state: ReplayState, lifetimes: Lifetime):
        theta, carried, buffer, infos = run_fn(keys[0], theta, state.carried, state.buffer, state.iteration)
        return theta, state._replace(carried=carried, buffer=buffer), jax.tree.map(jnp.mean, infos)

    return Updates(start_fn, run_fn, learn_fn)


def descend(
    optimizer: optax.GradientTransformation, gradient: PyTree, state: PyTree, weights: PyTree
) -> tuple[PyTree, PyTree]:
    """The weights after one step of an optimiser, and its state."""
    steps, state = optimizer.update(gradient, state, weights)
    return cast(PyTree, optax.apply_updates(weights, steps)), state


def annealing(*, epsilon: float = 1.0, epsilon_end: float = 0.0, epsilon_decay: int = 50) -> Callable[[Array], Array]:
    """The share of random actions after a number of meta-steps: it falls linearly, and then stays.

    Args:
      epsilon: share of random actions at the start of meta-training, in [0, 1].
      epsilon_end: share of random actions after ``epsilon_decay`` meta-steps, in [0, 1].
      epsilon_decay: meta-steps over which the share of random actions falls linearly, ≥ 1.
    """
    check_unit(epsilon=epsilon, epsilon_end=epsilon_end)
    check_least(1, epsilon_decay=epsilon_decay)
    return lambda iteration: annealed(epsilon, epsilon_end, iteration / epsilon_decay)


def annealed(start: float, end: float, progress: Array) -> Array:
    """``start`` at a progress of 0, ``end`` from 1 on, and a straight line in between."""
    return start + (end - start) * jnp.clip(progress, 0.0, 1.0)
