"""Task families, by name. A setting outside the range that its description gives is a ``ValueError`` of one line."""

from collections.abc import Callable
from typing import Any

from jaxmeta import parts, registry
from jaxmeta.checks import check_family_sizes
from jaxmeta.references import MOVES as MOVES
from jaxmeta.tasks.adapters import from_brax as from_brax, from_jumanji as from_jumanji
from jaxmeta.tasks.bandits import (
    BernoulliBandit as BernoulliBandit,
    BernoulliParams as BernoulliParams,
    bernoulli_bandit as bernoulli_bandit,
    contextual_bandit as contextual_bandit,
    dependent_bandit as dependent_bandit,
    gaussian_bandit as gaussian_bandit,
    informative_bandit as informative_bandit,
)
from jaxmeta.tasks.classic_control import (
    acrobot as acrobot,
    cartpole as cartpole,
    mountain_car as mountain_car,
    mountain_car_continuous as mountain_car_continuous,
    pendulum as pendulum,
)
from jaxmeta.tasks.common_random_numbers import (
    CommonBandit as CommonBandit,
    common_bandits as common_bandits,
    common_mdps as common_mdps,
)
from jaxmeta.tasks.controllers import Controller as Controller, controller_returns as controller_returns
from jaxmeta.tasks.drawing import ffmpeg as ffmpeg
from jaxmeta.tasks.driving import lane_keeping as lane_keeping
from jaxmeta.tasks.environments import (
    EpisodeView as EpisodeView,
    Plane as Plane,
    TaskEnvironment as TaskEnvironment,
    figures_of as figures_of,
    kept_types as kept_types,
    numbers as numbers,
)
from jaxmeta.tasks.execution import order_execution as order_execution
from jaxmeta.tasks.frozen_lake import frozen_lake as frozen_lake
from jaxmeta.tasks.games import matrix_game as matrix_game
from jaxmeta.tasks.generic import from_gymnax as from_gymnax, listed as listed
from jaxmeta.tasks.grids import GridNavi as GridNavi, gridnavi as gridnavi
from jaxmeta.tasks.lifetimes import (
    LifetimeEnv as LifetimeEnv,
    LifetimeObservation as LifetimeObservation,
    Lifetimes as Lifetimes,
    as_lifetime as as_lifetime,
)
from jaxmeta.tasks.mazes import four_rooms as four_rooms, meta_maze as meta_maze
from jaxmeta.tasks.medicine import glucose as glucose
from jaxmeta.tasks.memory import dark_key_to_door as dark_key_to_door, t_maze as t_maze
from jaxmeta.tasks.observations import (
    Revealed as Revealed,
    flatten_observations as flatten_observations,
    observe_only as observe_only,
    reveal_task as reveal_task,
    scale_observations as scale_observations,
    varying_features as varying_features,
)
from jaxmeta.tasks.point_robots import (
    PointParams as PointParams,
    PointRobot as PointRobot,
    dorfman_semicircle as dorfman_semicircle,
    navigation as navigation,
    navigation_rotated as navigation_rotated,
    navigation_wind as navigation_wind,
    semicircle_dense as semicircle_dense,
    semicircle_sparse as semicircle_sparse,
)
from jaxmeta.tasks.recommendation import recommendation as recommendation
from jaxmeta.tasks.robot_arm import robot_arm as robot_arm
from jaxmeta.tasks.spaces import (
    ObservationPart as ObservationPart,
    flat_bounds as flat_bounds,
    flat_observation as flat_observation,
)
from jaxmeta.tasks.splits import held_out as held_out, listed_count as listed_count
from jaxmeta.tasks.tabular import TabularMDP as TabularMDP, TabularParams as TabularParams, tabular_mdp as tabular_mdp
from jaxmeta.tasks.tutoring import tutoring as tutoring
from jaxmeta.tasks.wrappers import (
    ScaledActions as ScaledActions,
    Wrapper as Wrapper,
    observation_parts as observation_parts,
    repeat_actions as repeat_actions,
    scale_actions as scale_actions,
)
from jaxmeta.types import TaskDistribution


def names() -> list[str]:
    """The names that ``make`` knows, sorted."""
    return list(registry.families())


def register(name: str, family: Callable[..., TaskDistribution], summary: str = "") -> None:
    """Make a family known by name, to ``make`` and to the command line.

    Args:
      name: not yet taken, or a ``RegistryError`` is raised.
      family: a factory; its keyword-only parameters are the family's settings.
      summary: one line.
    """
    registry.family(name, family, summary)


def make(name: str, **settings: Any) -> TaskDistribution:
    """Build a family by name.

    Args:
      name: one of ``names()``.
      **settings: some of the family's settings, the keyword-only parameters of its factory.

    Raises:
      ValueError: an unknown name or setting; a setting of the wrong type, or out of its range.
    """
    family = registry.family_factory(name)
    known, tree = parts.parameters(family), parts.default_tree(family)
    # Settings that cannot be written down, such as functions, have no types to check.
    written = {setting: value for setting, value in settings.items() if setting in tree or setting not in known}
    tree = parts.overlay(family, tree, written)
    check_family_sizes(**settings)
    given = {setting: tree.get(setting, value) for setting, value in settings.items()}
    return parts.built(parts.as_part(family, given))
