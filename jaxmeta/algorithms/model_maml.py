"""MAML with a meta-learned model: it adapts on real episodes, and goes on in what the adapted model imagines."""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.compose import default_task_chunk, guarded, learning
from jaxmeta.algorithms.contract import check_contract
from jaxmeta.algorithms.maml import maml
from jaxmeta.algorithms.mb_mpo import Experience, experience_of
from jaxmeta.checks import check_least, check_weights
from jaxmeta.data.advantages import linear_baseline
from jaxmeta.data.buffers import Buffer, Transitions, append, draw, draw_places, empty_buffer
from jaxmeta.data.rollout import collect_lifetime, collect_lifetimes
from jaxmeta.learners.gradient import MakeAdaptation, act_by_mode, acting, whole_network
from jaxmeta.learners.imagination import imagining
from jaxmeta.models.dynamics import DynamicsModel, dynamics_model_for
from jaxmeta.models.fitting import adapt_model
from jaxmeta.models.imagined_tasks import ImaginedTask, imagined_tasks
from jaxmeta.networks.policies import Policy, policy_for
from jaxmeta.objectives.objectives import post_adaptation
from jaxmeta.objectives.surrogates import ratio_surrogate
from jaxmeta.outer.descent import by_optax
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
    Phi,
    PyTree,
    Surrogate,
    Task,
    TaskDistribution,
    Theta,
)


class ModelMamlState(NamedTuple):
    """What the algorithm keeps beside the slow weights."""

    outer: PyTree
    model_optimizer: PyTree
    buffer: Buffer


def model_maml(
    tasks: TaskDistribution,
    *,
    model: DynamicsModel | None = None,
    model_optimizer: optax.GradientTransformation | None = None,
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
    inner_loss: Surrogate = ratio_surrogate(),
    inner_optimizer: Callable[..., optax.GradientTransformation] = optax.sgd,
    outer: Outer | None = None,
    outer_loss: Surrogate = ratio_surrogate(),
    estimator: Estimator | None = None,
    policy: Policy | None = None,
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
      tasks: the family.
      model: the functions; by default ``dynamics_model_for`` the environment.
      model_optimizer: of the model's slow weights; by default Adam at 1e-3.
      model_rate: β ≥ 0, step size of the model's adaptation.
      model_steps: of it, ≥ 0.
      model_updates: in a meta-step, ≥ 1.
      model_batch: transitions that a model is adapted on, and judged by, in an update, ≥ 1.
      batch_tasks: stored tasks in an update, ≥ 1.
      capacity: tasks in the ring, ≥ those of one meta-step.
      imagined_steps: J ≥ 0, policy steps in imagination after each real one.
      imagined_weight: of such a step against a real one, ≥ 0.
      imagined_episodes: in each such step, and before and after adaptation in an imagined task, ≥ 1.
      imagined_horizon: steps of an imagined episode, ≥ 1; by default those of a real one.
      imagined_updates: meta-steps on imagined tasks for each on real ones, ≥ 0.
      inner_rate: as in ``maml``, and so are all others.
      adaptation_steps: K ≥ 0.
      episodes: real ones in each of the K + 1 batches, ≥ 1.
      inner_loss: see ``maml``.
      inner_optimizer: see ``maml``.
      outer: see ``maml``.
      outer_loss: see ``maml``.
      estimator: see ``maml``.
      policy: see ``maml``.
      task_chunk: see ``maml``.
      adaptation: see ``maml``.

    Raises:
      ValueError: an argument out of its range, or spaces of another kind.
    """
    check_least(1, model_updates=model_updates, model_batch=model_batch, batch_tasks=batch_tasks, episodes=episodes)
    check_least(1, imagined_episodes=imagined_episodes)
    check_least(0, model_steps=model_steps, imagined_steps=imagined_steps, imagined_updates=imagined_updates)
    check_least(0, adaptation_steps=adaptation_steps)
    check_weights(model_rate=model_rate, imagined_weight=imagined_weight)
    model = dynamics_model_for(tasks.env) if model is None else model
    model_optimizer = optax.adam(1e-3) if model_optimizer is None else model_optimizer
    estimator = linear_baseline() if estimator is None else estimator
    policy = policy_for(tasks.env) if policy is None else policy
    outer = by_optax(optax.adam(3e-3)) if outer is None else outer
    task_chunk = default_task_chunk(episodes, tasks.horizon) if task_chunk is None else task_chunk
    # What is imagined during training: each lifetime's episodes start where its real ones did.
    count_starts = (adaptation_steps + 1) * episodes
    family = imagined_tasks(tasks, model, starts=count_starts, horizon=imagined_horizon)
    imagined = maml(
        family,
        inner_rate=inner_rate,
        adaptation_steps=adaptation_steps,
        episodes=imagined_episodes,
        inner_loss=inner_loss,
        inner_optimizer=inner_optimizer,
        outer=outer,
        outer_loss=outer_loss,
        estimator=estimator,
        policy=policy,
        task_chunk=task_chunk,
        adaptation=adaptation,
    )
    adapting = imagining(
        adaptation(policy, inner_loss, inner_optimizer(inner_rate)),
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
    learn = learning(tasks, learner, objective, of_policy(outer), adapting.distribution, task_chunk=task_chunk)
    sizes = {"adaptation_steps": adaptation_steps, "episodes": episodes, "horizon": tasks.horizon}

    def adapt_fn(key: Key, theta: Theta, task: Task) -> tuple[Phi, Lifetime]:
        return collect_lifetime(key, tasks.env, task, learner, theta, estimator, **sizes)

    def experience(lifetime: Lifetime) -> Experience:
        return experience_of(lifetime, jnp.ones(()))

    def init_fn(key: Key) -> MetaState:
        theta = learner.init(key)
        task = jax.eval_shape(tasks.sample, key)
        item = jax.eval_shape(lambda task: experience(adapt_fn(key, theta, task)[1]), task)
        state = ModelMamlState(
            outer.init(theta["policy"]), model_optimizer.init(theta["model"]), empty_buffer(item, capacity)
        )
        return MetaState(theta, state)

    def adapted(params: PyTree, steps: Transitions) -> PyTree:
        return adapt_model(model, params, steps, steps.mask, rate=model_rate, steps=model_steps)

    def model_loss(params: PyTree, key: Key, item: Experience) -> tuple[Array, Info]:
        """Of one stored task: the error on some of its transitions after adaptation on others."""
        key_split, key_support, key_query = jax.random.split(key, 3)
        mask = item.steps.mask
        side = (jax.random.uniform(key_split, mask.shape) < 0.5).astype(jnp.float32)

        def some(key: Key, weight: Array) -> Transitions:
            places = draw_places(key, jnp.cumsum(weight), model_batch)
            return jax.tree.map(lambda x: x[places], item.steps)

        support, query = some(key_support, mask * side), some(key_query, mask * (1.0 - side))
        before = model.loss(jax.lax.stop_gradient(params), query, query.mask)
        after = model.loss(adapted(params, support), query, query.mask)
        return after, {"model_loss_pre": before, "model_loss_post": after}

    def model_update(buffer: Buffer, carry: tuple[PyTree, PyTree], key: Key) -> tuple[tuple[PyTree, PyTree], Info]:
        params, state = carry
        key_tasks, key_loss = jax.random.split(key)
        items, _, _ = draw(key_tasks, buffer, batch_tasks)

        def mean_loss(params: PyTree) -> tuple[Array, Info]:
            keys = jax.random.split(key_loss, batch_tasks)
            return jax.tree.map(jnp.mean, jax.vmap(model_loss, (None, 0, 0))(params, keys, items))

        (_, info), gradient = jax.value_and_grad(mean_loss, has_aux=True)(params)
        updates, state = model_optimizer.update(gradient, state, params)
        return (cast(PyTree, optax.apply_updates(params, updates)), state), info

    def step_fn(key: Key, state: MetaState, batch_of_tasks: Task) -> tuple[MetaState, Info]:
        key_real, key_model, key_imagined = jax.random.split(key, 3)
        count = jax.tree.leaves(batch_of_tasks)[0].shape[0]
        keys = jax.random.split(key_real, count)
        _, lifetimes = collect_lifetimes(
            keys, tasks.env, batch_of_tasks, learner, state.theta, estimator, **sizes, task_chunk=task_chunk
        )
        items = jax.vmap(experience)(lifetimes)
        buffer = append(state.opt_state.buffer, items, jnp.ones(count))
        meta, info = learn(MetaState(state.theta, state.opt_state.outer), lifetimes)

        stored = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), buffer.data.steps)
        weight = stored.mask * jnp.repeat(buffer.priority > 0, items.steps.mask.shape[1])
        params = model.scaled(state.theta["model"], stored, weight)
        (params, model_state), errors = jax.lax.scan(
            lambda carry, key: model_update(buffer, carry, key),
            (params, state.opt_state.model_optimizer),
            jax.random.split(key_model, model_updates),
        )
        info |= jax.tree.map(lambda x: x[-1], errors)
        slow = MetaState(meta.theta["policy"], meta.opt_state)
        if imagined_updates:
            models = jax.lax.map(lambda steps: adapted(params, steps), items.steps)
            worlds = ImaginedTask(
                model=models, starts=items.starts, max_steps_in_episode=jnp.full(count, family.horizon)
            )
            keys = jax.random.split(key_imagined, imagined_updates)
            slow, infos = jax.lax.scan(lambda slow, key: imagined.step(key, slow, worlds), slow, keys)
            info["imagined_return"] = jnp.mean(infos["return_post"])
        theta = {"policy": slow.theta, "model": params}
        return guarded(state, MetaState(theta, ModelMamlState(slow.opt_state, model_state, buffer)), info)

    reads = imagined.gate
    gate = None if reads is None else lambda theta, phi, obs: reads(theta["policy"], phi.policy, obs)
    return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, acting(adapting, act_by_mode), gate)


def of_policy(outer: Outer) -> Outer:
    """``outer`` for ``theta["policy"]``, the rest of theta held fixed."""

    def step_fn(theta: Theta, opt_state: PyTree, objective, divergence: Divergence):
        def whole(part: PyTree) -> Theta:
            return {**theta, "policy": part}

        zeros = jax.tree.map(jnp.zeros_like, {name: x for name, x in theta.items() if name != "policy"})
        inner = Divergence(
            lambda part: divergence.value(whole(part)),
            lambda vector, every: divergence.curvature({**zeros, "policy": vector}, every)["policy"],
        )
        judged = lambda part, *rest: objective(whole(part), *rest)  # noqa: E731
        part, opt_state, info = outer.step(theta["policy"], opt_state, judged, inner)
        return whole(part), opt_state, info

    return Outer(lambda theta: outer.init(theta["policy"]), step_fn)
