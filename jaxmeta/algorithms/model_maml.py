"""MAML with a meta-learned model: it adapts on real episodes, and goes on in what the adapted model imagines."""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.compose import learning
from jaxmeta.algorithms.contract import check_contract
from jaxmeta.algorithms.maml import maml
from jaxmeta.algorithms.mb_mpo import Experience, PolicyAndModels, experience_of
from jaxmeta.algorithms.replay import Keys, Loss, ReplayState, Updates, gradient_updates, replay_method
from jaxmeta.checks import check_adaptation_steps, check_least
from jaxmeta.data import Buffer, Transitions, draw_places, linear_baseline
from jaxmeta.learners import MakeAdaptation, act_by_mode, acting, imagining, whole_network
from jaxmeta.models import DynamicsModel, ImaginedTask, adapt_model, dynamics_model_for, imagined_tasks
from jaxmeta.networks import Policy, policy_for
from jaxmeta.objectives import post_adaptation, ratio_surrogate
from jaxmeta.outer import adam, adam_updates
from jaxmeta.over_tasks import Chunk, default_task_chunk, over_tasks
from jaxmeta.parts import built, extends, part
from jaxmeta.types import (
    Array,
    Divergence,
    Estimator,
    Info,
    Key,
    Lifetime,
    MetaAlgorithm,
    MetaState,
    Outer,
    PyTree,
    Surrogate,
    TaskDistribution,
    Theta,
)


@extends(maml, without=("objective",))
def model_maml(
    tasks: TaskDistribution,
    *,
    model: DynamicsModel = part(dynamics_model_for),
    model_optimizer: optax.GradientTransformation = part(adam_updates),
    model_rate: float = 0.1,
    model_steps: int = 5,
    model_updates: int = 50,
    model_batch: int = 256,
    batch_tasks: int = 8,
    capacity: int = 200,
    imagined_steps: int = 1,
    imagined_weight: float = 1.0,
    imagined_episodes: int = 20,
    imagined_horizon: int | None = None,
    imagined_updates: int = 10,
    inner_rate: float | Callable[[Array], Array] = 0.1,
    adaptation_steps: int = 1,
    episodes: int = 2,
    inner_loss: Surrogate = part(ratio_surrogate),
    inner_optimizer: Callable[..., optax.GradientTransformation] = optax.sgd,
    outer: Outer = part(adam, rate=1e-3),
    outer_loss: Surrogate = part(ratio_surrogate),
    estimator: Estimator = part(linear_baseline, trace_decay=0.95),
    policy: Policy = part(policy_for, hidden=(32, 32), activation="tanh", initial_log_std=-0.5),
    task_chunk: int | None = None,
    adaptation: MakeAdaptation = whole_network,
) -> MetaAlgorithm:
    """MAML for a policy and for a model together, so that few real episodes suffice in a new task and in training.

    In a task, each real batch of episodes gives the policy one step and the model ``model_steps``; the adapted model
    then gives the policy ``imagined_steps`` more. In training the model is meta-trained as in Nagabandi et al. 2019, so
    that those steps lower its error on other data of the task: each of ``model_updates`` draws stored tasks, adapts on
    ``model_batch`` transitions of each, and descends the loss on ``model_batch`` others, differentiated through the
    adaptation. The policy's slow weights make one meta-step on the real data, and ``imagined_updates`` more with the
    models that were adapted to each real task as the tasks, in the manner of MB-MPO (Clavera et al. 2018).

    Args:
      model: network of the dynamics model.
      model_optimizer: optimiser of the model's slow weights.
      model_rate: step size β ≥ 0 of the model's adaptation.
      model_steps: gradient steps of the model's adaptation on each batch of real episodes, ≥ 0.
      model_updates: updates of the model's slow weights in a meta-step, ≥ 1.
      model_batch: transitions that a model adapts to in an update, and as many others that it then predicts, ≥ 1.
      batch_tasks: stored tasks in an update of the model, ≥ 1.
      capacity: tasks in the replay buffer, ≥ those of one meta-step.
      imagined_steps: J ≥ 0 policy steps in imagination after each real one.
      imagined_weight: weight of a policy step in imagination, ≥ 0; a real one has 1.
      imagined_episodes: episodes in each policy step in imagination, and in each batch of an imagined task, ≥ 1.
      imagined_horizon: steps of an imagined episode, ≥ 1; by default those of a real one.
      imagined_updates: meta-steps on imagined tasks for each on real ones, ≥ 0.
      episodes: real episodes in each of the K + 1 batches, ≥ 1.
      outer: optimiser of the policy's slow weights, with ``imagined_updates + 1`` steps in a meta-step.

    Raises:
      ValueError: spaces of another kind.
    """
    check_least(1, model_updates=model_updates, batch_tasks=batch_tasks, episodes=episodes)
    check_adaptation_steps(adaptation_steps=adaptation_steps)
    check_least(0, imagined_updates=imagined_updates)
    model, policy, estimator = built(model, tasks.env), built(policy, tasks.env), built(estimator)
    inner_loss, outer_loss, outer = built(inner_loss), built(outer_loss), built(outer, imagined_updates + 1)
    chunk = default_task_chunk(episodes, tasks.horizon) if task_chunk is None else task_chunk
    # What is imagined during training: each lifetime's episodes start where its real ones did.
    family = imagined_tasks(tasks, model, starts=(adaptation_steps + 1) * episodes, horizon=imagined_horizon)
    shared: dict[str, Any] = {"adaptation_steps": adaptation_steps, "estimator": estimator, "task_chunk": task_chunk}
    inner: dict[str, Any] = {"inner_rate": inner_rate, "inner_loss": inner_loss, "inner_optimizer": inner_optimizer}
    slow: dict[str, Any] = {"outer": outer, "outer_loss": outer_loss, "policy": policy, "adaptation": adaptation}
    imagined = maml(family, episodes=imagined_episodes, **inner, **slow, **shared)
    adapting = imagining(
        adaptation(policy, inner_loss, inner_optimizer(cast(Any, inner_rate))),
        model,
        family,
        estimator,
        model_rate=model_rate,
        model_steps=model_steps,
        imagined_steps=imagined_steps,
        imagined_weight=imagined_weight,
        imagined_episodes=imagined_episodes,
    )
    learner = acting(adapting)
    objective = post_adaptation(learner, outer_loss)
    check_contract(tasks, learner, objective, estimator, adaptation_steps=adaptation_steps, episodes=episodes)
    learn_policy = learning(tasks, learner, objective, of_policy(outer), adapting.distribution, task_chunk=chunk)
    model_training = gradient_updates(
        adapted_model_loss(model, rate=model_rate, steps=model_steps, batch=model_batch),
        built(model_optimizer, model_updates),
        updates=model_updates,
        batch=batch_tasks,
    )

    def init_fn(key: Key):
        theta = learner.init(key)
        return theta, PolicyAndModels(outer.init(theta["policy"]), model_training.start(theta["model"])[1])

    adapt = functools.partial(adapt_model, model, rate=model_rate, steps=model_steps)
    imagine = on_imagined_tasks(imagined, family, adapt, imagined_updates, chunk)
    return replay_method(
        tasks,
        learner,
        acting(adapting, act_by_mode),
        init=init_fn,
        store=lambda keys, theta, lifetimes: experiences_of(lifetimes),
        learn=learn_both(model, learn_policy, model_training, imagine),
        capacity=capacity,
        episodes=episodes,
        gate=(gate := imagined.gate) and (lambda theta, phi, obs: gate(theta["policy"], phi.policy, obs)),
        **shared,
    )


def experiences_of(lifetimes: Lifetime) -> Experience:
    """What is stored of lifetimes ``[N, ...]``, all with weight 1."""
    return over_tasks(lambda lifetime: experience_of(lifetime, jnp.ones(())), lifetimes)


Imagine = Callable[[Key, MetaState, PyTree, Experience], tuple[MetaState, Info]]
"""``imagine(key, policy, params, experiences) -> (policy, Info)``: outer steps of the policy on imagined tasks."""


def on_imagined_tasks(
    imagined: MetaAlgorithm, family: TaskDistribution, adapt: Callable[..., PyTree], updates: int, task_chunk: Chunk
) -> Imagine:
    """``updates`` steps of ``imagined`` with models as the tasks, each adapted to one real task by ``adapt``.

    Models adapt ``task_chunk`` at a time.
    """

    def imagine_fn(key: Key, policy: MetaState, params: PyTree, experiences: Experience):
        if not updates:
            return policy, {}
        of_one = lambda params, steps: adapt(params, steps, steps.mask)  # noqa: E731
        models = over_tasks(of_one, experiences.steps, shared=params, task_chunk=task_chunk)
        horizon = jnp.full(experiences.starts.shape[0], family.horizon)
        worlds = ImaginedTask(model=models, starts=experiences.starts, max_steps_in_episode=horizon)
        keys = jax.random.split(key, updates)
        policy, infos = jax.lax.scan(lambda policy, key: imagined.step(key, policy, worlds), policy, keys)
        return policy, {"imagined_return": jnp.mean(infos["return_post"])}

    return imagine_fn


def learn_both(
    model: DynamicsModel,
    learn_policy: Callable[[MetaState, Lifetime], tuple[MetaState, Info]],
    training: Updates,
    imagine: Imagine,
) -> Callable[[Keys, Theta, ReplayState, Lifetime], tuple[Theta, ReplayState, Info]]:
    """One outer step of the policy on real data, then updates of the model, then the policy's steps in imagination."""

    def learn_fn(keys: Keys, theta: Theta, state: ReplayState, lifetimes: Lifetime):
        key_model, key_imagined, *_ = keys
        meta, info = learn_policy(MetaState(theta, state.carried.outer), lifetimes)
        params = model.scaled(theta["model"], *stored_transitions(state.buffer))
        parts = (params, state.carried.models, state.buffer, state.iteration)
        params, of_model, _, infos = training.run(key_model, *parts)
        info |= {name: infos[name][-1] for name in ("model_loss_pre", "model_loss_post")}
        policy = MetaState(meta.theta["policy"], meta.opt_state)
        policy, imagined_info = imagine(key_imagined, policy, params, experiences_of(lifetimes))
        theta = {"policy": policy.theta, "model": params}
        return theta, state._replace(carried=PolicyAndModels(policy.opt_state, of_model)), {**info, **imagined_info}

    return learn_fn


def stored_transitions(buffer: Buffer) -> tuple[Transitions, Array]:
    """All stored transitions ``[M, ...]``, and 1 where there is one, ``[M]``."""
    steps = buffer.data.steps
    data = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps)
    return data, data.mask * jnp.repeat(buffer.priority > 0, steps.mask.shape[1])


def adapted_model_loss(model: DynamicsModel, *, rate: float, steps: int, batch: int) -> Loss:
    """The error of a model on some transitions of a stored task, after adaptation to others (Nagabandi et al. 2019)."""
    check_least(1, model_batch=batch)

    def one_task(params: PyTree, key: Key, item: Experience) -> tuple[Array, Info]:
        key_split, key_support, key_query = jax.random.split(key, 3)
        mask = item.steps.mask
        side = (jax.random.uniform(key_split, mask.shape) < 0.5).astype(jnp.float32)

        def some(key: Key, weight: Array) -> Transitions:
            places = draw_places(key, jnp.cumsum(weight), batch)
            return jax.tree.map(lambda x: x[places], item.steps)

        support, query = some(key_support, mask * side), some(key_query, mask * (1.0 - side))
        before = model.loss(jax.lax.stop_gradient(params), query, query.mask)
        adapted = adapt_model(model, params, support, support.mask, rate=rate, steps=steps)
        after = model.loss(adapted, query, query.mask)
        return after, {"model_loss_pre": before, "model_loss_post": after}

    def loss_fn(params: PyTree, target: PyTree, keys: Key, drawn: Experience, importance: Array):
        value, info = jax.tree.map(jnp.mean, over_tasks(one_task, keys, drawn, shared=params))
        return value, (info, None)

    return loss_fn


def of_policy(outer: Outer) -> Outer:
    """``outer`` for ``theta["policy"]``, the rest of theta held fixed."""

    def step_fn(theta: Theta, opt_state: PyTree, objective, divergence: Divergence):
        whole = lambda part: {**theta, "policy": part}  # noqa: E731
        zeros = jax.tree.map(jnp.zeros_like, theta)
        inner = Divergence(
            lambda part: divergence.value(whole(part)),
            lambda vector, every: divergence.curvature({**zeros, "policy": vector}, every)["policy"],
        )
        of_part = lambda part, *rest: objective(whole(part), *rest)  # noqa: E731
        part, opt_state, info = outer.step(theta["policy"], opt_state, of_part, inner)
        return whole(part), opt_state, info

    return Outer(lambda theta: outer.init(theta["policy"]), step_fn)
