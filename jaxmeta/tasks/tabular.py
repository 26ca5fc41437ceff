"""Random tabular MDPs, as defined by Duan et al. 2016."""

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least
from jaxmeta.references import draw_mdp, optimal_return
from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import DiscreteEnvironment, EpisodeView, TimedState, registered
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class TabularState(TimedState):
    state: Array


@struct.dataclass
class TabularParams(environment.EnvParams):
    """The task: ``transition`` ``[S, A, S]`` and expected rewards ``reward`` ``[S, A]``; ``noise`` is around them."""

    transition: Array = struct.field(default_factory=lambda: _cycle(10, 5))
    reward: Array = struct.field(default_factory=lambda: jnp.ones((10, 5), jnp.float32))
    noise: float = 1.0
    max_steps_in_episode: int = 10


@registered
class TabularMDP(DiscreteEnvironment):
    """An episode starts in state 0; the observation is the state's one-hot, and nothing terminates."""

    episode_view = EpisodeView.ACTIONS

    def __init__(self, *, states: int = 10, actions: int = 5):
        check_least(1, states=states, actions=actions)
        self.states, self.actions = states, actions

    @property
    def default_params(self) -> TabularParams:
        reward = jnp.ones((self.states, self.actions), jnp.float32)
        return TabularParams(transition=_cycle(self.states, self.actions), reward=reward)

    def transition(self, key, state, action, params):
        key_reward, key_next = jax.random.split(key)
        reward = params.reward[state.state, action] + params.noise * jax.random.normal(key_reward)
        # log 0 is −∞, which categorical never draws.
        drawn = jax.random.categorical(key_next, jnp.log(params.transition[state.state, action]))
        return TabularState(state=drawn.astype(jnp.int32), time=state.time + 1), reward

    def first_state(self, key, params) -> TabularState:
        return TabularState(state=jnp.zeros((), jnp.int32), time=jnp.zeros((), jnp.int32))

    def get_obs(self, state, params=None, key=None):
        return jax.nn.one_hot(state.state, self.states, dtype=jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (self.states,), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        return {"state": spaces.Discrete(self.states)}

    def render(self, state, params):
        """A figure of one state in one task: the expected rewards, and the state framed."""
        return drawing.figure(drawing.heat_map, params.reward, row=state.state, what="expected reward", rows="state")


def _cycle(states: int, actions: int) -> Array:
    """Action ``a`` moves ``a + 1`` states on, without noise."""
    target = (jnp.arange(states)[:, None] + jnp.arange(actions)[None] + 1) % states
    return jax.nn.one_hot(target, states, dtype=jnp.float32)


def tabular_mdp(*, states: int = 10, actions: int = 5, horizon: int = 10, noise: float = 1.0) -> TaskDistribution:
    """Rewards N(μ_sa, ``noise``²) with μ_sa from N(1, 1), transitions from a flat Dirichlet (Duan et al. 2016).

    The optimum is the exact finite-horizon value of state 0.

    Args:
      states: S ≥ 1.
      actions: A ≥ 1.
      horizon: steps in an episode, H ≥ 1.
      noise: standard deviation of a reward around its mean, ≥ 0.
    """
    check_least(0, noise=noise)

    def sample_fn(key: Key) -> TabularParams:
        transition, reward = draw_mdp(key, states, actions)
        return TabularParams(transition=transition, reward=reward, noise=noise, max_steps_in_episode=horizon)

    def optimum_fn(task: TabularParams) -> Array:
        return optimal_return(task.transition, task.reward, horizon)

    env = TabularMDP(states=states, actions=actions)
    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn)
