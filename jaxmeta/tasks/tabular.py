"""Random tabular MDPs, as defined by Duan et al. 2016."""

import gymnax
import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.references.value_iteration import value_iteration
from jaxmeta.tasks import checks, drawing
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class TabularState(environment.EnvState):
    state: Array
    time: Array  # pyright: ignore[reportIncompatibleVariableOverride]


@struct.dataclass
class TabularParams(environment.EnvParams):
    """The task: ``transition`` ``[S, A, S]`` and expected rewards ``reward`` ``[S, A]``; ``noise`` is around them."""

    transition: Array = struct.field(default_factory=lambda: _cycle(10, 5))
    reward: Array = struct.field(default_factory=lambda: jnp.ones((10, 5), jnp.float32))
    noise: float = 1.0
    max_steps_in_episode: int = 10


class TabularMDP(environment.Environment[TabularState, TabularParams]):
    """An episode starts in state 0; the observation is the state's one-hot, and nothing terminates."""

    def __init__(self, *, states: int = 10, actions: int = 5):
        checks.at_least(1, states=states, actions=actions)
        self.states, self.actions = states, actions

    @property
    def default_params(self) -> TabularParams:
        reward = jnp.ones((self.states, self.actions), jnp.float32)
        return TabularParams(transition=_cycle(self.states, self.actions), reward=reward)

    def step_env(self, key, state, action, params):
        checks.action_shape(self, action)
        key_reward, key_next = jax.random.split(key)
        action = jnp.asarray(action, jnp.int32)
        reward = params.reward[state.state, action] + params.noise * jax.random.normal(key_reward)
        # log 0 is −∞, which categorical never draws.
        drawn = jax.random.categorical(key_next, jnp.log(params.transition[state.state, action]))
        next_state = TabularState(state=drawn.astype(jnp.int32), time=state.time + 1)
        terminated = self.is_terminated(next_state, params)
        return self.get_obs(next_state), next_state, reward, terminated, {"discount": jnp.float32(1.0)}

    def reset_env(self, key, params):
        state = TabularState(state=jnp.zeros((), jnp.int32), time=jnp.zeros((), jnp.int32))
        return self.get_obs(state), state

    def get_obs(self, state, params=None, key=None):
        return jax.nn.one_hot(state.state, self.states, dtype=jnp.float32)

    def is_terminated(self, state, params):
        return jnp.zeros((), bool)

    @property
    def name(self) -> str:
        return "TabularMDP-jaxmeta"

    @property
    def num_actions(self) -> int:
        return self.actions

    def action_space(self, params=None) -> spaces.Discrete:
        return spaces.Discrete(self.actions)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (self.states,), jnp.float32)

    def state_space(self, params=None) -> spaces.Dict:
        params = params or self.default_params
        time = spaces.Discrete(int(params.max_steps_in_episode) + 1)
        return spaces.Dict({"state": spaces.Discrete(self.states), "time": time})

    def render(self, state, params):
        """A figure of one state in one task: the expected rewards, and the state framed."""
        return drawing.figure(drawing.heat_map, params.reward, row=state.state, what="expected reward", rows="state")


gymnax.register("TabularMDP-jaxmeta", TabularMDP)


def _cycle(states: int, actions: int) -> Array:
    """Action ``a`` moves ``a + 1`` states on, without noise."""
    target = (jnp.arange(states)[:, None] + jnp.arange(actions) + 1) % states
    return jax.nn.one_hot(target, states, dtype=jnp.float32)


def tabular_mdp(*, states: int = 10, actions: int = 5, horizon: int = 10, noise: float = 1.0) -> TaskDistribution:
    """Rewards N(μ_sa, ``noise``²) with μ_sa from N(1, 1), transitions from a flat Dirichlet (Duan et al. 2016).

    Args:
      states: S ≥ 1.
      actions: A ≥ 1.
      horizon: steps in an episode, H ≥ 1.
      noise: standard deviation of a reward around its mean, ≥ 0.

    Returns:
      The family; its optimum is the exact finite-horizon value of state 0.

    Raises:
      ValueError: a setting out of its range.
    """
    checks.at_least(1, states=states, actions=actions, horizon=horizon)
    checks.at_least(0, noise=noise)

    def sample_fn(key: Key) -> TabularParams:
        key_transition, key_reward = jax.random.split(key)
        # Exponential variables, normalised, are a flat Dirichlet draw; compiling them takes a tenth of the time.
        exponential = jax.random.exponential(key_transition, (states, actions, states))
        return TabularParams(
            transition=exponential / jnp.sum(exponential, axis=-1, keepdims=True),
            reward=1.0 + jax.random.normal(key_reward, (states, actions)),
            noise=jnp.float32(noise),
            max_steps_in_episode=jnp.int32(horizon),
        )

    def optimum_fn(task: TabularParams) -> Array:
        _, values = value_iteration(task.transition, task.reward, horizon)
        return values[0, 0]

    return TaskDistribution(TabularMDP(states=states, actions=actions), sample_fn, horizon, optimum_fn)
