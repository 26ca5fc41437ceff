"""Networks that infer what task they are in: a recurrent posterior over a latent, and predictions from it."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

from jaxmeta.checks import check_least
from jaxmeta.networks.cells import Cell, cell_for
from jaxmeta.networks.distributions import Distribution, Gaussian
from jaxmeta.networks.encoders import Encoder, cnn, reading
from jaxmeta.networks.layers import MLP, Activation, activation_for
from jaxmeta.networks.policies import gate_of, policy_module
from jaxmeta.networks.recurrent import Mode, RecurrentPolicy, undecided, with_memory
from jaxmeta.parts import built, part
from jaxmeta.tasks import LifetimeEnv, ObservationPart, observation_parts, varying_features
from jaxmeta.types import Array, Key, PyTree, Task, TaskDistribution


class BeliefModel(NamedTuple):
    """A posterior over what sets tasks apart, what it predicts, and a policy that acts on it.

    Attributes:
      policy: its parameters are all of the model's, ``{"model": ..., "policy": ...}``. It sees the observation and the
        posterior's mean and log standard deviation, as constants: no gradient of its own reaches the posterior.
      beliefs: ``beliefs(params, obs) -> Gaussian`` over latents ``[T, L]``, the posterior after each of ``[T, O]``.
      predict: ``predict(params, latent, obs, action) -> (reward, next_obs)`` for one latent ``[L]``: ``[T]`` and
        ``[T, I]``, the wrapped environment's observations.
    """

    policy: RecurrentPolicy
    beliefs: Callable[[PyTree, Array], Gaussian]
    predict: Callable[[PyTree, Array, Array, Array], tuple[Array, Array]]


def belief_model_for(
    env: Environment,
    horizon: int,
    *,
    latent: int = 5,
    cell: str | Cell = "gru",
    size: int = 64,
    hidden: tuple[int, ...] = (64,),
    decoder: tuple[int, ...] = (64, 64),
    activation: str | Activation = "tanh",
    initial_log_std: float = -0.7,
    bounded_mean: bool = False,
    experts: int = 1,
    encoder: Encoder = part(cnn),
) -> BeliefModel:
    """A belief model that fits the spaces of a family of lifetimes.

    Its networks see observations unscaled. Where these are far from order one, such as a grid's cells, use
    ``scale_observations``; not where the space's bounds are far beyond the observations met, as in the plane.

    Args:
      env: a family's environment, of ``as_lifetime``.
      horizon: steps in a lifetime, ≥ 1.
      latent: L ≥ 1, dimensions of the latent.
      cell: of the posterior: a name in ``CELLS``, or a ``Cell``.
      size: features of the cell, ≥ 1; used where ``cell`` is a name.
      hidden: widths of the hidden layers of the policy and of the critic.
      decoder: widths of the hidden layers of the predictions.
      activation: the nonlinearity of the policy and of the critic.
      initial_log_std: initial log standard deviation of a Gaussian policy, in the units of the action space.
      bounded_mean: whether a Gaussian policy's mean stays within the action space.
      experts: K ≥ 1 networks of the policy; above 1 a gate mixes them, which sees the observation and the posterior.
      encoder: how images among the observations are read, by each network with weights of its own.
        What is predicted of an image is each of its pixels.
    """
    check_least(1, latent=latent)
    if not isinstance(env, LifetimeEnv):
        raise ValueError("env: not one of lifetimes; give as_lifetime(tasks, episodes).env")
    cell, params = cell_for(cell, size, horizon), env.default_params
    observation = jnp.zeros(env.observation_space(params).shape)
    inner = observation_parts(env.env)
    seen = sum(each.size for each in inner)
    action_space, activation = env.action_space(params), activation_for(activation)
    seen_by_cell = built(encoder, observation_parts(env))
    acted_on, known = (built(encoder, parts) for parts in (inner, (ObservationPart((latent,)), *inner)))
    actor = policy_module(env, hidden, activation, initial_log_std, bounded_mean, experts, acted_on.module)
    gate = gate_of(actor)
    networks: dict[str, tuple[Any, str]] = {
        "posterior": (nn.Dense(2 * latent), "model"),
        "reward": (reading(known, MLP((*decoder, 1), nn.relu)), "model"),
        "state": (reading(known, MLP((*decoder, seen), nn.relu)), "model"),
        "actor": (actor, "policy"),
        "critic": (reading(acted_on, MLP((*hidden, 1), activation)), "policy"),
    }

    def call(params: PyTree, name: str, x: Array) -> Any:
        module, owner = networks[name]
        return module.apply(params[owner][name], x)

    def init_fn(key: Key) -> PyTree:
        key_cell, *keys = jax.random.split(key, 1 + len(networks))
        params: PyTree = {"model": seen_by_cell.init(jax.random.fold_in(key_cell, 0), observation), "policy": {}}
        read = seen_by_cell.read(params["model"], observation)
        memory = params["model"]["cell"] = cell.init(key_cell, read.shape[0])
        features = cell.step(memory, cell.start(), read)[1]
        known, acted_on = jnp.zeros(latent + seen + _width(action_space)), jnp.zeros(seen + 2 * latent)
        inputs = {"posterior": features, "reward": known, "state": known, "actor": acted_on, "critic": acted_on}
        for key, (name, (module, owner)) in zip(keys, networks.items(), strict=True):
            params[owner][name] = module.init(key, inputs[name])
        params["policy"]["actor"] = undecided(params["policy"]["actor"], len(hidden))
        return params

    def gaussian(params: PyTree, features: Array) -> Gaussian:
        return _gaussian(call(params, "posterior", features))

    def beside(params: PyTree, features: Array, obs: Array) -> Array:
        return jnp.concatenate([obs[..., :seen], *jax.lax.stop_gradient(gaussian(params, features))], axis=-1)

    def judge(params: PyTree, features: Array, obs: Array) -> tuple[Distribution, Array]:
        inputs = beside(params, features, obs)
        return call(params, "actor", inputs), call(params, "critic", inputs)[..., 0]

    def gate_fn(params: PyTree, features: Array, obs: Array) -> Array:
        assert gate is not None
        return gate(params["policy"]["actor"], beside(params, features, obs))

    def beliefs_fn(params: PyTree, obs: Array) -> Gaussian:
        read = seen_by_cell.read(params["model"], obs)
        return gaussian(params, cell.sequence(params["model"]["cell"], cell.start(), read)[1])

    def predict_fn(params: PyTree, latent: Array, obs: Array, action: Array) -> tuple[Array, Array]:
        repeated = jnp.broadcast_to(latent, (obs.shape[0], *latent.shape))
        known = jnp.concatenate([repeated, obs[:, :seen], _encoded(action_space, action)], axis=-1)
        return call(params, "reward", known)[:, 0], obs[:, :seen] + cast(Array, call(params, "state", known))

    def advance(mode: Mode, params: PyTree, memory: PyTree, obs: Array) -> tuple[PyTree, Array]:
        return mode(params["model"]["cell"], memory, seen_by_cell.read(params["model"], obs))

    policy = with_memory(cell, init_fn, advance, judge, gate_fn if gate else None)
    return BeliefModel(policy, beliefs_fn, predict_fn)


def _encoded(space: spaces.Space, action: Array) -> Array:
    """Discrete actions one-hot, others as they are."""
    return jax.nn.one_hot(action, space.n) if isinstance(space, spaces.Discrete) else action


def _gaussian(output: Array) -> Gaussian:
    mean, log_std = jnp.split(output, 2, axis=-1)
    return Gaussian(mean, jnp.clip(log_std, -5.0, 2.0))


def _width(space: Any) -> int:
    return _encoded(space, jnp.zeros(space.shape, space.dtype)).shape[0]


def expected_rewards(
    model: BeliefModel, params: PyTree, obs: Array, where: Array, action: Array, *, key: Key, samples: int = 64
) -> Array:
    """Mean rewards ``[T, C]`` that the posterior after each of T steps predicts for C actions at other observations.

    Args:
      model: the networks.
      params: their parameters.
      obs: of the lifetime, ``[T, O]``.
      where: the wrapped environment's observations at which actions are taken, ``[C, I]``.
      action: taken there, ``[C, ...]``.
      key: draws latents.
      samples: latents drawn from each posterior, ≥ 1.
    """
    belief = model.beliefs(params, obs)
    latents = jax.vmap(belief.sample)(jax.random.split(key, samples))
    predicted = jax.vmap(jax.vmap(lambda latent: model.predict(params, latent, where, action)[0]))(latents)
    return jnp.mean(predicted, axis=0)


def telling_tasks(
    model: BeliefModel, tasks: TaskDistribution
) -> tuple[BeliefModel, Callable[[PyTree, Array, Task], Array]]:
    """The model with parameters ``"task"`` more, by which a latent predicts the task, and the error of the prediction.

    The targets are the features that vary between tasks (``varying_features``), standardised over 1,024 tasks. They are
    predicted linearly: a policy then generalises to tasks that it can only infer by exclusion.

    ``error(params, latent, task)`` is half the sum of the features' squared errors.

    Args:
      model: the networks.
      tasks: a family of lifetimes, not all of the same task.
    """
    with jax.ensure_compile_time_eval():
        features = varying_features(tasks)
        drawn = jax.vmap(lambda key: features(tasks.sample(key)))(jax.random.split(jax.random.key(0), 1024))
        mean, deviation = jnp.mean(drawn, axis=0), jnp.std(drawn, axis=0)
    if not mean.size:
        raise ValueError("tasks: they are all the same; there is nothing to tell")
    network = nn.Dense(mean.size)

    def init_fn(key: Key) -> PyTree:
        key_model, key_task = jax.random.split(key)
        params = model.policy.init(key_model)
        obs = jnp.zeros((1, *tasks.env.observation_space(tasks.env.default_params).shape))
        return {**params, "task": network.init(key_task, model.beliefs(params, obs).mean[0])}

    def error_fn(params: PyTree, latent: Array, task: Task) -> Array:
        predicted = cast(Array, network.apply(params["task"], latent))
        return 0.5 * jnp.sum(jnp.square(predicted - (features(task) - mean) / deviation))

    return model._replace(policy=model.policy._replace(init=init_fn)), error_fn
