"""What factories ask of their arguments: each check raises a ``ValueError`` of one line, or does nothing.

Only Python's own numbers are checked: traced ones pass.
"""

import math


def check_finite(**values: object) -> None:
    """Raise a ``ValueError`` on a number that is infinite or not a number."""
    for name, value in values.items():
        if isinstance(value, (int, float)) and not math.isfinite(value):
            raise ValueError(f"{name}: got {value}; must be finite")


def check_weights(**weights: float) -> None:
    """Raise a ``ValueError`` on a weight below 0, or one that is not finite."""
    check_finite(**weights)
    for name, value in weights.items():
        if isinstance(value, (int, float)) and value < 0:
            raise ValueError(f"{name}: got {value}; must be at least 0")


def check_least(least: int, **counts: int) -> None:
    """Raise a ``ValueError`` on a count below ``least``."""
    for name, value in counts.items():
        if value < least:
            raise ValueError(f"{name}: got {value}; must be at least {least}")


def check_unit(**shares: float) -> None:
    """Raise a ``ValueError`` on a share outside [0, 1]."""
    for name, value in shares.items():
        if isinstance(value, (int, float)) and not 0.0 <= value <= 1.0:
            raise ValueError(f"{name}: got {value}; must be in [0, 1]")


def check_positive(**values: object) -> None:
    """Raise a ``ValueError`` on a number that is not positive, or not finite."""
    check_finite(**values)
    for name, value in values.items():
        if isinstance(value, (int, float)) and value <= 0:
            raise ValueError(f"{name}: got {value}; must be positive")
