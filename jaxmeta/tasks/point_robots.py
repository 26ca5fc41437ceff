"""Point robots: navigation, under winds and with turned actions too, and goals on a half circle.

All families are one environment, ``PointRobot``, with other rewards and other distributions over its parameters. Each
family's ``optimum`` is exact: the sum of the rewards at the ``smallest_distances`` of ``jaxmeta.references``.
"""

import functools
from collections.abc import Callable
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_action, check_positive, check_share
from jaxmeta.references import smallest_distances
from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import EpisodeView, Plane, TaskEnvironment, TimedState
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Array, Key, TaskDistribution


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
        looks = {"radius": float(params.goal_radius), "semicircle": self._default.goal_tolerance == 0.0}
        return drawing.figure(drawing.plane, state.position, params.goal, **looks)


_NAVIGATION = {"goal": np.full(2, 0.3, np.float32), "goal_tolerance": 0.01}
_ROBOTS: dict[str, tuple[Reward, dict[str, Any]]] = {
    "SemicircleDense": (dense_reward, {}),
    "SemicircleSparse": (sparse_reward, {"goal_radius": 0.2}),
    "DorfmanSemicircle": (indicator_reward, {"goal_radius": 0.2, "max_steps_in_episode": 60}),
    "Navigation": (dense_reward, _NAVIGATION),
    "NavigationWind": (dense_reward, _NAVIGATION),
    "NavigationRotated": (dense_reward, _NAVIGATION),
}
"""Each family's reward, and its default parameters where they are not those of ``PointParams``."""


def point_robot(name: str) -> PointRobot:
    """The environment of a family, by its name in ``gymnax`` without ``-jaxmeta``."""
    reward, fields = _ROBOTS[name]
    return PointRobot(f"{name}-jaxmeta", reward, PointParams(**fields))


for _name in _ROBOTS:
    gymnax.register(f"{_name}-jaxmeta", functools.partial(point_robot, _name))


def navigation(*, horizon: int = 100, goal_range: float = 0.5) -> TaskDistribution:
    """2D navigation, as defined by Finn, Abbeel and Levine 2017 (section 5.3): goals uniform on a square.

    The reward is ``−d`` after the move. The episode terminates when both coordinates are within 0.01 of the goal. The
    actions of the family are in ``[−1, 1]²``, scaled to ``[−0.1, 0.1]²``, and clipped.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      goal_range: half the side of the square of goals, > 0, in the plane's units.
    """
    return _navigation_family("Navigation", horizon, goal_range)


def semicircle_dense(*, horizon: int = 100) -> TaskDistribution:
    """Goals uniform on the upper unit half circle, reward ``−d`` after the move, no end before the horizon.

    The goals are those of PEARL's point robot (Rakelly et al. 2019); horizon 100 and the start at (0, 0) are
    those of the point robot of VariBAD's and HyperX's code (Zintgraf et al. 2020, 2021). PEARL's own episodes have 20
    steps. Actions in ``[−1, 1]²`` are scaled to ``[−0.1, 0.1]²``, and clipped.

    Args:
      horizon: steps in an episode, ≥ 1.
    """
    return _semicircle("SemicircleDense", horizon)


def semicircle_sparse(*, horizon: int = 100, goal_radius: float = 0.2) -> TaskDistribution:
    """Goals uniform on the upper unit half circle, reward ``1 − d`` within ``goal_radius`` of the goal, else 0.

    The sparse point robot of HyperX (Zintgraf et al. 2021, and their code): PEARL's sparse goals (Rakelly et al.
    2019), 100 steps from (0, 0), no end at the goal. Actions as in ``semicircle_dense``.

    Args:
      horizon: steps in an episode, ≥ 1.
      goal_radius: in (0, 1], in the plane's units.
    """
    check_share(goal_radius=goal_radius)
    return _semicircle("SemicircleSparse", horizon, goal_radius)


def dorfman_semicircle(*, horizon: int = 60, goal_radius: float = 0.2) -> TaskDistribution:
    """Goals uniform on the upper unit half circle, reward 1 within ``goal_radius`` of the goal, else 0.

    The point robot of Dorfman, Shenfeld and Tamar 2021 (Offline Meta Reinforcement Learning): 60 steps, of which they
    see two episodes in a row, and no end at the goal. Episodes start at (0, 0), as in their evaluation; the spread
    starts with which they collected offline data are not part of the family. Actions as in ``semicircle_dense``.

    Args:
      horizon: steps in an episode, ≥ 1.
      goal_radius: in (0, 1], in the plane's units.
    """
    check_share(goal_radius=goal_radius)
    return _semicircle("DorfmanSemicircle", horizon, goal_radius)


def navigation_wind(*, horizon: int = 100, goal_range: float = 0.5, wind: float = 0.05) -> TaskDistribution:
    """2D navigation (Finn et al. 2017) in which each task also has a wind of its own, uniform on ``[−wind, wind]²``.

    The point drifts by the wind at each step, as in FOCAL's Point-Robot-Wind (Li, Yang and Luo 2021), whose range is
    the default. Goals, reward, end and actions are those of ``navigation``.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      goal_range: half the side of the square of goals, > 0.
      wind: largest drift along a coordinate, in [0, 0.08], so that the point can hold still at the goal.
    """
    if not 0.0 <= wind <= 0.08:
        raise ValueError(f"wind: got {wind}; must be in [0, 0.08]")

    def vary(key: Key) -> dict[str, Array]:
        return {"wind": jax.random.uniform(key, (2,), jnp.float32, -wind, wind)}

    return _navigation_family("NavigationWind", horizon, goal_range, vary)


def navigation_rotated(
    *, horizon: int = 100, goal_range: float = 0.5, angle: float = 3.141592653589793
) -> TaskDistribution:
    """2D navigation (Finn et al. 2017) in which each task also turns the actions by an angle of its own.

    The angle is uniform on ``[−angle, angle]``; goals, reward, end and actions are those of ``navigation``. A family of
    ours, for tasks that differ in how actions work.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      goal_range: half the side of the square of goals, > 0.
      angle: in [0, π], rad.
    """
    if not 0.0 <= angle <= 3.1416:
        raise ValueError(f"angle: got {angle}; must be in [0, π]")

    def vary(key: Key) -> dict[str, Array]:
        return {"rotation": jax.random.uniform(key, (), jnp.float32, -angle, angle)}

    return _navigation_family("NavigationRotated", horizon, goal_range, vary)


def _navigation_family(
    name: str, horizon: int, goal_range: float, vary: Callable[[Key], dict[str, Array]] | None = None
) -> TaskDistribution:
    check_positive(goal_range=goal_range)

    def vary_fn(key: Key) -> dict[str, Any]:
        key_goal, key_vary = (key, key) if vary is None else jax.random.split(key)
        goal = jax.random.uniform(key_goal, (2,), jnp.float32, -goal_range, goal_range)
        return {"goal": goal, **({} if vary is None else vary(key_vary))}

    return _family(name, horizon, vary_fn)


def _semicircle(name: str, horizon: int, goal_radius: float = 0.0) -> TaskDistribution:
    def vary_fn(key: Key) -> dict[str, Any]:
        angle = jax.random.uniform(key, (), jnp.float32, 0.0, jnp.pi)
        return {"goal": jnp.stack([jnp.cos(angle), jnp.sin(angle)]), "goal_radius": goal_radius}

    return _family(name, horizon, vary_fn)


def _family(name: str, horizon: int, vary: Callable[[Key], dict[str, Any]]) -> TaskDistribution:
    """Tasks whose parameters are the default ones, but for those that ``vary`` draws."""
    env = point_robot(name)

    def sample_fn(key: Key) -> PointParams:
        return PointParams(**{**vars(env.default_params), **vary(key), "max_steps_in_episode": horizon})

    def optimum_fn(task: PointParams) -> Array:
        distances = smallest_distances(task.goal, horizon, rotation=task.rotation, wind=task.wind)
        return jnp.sum(env.reward(distances, task))

    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn)
