"""Bandits, contextual ones too: a pull is a step, the lifetime is the horizon, and the arms are hidden."""

import abc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least, check_positive
from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import DiscreteEnvironment, EpisodeView, TimedState, registered
from jaxmeta.tasks.generic import from_gymnax, listed
from jaxmeta.types import Array, Key, Task, TaskDistribution


@struct.dataclass
class BernoulliParams(environment.EnvParams):
    """The task: ``probability`` ``[k]``, that an arm pays 1 and not 0; ``[contexts, k]`` where there are contexts."""

    probability: Array = struct.field(default_factory=lambda: jnp.linspace(0.1, 0.9, 5))
    max_steps_in_episode: int = 100


@struct.dataclass
class GaussianParams(environment.EnvParams):
    """The task: ``mean`` ``[k]``, what an arm pays on average, and ``noise``, the standard deviation around it."""

    mean: Array = struct.field(default_factory=lambda: jnp.linspace(-1.0, 1.0, 5))
    noise: float = 1.0
    max_steps_in_episode: int = 100


class Bandit(DiscreteEnvironment):
    """What bandits share: a pull is a step, nothing terminates, and the observation is the constant 1."""

    episode_view = EpisodeView.ACTIONS

    def __init__(self, *, arms: int = 5):
        check_least(2, arms=arms)
        self.arms = self.actions = arms

    @abc.abstractmethod
    def expected_rewards(self, params: Any) -> Array:
        """What the arms pay on average, ``[..., k]``."""

    def arm_rewards(self, params) -> Array | None:
        return self.expected_rewards(params)

    def first_state(self, key, params) -> TimedState:
        return TimedState(time=jnp.zeros((), jnp.int32))

    def get_obs(self, state, params=None, key=None):
        return jnp.ones(1, jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (1,), jnp.float32)

    def render(self, state, params):
        """A figure of one task: a bandit's state is nothing but the time."""
        return drawing.figure(drawing.bars, self.expected_rewards(params), what="expected reward")


@registered
class BernoulliBandit(Bandit):
    """Arm ``a`` pays 1 with probability ``probability[a]``, else 0."""

    @property
    def default_params(self) -> BernoulliParams:
        return BernoulliParams(probability=jnp.linspace(0.1, 0.9, self.arms))

    def transition(self, key, state, action, params):
        paid = jax.random.bernoulli(key, params.probability[action])
        return TimedState(time=state.time + 1), paid.astype(jnp.float32)

    def expected_rewards(self, params):
        return params.probability


@registered
class GaussianBandit(Bandit):
    """Arm ``a`` pays ``mean[a] + noise · ε``, ε standard normal."""

    @property
    def default_params(self) -> GaussianParams:
        return GaussianParams(mean=jnp.linspace(-1.0, 1.0, self.arms))

    def transition(self, key, state, action, params):
        reward = params.mean[action] + params.noise * jax.random.normal(key)
        return TimedState(time=state.time + 1), reward

    def expected_rewards(self, params):
        return params.mean


def bandit_family(
    env: Bandit, sample: Callable[[Key], Task], horizon: int, every: Task | None = None
) -> TaskDistribution:
    """The family of a bandit's tasks. Its optimum pulls the best arm.

    Where there are contexts, they are equally likely and lead the axes of the expected rewards; each has its best arm.
    """

    def optimum_fn(task: Task) -> Array:
        return horizon * jnp.mean(jnp.max(env.expected_rewards(task), axis=-1))

    return from_gymnax(env, sample, horizon=horizon, optimum=optimum_fn, every=every)


def bernoulli_bandit(*, arms: int = 5, horizon: int = 100) -> TaskDistribution:
    """Independent arms, each pays 1 with its own probability, drawn from U[0, 1] (Duan et al. 2016).

    Args:
      arms: k ≥ 2.
      horizon: pulls in a lifetime, n ≥ 1.
    """

    def sample_fn(key: Key) -> BernoulliParams:
        return BernoulliParams(probability=jax.random.uniform(key, (arms,)), max_steps_in_episode=horizon)

    return bandit_family(BernoulliBandit(arms=arms), sample_fn, horizon)


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
    """
    check_positive(mean_std=mean_std)
    check_least(0, noise=noise)

    def sample_fn(key: Key) -> GaussianParams:
        mean = mean_std * jax.random.normal(key, (arms,))
        return GaussianParams(mean=mean, noise=noise, max_steps_in_episode=horizon)

    return bandit_family(GaussianBandit(arms=arms), sample_fn, horizon)


DEPENDENT_LEVELS = {"easy": (0.1, 0.9), "medium": (0.25, 0.75), "hard": (0.4, 0.6)}


def dependent_bandit(*, level: str = "uniform", horizon: int = 100) -> TaskDistribution:
    """Two arms with ``p₂ = 1 − p₁``: what one pays tells what the other would (Wang et al. 2016).

    Args:
      level: ``p₁`` is drawn from U[0, 1] (``uniform``), or is one of two values, equally likely: 0.1 and 0.9
        (``easy``), 0.25 and 0.75 (``medium``), 0.4 and 0.6 (``hard``).
      horizon: pulls in a lifetime, n ≥ 1.
    """
    if level != "uniform" and level not in DEPENDENT_LEVELS:
        raise ValueError(f"level: got {level!r}; must be one of uniform, {', '.join(DEPENDENT_LEVELS)}")

    levels = DEPENDENT_LEVELS.get(level)

    def task_fn(first: Array) -> BernoulliParams:
        return BernoulliParams(probability=jnp.stack([first, 1.0 - first]), max_steps_in_episode=horizon)

    def sample_fn(key: Key) -> BernoulliParams:
        return task_fn(jax.random.choice(key, jnp.array(levels, jnp.float32)) if levels else jax.random.uniform(key))

    every = listed(task_fn, levels) if levels else None
    return bandit_family(BernoulliBandit(arms=2), sample_fn, horizon, every)


def informative_bandit(*, horizon: int = 5) -> TaskDistribution:
    """Eleven arms without noise, the last of which pays little and tells all (Wang et al. 2016).

    One of the first ten arms, the target, pays 5 and the nine others 1.1. The eleventh pays a tenth of the target's
    number, counted from 1: at most 1, so less than any other arm. A policy that knows the task pulls the target; the
    best that does not pulls the eleventh once, then the target.

    Args:
      horizon: pulls in a lifetime, n ≥ 1.
    """

    def task_fn(target: Array) -> GaussianParams:
        mean = jnp.full(11, 1.1, jnp.float32).at[target].set(5.0).at[10].set(0.1 * (target + 1))
        return GaussianParams(mean=mean, noise=0.0, max_steps_in_episode=horizon)

    def sample_fn(key: Key) -> GaussianParams:
        return task_fn(jax.random.randint(key, (), 0, 10))

    return bandit_family(GaussianBandit(arms=11), sample_fn, horizon, listed(task_fn, range(10)))


@struct.dataclass
class ContextualState(TimedState):
    context: Array


@registered
class ContextualBandit(BernoulliBandit):
    """Before each pull a context is drawn uniformly; the observation is its one-hot. Nothing terminates."""

    def __init__(self, *, contexts: int = 4, arms: int = 5):
        check_least(1, contexts=contexts)
        super().__init__(arms=arms)
        self.contexts = contexts

    @property
    def default_params(self) -> BernoulliParams:
        # A rotated ladder: in context ``c`` arm ``(c + k − 1) mod k`` is best.
        ladder = jnp.linspace(0.1, 0.9, self.arms)
        return BernoulliParams(probability=jnp.stack([jnp.roll(ladder, context) for context in range(self.contexts)]))

    def transition(self, key, state, action, params):
        key_reward, key_context = jax.random.split(key)
        paid = jax.random.bernoulli(key_reward, params.probability[state.context, action])
        next_state = self.first_state(key_context, params).replace(time=state.time + 1)
        return next_state, paid.astype(jnp.float32)

    def first_state(self, key, params) -> Any:
        context = jax.random.randint(key, (), 0, self.contexts)
        return ContextualState(context=context, time=jnp.zeros((), jnp.int32))

    def arm_rewards(self, params) -> Array | None:
        # Which arm is best depends on the context: the arms have no order of their own.
        return None

    def get_obs(self, state, params=None, key=None):
        return jax.nn.one_hot(state.context, self.contexts, dtype=jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (self.contexts,), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        return {"context": spaces.Discrete(self.contexts)}

    def render(self, state, params):
        """A figure of one state in one task: the expected rewards, and the context framed."""
        title = "expected reward"
        return drawing.figure(drawing.heat_map, params.probability, row=state.context, what=title, rows="context")


def contextual_bandit(*, contexts: int = 4, arms: int = 5, horizon: int = 100) -> TaskDistribution:
    """Bernoulli arms whose probabilities depend on an observed context; all are drawn from U[0, 1], independently.

    This family is our own. Contexts are uniform, and independent of past contexts and actions. So the best policy that
    knows the task pulls each context's best arm: it earns ``horizon · mean_c max_a probability[c, a]`` on average.

    Args:
      contexts: number of contexts, ≥ 1.
      arms: k ≥ 2.
      horizon: pulls in a lifetime, n ≥ 1.
    """

    def sample_fn(key: Key) -> BernoulliParams:
        probability = jax.random.uniform(key, (contexts, arms))
        return BernoulliParams(probability=probability, max_steps_in_episode=horizon)

    return bandit_family(ContextualBandit(contexts=contexts, arms=arms), sample_fn, horizon)
