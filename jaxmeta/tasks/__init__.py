"""Task families, by name."""

import difflib
import inspect
from collections.abc import Callable

from jaxmeta.tasks import checks
from jaxmeta.tasks.bandits import bernoulli_bandit, dependent_bandit, gaussian_bandit, informative_bandit
from jaxmeta.tasks.classic_control import acrobot, cartpole, mountain_car, mountain_car_continuous, pendulum
from jaxmeta.tasks.contextual_bandit import contextual_bandit
from jaxmeta.tasks.four_rooms import four_rooms
from jaxmeta.tasks.frozen_lake import frozen_lake
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.tasks.grids import gridnavi
from jaxmeta.tasks.lifetimes import as_lifetime
from jaxmeta.tasks.memory import dark_key_to_door, t_maze
from jaxmeta.tasks.meta_maze import meta_maze
from jaxmeta.tasks.moments import Moments, init_moments, normalise, update_moments
from jaxmeta.tasks.point_environment import PointParams, PointRobot
from jaxmeta.tasks.point_robots import (
    dorfman_semicircle,
    navigation,
    navigation_rotated,
    navigation_wind,
    semicircle_dense,
    semicircle_sparse,
)
from jaxmeta.tasks.tabular import tabular_mdp
from jaxmeta.tasks.wrappers import (
    ScaledActions,
    observe_only,
    repeat_actions,
    reveal_task,
    scale_actions,
    scale_observations,
)
from jaxmeta.types import TaskDistribution

_FAMILIES: dict[str, Callable[..., TaskDistribution]] = {
    "acrobot": acrobot,
    "bernoulli-bandit": bernoulli_bandit,
    "cartpole": cartpole,
    "contextual-bandit": contextual_bandit,
    "dark-key-to-door": dark_key_to_door,
    "dependent-bandit": dependent_bandit,
    "dorfman-semicircle": dorfman_semicircle,
    "four-rooms": four_rooms,
    "frozen-lake": frozen_lake,
    "gaussian-bandit": gaussian_bandit,
    "gridnavi": gridnavi,
    "informative-bandit": informative_bandit,
    "meta-maze": meta_maze,
    "mountain-car": mountain_car,
    "mountain-car-continuous": mountain_car_continuous,
    "navigation": navigation,
    "navigation-rotated": navigation_rotated,
    "navigation-wind": navigation_wind,
    "pendulum": pendulum,
    "semicircle-dense": semicircle_dense,
    "semicircle-sparse": semicircle_sparse,
    "t-maze": t_maze,
    "tabular-mdp": tabular_mdp,
}


def names() -> list[str]:
    """The names that ``make`` knows, sorted."""
    return sorted(_FAMILIES)


def register(name: str, family: Callable[..., TaskDistribution]) -> None:
    """Make a family known to ``make``.

    Raises:
      ValueError: the name is taken.
    """
    if name in _FAMILIES:
        raise ValueError(f"name: {name!r} is already a task family")
    _FAMILIES[name] = family


def make(name: str, **settings) -> TaskDistribution:
    """Build a family by name.

    Args:
      name: one of ``names()``.
      **settings: the family's keyword arguments.

    Raises:
      ValueError: an unknown name, with the near ones; an unknown setting, with those there are; a setting of the wrong
        kind, or out of its range.
    """
    if name not in _FAMILIES:
        raise ValueError(unknown("task", name, names()))
    family = _FAMILIES[name]
    allowed = inspect.signature(family).parameters
    for setting, value in settings.items():
        if setting not in allowed:
            raise ValueError(unknown(f"setting of {name}", setting, list(allowed)))
        checks.same_kind(allowed[setting].default, **{setting: value})
    return family(**settings)


def unknown(kind: str, name: str, known: list[str]) -> str:
    """One line that says that a name is not known, which are near, and which there are."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(repr(each) for each in near)}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(sorted(known))}"


__all__ = [
    "Moments",
    "PointParams",
    "PointRobot",
    "ScaledActions",
    "acrobot",
    "as_lifetime",
    "bernoulli_bandit",
    "cartpole",
    "contextual_bandit",
    "dark_key_to_door",
    "dependent_bandit",
    "dorfman_semicircle",
    "four_rooms",
    "from_gymnax",
    "frozen_lake",
    "gaussian_bandit",
    "gridnavi",
    "informative_bandit",
    "init_moments",
    "make",
    "meta_maze",
    "mountain_car",
    "mountain_car_continuous",
    "names",
    "navigation",
    "navigation_rotated",
    "navigation_wind",
    "normalise",
    "observe_only",
    "pendulum",
    "register",
    "repeat_actions",
    "reveal_task",
    "scale_actions",
    "scale_observations",
    "semicircle_dense",
    "semicircle_sparse",
    "t_maze",
    "tabular_mdp",
    "update_moments",
]
