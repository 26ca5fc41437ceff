"""What a figure shows, as rows of numbers."""

import csv
from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

COLUMNS: tuple[str, ...] = ("panel", "label", "kind", "place", "x", "y", "low", "high")
"""Of ``drawn``: the title of the axes, what the legend calls it, and what it is: ``points`` (with ``low`` and ``high``
where there are bars), ``line``, ``level`` (a line across, at ``y``), ``band`` (from ``low`` to ``high``), ``bar``,
``dots`` or ``image`` (``y`` in row ``place`` and column ``x``). ``place`` is the word there on an axis of words."""
Row = dict[str, Any]


def drawn(figure: Figure) -> list[Row]:
    """All numbers that a figure shows, as rows with entries among ``COLUMNS``."""
    rows = []
    for ax in figure.axes:
        if ax.axison and not hasattr(ax, "_colorbar"):
            panel = " ".join((ax.get_title() or ax.get_ylabel()).split())
            rows += [{"panel": panel, **row} for row in _of(ax)]
    return rows


def write_table(path: Path, rows: list[Row]) -> None:
    """Write rows of ``drawn`` as CSV, with a line of ``COLUMNS``."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _of(ax: Axes) -> list[Row]:
    rows, seen = [], set()
    for container in ax.containers:
        children = [one for one in container.get_children() if one is not None]
        seen.update(map(id, children))
        label = _label(container)
        if isinstance(container, ErrorbarContainer):
            rows += _points(ax, container, label)
        elif isinstance(container, BarContainer):
            rows += [
                {"label": label, "kind": "bar", "x": bar.get_x() + bar.get_width() / 2, "y": bar.get_height()}
                for bar in container.patches
            ]
    by_colour = {to_rgb(line.get_color()): _label(line) for line in reversed(ax.lines) if _label(line)}
    for line in ax.lines:
        if id(line) not in seen:
            rows += _line(ax, line, by_colour)
    for one in ax.collections:
        if isinstance(one, PolyCollection):
            label = _label(one) or by_colour.get(to_rgb(cast(Any, one.get_facecolor())[0]), "")
            rows += [row for path in one.get_paths() for row in _band(path.vertices, label)]
        elif isinstance(one, PathCollection):
            rows += [{"label": _label(one), "kind": "dots", "x": x, "y": y} for x, y in np.asarray(one.get_offsets())]
    for image in ax.images:
        cells = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
        if cells.ndim == 2:
            rows += [{"kind": "image", "place": i, "x": j, "y": value} for (i, j), value in np.ndenumerate(cells)]
    return rows


def _label(artist: Any) -> str:
    """What the legend calls it, or for what is not in it the name that it was given, if any."""
    label = str(artist.get_label() or "")
    return label if not label.startswith("_") else getattr(artist, "get_gid", lambda: None)() or ""


def _points(ax: Axes, container: ErrorbarContainer, label: str) -> list[Row]:
    """Points and the ends of their bars, along whichever axis those are."""
    line, _, bars = container.lines
    if line is None:
        return []
    rows = [{"label": label, "kind": "points", **_place(ax, x, y)} for x, y in _numbers(line)]
    for bar in bars:
        # Of a bar along x the two ends differ there.
        for row, ends in zip(rows, bar.get_segments(), strict=True):
            along = 0 if container.has_xerr else 1
            row |= {"low": min(ends[:, along]), "high": max(ends[:, along])}
    return rows


def _line(ax: Axes, line: Line2D, by_colour: dict[Any, str]) -> list[Row]:
    if line.get_transform() == ax.get_yaxis_transform():
        return [{"label": _label(line), "kind": "level", "y": float(np.asarray(line.get_ydata())[0])}]
    label = _label(line) or by_colour.get(to_rgb(line.get_color()), "")
    kind = "dots" if line.get_linestyle() == "None" else "line"
    return [{"label": label, "kind": kind, **_place(ax, x, y)} for x, y in _numbers(line)]


def _numbers(line: Line2D) -> np.ndarray:
    return np.stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)], axis=-1)


def _place(ax: Axes, x: float, y: float) -> Row:
    """A point, with the word at it where an axis has words."""
    row: Row = {"x": x, "y": y}
    for axis, value in ((ax.xaxis, x), (ax.yaxis, y)):
        words = axis.get_major_formatter()
        # Words are put at fixed places by such a formatter.
        if isinstance(words, FuncFormatter) and len(ticks := axis.get_majorticklocs()):
            row["place"] = words(float(ticks[np.argmin(np.abs(ticks - value))]))
    return row


def _band(vertices: Any, label: str) -> list[Row]:
    """A filled band: its ends at each x."""
    ends: dict[float, list[float]] = {}
    for x, y in np.asarray(vertices):
        ends.setdefault(float(x), []).append(float(y))
    return [{"label": label, "kind": "band", "x": x, "low": min(y), "high": max(y)} for x, y in sorted(ends.items())]
