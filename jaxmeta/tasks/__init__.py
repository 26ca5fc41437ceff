"""Task families, by name."""

from collections.abc import Callable
from typing import Any

from jaxmeta import parts, registry
from jaxmeta.tasks.bandits import bernoulli_bandit, dependent_bandit, gaussian_bandit, informative_bandit
from jaxmeta.tasks.classic_control import acrobot, cartpole, mountain_car, mountain_car_continuous, pendulum
from jaxmeta.tasks.contextual_bandit import contextual_bandit
from jaxmeta.tasks.environments import EpisodeView, Plane, TaskEnvironment
from jaxmeta.tasks.four_rooms import four_rooms
from jaxmeta.tasks.frozen_lake import frozen_lake
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.tasks.grids import gridnavi
from jaxmeta.tasks.lifetimes import LifetimeEnv, LifetimeObservation, Lifetimes, as_lifetime
from jaxmeta.tasks.memory import dark_key_to_door, t_maze
from jaxmeta.tasks.meta_maze import meta_maze
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
    Revealed,
    ScaledActions,
    Wrapper,
    observe_only,
    repeat_actions,
    reveal_task,
    scale_actions,
    scale_observations,
)
from jaxmeta.types import TaskDistribution


def names() -> list[str]:
    """The names that ``make`` knows, sorted."""
    return list(registry.families())


def register(name: str, family: Callable[..., TaskDistribution], summary: str = "") -> None:
    """Make a family known by name, to ``make`` and to the command line.

    Args:
      name: the family's.
      family: a factory; its keyword-only parameters are the family's settings.
      summary: one line.

    Raises:
      RegistryError: the name is taken. It is a ``ValueError``.
    """
    registry.family(name, family, summary)


def make(name: str, **settings: Any) -> TaskDistribution:
    """Build a family by name.

    Args:
      name: one of ``names()``.
      **settings: some of the family's settings, the keyword-only parameters of its factory.

    Raises:
      ValueError: an unknown name, with the near ones; an unknown setting, with those there are; a setting of the wrong
        type, or out of its range.
    """
    family = registry.family_factory(name)
    known, tree = parts.parameters(family), parts.default_tree(family)
    # Settings that cannot be written down, such as functions, have no types to check.
    written = {setting: value for setting, value in settings.items() if setting in tree or setting not in known}
    tree = parts.overlay(family, tree, written)
    given = {setting: tree.get(setting, value) for setting, value in settings.items()}
    return parts.built(parts.as_part(family, given))


__all__ = [
    "EpisodeView",
    "LifetimeEnv",
    "LifetimeObservation",
    "Lifetimes",
    "Plane",
    "PointParams",
    "PointRobot",
    "Revealed",
    "ScaledActions",
    "TaskEnvironment",
    "Wrapper",
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
    "make",
    "meta_maze",
    "mountain_car",
    "mountain_car_continuous",
    "names",
    "navigation",
    "navigation_rotated",
    "navigation_wind",
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
]
