"""Model-based meta-policy optimisation: MAML whose tasks are learned models (Clavera et al. 2018)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.compose import guarded, summarise
from jaxmeta.algorithms.maml import maml
from jaxmeta.checks import check_least
from jaxmeta.data.advantages import linear_baseline
from jaxmeta.data.buffers import Buffer, Transitions, append, draw_places, empty_buffer
from jaxmeta.data.rollout import collect_lifetimes, transitions_of
from jaxmeta.models.dynamics import DynamicsModel, dynamics_model_for
from jaxmeta.models.fitting import fit_model
from jaxmeta.models.imagined_tasks import ImaginedTask, imagined_tasks
from jaxmeta.networks.policies import Policy, policy_for
from jaxmeta.outer.descent import by_optax
from jaxmeta.types import (
    Array,
    Estimator,
    Info,
    Key,
    Lifetime,
    MetaAlgorithm,
    MetaState,
    Outer,
    PyTree,
    Task,
    TaskDistribution,
    Theta,
)


class Experience(NamedTuple):
    """What is kept of one task: its transitions ``[M, ...]``, the first observations ``[(K + 1) E, O]`` of its
    episodes, and how much it counts in the fit of each model ``[members]``."""

    steps: Transitions
    starts: Array
    shares: Array


class MbMpoState(NamedTuple):
    """What the algorithm keeps beside the policy's slow weights."""

    outer: PyTree
    models: PyTree
    buffer: Buffer


def mb_mpo(
    tasks: TaskDistribution,
    *,
    model: DynamicsModel | None = None,
    members: int = 5,
    model_optimizer: optax.GradientTransformation | None = None,
    epochs: int = 20,
    patience: int = 3,
    batch: int = 256,
    real_episodes: int = 1,
    updates: int = 10,
    imagined_horizon: int | None = None,
    starts: int = 32,
    capacity: int = 200,
    adaptation_steps: int = 1,
    estimator: Estimator | None = None,
    outer: Outer | None = None,
    policy: Policy | None = None,
    **settings,
) -> MetaAlgorithm:
    """Learn an ensemble of models from real steps, and ``updates`` times make a step of MAML with them as the tasks.

    Each meta-step collects ``real_episodes`` episodes before and after adaptation in every real task, by the policy
    that is adapted there, and adds them to a ring. Each member of the ensemble is fitted to all of it from its last
    weights, with early stopping; real tasks count for it by weights of its own, drawn from a standard exponential
    distribution (the Bayesian bootstrap), so that members differ in what tasks differ in. Where there is one real task
    only, they differ by their first weights and their batches, as in the paper.

    Args:
      tasks: the real family.
      model: the functions; by default ``dynamics_model_for`` the environment.
      members: models, ≥ 2.
      model_optimizer: by default Adam at 1e-3; its state starts anew with each fit.
      epochs: of a fit at most, ≥ 1.
      patience: epochs without a better held-out loss that end a fit, ≥ 1.
      batch: transitions in a step of the fit, ≥ 1.
      real_episodes: in each real task before each adaptation step and after the last, ≥ 1, during meta-training.
      updates: meta-steps on the models for each fit, ≥ 1.
      imagined_horizon: steps of an imagined episode, ≥ 1; by default those of a real one.
      starts: first observations, drawn from the real ones, in each imagined task, ≥ 1.
      capacity: tasks in the ring, ≥ those of one meta-step.
      adaptation_steps: K ≥ 0, as in ``maml``.
      estimator: likewise.
      outer: likewise.
      policy: likewise.
      **settings: the others of ``maml``, for the models and for real tasks; its ``episodes`` are those of an imagined
        task, and of ``adapt``.

    Raises:
      ValueError: an argument out of its range, or spaces of another kind.
    """
    check_least(2, members=members)
    check_least(1, real_episodes=real_episodes, updates=updates)
    model = dynamics_model_for(tasks.env) if model is None else model
    estimator = linear_baseline() if estimator is None else estimator
    policy = policy_for(tasks.env) if policy is None else policy
    outer = by_optax(optax.adam(3e-3)) if outer is None else outer
    settings = {
        **settings,
        "adaptation_steps": adaptation_steps,
        "estimator": estimator,
        "outer": outer,
        "policy": policy,
    }
    real = maml(tasks, **settings)
    imagined_family = imagined_tasks(tasks, model, starts=starts, horizon=imagined_horizon)
    imagined = maml(imagined_family, **settings)
    sizes = {"adaptation_steps": adaptation_steps, "episodes": real_episodes, "horizon": tasks.horizon}

    def experience(key: Key, lifetime: Lifetime) -> Experience:
        return experience_of(lifetime, jax.random.exponential(key, (members,)))

    def init_fn(key: Key) -> MetaState:
        key_policy, key_models = jax.random.split(key)
        theta, outer_state = real.init(key_policy)
        task = jax.eval_shape(tasks.sample, key)
        item = jax.eval_shape(lambda task: experience(key, collect(key[None], theta, stacked(task))), task)
        models = jax.vmap(model.init)(jax.random.split(key_models, members))
        return MetaState(theta, MbMpoState(outer_state, models, empty_buffer(item, capacity)))

    def stacked(task: Task) -> Task:
        return jax.tree.map(lambda x: jnp.asarray(x)[None], task)

    def collect(keys: Key, theta: Theta, batch_of_tasks: Task) -> Lifetime:
        return collect_lifetimes(keys, tasks.env, batch_of_tasks, real.learner, theta, estimator, **sizes)[1]

    def fit(key: Key, models: PyTree, buffer: Buffer) -> tuple[PyTree, Info]:
        data = buffer.data.steps
        stored = buffer.priority > 0
        weight = buffer.data.shares[:, :, None] * (data.mask * stored[:, None])[:, None]
        weight = jnp.moveaxis(weight, 1, 0).reshape(members, -1)
        data = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)

        def one(key: Key, params: PyTree, weight: Array) -> tuple[PyTree, Info]:
            return fit_model(
                key,
                model,
                params,
                data,
                weight,
                optimizer=model_optimizer,
                epochs=epochs,
                batch=batch,
                patience=patience,
            )

        return jax.vmap(one)(jax.random.split(key, members), models, weight)

    def step_fn(key: Key, state: MetaState, batch_of_tasks: Task) -> tuple[MetaState, Info]:
        key_real, key_share, key_fit, key_start, key_learn = jax.random.split(key, 5)
        count = jax.tree.leaves(batch_of_tasks)[0].shape[0]
        theta, replay = state
        lifetimes = collect(jax.random.split(key_real, count), theta, batch_of_tasks)
        items = jax.vmap(experience)(jax.random.split(key_share, count), lifetimes)
        buffer = append(replay.buffer, items, jnp.ones(count))
        models, fitted = fit(key_fit, replay.models, buffer)
        first = draw_starts(key_start, buffer, (members, starts))
        horizon = jnp.full(members, imagined_family.horizon)
        batch_of_models = ImaginedTask(model=models, starts=first, max_steps_in_episode=horizon)

        def update(meta: MetaState, key: Key) -> tuple[MetaState, Info]:
            return imagined.step(key, meta, batch_of_models)

        meta, infos = jax.lax.scan(update, MetaState(theta, replay.outer), jax.random.split(key_learn, updates))
        info = {**jax.tree.map(jnp.mean, {**infos, **fitted}), "imagined_return": jnp.mean(infos["return_post"])}
        new = MetaState(meta.theta, MbMpoState(meta.opt_state, models, buffer))
        return guarded(state, new, {**info, **summarise(tasks.env, lifetimes)})

    return MetaAlgorithm(init_fn, step_fn, real.adapt, real.learner, real.greedy, real.gate)


def experience_of(lifetime: Lifetime, shares: Array) -> Experience:
    """What is kept of a lifetime."""
    batch = lifetime.trajectory
    first = batch.obs[..., 0, :]
    return Experience(transitions_of(batch), first.reshape(-1, first.shape[-1]), shares)


def draw_starts(key: Key, buffer: Buffer, shape: tuple[int, ...]) -> Array:
    """First observations of stored episodes, by lot, ``[*shape, O]``."""
    first = buffer.data.starts
    stored = jnp.repeat(buffer.priority > 0, first.shape[1]).astype(jnp.float32)
    places = draw_places(key, jnp.cumsum(stored), math.prod(shape))
    return first.reshape(-1, first.shape[-1])[places].reshape(*shape, -1)
