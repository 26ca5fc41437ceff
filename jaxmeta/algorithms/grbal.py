"""GrBAL and ReBAL: plan with a model that adapts at each step (Nagabandi et al. 2019), on lifetimes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.checks import check_lifetimes
from jaxmeta.algorithms.compose import guarded, summarise
from jaxmeta.algorithms.value_based import unestimated
from jaxmeta.checks import check_least, check_unit
from jaxmeta.data.buffers import Buffer, append, draw, empty_buffer
from jaxmeta.data.rollout import collect_lifetime, collect_lifetimes, transitions_of
from jaxmeta.learners.planning import planning_learner
from jaxmeta.models.online import OnlineModel, recurrent_model, steps_of, windowed_model
from jaxmeta.models.planners import Planner, cross_entropy_method
from jaxmeta.networks.cells import Cell
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


class PlanningState(NamedTuple):
    """What the algorithm keeps beside the slow weights."""

    optimizer: PyTree
    buffer: Buffer
    iteration: Array


def grbal(
    tasks: TaskDistribution,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: Callable[[Array], Array] = jax.nn.silu,
    probabilistic: bool = False,
    window: int = 16,
    future: int = 16,
    inner_rate: float = 0.1,
    inner_steps: int = 1,
    first_order: bool = False,
    **settings: Any,
) -> MetaAlgorithm:
    """Gradient-based adaptive learner: weights from which a step on the last M transitions predicts the next K.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      hidden: widths of the model's hidden layers.
      activation: the nonlinearity between them.
      probabilistic: whether the model predicts variances too.
      window: M ≥ 1.
      future: K ≥ 1.
      inner_rate: step size of the adaptation, > 0.
      inner_steps: ≥ 1.
      first_order: whether the adaptation counts as the identity when it is differentiated.
      settings: of ``plan_online``.

    Raises:
      ValueError: an argument out of its range, or a family that is not one of lifetimes.
    """
    online = windowed_model(
        tasks.env,
        window=window,
        future=future,
        inner_rate=inner_rate,
        inner_steps=inner_steps,
        first_order=first_order,
        hidden=hidden,
        activation=activation,
        probabilistic=probabilistic,
    )
    return plan_online(tasks, online, **settings)


def rebal(
    tasks: TaskDistribution,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: Callable[[Array], Array] = jax.nn.silu,
    probabilistic: bool = False,
    cell: str | Cell = "gru",
    size: int = 64,
    future: int = 16,
    **settings: Any,
) -> MetaAlgorithm:
    """Recurrence-based adaptive learner: a model that reads, beside the state, the memory of the lifetime so far.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      hidden: widths of the model's hidden layers.
      activation: the nonlinearity between them.
      probabilistic: whether the model predicts variances too.
      cell: a name in ``CELLS``, or a ``Cell``.
      size: features of the cell, ≥ 1; used where ``cell`` is a name.
      future: K ≥ 1, steps that the memory is held for where the model learns.
      settings: of ``plan_online``.

    Raises:
      ValueError: an argument out of its range, or a family that is not one of lifetimes.
    """
    network = {"hidden": hidden, "activation": activation, "probabilistic": probabilistic}
    online = recurrent_model(tasks.env, cell=cell, size=size, future=future, **network)
    return plan_online(tasks, online, **settings)


def plan_online(
    tasks: TaskDistribution,
    online: OnlineModel,
    *,
    planner: Planner | None = None,
    plan_steps: int = 15,
    candidates: int = 64,
    elites: int = 8,
    plan_iterations: int = 2,
    optimizer: optax.GradientTransformation | None = None,
    discount: float = 1.0,
    capacity: int = 500,
    batch: int = 32,
    updates: int = 100,
    random_iterations: int = 1,
    epsilon: float = 0.1,
    noise: float = 0.0,
) -> MetaAlgorithm:
    """Collect by model-predictive control in every task, store, and improve the model on all that is stored.

    Each meta-step collects a lifetime in every task, with random actions in the first ones, appends each to a ring,
    takes the model's normalisation from all that is stored, and makes ``updates`` steps on the loss of the model as it
    adapts, in ``batch`` lifetimes drawn from the ring. Only the model is learned: there is no policy and no critic, and
    nothing that lies further away than the plan is long counts. ``adapt`` is a lifetime without exploration.

    Args:
      tasks: a family of lifetimes.
      online: the model, and how it adapts.
      planner: by default the cross-entropy method with the four arguments that follow.
      plan_steps: H ≥ 1, steps that are planned ahead.
      candidates: sequences in an iteration of the search, ≥ 1.
      elites: of them that the next iteration is fitted to, ≥ 1.
      plan_iterations: of the search at each time step, ≥ 1.
      optimizer: by default Adam at 3e-3 with gradients clipped at norm 10.
      discount: γ in [0, 1] of the imagined returns.
      capacity: lifetimes in the ring, ≥ those of one meta-step.
      batch: lifetimes in an update, ≥ 1.
      updates: in a meta-step, ≥ 1.
      random_iterations: meta-steps at first with random actions only, ≥ 0.
      epsilon: share of random actions after them, in [0, 1].
      noise: on the other actions, as a share of half the box's width, ≥ 0.

    Raises:
      ValueError: an argument out of its range, or spaces of another kind.
    """
    check_least(1, batch=batch, updates=updates)
    check_least(0, random_iterations=random_iterations)
    check_unit(epsilon=epsilon)
    check_lifetimes(tasks)
    env: Any = tasks.env
    if planner is None:
        space = env.action_space(env.default_params)
        search = {"candidates": candidates, "elites": elites, "iterations": plan_iterations}
        planner = cross_entropy_method(space, horizon=plan_steps, **search)
    if optimizer is None:
        optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(3e-3))
    greedy = planning_learner(env, online, planner, discount=discount)
    collecting = planning_learner(env, online, planner, discount=discount, explore=True, noise=noise)
    sizes = {"adaptation_steps": 0, "episodes": 1, "horizon": tasks.horizon}

    def adapt_fn(key: Key, theta: Theta, task: Task) -> tuple[Phi, Lifetime]:
        return collect_lifetime(key, env, task, greedy, theta, unestimated, **sizes)

    def random_share(iteration: Array) -> Array:
        return jnp.where(iteration < random_iterations, 1.0, epsilon).astype(jnp.float32)

    def init_fn(key: Key) -> MetaState:
        iteration = jnp.zeros((), jnp.int32)
        theta = {**greedy.init(key), "random": random_share(iteration)}
        task = jax.eval_shape(tasks.sample, key)
        item = jax.eval_shape(lambda task: transitions_of(adapt_fn(key, theta, task)[1].trajectory), task)
        state = PlanningState(optimizer.init(theta["online"]), empty_buffer(item, capacity), iteration)
        return MetaState(theta, state)

    def mean_loss(params: PyTree, key: Key, drawn: PyTree) -> Array:
        return jnp.mean(jax.vmap(online.loss, (0, None, 0))(jax.random.split(key, batch), params, drawn))

    def step_fn(key: Key, state: MetaState, batch_of_tasks: Task) -> tuple[MetaState, Info]:
        key_act, key_learn = jax.random.split(key)
        keys = jax.random.split(key_act, jax.tree.leaves(batch_of_tasks)[0].shape[0])
        _, lifetimes = collect_lifetimes(keys, env, batch_of_tasks, collecting, state.theta, unestimated, **sizes)
        items = jax.vmap(transitions_of)(lifetimes.trajectory)
        buffer = append(state.opt_state.buffer, items, jnp.ones(keys.shape[0]))
        stored = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps_of(env, buffer.data))
        params = state.theta["online"]
        params = {**params, "model": online.model.scaled(params["model"], stored, stored.mask)}

        def update(carry: tuple[PyTree, PyTree], key: Key) -> tuple[tuple[PyTree, PyTree], Info]:
            params, optimizer_state = carry
            key_draw, key_loss = jax.random.split(key)
            drawn, _, _ = draw(key_draw, buffer, batch)
            loss, gradient = jax.value_and_grad(mean_loss)(params, key_loss, drawn)
            moves, optimizer_state = optimizer.update(gradient, optimizer_state, params)
            info = {"loss": loss, "grad_norm": optax.global_norm(gradient)}
            return (optax.apply_updates(params, moves), optimizer_state), info

        start = (params, state.opt_state.optimizer)
        (params, optimizer_state), infos = jax.lax.scan(update, start, jax.random.split(key_learn, updates))
        iteration = state.opt_state.iteration + 1
        theta = {"online": params, "random": random_share(iteration)}
        info = {**jax.tree.map(jnp.mean, infos), "random": state.theta["random"]}
        new = MetaState(theta, PlanningState(optimizer_state, buffer, iteration))
        return guarded(state, new, {**info, **summarise(env, lifetimes)})

    return MetaAlgorithm(init_fn, step_fn, adapt_fn, greedy, greedy)
