"""Model-based meta-policy optimisation: MAML whose tasks are learned models (Clavera et al. 2018)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.maml import maml
from jaxmeta.algorithms.replay import Keys, ReplayState, replay_method
from jaxmeta.checks import check_least
from jaxmeta.data import Buffer, Transitions, draw_places, linear_baseline, transitions_of
from jaxmeta.models import DynamicsModel, ImaginedTask, dynamics_model_for, fit_model, imagined_tasks
from jaxmeta.networks import Policy, policy_for
from jaxmeta.outer import adam, adam_updates
from jaxmeta.over_tasks import Devices, by_all_devices, over_tasks
from jaxmeta.parts import built, extends, part
from jaxmeta.types import Array, Estimator, Key, Lifetime, MetaAlgorithm, MetaState, Outer, PyTree, TaskDistribution


class Experience(NamedTuple):
    """What is stored of one task: its transitions ``[M, ...]``, the first observations ``[(K + 1) E, O]`` of its
    episodes, and its weight in the fit of each model ``[members]``."""

    steps: Transitions
    starts: Array
    shares: Array


class PolicyAndModels(NamedTuple):
    """What updates carry: the state of the policy's outer step, and the models or the state of their updates."""

    outer: PyTree
    models: PyTree


@extends(maml)
def mb_mpo(
    tasks: TaskDistribution,
    *,
    model: DynamicsModel = part(dynamics_model_for),
    members: int = 5,
    model_optimizer: optax.GradientTransformation = part(adam_updates),
    epochs: int = 20,
    patience: int = 3,
    batch: int = 256,
    real_episodes: int = 1,
    updates: int = 10,
    imagined_horizon: int | None = None,
    starts: int = 32,
    capacity: int = 200,
    inner_rate: float | Callable[[Array], Array] = 0.1,
    adaptation_steps: int = 1,
    estimator: Estimator = part(linear_baseline, trace_decay=0.95),
    outer: Outer = part(adam, rate=1e-3),
    policy: Policy = part(policy_for, hidden=(32, 32), activation="tanh", initial_log_std=-0.5),
    **settings,
) -> MetaAlgorithm:
    """Learn an ensemble of models from real steps, and ``updates`` times make a step of MAML with them as the tasks.

    Each meta-step collects ``real_episodes`` episodes before and after adaptation in every real task, by the policy
    that is adapted there, and adds them to a ring. Each member of the ensemble is fitted to the whole ring from its
    last weights, with early stopping. It gives each real task a weight of its own, drawn from a standard exponential
    distribution (the Bayesian bootstrap), so that members differ in what tasks differ in. Where there is only one real
    task, they differ by their first weights and their batches, as in the paper.

    The settings of ``maml`` hold for the models and for real tasks; its ``episodes`` are those of an imagined task, and
    of ``adapt``.

    Args:
      model: network of the dynamics models.
      members: number of models, ≥ 2.
      model_optimizer: optimiser of the models. It starts anew with each fit, and its ``decay`` counts steps of the fit.
      epochs: largest number of epochs of a fit, ≥ 1.
      patience: epochs without a better held-out loss that end a fit, ≥ 1.
      batch: transitions in a step of the fit, ≥ 1.
      real_episodes: episodes in each real task before each adaptation step and after the last, in meta-training, ≥ 1.
      updates: meta-steps on the models for each fit, ≥ 1.
      imagined_horizon: steps of an imagined episode, ≥ 1; by default those of a real one.
      starts: first observations, drawn from the real ones, in each imagined task, ≥ 1.
      capacity: tasks in the replay buffer, ≥ those of one meta-step.
      outer: optimiser of the slow weights θ, with ``updates`` steps in a meta-step.

    Raises:
      ValueError: spaces of another kind.
    """
    check_least(2, members=members)
    check_least(1, real_episodes=real_episodes, updates=updates)
    model, estimator = built(model, tasks.env), built(estimator)
    settings |= {"inner_rate": inner_rate, "adaptation_steps": adaptation_steps, "estimator": estimator}
    settings |= {"outer": built(outer, updates), "policy": built(policy, tasks.env)}
    real = maml(tasks, **settings)
    family = imagined_tasks(tasks, model, starts=starts, horizon=imagined_horizon)
    imagined = maml(family, **settings)
    fit_settings = {"optimizer": model_optimizer, "epochs": epochs, "batch": batch, "patience": patience}

    def init_fn(key: Key):
        key_policy, key_models = jax.random.split(key)
        theta, outer_state = real.init(key_policy)
        return theta, PolicyAndModels(outer_state, jax.vmap(model.init)(jax.random.split(key_models, members)))

    def store_fn(keys: Keys, theta: PyTree, lifetimes: Lifetime) -> Experience:
        each = jax.random.split(keys[0], lifetimes.peer_return.shape[0])
        draw = lambda key: jax.random.exponential(key, (members,))  # noqa: E731
        return over_tasks(lambda key, lifetime: experience_of(lifetime, draw(key)), each, lifetimes)

    def learn_fn(keys: Keys, theta: PyTree, state: ReplayState, lifetimes: Lifetime):
        _, key_fit, key_start, key_learn = keys
        data, weight = weighted_transitions(state.buffer)
        fit = lambda key, params, weight: fit_model(key, model, params, data, weight, **fit_settings)  # noqa: E731
        models, fitted = jax.vmap(fit)(jax.random.split(key_fit, members), state.carried.models, weight)
        worlds = ImaginedTask(
            model=models,
            starts=draw_starts(key_start, state.buffer, (members, starts)),
            max_steps_in_episode=jnp.full(members, family.horizon),
        )
        step = lambda meta, key: imagined.step(key, meta, worlds)  # noqa: E731
        begun = MetaState(theta, state.carried.outer)
        meta, infos = jax.lax.scan(step, begun, jax.random.split(key_learn, updates))
        info = {**jax.tree.map(jnp.mean, {**infos, **fitted}), "imagined_return": jnp.mean(infos["return_post"])}
        return meta.theta, state._replace(carried=PolicyAndModels(meta.opt_state, models)), info

    algorithm = replay_method(
        tasks,
        real.learner,
        real.greedy,
        init=init_fn,
        store=store_fn,
        learn=learn_fn,
        capacity=capacity,
        adaptation_steps=adaptation_steps,
        episodes=real_episodes,
        estimator=estimator,
        gate=real.gate,
    )
    return algorithm._replace(adapt=real.adapt)


def weighted_transitions(buffer: Buffer) -> tuple[Transitions, Array]:
    """All stored transitions ``[M, ...]``, and the weight of each for each model, ``[members, M]``."""
    data, stored = buffer.data.steps, buffer.priority > 0
    weight = buffer.data.shares[:, :, None] * (data.mask * stored[:, None])[:, None]
    weight = jnp.moveaxis(weight, 1, 0).reshape(weight.shape[1], -1)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data), weight


def experience_of(lifetime: Lifetime, shares: Array) -> Experience:
    """What is stored of a lifetime."""
    batch = lifetime.trajectory
    first = batch.obs[..., 0, :]
    return Experience(transitions_of(batch), first.reshape(-1, first.shape[-1]), shares)


def draw_starts(key: Key, buffer: Buffer, shape: tuple[int, ...]) -> Array:
    """First observations of stored episodes, drawn with replacement, ``[*shape, O]``.

    Of the devices that tasks are shared out over, which have stored equally many, each gives every n-th from its own.
    """

    def draw(devices: Devices, key: Key, first: Array, priority: Array) -> Array:
        stored = jnp.repeat(priority > 0, first.shape[1]).astype(jnp.float32)
        places = draw_places(key, jnp.cumsum(stored), math.prod(shape))
        own = jnp.arange(math.prod(shape)) % devices.number == devices.place
        return devices.add(jnp.where(own[:, None], first.reshape(-1, first.shape[-1])[places], 0))

    return by_all_devices(draw, key, buffer.data.starts, buffer.priority).reshape(*shape, -1)
