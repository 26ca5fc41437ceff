"""The environment of every point-robot family: a point in the plane, a hidden goal, and how actions move the point."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_action
from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import EpisodeView, Plane, TaskEnvironment, TimedState
from jaxmeta.types import Array


@struct.dataclass
class PointState(TimedState):
    position: Array


@struct.dataclass
class PointParams(environment.EnvParams):
    """The task: ``goal`` ``[2]``, ``wind`` ``[2]`` and ``rotation`` (rad); others are part of a family's definition.

    The reward is given within ``goal_radius`` where it is sparse. The episode terminates when both coordinates are
    closer to the goal than ``goal_tolerance``: never, at 0.
    """

    goal: Array = struct.field(default_factory=lambda: jnp.array([0.0, 1.0], jnp.float32))
    wind: Array = struct.field(default_factory=lambda: jnp.zeros(2, jnp.float32))
    rotation: float = 0.0
    max_force: float = 0.1
    goal_radius: float = 0.0
    goal_tolerance: float = 0.0
    max_steps_in_episode: int = 100


Reward = Callable[[Array, PointParams], Array]
"""``reward(distance, params)`` of the distance to the goal after a move."""


def dense_reward(distance: Array, params: PointParams) -> Array:
    """``−d``."""
    return -distance


def sparse_reward(distance: Array, params: PointParams) -> Array:
    """``1 − d`` within the goal's radius, else 0."""
    return jnp.where(distance <= params.goal_radius, 1.0 - distance, 0.0)


def indicator_reward(distance: Array, params: PointParams) -> Array:
    """1 within the goal's radius, else 0."""
    return (distance <= params.goal_radius).astype(jnp.float32)


class PointRobot(TaskEnvironment):
    """A point starts at (0, 0) and moves by its action, clipped to a box, turned by the task's angle, plus its wind.

    The observation is the position: goal, wind and angle are hidden. The reward depends on the distance to the goal
    after the move.
    """

    episode_view = EpisodeView.PATH

    def __init__(self, name: str, reward: Reward, default: PointParams):
        self._name, self.reward, self._default = name, reward, default

    @property
    def default_params(self) -> PointParams:
        return self._default

    def step_env(self, key, state, action, params):
        check_action(self, action)
        force = jnp.clip(jnp.asarray(action, jnp.float32), -params.max_force, params.max_force)
        cos, sin = jnp.cos(params.rotation), jnp.sin(params.rotation)
        move = jnp.stack([cos * force[0] - sin * force[1], sin * force[0] + cos * force[1]])
        position = (state.position + move + params.wind).astype(jnp.float32)
        reward = self.reward(jnp.linalg.norm(position - params.goal), params)
        next_state = PointState(position=position, time=state.time + 1)
        terminated = self.is_terminated(next_state, params)
        return position, next_state, reward, terminated, {"discount": self.discount(next_state, params)}

    def reset_env(self, key, params):
        position = jnp.zeros(2, jnp.float32)
        return position, PointState(position=position, time=jnp.zeros((), jnp.int32))

    def get_obs(self, state, params=None, key=None):
        return state.position

    def is_terminated(self, state, params):
        return jnp.all(jnp.abs(state.position - params.goal) < params.goal_tolerance)

    @property
    def name(self) -> str:
        return self._name

    def plane(self, params) -> Plane:
        return Plane(np.zeros(2), np.asarray(params.goal)[None])

    @property
    def num_actions(self) -> int:
        return 2

    def action_space(self, params=None) -> spaces.Box:
        limit = (params or self.default_params).max_force
        return spaces.Box(-limit, limit, (2,), jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        params = params or self.default_params
        # A turned box reaches √2 further along an axis; the last factor is room for rounding over an episode.
        step = jnp.sqrt(2.0) * params.max_force + jnp.max(jnp.abs(params.wind))
        reach = step * params.max_steps_in_episode * 1.0001
        return spaces.Box(-reach, reach, (2,), jnp.float32)

    def state_space(self, params=None) -> spaces.Dict:
        params = params or self.default_params
        time = spaces.Discrete(params.max_steps_in_episode + 1)
        return spaces.Dict({"position": self.observation_space(params), "time": time})

    def render(self, state, params):
        """A figure of one state in one task."""
        looks = {"radius": float(params.goal_radius), "semicircle": self._default.goal_tolerance == 0.0}
        return drawing.figure(drawing.plane, state.position, params.goal, **looks)
