"""Checks of settings and actions, each an error of one line that names the setting, its value and what is allowed."""

import numbers
from typing import Any

import jax.numpy as jnp
from gymnax.environments import environment

from jaxmeta.types import Array


def same_kind(default: Any, **settings: Any) -> None:
    """Every setting is of the kind that a default is: a whole number, a number, text, or a tuple of as many numbers.

    Raises:
      ValueError: one is not.
    """
    for name, value in settings.items():
        if isinstance(default, bool | str):
            right, kind = isinstance(value, type(default)), type(default).__name__
        elif isinstance(default, int):
            right, kind = isinstance(value, numbers.Integral), "a whole number"
        elif isinstance(default, float):
            right, kind = isinstance(value, numbers.Real), "a number"
        elif isinstance(default, tuple):
            right = isinstance(value, (tuple, list)) and len(value) == len(default)
            right, kind = right and all(isinstance(each, numbers.Real) for each in value), f"{len(default)} numbers"
        else:
            continue
        if not right:
            raise ValueError(f"{name}: got {value!r}; must be {kind}, such as {default!r}")


def at_least(smallest: float, **settings: float) -> None:
    """Every setting is at least ``smallest``.

    Raises:
      ValueError: one is below.
    """
    for name, value in settings.items():
        if value < smallest:
            raise ValueError(f"{name}: got {value}; must be at least {smallest}")


def positive(**settings: float) -> None:
    """Every setting is above zero.

    Raises:
      ValueError: one is not.
    """
    for name, value in settings.items():
        if not value > 0:
            raise ValueError(f"{name}: got {value}; must be positive")


def positive_ranges(**ranges: tuple[float, float]) -> None:
    """Every range is ``(low, high)`` with ``0 < low <= high``.

    Raises:
      ValueError: one is not.
    """
    for name, (low, high) in ranges.items():
        if not 0.0 < low <= high:
            raise ValueError(f"{name}: got ({low}, {high}); must be 0 < low <= high")


def action_shape(env: environment.Environment, action: Array | float) -> None:
    """An action has the shape of the environment's action space, seen by one environment and not by a batch of them.

    Raises:
      ValueError: it has another shape.
    """
    expected = tuple(env.action_space(env.default_params).shape)
    if jnp.shape(action) != expected:
        raise ValueError(f"action: got shape {jnp.shape(action)}; {env.name} takes shape {expected}")
