"""What is asked of arguments and actions: each check raises a ``ValueError`` of one line, or does nothing.

Only Python and numpy numbers are checked: ``None`` and traced numbers pass, so that a sweep can build a factory.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gymnax.environments import environment, spaces

MOST = 2**31 - 1
"""The largest whole number of 32 bits."""


def _check(values: Mapping[str, object], allowed: Callable[[Any], bool], words: str) -> None:
    for name, value in values.items():
        if isinstance(value, numbers.Real) and not allowed(value):
            raise ValueError(f"{name}: got {value}; must be {words}")


def check_finite(**values: object) -> None:
    """Numbers must not be infinite or NaN."""
    # Unlike ``math.isfinite`` this takes whole numbers of any size.
    _check(values, lambda value: abs(value) < math.inf, "finite")


def check_weights(**weights: object) -> None:
    """Weights must be finite and at least 0."""
    check_finite(**weights)
    check_least(0, **weights)


def check_positive(**values: object) -> None:
    """Numbers must be finite and above 0."""
    check_finite(**values)
    _check(values, lambda value: value > 0, "positive")


def check_least(least: int, **counts: object) -> None:
    """Counts must be at least ``least``; whole numbers must have 32 bits at most, as all of JAX's have."""
    _check(counts, lambda count: count >= least, f"at least {least}")
    _check(counts, lambda count: count <= MOST or not isinstance(count, numbers.Integral), f"at most {MOST}")


def check_between(least: int, most: int, **counts: object) -> None:
    """Counts must be at least ``least`` and at most ``most``."""
    check_least(least, **counts)
    _check(counts, lambda count: count <= most, f"at most {most}")


def check_family_sizes(**settings: object) -> None:
    """Whole numbers of a family but its horizon must be at most 10,000, a grid's ``size`` 1,000.

    Its tables would take all memory, or hours to make.
    """
    for name, value in settings.items():
        if type(value) is int and name != "horizon":
            check_between(-MOST, 1000 if name == "size" else 10_000, **{name: value})


def check_adaptation_steps(least: int = 0, **steps: object) -> None:
    """Adaptation steps must be at least ``least`` and at most 1,000: evaluation's program has a part for each."""
    check_between(least, 1000, **steps)


def check_unit(**shares: object) -> None:
    """Shares must be in [0, 1]."""
    _check(shares, lambda share: 0.0 <= share <= 1.0, "in [0, 1]")


def check_share(**shares: object) -> None:
    """Shares must be in (0, 1]."""
    _check(shares, lambda share: 0.0 < share <= 1.0, "in (0, 1]")


def check_ranges(**ranges: tuple[float, float]) -> None:
    """Ranges must be ``(low, high)`` with ``0 < low <= high``."""
    for name, (low, high) in ranges.items():
        if not 0.0 < low <= high:
            raise ValueError(f"{name}: got ({low}, {high}); must be 0 < low <= high")


def check_action(env: environment.Environment, action: Any) -> None:
    """An action must have the shape of the action space; a batch of actions, for example, has another one."""
    # A space of several parts has no shape.
    expected = getattr(env.action_space(env.default_params), "shape", None)
    if expected is not None and np.shape(action) != tuple(expected):
        raise ValueError(f"action: got shape {np.shape(action)}; {env.name} takes shape {tuple(expected)}")


def has_bounds(space: spaces.Box) -> bool:
    """Whether all ends of a box are finite."""
    return bool(np.all(bounded_entries(space)))


def bounded_entries(space: spaces.Box) -> np.ndarray:
    """Which entries of a box have two finite ends; where there is none, gymnax writes the largest number."""
    ends = (np.broadcast_to(np.asarray(end, np.float64), space.shape) for end in (space.low, space.high))
    low, high = (np.abs(end) < np.finfo(np.float32).max for end in ends)
    return low & high


def is_zero(weight: object) -> bool:
    """Whether a weight is the number 0. A traced weight, as in a sweep, is never known to be 0."""
    return isinstance(weight, (int, float)) and weight == 0
