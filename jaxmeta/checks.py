"""What is asked of arguments and actions: each check raises a ``ValueError`` of one line, or does nothing.

Only Python numbers are checked, so that traced ones pass through a factory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gymnax.environments import environment


def check_finite(**values: object) -> None:
    """Raise a ``ValueError`` on a number that is infinite or not a number."""
    for name, value in values.items():
        if isinstance(value, (int, float)) and not math.isfinite(value):
            raise ValueError(f"{name}: got {value}; must be finite")


def check_weights(**weights: object) -> None:
    """Raise a ``ValueError`` on a weight below 0, or one that is not finite."""
    check_finite(**weights)
    for name, value in weights.items():
        if isinstance(value, (int, float)) and value < 0:
            raise ValueError(f"{name}: got {value}; must be at least 0")


def check_least(least: int, **counts: float) -> None:
    """Raise a ``ValueError`` on a count below ``least``."""
    for name, value in counts.items():
        if value < least:
            raise ValueError(f"{name}: got {value}; must be at least {least}")


def check_unit(**shares: object) -> None:
    """Raise a ``ValueError`` on a share outside [0, 1]."""
    for name, value in shares.items():
        if isinstance(value, (int, float)) and not 0.0 <= value <= 1.0:
            raise ValueError(f"{name}: got {value}; must be in [0, 1]")


def check_positive(**values: object) -> None:
    """Raise a ``ValueError`` on a number that is not positive, or not finite."""
    check_finite(**values)
    for name, value in values.items():
        if isinstance(value, (int, float)) and not value > 0:
            raise ValueError(f"{name}: got {value}; must be positive")


def check_share(**shares: object) -> None:
    """Raise a ``ValueError`` on a share outside (0, 1]."""
    for name, value in shares.items():
        if isinstance(value, (int, float)) and not 0.0 < value <= 1.0:
            raise ValueError(f"{name}: got {value}; must be in (0, 1]")


def is_zero(weight: object) -> bool:
    """Whether a weight is the number 0. One that is traced, in a sweep, cannot be asked: it counts as none."""
    return isinstance(weight, (int, float)) and weight == 0


def check_ranges(**ranges: tuple[float, float]) -> None:
    """Raise a ``ValueError`` on a range ``(low, high)`` that is not ``0 < low <= high``."""
    for name, (low, high) in ranges.items():
        if not 0.0 < low <= high:
            raise ValueError(f"{name}: got ({low}, {high}); must be 0 < low <= high")


def check_action(env: environment.Environment, action: Any) -> None:
    """Raise a ``ValueError`` on an action that has not the shape of the action space, such as a batch of actions."""
    expected = tuple(env.action_space(env.default_params).shape)
    if np.shape(action) != expected:
        raise ValueError(f"action: got shape {np.shape(action)}; {env.name} takes shape {expected}")
