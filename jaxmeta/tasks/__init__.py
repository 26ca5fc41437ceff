"""Task families, by name."""

import difflib
import inspect
from collections.abc import Callable

from jaxmeta.tasks.bandits import bernoulli_bandit, dependent_bandit, gaussian_bandit, informative_bandit
from jaxmeta.tasks.classic_control import cartpole
from jaxmeta.tasks.contextual_bandit import contextual_bandit
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.tasks.navigation import Navigation, NavigationParams, navigation
from jaxmeta.tasks.tabular import tabular_mdp
from jaxmeta.tasks.wrappers import ScaledActions, scale_actions
from jaxmeta.types import TaskDistribution

_FAMILIES: dict[str, Callable[..., TaskDistribution]] = {
    "bernoulli-bandit": bernoulli_bandit,
    "cartpole": cartpole,
    "contextual-bandit": contextual_bandit,
    "dependent-bandit": dependent_bandit,
    "gaussian-bandit": gaussian_bandit,
    "informative-bandit": informative_bandit,
    "navigation": navigation,
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
      ValueError: an unknown name, with the near ones; an unknown setting, with those there are.
    """
    if name not in _FAMILIES:
        raise ValueError(unknown("task", name, names()))
    family = _FAMILIES[name]
    allowed = inspect.signature(family).parameters
    for setting in settings:
        if setting not in allowed:
            raise ValueError(unknown(f"setting of {name}", setting, list(allowed)))
    return family(**settings)


def unknown(kind: str, name: str, known: list[str]) -> str:
    """One line that says that a name is not known, which are near, and which there are."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(repr(each) for each in near)}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(sorted(known))}"


__all__ = [
    "Navigation",
    "NavigationParams",
    "ScaledActions",
    "bernoulli_bandit",
    "cartpole",
    "contextual_bandit",
    "dependent_bandit",
    "from_gymnax",
    "gaussian_bandit",
    "informative_bandit",
    "make",
    "names",
    "navigation",
    "register",
    "scale_actions",
    "tabular_mdp",
]
