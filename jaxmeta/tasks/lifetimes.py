"""Several episodes of one task seen as one lifetime, for learners that adapt by their recurrent state."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_action, check_least
from jaxmeta.tasks.environments import TimedState, kept_types
from jaxmeta.tasks.spaces import flat_bounds, flat_observation
from jaxmeta.tasks.wrappers import Wrapper
from jaxmeta.types import Array, PyTree, TaskDistribution


@struct.dataclass
class LifetimeState(TimedState):
    """The wrapped environment's state, and the parts of the last step that the next observation shows."""

    inner: environment.EnvState
    inner_obs: PyTree
    inner_time: Array
    episode: Array
    action: Array
    reward: Array
    ended: Array
    over: Array


class LifetimeObservation(NamedTuple):
    """The parts of a lifetime's observation.

    Attributes:
      obs: of the wrapped environment, ``[..., O]``.
      action: of the step before, ``[...]`` or ``[..., A]``; without a meaning where there was no such step.
      has_action: 1 where there was a step before, ``[...]``.
      reward: of that step, ``[...]``.
      episode_end: 1 where that step was an episode's last, and ``obs`` is the next one's first, ``[...]``.
    """

    obs: Array
    action: Array
    has_action: Array
    reward: Array
    episode_end: Array


class LifetimeEnv(Wrapper):
    """One episode of this environment is ``episodes`` episodes of the wrapped one, in the same task.

    The observation is ``[obs, previous action, previous reward, previous end]``, the input of RL² (Duan et al. 2016,
    section 2.2). The first step of a lifetime has no previous action: discrete actions are one-hot over ``n + 1``
    categories, the last of which means "none"; continuous ones are followed by a flag that is 1 if there was an action.
    When an episode ends, the wrapped environment is reset within ``step_env``; the next observation is the new
    episode's first one, with ``previous end`` 1. The lifetime ends with its last episode, after ``episodes * horizon``
    steps at the latest: terminated if that episode terminated, and else truncated.
    """

    def __init__(self, env: environment.Environment, episodes: int, horizon: int):
        super().__init__(env)
        self.episodes, self.horizon = episodes, horizon

    def reset_env(self, key, params):
        obs, inner = self.env.reset_env(key, params)
        inner, action = jax.tree.map(jnp.asarray, inner), self._encoded(None, params)
        count, number, no = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32), jnp.zeros((), bool)
        last = {"action": action, "reward": number, "ended": number, "over": no}
        obs = jax.tree.map(jnp.asarray, obs)
        state = LifetimeState(time=count, inner=inner, inner_obs=obs, inner_time=count, episode=count, **last)
        return self.get_obs(state, params), state

    def step_env(self, key, state, action, params):
        check_action(self, action)
        key_step, key_reset = jax.random.split(key)
        obs, inner, reward, terminated, info = self.env.step_env(key_step, state.inner, action, params)
        inner_time = state.inner_time + 1
        ended = terminated | self.env.is_truncated(inner, params) | (inner_time >= self.horizon)
        fresh_obs, fresh = self.env.reset_env(key_reset, params)
        begun = lambda new, old: jax.tree.map(lambda new, old: jnp.where(ended, new, old), new, old)  # noqa: E731
        inner = begun(fresh, kept_types(inner, state.inner))
        next_state = LifetimeState(
            time=state.time + 1,
            inner=kept_types(inner, state.inner),
            inner_obs=jax.tree.map(lambda x, old: x.astype(old.dtype), begun(fresh_obs, obs), state.inner_obs),
            inner_time=jnp.where(ended, 0, inner_time),
            episode=state.episode + ended,
            action=self._encoded(action, params),
            reward=jnp.asarray(reward, jnp.float32),
            ended=ended.astype(jnp.float32),
            over=terminated & (state.episode + 1 >= self.episodes),
        )
        info = {**info, "episode_terminated": terminated, "episode_ended": ended}
        return self.get_obs(next_state, params), next_state, next_state.reward, next_state.over, info

    def observe(self, key, state, action, params):
        return self.get_obs(state, params, key)

    def get_obs(self, state, params=None, key=None):
        params = self.default_params if params is None else params
        flat = flat_observation(state.inner_obs, self.env.observation_space(params))
        return jnp.concatenate([flat, state.action, state.reward[None], state.ended[None]])

    def is_terminated(self, state, params):
        return state.over

    def is_truncated(self, state, params):
        return (state.episode >= self.episodes) & ~state.over

    def observation_space(self, params=None) -> spaces.Box:
        params = self.default_params if params is None else params
        low, high, _ = flat_bounds(self.env.observation_space(params))
        limit = jnp.full(1, jnp.finfo(jnp.float32).max)
        action_low, action_high, _ = flat_bounds(self.env.action_space(params))
        # Before the first action its place holds zeros, which a box of actions need not contain.
        low = jnp.concatenate([low, jnp.minimum(action_low, 0.0), jnp.zeros(1), -limit, jnp.zeros(1)])
        high = jnp.concatenate([high, jnp.maximum(action_high, 0.0), jnp.ones(1), limit, jnp.ones(1)])
        return spaces.Box(low, high, low.shape, jnp.float32)

    def state_space(self, params=None) -> spaces.Dict:
        params = self.default_params if params is None else params
        limit = float(jnp.finfo(jnp.float32).max)
        return spaces.Dict(
            {
                "time": spaces.Discrete(self.episodes * self.horizon + 1),
                "inner": self.env.state_space(params),
                "inner_obs": self.env.observation_space(params),
                "inner_time": spaces.Discrete(self.horizon),
                "episode": spaces.Discrete(self.episodes + 1),
                "action": spaces.Box(-limit, limit, self._encoded(None, params).shape, jnp.float32),
                "reward": spaces.Box(-limit, limit, (), jnp.float32),
                "ended": spaces.Box(0.0, 1.0, (), jnp.float32),
                "over": spaces.Discrete(2),
            }
        )

    def episode_returns(self, obs: Array, reward: Array) -> Array:
        """Sum of rewards in each episode of one lifetime, ``[episodes]``.

        Args:
          obs: this environment's observations before each step, ``[T, O]``.
          reward: after each step, ``[T]``; 0 where the lifetime was over.
        """
        # The last entry is 1 at the first observation of each further episode.
        episode = jnp.cumsum(obs[:, -1]).astype(jnp.int32)
        return jax.ops.segment_sum(reward, episode, num_segments=self.episodes)

    def split_observation(self, obs: Array) -> LifetimeObservation:
        """The parts of observations ``[..., O]``."""
        space = self.env.action_space(self.env.default_params)
        size = self._encoded(None, self.env.default_params).shape[0]
        inner, action = obs[..., : -size - 2], obs[..., -size - 2 : -2]
        if isinstance(space, spaces.Discrete):
            has_action, action = 1.0 - action[..., -1], jnp.argmax(action[..., :-1], axis=-1).astype(jnp.int32)
        else:
            has_action, action = action[..., -1], action[..., :-1]
        return LifetimeObservation(inner, action, has_action, obs[..., -2], obs[..., -1])

    def first_observation(self, obs: Array) -> Array:
        """The observation ``[O]``, as if a lifetime began with it."""
        no_action = self._encoded(None, self.env.default_params)
        return jnp.concatenate([self.split_observation(obs).obs, no_action, jnp.zeros(2)])

    def points(self, obs: Any) -> np.ndarray:
        return self.figures.points(np.asarray(self.split_observation(jnp.asarray(obs)).obs))

    def render(self, state, params):
        return self.env.render(state.inner, params)  # pyright: ignore[reportAttributeAccessIssue]

    def _encoded(self, action: Array | None, params) -> Array:
        """An action as the next observation shows it; ``None`` before the first one."""
        space = self.env.action_space(params)
        if isinstance(space, spaces.Discrete):
            return jax.nn.one_hot(space.n if action is None else action, space.n + 1, dtype=jnp.float32)
        if action is None:
            return jnp.zeros(flat_bounds(space)[2] + 1, jnp.float32)
        return jnp.append(jnp.ravel(jnp.asarray(action, jnp.float32)), 1.0)


def as_lifetime(tasks: TaskDistribution, episodes: int) -> TaskDistribution:
    """The family whose episode is a whole lifetime of ``episodes`` episodes in one task.

    Its horizon is ``episodes * tasks.horizon``; its ``optimum`` is that of a policy that knows the task from the start.

    Args:
      tasks: a family with flat or discrete observations and actions.
      episodes: E ≥ 1, in a lifetime.
    """
    check_least(1, episodes=episodes)
    params = tasks.env.default_params
    for space in (tasks.env.observation_space(params), tasks.env.action_space(params)):
        flat_bounds(space)  # raises where a space cannot be flattened
    optimum = tasks.optimum
    return tasks._replace(
        env=LifetimeEnv(tasks.env, episodes, tasks.horizon),
        horizon=episodes * tasks.horizon,
        optimum=None if optimum is None else lambda task: episodes * optimum(task),
    )


Lifetimes = Annotated[TaskDistribution, as_lifetime]
"""The type of ``tasks`` for methods that adapt by acting: a run applies ``as_lifetime`` first."""
