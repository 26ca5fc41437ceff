"""Results read from their JSON files, and how their numbers are written in a table."""

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
Cell = str | int | float | None


@functools.cache
def results(name: str) -> Any:
    """What ``benchmarks/results/NAME.json`` holds."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def markdown(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table; numbers are written with three significant digits."""
    lines = [heads, ["---"] * len(heads), *([written(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def written(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    text = f"{cell:.0f}" if isinstance(cell, int) or abs(cell) >= 100 else f"{cell:.3g}"
    return text.replace("-", "−")


def fixed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def counted(value: float) -> str:
    """A number of steps: 7.3 M, 42 k."""
    return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f}"


def within(middle: float, low: float, high: float) -> str:
    return f"{written(middle)} [{written(low)}, {written(high)}]"


def intervals(summary: dict[str, list[float]]) -> list[str]:
    """Interquartile means with their intervals, one for each adaptation step."""
    return [within(*three) for three in zip(summary["iqm"], summary["low"], summary["high"], strict=True)]


def steps(count: int) -> list[str]:
    return [f"{k} step{'s' if k != 1 else ''}" for k in range(count)]


def reported(name: str) -> str:
    """A table that was kept as it was printed."""
    kept = results("reported")[name]
    return markdown(
        kept["columns"], [[cell if isinstance(cell, str) else str(cell) for cell in row] for row in kept["rows"]]
    )
