"""A contextual bandit: the observation says which of several Bernoulli bandits is played next."""

import gymnax
import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.tasks import checks, drawing
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class ContextualState(environment.EnvState):
    context: Array
    time: Array  # pyright: ignore[reportIncompatibleVariableOverride]


@struct.dataclass
class ContextualParams(environment.EnvParams):
    """The task: ``probability`` ``[contexts, arms]``, that an arm pays 1 in a context."""

    probability: Array = struct.field(default_factory=lambda: _default_probability(4, 5))
    max_steps_in_episode: int = 100


class ContextualBandit(environment.Environment[ContextualState, ContextualParams]):
    """Before each pull a context is drawn uniformly; the observation is its one-hot. Nothing terminates."""

    def __init__(self, *, contexts: int = 4, arms: int = 5):
        checks.at_least(1, contexts=contexts)
        checks.at_least(2, arms=arms)
        self.contexts, self.arms = contexts, arms

    @property
    def default_params(self) -> ContextualParams:
        return ContextualParams(probability=_default_probability(self.contexts, self.arms))

    def step_env(self, key, state, action, params):
        checks.action_shape(self, action)
        key_reward, key_context = jax.random.split(key)
        probability = params.probability[state.context, jnp.asarray(action, jnp.int32)]
        reward = jax.random.bernoulli(key_reward, probability).astype(jnp.float32)
        next_state = ContextualState(context=self._draw(key_context), time=state.time + 1)
        terminated = self.is_terminated(next_state, params)
        return self.get_obs(next_state), next_state, reward, terminated, {"discount": jnp.float32(1.0)}

    def reset_env(self, key, params):
        state = ContextualState(context=self._draw(key), time=jnp.zeros((), jnp.int32))
        return self.get_obs(state), state

    def _draw(self, key: Key) -> Array:
        return jax.random.randint(key, (), 0, self.contexts)

    def get_obs(self, state, params=None, key=None):
        return jax.nn.one_hot(state.context, self.contexts, dtype=jnp.float32)

    def is_terminated(self, state, params):
        return jnp.zeros((), bool)

    @property
    def name(self) -> str:
        return "ContextualBandit-jaxmeta"

    @property
    def num_actions(self) -> int:
        return self.arms

    def action_space(self, params=None) -> spaces.Discrete:
        return spaces.Discrete(self.arms)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (self.contexts,), jnp.float32)

    def state_space(self, params=None) -> spaces.Dict:
        params = params or self.default_params
        time = spaces.Discrete(int(params.max_steps_in_episode) + 1)
        return spaces.Dict({"context": spaces.Discrete(self.contexts), "time": time})

    def render(self, state, params):
        """A figure of one state in one task: the expected rewards, and the context framed."""
        return drawing.figure(
            drawing.heat_map, params.probability, row=state.context, what="expected reward", rows="context"
        )


gymnax.register("ContextualBandit-jaxmeta", ContextualBandit)


def _default_probability(contexts: int, arms: int) -> Array:
    """A rotated ladder: in context ``c`` arm ``(c + k − 1) mod k`` is best."""
    ladder = jnp.linspace(0.1, 0.9, arms)
    return jnp.stack([jnp.roll(ladder, context) for context in range(contexts)])


def contextual_bandit(*, contexts: int = 4, arms: int = 5, horizon: int = 100) -> TaskDistribution:
    """Bernoulli arms whose probabilities depend on an observed context; all are drawn from U[0, 1], independently.

    Our own definition, the smallest with an exact optimum: contexts are uniform, independent of the past, and of the
    actions, so the best policy that knows the task pulls each context's best arm and earns
    ``horizon · mean_c max_a probability[c, a]`` in expectation.

    Args:
      contexts: number of contexts, ≥ 1.
      arms: k ≥ 2.
      horizon: pulls in a lifetime, n ≥ 1.

    Raises:
      ValueError: a setting out of its range.
    """
    checks.at_least(1, contexts=contexts, horizon=horizon)
    checks.at_least(2, arms=arms)

    def sample_fn(key: Key) -> ContextualParams:
        probability = jax.random.uniform(key, (contexts, arms))
        return ContextualParams(probability=probability, max_steps_in_episode=jnp.int32(horizon))

    def optimum_fn(task: ContextualParams) -> Array:
        return horizon * jnp.mean(jnp.max(task.probability, axis=-1))

    return TaskDistribution(ContextualBandit(contexts=contexts, arms=arms), sample_fn, horizon, optimum_fn)
