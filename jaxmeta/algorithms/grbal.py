"""GrBAL and ReBAL: plan with a model that adapts at each step (Nagabandi et al. 2019), on lifetimes."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.contract import check_lifetimes
from jaxmeta.algorithms.replay import Keys, ReplayState, gradient_updates, replay_method
from jaxmeta.checks import check_least, check_unit
from jaxmeta.data import Transitions, transitions_of
from jaxmeta.learners import planning_learner
from jaxmeta.models import OnlineModel, Planner, cross_entropy_method, recurrent_model, steps_of, windowed_model
from jaxmeta.outer import adam_updates
from jaxmeta.over_tasks import over_tasks
from jaxmeta.parts import built, extends, part
from jaxmeta.tasks import Lifetimes
from jaxmeta.types import Array, Key, Learner, Lifetime, MetaAlgorithm, PyTree


def grbal(
    tasks: Lifetimes,
    *,
    model: OnlineModel = part(windowed_model),
    planner: Planner = part(cross_entropy_method, horizon=15, iterations=2),
    optimizer: optax.GradientTransformation = part(adam_updates, rate=3e-3, max_grad_norm=10.0),
    discount: float = 0.99,
    capacity: int = 500,
    batch: int = 32,
    updates: int = 100,
    random_iterations: int = 1,
    epsilon: float = 0.1,
    noise: float = 0.0,
) -> MetaAlgorithm:
    """Gradient-based adaptive learner: weights from which a step on the last M transitions predicts the next K.

    Each meta-step collects a lifetime in every task by model-predictive control, with random actions in the first ones.
    It appends each to a ring, takes the model's normalisation from all that is stored, and makes ``updates`` steps on
    the loss of the adapting model in ``batch`` lifetimes drawn from the ring. Only the model is learned: there is no
    policy and no critic, and nothing beyond the planner's horizon counts. ``adapt`` is a lifetime without exploration.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      model: dynamics model that adapts online.
      planner: method that searches for actions under the model.
      optimizer: optimiser of the model's slow weights.
      discount: discount factor γ in [0, 1] of the imagined returns.
      capacity: lifetimes in the replay buffer, ≥ those of one meta-step.
      batch: lifetimes in an update, ≥ 1.
      updates: gradient updates in a meta-step, ≥ 1.
      random_iterations: number of first meta-steps with random actions only, ≥ 0.
      epsilon: share of random actions after ``random_iterations``, in [0, 1].
      noise: standard deviation of the noise on the other actions, as a share of half the action box's width, ≥ 0.

    Raises:
      ValueError: spaces of another kind, or a family that is not one of lifetimes.
    """
    check_least(1, batch=batch, updates=updates)
    check_least(0, random_iterations=random_iterations)
    check_unit(epsilon=epsilon)
    check_lifetimes(tasks)
    env: Any = tasks.env
    online = built(model, env)
    parts = (env, online, built(planner, env.action_space(env.default_params)))

    def random_share(iteration: Array) -> Array:
        return jnp.where(iteration < random_iterations, 1.0, epsilon).astype(jnp.float32)

    def collecting(iteration: Array) -> Learner:
        return planning_learner(*parts, discount=discount, random_share=random_share(iteration), noise=noise)

    def mean_loss(params: PyTree, target: PyTree, keys: Key, drawn: Transitions, importance: Array):
        loss = lambda params, key, one: online.loss(key, params, one)  # noqa: E731
        return jnp.mean(over_tasks(loss, keys, drawn, shared=params)), ({}, None)

    training = gradient_updates(mean_loss, built(optimizer, updates), updates=updates, batch=batch)

    def learn_fn(keys: Keys, params: PyTree, state: ReplayState, lifetimes: Lifetime):
        stored = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps_of(env, state.buffer.data))
        params = {**params, "model": online.model.scaled(params["model"], stored, stored.mask)}
        return training.learn(keys, params, state, lifetimes)

    greedy = planning_learner(*parts, discount=discount)
    return replay_method(
        tasks,
        greedy,
        greedy,
        init=lambda key: training.start(online.init(key)),
        store=lambda keys, params, lifetimes: over_tasks(transitions_of, lifetimes.trajectory),
        learn=learn_fn,
        collecting=collecting,
        report=lambda iteration: {"random": random_share(iteration)},
        capacity=capacity,
        adaptation_steps=0,
        episodes=1,
    )


@extends(grbal)
def rebal(tasks: Lifetimes, *, model: OnlineModel = part(recurrent_model), **settings) -> MetaAlgorithm:
    """Recurrence-based adaptive learner: ``grbal`` whose model reads, beside the state, a memory of the lifetime."""
    return grbal(tasks, model=model, **settings)
