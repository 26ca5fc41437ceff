"""Adaptation: returns on unseen tasks by adaptation step, or by episode for learners with a memory."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxmeta.plots.style import (
    AFTER,
    BEFORE,
    GREEDY,
    MUTED,
    STEPS,
    by_episode,
    colours,
    distinct,
    draw_references,
    margins,
    shared_legend,
    stages_of,
    subplots,
)

Curves = list[tuple[str, str, dict[str, Any]]]
"""(family, label, content of ``evaluation.json``) of several runs."""
AXIS = {True: "episode", False: "adaptation steps"}
"""What returns are against, by whether they are those of episodes."""


def adaptation_curve(evaluation: dict[str, Any], title: str = "") -> Figure:
    """Return on held-out tasks against adaptation steps, or episodes, with intervals and reference lines.

    ``evaluation`` is the content of ``evaluation.json``.
    """
    figure, axes = subplots(1, 1, (7.2, 3.8))
    ax = axes[0, 0]
    summaries, references = evaluation["summary"], evaluation["references"]
    # Episodes are counted from 1, adaptation steps from 0.
    places = np.arange(len(summaries["sampled"]["iqm"])) + by_episode(evaluation)
    for name, colour in (("sampled", AFTER), ("deterministic", GREEDY)):
        style = {"color": colour, "label": f"{name} policy", "capsize": 3, "marker": "o"}
        ax.errorbar(places, summaries[name]["iqm"], yerr=margins(summaries[name]), **style)
    scratch = {"color": BEFORE, "marker": "s", "markersize": 4, "label": "from scratch, same data"}
    ax.plot(places, references["from_scratch"]["iqm"], **scratch)
    draw_references(ax, references)
    ax.set(xlabel=AXIS[by_episode(evaluation)], ylabel="return on unseen tasks (IQM, 95 %)", title=title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(frameon=False, loc="outside right upper")
    return figure


def comparison(curves: Curves, *, columns: int = 4) -> Figure:
    """Adaptation curves of several evaluated runs: a panel a family, a curve a label.

    Args:
      curves: the sampled policy is drawn, with its intervals. The lines of a family's references are those of its first
        run, and so are its curve from scratch.
      columns: panels in a row, at most.
    """
    families, labels = distinct(family for family, _, _ in curves), distinct(label for _, label, _ in curves)
    palette, columns = colours(labels), min(columns, len(families))
    rows = -(-len(families) // columns)
    figure, axes = subplots(rows, columns, (2.6 * columns + 1.4, 2.4 * rows), used=len(families))
    for ax, family in zip(axes.flat, families, strict=False):
        runs = [(label, evaluation) for one, label, evaluation in curves if one == family]
        for label, evaluation in runs:
            one = evaluation["summary"]["sampled"]
            style = {"color": palette[label], "label": label, "capsize": 2, "marker": "o", "markersize": 4}
            ax.errorbar(range(len(one["iqm"])), one["iqm"], yerr=margins(one), **style)
        references = runs[0][1]["references"]
        ax.plot(references["from_scratch"]["iqm"], color=MUTED, marker="s", markersize=3, label="from scratch")
        draw_references(ax, references)
        longest = max(len(evaluation["summary"]["sampled"]["iqm"]) for _, evaluation in runs)
        ax.set(title=family, xticks=range(longest))
    kinds = sorted({by_episode(evaluation) for _, _, evaluation in curves})
    words = ("adaptation steps", "episodes before this one")
    figure.supxlabel(", or ".join(words[kind] for kind in kinds), fontsize=9)
    figure.supylabel("return on unseen tasks (IQM, 95 %)", fontsize=9)
    shared_legend(figure, axes)
    return figure


def adaptation_by_label(curves: Curves) -> Figure:
    """The runs of ``comparison``, where they are too many for one set of axes: a row a family, a place a label.

    In each place are the returns after 0, 1, … adaptation steps, or of the first episode, the second, …, left to right.
    What lies below the random policy by more than half its distance to the best return is not on the axis, but marked
    at its edge.

    Args:
      curves: the sampled policy is drawn, with its intervals.
    """
    families, labels = distinct(family for family, _, _ in curves), distinct(label for _, label, _ in curves)
    stages = stages_of([evaluation for _, _, evaluation in curves])
    figure, axes = subplots(len(families), 1, (0.62 * len(labels) + 1.6, 2.4 * len(families) + 0.8))
    for ax, family in zip(axes.flat, families, strict=True):
        _draw_row(ax, {label: evaluation for one, label, evaluation in curves if one == family}, labels)
        ax.set(ylabel=family)
        shown = labels if ax is axes.flat[-1] else [""] * len(labels)
        ax.set_xticks(range(len(labels)), shown, rotation=40, ha="right")
    later = "after each step, left to right" if stages is STEPS else "each later one, left to right"
    for marker, colour, size, label in (
        ("o", BEFORE, 4.5, stages.first),
        ("o-", AFTER, 3.5, later),
        ("v", "firebrick", 4.5, "lower still"),
    ):
        axes.flat[0].plot([], [], marker, color=colour, markersize=size, label=label)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=3)
    figure.supylabel("return on unseen tasks (IQM, 95 %)", fontsize=9)
    return figure


def _draw_row(ax: Axes, runs: dict[str, dict[str, Any]], labels: list[str]) -> None:
    """One family of ``adaptation_by_label``."""
    references = next(iter(runs.values()))["references"]
    draw_references(ax, references)
    random = references["random_policy"]["iqm"]
    sampled = {label: evaluation["summary"]["sampled"] for label, evaluation in runs.items()}
    best = max(*(max(one["high"]) for one in sampled.values()), references.get("optimum", {"iqm": -np.inf})["iqm"])
    reach = best - random
    lowest = min(min(one["low"]) for one in sampled.values())
    floor = max(random - 0.5 * reach, min(random, lowest) - 0.05 * reach)
    for label, one in sampled.items():
        middle = np.asarray(one["iqm"])
        x = labels.index(label) + np.linspace(-0.3, 0.3, len(middle))
        ax.errorbar(x, middle, yerr=margins(one), color=AFTER, capsize=2, marker="o", markersize=3.5, linewidth=1)
        ax.plot(x[0], middle[0], "o", color=BEFORE, markersize=4.5, zorder=3)
        below = x[middle < floor]
        ax.plot(below, np.full(len(below), floor + 0.03 * reach), "v", color="firebrick", markersize=4.5)
    ax.set(ylim=(floor, best + 0.08 * reach), xlim=(-0.6, len(labels) - 0.4))
