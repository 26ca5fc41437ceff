"""What all figures share: colours, words, axes, legends, and how a figure is written."""

import itertools
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from jaxmeta.plots.data import drawn, write_table
from jaxmeta.runs.logging import without_link

BEFORE, AFTER, GREEDY, MUTED, GOAL = "#9a6324", "#1f5fa8", "#2a9d5c", "#777777", "crimson"
FOOTNOTE = "footnote"
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "font.size": 9}


class Stages(NamedTuple):
    """What the two ends of adaptation are called: before anything was learned of the task, and after all was."""

    first: str
    last: str


# The ends of methods that adapt in steps; of those with a memory, which learn from one episode to the next; of both.
STEPS, EPISODES = Stages("before adaptation", "after adaptation"), Stages("first episode", "last episode")
BOTH = Stages(f"{STEPS.first} or {EPISODES.first}", f"{STEPS.last} or {EPISODES.last}")


def subplots(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """A figure in this style of a width and height in inches, and its axes ``[rows, columns]``."""
    with mpl.rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=size, layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False)


def grid(count: int, columns: int, size: Callable[[int, int], tuple[float, float]]) -> tuple[Figure, np.ndarray]:
    """``subplots`` for ``count`` panels in rows of ``columns`` at most; ``size(rows, columns)`` is the figure's."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = subplots(rows, columns, size(rows, columns))
    for ax in axes.flat[count:]:
        ax.axis("off")
    return figure, axes


SHORT_LEGEND = 1.4
"""Inches beside the panels that the sizes of figures leave for a legend."""


def family_panels(
    runs: list[tuple[str, str, Any]],
    columns: int,
    size: Callable[[int, int], tuple[float, float]],
    draw: Callable[[Axes, list[tuple[str, Any, Any]]], None],
    x: str,
    y: str,
) -> Figure:
    """A panel a family and a colour a label, of runs that are (family, label, content), with one legend for all.

    ``draw(ax, runs)`` draws a family's, each (label, colour, content); ``x`` and ``y`` name the axes of all.
    """
    runs = [(literal(family), literal(label), content) for family, label, content in runs]
    families, labels = distinct(runs, 0), distinct(runs, 1)
    palette = mpl.colormaps["tab10" if len(labels) <= 10 else "tab20"]
    figure, axes = grid(len(families), columns, size)
    for ax, family in zip(axes.flat, families, strict=False):
        draw(ax, [(label, palette(labels.index(label)), content) for one, label, content in runs if one == family])
        ax.set_title(filled(family, 26), fontsize=9)
    if len(families) == 1:
        # The legend beside it would draw the figure's own away from it.
        axes[0, 0].set_xlabel(textwrap.fill(x, 40))
    else:
        figure.supxlabel(x, fontsize=9)
    # A long one would not fit beside a single row.
    figure.supylabel(textwrap.fill(y, 26) if len(axes) == 1 else y, fontsize=9)
    entries = {label: line for ax in axes.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    legend = figure.legend(list(entries.values()), list(entries), frameon=False, loc="outside right center")
    # The panels stay as wide as they are beside short labels.
    beyond = legend.get_window_extent().width / figure.dpi - SHORT_LEGEND
    figure.set_figwidth(figure.get_figwidth() + max(0.0, beyond))
    return figure


def filled(text: str, width: int) -> str:
    """Text in lines of at most ``width`` characters, also after a line of its own has ended."""
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def distinct(runs: list[tuple[str, str, Any]], place: int) -> list[str]:
    """The families (place 0) or labels (place 1) that there are, in the order in which they come first."""
    return list(dict.fromkeys(run[place] for run in runs))


def literal(text: str) -> str:
    """Words that are drawn as they are: what stands between two dollars would be read as a formula."""
    return text.replace("$", r"\$")


def heat_map(ax: Axes, shares: Any) -> None:
    """Shares in [0, 1], ``[rows, columns]``, as shades of blue."""
    ax.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues", aspect="auto", interpolation="nearest")
    ax.grid(visible=False)


def footnote(figure: Figure, text: str) -> None:
    """Add a line below a figure, which grows by it: what its bands and bars are, or what must be known of its data."""
    lines = [one for one in figure.texts if one.get_gid() == FOOTNOTE]
    shown = lines[0] if lines else figure.text(0.01, 0.01, "", fontsize=7, color=MUTED, va="bottom", gid=FOOTNOTE)
    # A letter is 0.056 inches wide, a line 0.14 high.
    added = textwrap.wrap(text, int(figure.get_figwidth() / 0.056))
    whole = [line for line in shown.get_text().splitlines() if line] + added
    shown.set_text("\n".join(whole))
    figure.set_figheight(figure.get_figheight() + 0.14 * len(added))
    below = 0.14 * len(whole) / figure.get_figheight()
    if name := figure.get_supxlabel():
        # What is placed by hand is not left room for.
        figure.supxlabel(name, y=below + 0.05 / figure.get_figheight(), fontsize=9)
        below += (0.05 + 0.15 * len(name.splitlines())) / figure.get_figheight()
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(rect=(0.0, below, 1.0, 1.0 - below))


def save(figure: Figure, *paths: str | Path, note: str | None = None, dpi: float = 150) -> list[Path]:
    """Write a figure, in the format of each path's suffix; the paths. A link there is replaced, not followed.

    ``.csv`` is what is drawn, as ``drawn`` has it. A ``note`` stands below the figure. The same figure gives the same
    files, bit for bit.
    """
    if note is not None:
        footnote(figure, note)
    for path in map(Path, paths):
        if path.suffix == ".csv":
            write_table(without_link(path), drawn(figure))
            continue
        undated = {name: {date: None} for name, date in ((".svg", "Date"), (".pdf", "CreationDate"))}
        with mpl.rc_context({"svg.hashsalt": "jaxmeta"}):
            figure.savefig(without_link(path), dpi=dpi, metadata=undated.get(path.suffix))
    return [Path(path) for path in paths]


def draw_interval(ax: Axes, places: Any, interval: dict[str, Any], **style: Any) -> None:
    """A line through the middles ``iqm`` ``[K]`` of intervals, with bars from ``low`` to ``high``."""
    middle = np.asarray(interval["iqm"])
    margins = np.maximum([middle - interval["low"], interval["high"] - middle], 0.0)
    ax.errorbar(places, middle, yerr=margins, marker="o", **style)


def draw_references(ax: Axes, references: dict[str, Any], first: int | None = None) -> None:
    """Lines at the return of the random policy and, where known, of the optimum of who is told the task.

    The Bayes optimum, of who is not told it, has a point for each episode, the first of them at ``first``.
    """
    ax.axhline(references["random_policy"]["iqm"], color=MUTED, linestyle=":", label="random policy")
    if "optimum" in references:
        ax.axhline(references["optimum"]["iqm"], color="black", linestyle="--", label="optimum, told the task")
    if "bayes_optimum" in references and first is not None:
        bayes = references["bayes_optimum"]["iqm"]
        ax.plot(
            first + np.arange(len(bayes)),
            bayes,
            color="black",
            marker="_",
            markersize=9,
            linewidth=0.8,
            label="Bayes optimum",
        )


def draw_controllers(ax: Axes, evaluations: Sequence[dict[str, Any]]) -> None:
    """Lines at the returns of the policies written by hand that ``evaluation.json``s have, their names on them.

    Where the references that learn nothing are far below all else, the axis ends above them, and says so.
    """
    found = {name: line["iqm"] for one in evaluations for name, line in one.get("controllers", {}).items()}
    if not found:
        return
    curves = [one["summary"]["sampled"][end] for one in evaluations for end in ("low", "high")]
    low, high = (end([*found.values(), *itertools.chain(*curves)]) for end in (min, max))
    bottom, span = ax.get_ylim()[0], max(high - low, 1e-9)
    if bottom < low - 3.0 * span:
        ax.set_ylim(low - 0.6 * span, high + 0.3 * span)
        references = evaluations[0]["references"]
        ends = {
            "random policy": references["random_policy"]["iqm"],
            "from scratch": references["from_scratch"]["iqm"][-1],
        }
        below = ", ".join(f"{name} {value:.3g}" for name, value in ends.items() if value < low - 0.6 * span)
        ax.annotate(f"below: {below}", (0.02, 0.03), xycoords="axes fraction", fontsize=6, color=MUTED)
    # Names that would lie over each other are on opposite sides.
    height, last, left = 0.07 * float(np.ptp(ax.get_ylim())), -np.inf, False
    for name, value in sorted(found.items(), key=lambda item: item[1]):
        left = value - last < height and not left
        place, last = (0.02, "left") if left else (0.98, "right"), value
        # In no legend; the data of the figure calls the line by its name.
        ax.axhline(value, color=MUTED, linewidth=0.8, dashes=(6, 2), gid=name)
        side = {"xycoords": ("axes fraction", "data"), "ha": place[1], "va": "bottom"}
        ax.annotate(name, (place[0], value), fontsize=6, color="0.35", **side)


def by_episode(evaluation: dict[str, Any]) -> bool:
    """Whether the returns of an ``evaluation.json`` are those of a lifetime's episodes, and not of adaptation steps."""
    return evaluation["axes"][2] == "episode"


def stages_of(evaluations: list[dict[str, Any]]) -> Stages:
    """What the ends of adaptation are called in a figure of some evaluations."""
    kinds = {by_episode(one) for one in evaluations}
    return BOTH if len(kinds) > 1 else EPISODES if kinds == {True} else STEPS
