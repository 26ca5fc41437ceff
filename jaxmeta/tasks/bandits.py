"""Bandits: a pull is a step, the lifetime is the horizon, and the arms are hidden."""

import abc
from collections.abc import Callable
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.tasks import checks, drawing
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class BanditState(environment.EnvState):
    time: Array  # pyright: ignore[reportIncompatibleVariableOverride]


@struct.dataclass
class BernoulliParams(environment.EnvParams):
    """The task: ``probability`` ``[k]``, that an arm pays 1 and not 0."""

    probability: Array = struct.field(default_factory=lambda: jnp.linspace(0.1, 0.9, 5))
    max_steps_in_episode: int = 100


@struct.dataclass
class GaussianParams(environment.EnvParams):
    """The task: ``mean`` ``[k]``, what an arm pays on average, and ``noise``, the standard deviation around it."""

    mean: Array = struct.field(default_factory=lambda: jnp.linspace(-1.0, 1.0, 5))
    noise: float = 1.0
    max_steps_in_episode: int = 100


class _Bandit(environment.Environment, abc.ABC):
    """What stateless bandits share: the observation is the constant 1, and nothing terminates."""

    def __init__(self, *, arms: int = 5):
        checks.at_least(2, arms=arms)
        self.arms = arms

    @abc.abstractmethod
    def reward(self, key: Key, arm: Array, params: Any) -> Array:
        """What one pull of an arm pays."""

    @abc.abstractmethod
    def expected_rewards(self, params: Any) -> Array:
        """What the arms pay on average, ``[k]``."""

    def step_env(self, key, state, action, params):
        checks.action_shape(self, action)
        reward = self.reward(key, jnp.asarray(action, jnp.int32), params)
        next_state = BanditState(time=state.time + 1)
        terminated = self.is_terminated(next_state, params)
        return self.get_obs(next_state), next_state, reward, terminated, {"discount": jnp.float32(1.0)}

    def reset_env(self, key, params):
        state = BanditState(time=jnp.zeros((), jnp.int32))
        return self.get_obs(state), state

    def get_obs(self, state, params=None, key=None):
        return jnp.ones(1, jnp.float32)

    def is_terminated(self, state, params):
        return jnp.zeros((), bool)

    @property
    def name(self) -> str:
        return f"{type(self).__name__}-jaxmeta"

    @property
    def num_actions(self) -> int:
        return self.arms

    def action_space(self, params=None) -> spaces.Discrete:
        return spaces.Discrete(self.arms)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (1,), jnp.float32)

    def state_space(self, params=None) -> spaces.Dict:
        params = params or self.default_params
        return spaces.Dict({"time": spaces.Discrete(int(params.max_steps_in_episode) + 1)})

    def render(self, state, params):
        """A figure of one task: a bandit's state is nothing but the time."""
        return drawing.figure(drawing.bars, self.expected_rewards(params), what="expected reward")


class BernoulliBandit(_Bandit):
    """Arm ``a`` pays 1 with probability ``probability[a]``, else 0."""

    @property
    def default_params(self) -> BernoulliParams:
        return BernoulliParams(probability=jnp.linspace(0.1, 0.9, self.arms))

    def reward(self, key, arm, params):
        return jax.random.bernoulli(key, params.probability[arm]).astype(jnp.float32)

    def expected_rewards(self, params):
        return params.probability


class GaussianBandit(_Bandit):
    """Arm ``a`` pays ``mean[a] + noise · ε``, ε standard normal."""

    @property
    def default_params(self) -> GaussianParams:
        return GaussianParams(mean=jnp.linspace(-1.0, 1.0, self.arms))

    def reward(self, key, arm, params):
        return params.mean[arm] + params.noise * jax.random.normal(key)

    def expected_rewards(self, params):
        return params.mean


gymnax.register("BernoulliBandit-jaxmeta", BernoulliBandit)
gymnax.register("GaussianBandit-jaxmeta", GaussianBandit)


def bernoulli_bandit(*, arms: int = 5, horizon: int = 100) -> TaskDistribution:
    """Independent arms, each pays 1 with its own probability, drawn from U[0, 1] (Duan et al. 2016).

    Args:
      arms: k ≥ 2.
      horizon: pulls in a lifetime, n ≥ 1.

    Raises:
      ValueError: a setting out of its range.
    """
    checks.at_least(2, arms=arms)
    checks.at_least(1, horizon=horizon)

    def draw(key: Key) -> Array:
        return jax.random.uniform(key, (arms,))

    return _bernoulli_family(draw, arms, horizon)


def gaussian_bandit(
    *, arms: int = 5, horizon: int = 100, mean_std: float = 1.0, noise: float = 1.0
) -> TaskDistribution:
    """Independent arms with normal rewards around means drawn from N(0, ``mean_std``²).

    With unit standard deviations this is the ten-armed testbed's distribution (Sutton and Barto 2018).

    Args:
      arms: k ≥ 2.
      horizon: pulls in a lifetime, n ≥ 1.
      mean_std: standard deviation of the arms' means, > 0.
      noise: standard deviation of a reward around its arm's mean, ≥ 0.

    Raises:
      ValueError: a setting out of its range.
    """
    checks.at_least(2, arms=arms)
    checks.at_least(1, horizon=horizon)
    checks.positive(mean_std=mean_std)
    checks.at_least(0, noise=noise)

    def sample_fn(key: Key) -> GaussianParams:
        return _gaussian_task(mean_std * jax.random.normal(key, (arms,)), noise, horizon)

    return TaskDistribution(GaussianBandit(arms=arms), sample_fn, horizon, lambda task: horizon * jnp.max(task.mean))


DEPENDENT_LEVELS = {"easy": (0.1, 0.9), "medium": (0.25, 0.75), "hard": (0.4, 0.6)}


def dependent_bandit(*, level: str = "uniform", horizon: int = 100) -> TaskDistribution:
    """Two arms with ``p₂ = 1 − p₁``: what one pays tells what the other would (Wang et al. 2016).

    Args:
      level: ``p₁`` is drawn from U[0, 1] (``uniform``), or is one of two values, equally likely: 0.1 and 0.9
        (``easy``), 0.25 and 0.75 (``medium``), 0.4 and 0.6 (``hard``).
      horizon: pulls in a lifetime, n ≥ 1.

    Raises:
      ValueError: a setting out of its range.
    """
    checks.at_least(1, horizon=horizon)
    if level != "uniform" and level not in DEPENDENT_LEVELS:
        raise ValueError(f"level: got {level!r}; must be one of uniform, {', '.join(DEPENDENT_LEVELS)}")

    def draw(key: Key) -> Array:
        if level == "uniform":
            first = jax.random.uniform(key)
        else:
            first = jax.random.choice(key, jnp.array(DEPENDENT_LEVELS[level], jnp.float32))
        return jnp.stack([first, 1.0 - first])

    return _bernoulli_family(draw, 2, horizon)


def informative_bandit(*, horizon: int = 5) -> TaskDistribution:
    """Eleven arms without noise, the last of which pays little and tells all (Wang et al. 2016).

    One of the first ten arms, the target, pays 5 and the nine others 1.1. The eleventh pays a tenth of the target's
    number, counted from 1: at most 1, so less than any other arm. A policy that knows the task pulls the target; the
    best that does not pulls the eleventh once, then the target.

    Args:
      horizon: pulls in a lifetime, n ≥ 1.

    Raises:
      ValueError: ``horizon`` below 1.
    """
    checks.at_least(1, horizon=horizon)

    def sample_fn(key: Key) -> GaussianParams:
        target = jax.random.randint(key, (), 0, 10)
        mean = jnp.full(11, 1.1, jnp.float32).at[target].set(5.0)
        return _gaussian_task(mean.at[10].set(0.1 * (target + 1)), 0.0, horizon)

    return TaskDistribution(GaussianBandit(arms=11), sample_fn, horizon, lambda task: horizon * jnp.max(task.mean))


def _gaussian_task(mean: Array, noise: float, horizon: int) -> GaussianParams:
    return GaussianParams(mean=mean, noise=jnp.float32(noise), max_steps_in_episode=jnp.int32(horizon))


def _bernoulli_family(draw: Callable[[Key], Array], arms: int, horizon: int) -> TaskDistribution:
    def sample_fn(key: Key) -> BernoulliParams:
        return BernoulliParams(probability=draw(key), max_steps_in_episode=jnp.int32(horizon))

    def optimum_fn(task: BernoulliParams) -> Array:
        return horizon * jnp.max(task.probability)

    return TaskDistribution(BernoulliBandit(arms=arms), sample_fn, horizon, optimum_fn)
