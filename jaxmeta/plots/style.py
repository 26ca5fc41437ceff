"""What all figures share: colours, words, axes, legends, and how a figure is written."""

from pathlib import Path
from typing import Any, NamedTuple, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BEFORE, AFTER, GREEDY, MUTED, GOAL = "#9a6324", "#1f5fa8", "#2a9d5c", "#777777", "crimson"
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "font.size": 9}


class Stages(NamedTuple):
    """What the two ends of adaptation are called: before anything was learned of the task, and after all was."""

    first: str
    last: str


STEPS = Stages("before adaptation", "after adaptation")
"""The ends of methods that adapt in steps."""
EPISODES = Stages("first episode", "last episode")
"""The ends of methods with a memory, which learn within an episode and from one to the next."""
BOTH = Stages("before adaptation or first episode", "after adaptation or last episode")
"""Where methods of both kinds are in one figure."""


def subplots(rows: int, columns: int, size: tuple[float, float], used: int | None = None) -> tuple[Figure, np.ndarray]:
    """A figure in this style of a width and height in inches, and its axes ``[rows, columns]``; ``used`` are shown."""
    with mpl.rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat[rows * columns if used is None else used :]:
        ax.axis("off")
    return figure, axes


def heat_map(ax: Axes, shares: Any) -> None:
    """Shares in [0, 1], ``[rows, columns]``, as shades of blue."""
    ax.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues", aspect="auto", interpolation="nearest")
    ax.grid(visible=False)


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG; the path."""
    figure.savefig(path, dpi=150)
    return Path(path)


def colours(labels: list[str]) -> dict[str, Any]:
    """A colour for each label."""
    palette = mpl.colormaps["tab10" if len(labels) <= 10 else "tab20"]
    return {label: palette(index) for index, label in enumerate(labels)}


def distinct(names: Any) -> list[str]:
    """The names there are, in the order in which they come first."""
    return list(dict.fromkeys(names))


def shared_legend(figure: Figure, axes: np.ndarray) -> None:
    """One legend for all axes, at the right: each label once."""
    entries = {label: line for ax in axes.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(entries.values()), list(entries), frameon=False, loc="outside right center")


def margins(interval: dict[str, Any]) -> np.ndarray:
    """How far ``low`` and ``high`` ``[...]`` are from the middle ``iqm``, ``[2, ...]``: what ``errorbar`` takes."""
    middle = np.asarray(interval["iqm"])
    return np.maximum([middle - interval["low"], interval["high"] - middle], 0.0)


def draw_references(ax: Axes, references: dict[str, Any]) -> None:
    """Lines at the return of the random policy and, where it is known, of the exact optimum."""
    ax.axhline(references["random_policy"]["iqm"], color=MUTED, linestyle=":", label="random policy")
    if "optimum" in references:
        ax.axhline(references["optimum"]["iqm"], color="black", linestyle="--", label="exact optimum")


def by_episode(evaluation: dict[str, Any]) -> bool:
    """Whether the returns of an ``evaluation.json`` are those of a lifetime's episodes, and not of adaptation steps."""
    return evaluation["axes"][2] == "episode"


def stages_of(evaluations: list[dict[str, Any]]) -> Stages:
    """What the ends of adaptation are called in a figure of some evaluations."""
    kinds = {by_episode(one) for one in evaluations}
    return BOTH if len(kinds) > 1 else EPISODES if kinds == {True} else STEPS
