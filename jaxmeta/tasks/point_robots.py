"""Families of point robots: navigation, under winds and with turned actions too, and goals on a half circle.

All are one environment, ``PointRobot``, with other rewards and other distributions over its parameters. Each family's
``optimum`` is exact: the sum of the rewards at the ``smallest_distances`` of ``jaxmeta.references``.
"""

import functools
from collections.abc import Callable
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import check_positive, check_share
from jaxmeta.references import smallest_distances
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.tasks.point_environment import (
    PointParams,
    PointRobot,
    Reward,
    dense_reward,
    indicator_reward,
    sparse_reward,
)
from jaxmeta.types import Array, Key, TaskDistribution

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
