"""A contextual bandit: the observation says which of several Bernoulli bandits is played next."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least
from jaxmeta.tasks import drawing
from jaxmeta.tasks.bandits import Bandit, bandit_family
from jaxmeta.tasks.environments import TimedState, registered
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class ContextualState(TimedState):
    context: Array


@struct.dataclass
class ContextualParams(environment.EnvParams):
    """The task: ``probability`` ``[contexts, arms]``, that an arm pays 1 in a context."""

    probability: Array = struct.field(default_factory=lambda: _default_probability(4, 5))
    max_steps_in_episode: int = 100


@registered
class ContextualBandit(Bandit):
    """Before each pull a context is drawn uniformly; the observation is its one-hot. Nothing terminates."""

    def __init__(self, *, contexts: int = 4, arms: int = 5):
        check_least(1, contexts=contexts)
        super().__init__(arms=arms)
        self.contexts = contexts

    @property
    def default_params(self) -> ContextualParams:
        return ContextualParams(probability=_default_probability(self.contexts, self.arms))

    def transition(self, key, state, action, params):
        key_reward, key_context = jax.random.split(key)
        paid = jax.random.bernoulli(key_reward, params.probability[state.context, action])
        next_state = self.first_state(key_context, params).replace(time=state.time + 1)
        return next_state, paid.astype(jnp.float32)

    def first_state(self, key, params) -> Any:
        context = jax.random.randint(key, (), 0, self.contexts)
        return ContextualState(context=context, time=jnp.zeros((), jnp.int32))

    def expected_rewards(self, params):
        return params.probability

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


def _default_probability(contexts: int, arms: int) -> Array:
    """A rotated ladder: in context ``c`` arm ``(c + k − 1) mod k`` is best."""
    ladder = jnp.linspace(0.1, 0.9, arms)
    return jnp.stack([jnp.roll(ladder, context) for context in range(contexts)])


def contextual_bandit(*, contexts: int = 4, arms: int = 5, horizon: int = 100) -> TaskDistribution:
    """Bernoulli arms whose probabilities depend on an observed context; all are drawn from U[0, 1], independently.

    This family is our own. Contexts are uniform, and independent of past contexts and actions. So the best policy that
    knows the task pulls each context's best arm: it earns ``horizon · mean_c max_a probability[c, a]`` on average.

    Args:
      contexts: number of contexts, ≥ 1.
      arms: k ≥ 2.
      horizon: pulls in a lifetime, n ≥ 1.
    """

    def sample_fn(key: Key) -> ContextualParams:
        probability = jax.random.uniform(key, (contexts, arms))
        return ContextualParams(probability=probability, max_steps_in_episode=horizon)

    return bandit_family(ContextualBandit(contexts=contexts, arms=arms), sample_fn, horizon)
