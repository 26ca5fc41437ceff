"""Networks that infer what task they are in: a recurrent posterior over a latent, and predictions from it."""

import functools
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
from jaxmeta.networks.encoders import Encoder, cnn
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
      encoder: how images among the observations are read: by the posterior, by the policy with its critic, and for the
        predictions, each by weights of its own. What is predicted of an image is each of its pixels.
    """
    if not isinstance(env, LifetimeEnv):
        raise ValueError("env: not one of lifetimes; give as_lifetime(tasks, episodes).env")
    check_least(1, latent=latent)
    cell = cell_for(cell, size, horizon)
    params = env.default_params
    observation = jnp.zeros(env.observation_space(params).shape)
    inner = observation_parts(env.env)
    seen = sum(each.size for each in inner)
    action_space = env.action_space(params)
    activation = activation_for(activation)
    actor = policy_module(env, hidden, activation, initial_log_std, bounded_mean, experts)
    gate = gate_of(actor)
    encoders = {
        "seen": built(encoder, observation_parts(env)),
        "known": built(encoder, (ObservationPart((latent,)), *inner)),
        "acted_on": built(encoder, inner),
    }
    networks: dict[str, tuple[Any, str]] = {
        "posterior": (nn.Dense(2 * latent), "model"),
        "reward": (MLP((*decoder, 1), nn.relu), "model"),
        "state": (MLP((*decoder, seen), nn.relu), "model"),
        "actor": (actor, "policy"),
        "critic": (MLP((*hidden, 1), activation), "policy"),
    }

    def call(params: PyTree, name: str, x: Array) -> Any:
        module, owner = networks[name]
        return module.apply(params[owner][name], x)

    action_size = _encoded(action_space, jnp.zeros(action_space.shape, action_space.dtype)).shape[0]
    sizes = {"known": latent + seen + action_size, "acted_on": seen + 2 * latent}
    blank = {"seen": observation, **{name: jnp.zeros(size) for name, size in sizes.items()}}

    def init_fn(key: Key) -> PyTree:
        key_cell, *keys = jax.random.split(key, 1 + len(networks))
        key_of = functools.partial(jax.random.fold_in, key_cell)
        read = {name: each.init(key_of(i), blank[name], name) for i, (name, each) in enumerate(encoders.items())}
        params: PyTree = {"model": {**read["seen"], **read["known"]}, "policy": read["acted_on"]}
        inputs = encoders["seen"].read(params["model"], observation, "seen")
        memory = params["model"]["cell"] = cell.init(key_cell, inputs.shape[0])
        features = cell.step(memory, cell.start(), inputs)[1]
        known = encoders["known"].read(params["model"], blank["known"], "known")
        acted_on = encoders["acted_on"].read(params["policy"], blank["acted_on"], "acted_on")
        inputs = {"posterior": features, "reward": known, "state": known, "actor": acted_on, "critic": acted_on}
        for key, (name, (module, owner)) in zip(keys, networks.items(), strict=True):
            params[owner][name] = module.init(key, inputs[name])
        params["policy"]["actor"] = undecided(params["policy"]["actor"], len(hidden))
        return params

    def gaussian(params: PyTree, features: Array) -> Gaussian:
        mean, log_std = jnp.split(call(params, "posterior", features), 2, axis=-1)
        return Gaussian(mean, jnp.clip(log_std, -5.0, 2.0))

    def acted_on(params: PyTree, features: Array, obs: Array) -> Array:
        belief = jax.lax.stop_gradient(gaussian(params, features))
        inputs = jnp.concatenate([obs[..., :seen], *belief], axis=-1)
        return encoders["acted_on"].read(params["policy"], inputs, "acted_on")

    def read(params: PyTree, obs: Array) -> Array:
        return encoders["seen"].read(params["model"], obs, "seen")

    def judge(params: PyTree, features: Array, obs: Array) -> tuple[Distribution, Array]:
        inputs = acted_on(params, features, obs)
        value = call(params, "critic", inputs)[..., 0]
        return call(params, "actor", inputs), value

    def gate_fn(params: PyTree, features: Array, obs: Array) -> Array:
        assert gate is not None
        return gate(params["policy"]["actor"], acted_on(params, features, obs))

    def beliefs_fn(params: PyTree, obs: Array) -> Gaussian:
        return gaussian(params, cell.sequence(params["model"]["cell"], cell.start(), read(params, obs))[1])

    def predict_fn(params: PyTree, latent: Array, obs: Array, action: Array) -> tuple[Array, Array]:
        repeated = jnp.broadcast_to(latent, (obs.shape[0], *latent.shape))
        known = jnp.concatenate([repeated, obs[:, :seen], _encoded(action_space, action)], axis=-1)
        known = encoders["known"].read(params["model"], known, "known")
        return call(params, "reward", known)[:, 0], obs[:, :seen] + cast(Array, call(params, "state", known))

    def advance(mode: Mode, params: PyTree, memory: PyTree, obs: Array) -> tuple[PyTree, Array]:
        return mode(params["model"]["cell"], memory, read(params, obs))

    policy = with_memory(cell, init_fn, advance, judge, gate_fn if gate else None)
    return BeliefModel(policy, beliefs_fn, predict_fn)


def _encoded(space: spaces.Space, action: Array) -> Array:
    """Discrete actions one-hot, others as they are."""
    return jax.nn.one_hot(action, space.n) if isinstance(space, spaces.Discrete) else action


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
