"""Models of how a task moves and rewards, fitted to transitions. Pure functions of parameters; ensembles are vmaps."""

import functools
from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

from jaxmeta.checks import check_least
from jaxmeta.data import Transitions, masked_mean
from jaxmeta.networks import FLAT, MLP, Activation, Gaussian, activation_for, aligned, is_image
from jaxmeta.tasks import observation_parts
from jaxmeta.types import Array, Key, PyTree


class Scale(NamedTuple):
    """Mean and standard deviation of each entry, ``[D]``: what is fitted is ``(x − mean) / deviation``."""

    mean: Array
    deviation: Array

    def normalised(self, x: Array) -> Array:
        """``x`` is ``[..., D]``."""
        return (x - aligned(self.mean, x)) / aligned(self.deviation, x)


class Prediction(NamedTuple):
    """What a step is expected to do, with leads ``[...]``."""

    outcome: Gaussian  # of [next_obs − obs, reward] in the environment's units, [..., O + 1]
    ending: Array  # log-odds that the environment ends with it


class DynamicsModel(NamedTuple):
    """A model of an environment as pure functions.

    Attributes:
      init: ``init(key) -> params``.
      predict: ``predict(params, obs, action) -> Prediction``; leads ``[...]``.
      loss: ``loss(params, transitions, weight) -> scalar``, the negative log-likelihood, a weighted mean over ``[M]``.
      error: the same of half the squared error of the normalised targets in place of the likelihood: what a few plain
        gradient steps can descend, since its slope does not grow with how certain the model is.
      scaled: ``scaled(params, transitions, weight) -> params`` whose inputs and targets are normalised by those
        transitions, whose log-odds of an end start at theirs, and whose predictions of the next observation stay in the
        box that holds theirs.
      bounded: ``bounded(params, obs) -> obs`` put into that box.
    """

    init: Callable[[Key], PyTree]
    predict: Callable[[PyTree, Array, Array], Prediction]
    loss: Callable[[PyTree, Transitions, Array], Array]
    error: Callable[[PyTree, Transitions, Array], Array]
    scaled: Callable[[PyTree, Transitions, Array], PyTree]
    bounded: Callable[[PyTree, Array], Array]


EachEntry = Callable[[Gaussian, Array], Array]
"""What is said of each entry of an outcome and of its target, both normalised."""


def dynamics_model_for(
    env: Environment,
    context: int = 0,
    *,
    hidden: tuple[int, ...] = (64, 64),
    activation: str | Activation = "silu",
    probabilistic: bool = True,
    ends_seen: bool = True,
) -> DynamicsModel:
    """A network that predicts a step's change of the observation, its reward, and whether it ends the episode.

    Inputs and targets are normalised. The probabilistic form has a variance for each entry, between bounds that are
    learned (Chua et al. 2018, appendix A.1: pulled together with weight 0.01); the other's loss is half the squared
    error of the normalised targets, up to a constant, and its predictions claim to be certain.

    Args:
      env: with flat observations ``[O]``; actions are one-hot if they are discrete.
      hidden: widths of the hidden layers; none makes a linear model.
      activation: the nonlinearity between layers.
      probabilistic: whether the variance is predicted.
      context: C ≥ 0 entries that follow the observation in the input, as they are; not predicted.
      ends_seen: whether the data says where a step that ended the episode led to; where it does not, only the reward
        and the end of such a step are learned, and ``next_obs`` there may be anything.
    """
    check_least(0, context=context)
    seen, acted, discrete = _sizes(env, hidden)
    activation = activation_for(activation)
    network = MLP((*hidden, (2 if probabilistic else 1) * (seen + 1)), activation)
    # A network of its own: an end is one bit, whose slope would drown in that of the densities.
    ending_network = MLP((*hidden, 1), activation)

    def init_fn(key: Key) -> PyTree:
        key_outcome, key_ending = jax.random.split(key)
        inputs = jnp.zeros(seen + context + acted)
        weights = {"outcome": network.init(key_outcome, inputs), "ending": ending_network.init(key_ending, inputs)}
        # Of the log standard deviations.
        bounds = {name: jnp.full(seen + 1, end, jnp.float32) for name, end in (("low", -5.0), ("high", 0.25))}
        return {**weights, **_unscaled(seen, acted), **({"bounds": bounds} if probabilistic else {})}

    def inputs_of(obs: Array, action: Array) -> Array:
        action = jax.nn.one_hot(action, acted) if discrete else jnp.asarray(action, jnp.float32)
        return jnp.concatenate([obs[..., :seen], action], axis=-1)

    def normalised(params: PyTree, obs: Array, action: Array) -> tuple[Gaussian, Array]:
        """The outcome in normalised units, and the log-odds of an end."""
        scales = jax.lax.stop_gradient(params["scale"])
        inputs = scales["inputs"].normalised(inputs_of(obs, action))
        inputs = jnp.concatenate([inputs, obs[..., seen:]], axis=-1)
        output = cast(Array, network.apply(params["outcome"], inputs))
        ending = scales["ending"] + cast(Array, ending_network.apply(params["ending"], inputs))[..., 0]
        mean = output[..., : seen + 1]
        if not probabilistic:
            return Gaussian(mean, jnp.zeros_like(mean)), ending
        return Gaussian(mean, _bounded(output[..., seen + 1 :], **params["bounds"])), ending

    def predict_fn(params: PyTree, obs: Array, action: Array) -> Prediction:
        outcome, ending = normalised(params, obs, action)
        scale = jax.lax.stop_gradient(params["scale"]["targets"])
        # The other form claims no error at all.
        center, width = (aligned(each, outcome.mean) for each in scale)
        log_std = (outcome.log_std if probabilistic else outcome.log_std - 20.0) + jnp.log(width)
        return Prediction(Gaussian(center + width * outcome.mean, log_std), ending)

    def mean_over(each_of: EachEntry, params: PyTree, data: Transitions, weight: Array) -> Array:
        """Weighted mean of what ``each_of(outcome, targets)`` says of each entry, and of the surprise at ends."""
        scale = jax.lax.stop_gradient(params["scale"]["targets"])
        targets = scale.normalised(_targets(data, seen))
        outcome, ending = normalised(params, data.obs, data.action)
        each = each_of(outcome, targets)
        state = jnp.sum(each[..., :-1], axis=-1)
        # A state that was not seen does not count.
        total = each[..., -1] + (state if ends_seen else jnp.where(data.terminated > 0, 0.0, state))
        return masked_mean(total + optax.sigmoid_binary_cross_entropy(ending, data.terminated), weight)

    error_fn = functools.partial(mean_over, lambda outcome, targets: 0.5 * jnp.square(outcome.mean - targets))

    def loss_fn(params: PyTree, data: Transitions, weight: Array) -> Array:
        loss = mean_over(_surprise, params, data, weight)
        if probabilistic:
            loss += 0.01 * jnp.sum(params["bounds"]["high"] - params["bounds"]["low"])
        return loss

    def scaled_fn(params: PyTree, data: Transitions, weight: Array) -> PyTree:
        arrived = weight if ends_seen else weight * (1.0 - data.terminated)
        fitted = _fitted(data, inputs_of(data.obs, data.action), _targets(data, seen), weight, arrived)
        return params | jax.tree.map(
            lambda new, old: new.astype(old.dtype), fitted, {name: params[name] for name in fitted}
        )

    def bounded_fn(params: PyTree, obs: Array) -> Array:
        low, high = (aligned(params["box"][end], obs) for end in ("low", "high"))
        return jnp.clip(obs, low, high)

    return DynamicsModel(init_fn, predict_fn, loss_fn, error_fn, scaled_fn, bounded_fn)


def _targets(data: Transitions, seen: int) -> Array:
    return jnp.concatenate([data.next_obs - data.obs[..., :seen], data.reward[..., None]], axis=-1)


def _fitted(data: Transitions, inputs: Array, targets: Array, weight: Array, arrived: Array) -> PyTree:
    """Scales of inputs and targets, and the box of the observations that were reached, from weighted data."""
    scale = {"inputs": _scale_of(inputs, weight), "targets": _scale_of(targets, arrived)}
    box = _box_of(data.next_obs, arrived[:, None] > 0)
    return {"scale": {**scale, "ending": _log_odds(data, weight)}, "box": box}


def _box_of(points: Array, counted: Array) -> dict[str, Array]:
    low = jnp.min(points, axis=0, initial=jnp.inf, where=counted)
    return {"low": low, "high": jnp.max(points, axis=0, initial=-jnp.inf, where=counted)}


def _bounded(log_std: Array, low: Array, high: Array) -> Array:
    low, high = aligned(low, log_std), aligned(high, log_std)
    log_std = high - jax.nn.softplus(high - log_std)
    return low + jax.nn.softplus(log_std - low)


def _surprise(outcome: Gaussian, targets: Array) -> Array:
    """−log p of each entry."""
    return -Gaussian(outcome.mean[..., None], outcome.log_std[..., None]).log_prob(targets[..., None])


def _sizes(env: Environment, hidden: tuple[int, ...]) -> tuple[int, int, bool]:
    """Entries of an observation and of an encoded action, and whether actions are discrete; or what is wrong."""
    if any(width < 1 for width in hidden):
        raise ValueError(f"hidden: got {tuple(hidden)}; every width must be at least 1")
    observations, actions = env.observation_space(env.default_params), env.action_space(env.default_params)
    if not isinstance(observations, spaces.Box) or len(observations.shape) != 1:
        raise ValueError(f"env: observation space is {observations}; {FLAT}")
    if any(map(is_image, observation_parts(env))):
        raise ValueError(
            "env: observations have images, which no model here predicts; flatten_observations(tasks) "
            "makes them plain numbers, observe_only(tasks, entries) leaves them out"
        )
    if isinstance(actions, spaces.Discrete):
        return observations.shape[0], int(actions.n), True
    if isinstance(actions, spaces.Box) and len(actions.shape) == 1:
        return observations.shape[0], actions.shape[0], False
    raise ValueError(f"env: action space is {actions}; a model needs Discrete, or a Box of rank 1")


def _unscaled(seen: int, acted: int) -> dict[str, PyTree]:
    """The parameters of a normalisation that changes nothing, and of a box that holds everything."""
    inputs, targets = (
        Scale(jnp.zeros(size, jnp.float32), jnp.ones(size, jnp.float32)) for size in (seen + acted, seen + 1)
    )
    low, high = (jnp.full(seen, end, jnp.float32) for end in (-jnp.inf, jnp.inf))
    return {
        "scale": {"inputs": inputs, "targets": targets, "ending": jnp.float32(0.0)},
        "box": {"low": low, "high": high},
    }


def _scale_of(x: Array, weight: Array) -> Scale:
    """Of ``[M, D]``, weighted by ``[M]``."""
    mean = jax.vmap(masked_mean, (1, None))(x, weight)
    deviation = jnp.sqrt(jax.vmap(masked_mean, (1, None))(jnp.square(x - mean[None]), weight))
    # What never varies is left in its own units.
    return Scale(mean, jnp.where(deviation > 1e-6, deviation, 1.0))


def _log_odds(data: Transitions, weight: Array) -> Array:
    """Of an end: what is not known yet ends as often as the data does, with half an end more than was seen."""
    ends, steps = jnp.sum(weight * data.terminated), jnp.sum(weight)
    return jnp.log(ends + 0.5) - jnp.log(steps - ends + 0.5)


def with_context(model: DynamicsModel, context: Array) -> DynamicsModel:
    """The model whose observations come without their context, which is ``context`` ``[C]`` for all of them."""

    def predict_fn(params: PyTree, obs: Array, action: Array) -> Prediction:
        beside = jnp.broadcast_to(context, (*obs.shape[:-1], *context.shape))
        return model.predict(params, jnp.concatenate([obs, beside], axis=-1), action)

    return model._replace(predict=predict_fn)


def sample_step(
    key: Key, model: DynamicsModel, params: PyTree, obs: Array, action: Array
) -> tuple[Array, Array, Array]:
    """One imagined step from ``obs`` ``[O]``: the next observation ``[O]``, the reward and whether it ended."""
    key_outcome, key_end = jax.random.split(key)
    prediction = model.predict(params, obs, action)
    outcome = prediction.outcome.sample(key_outcome)
    ended = jax.random.bernoulli(key_end, jax.nn.sigmoid(prediction.ending))
    return model.bounded(params, obs + outcome[..., :-1]), outcome[..., -1], ended


def open_loop(model: DynamicsModel, params: PyTree, obs: Array, actions: Array) -> tuple[Array, Array, Array]:
    """Mean predictions along actions ``[H, ...]`` from ``obs`` ``[O]``, each from the prediction before.

    They are the observation after each action ``[H, O]``, the reward ``[H]``, and the probability of not having ended
    before it ``[H]``.
    """

    def step_fn(carry: tuple[Array, Array], action: Array):
        obs, alive = carry
        prediction = model.predict(params, obs, action)
        mean = prediction.outcome.mean
        following = model.bounded(params, obs + mean[..., :-1])
        following = following.astype(obs.dtype)
        later = (alive * jax.nn.sigmoid(-prediction.ending)).astype(alive.dtype)
        return (following, later), (following, mean[..., -1], alive)

    return jax.lax.scan(step_fn, (obs, jnp.ones((), obs.dtype)), actions)[1]


def interval_coverage(outcome: Gaussian, targets: Array, weight: Array, *, level: float) -> Array:
    """Share of targets ``[M, D]`` in the central interval that should hold ``level`` of them, by entry ``[D]``."""
    width = jax.scipy.stats.norm.ppf(0.5 + 0.5 * level)
    inside = jnp.abs(targets - outcome.mean) <= width * jnp.exp(outcome.log_std)
    return jax.vmap(masked_mean, (1, None))(inside.astype(jnp.float32), weight)
