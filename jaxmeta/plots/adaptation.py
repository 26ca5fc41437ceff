"""Adaptation: returns on test tasks by adaptation step, or by episode for learners with a memory."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxmeta.plots import style
from jaxmeta.plots.style import AFTER, BEFORE, MUTED, by_episode, distinct, draw_interval, draw_references
from jaxmeta.runs.evaluation import tasks_in_words
from jaxmeta.runs.statistics import interquartile_mean, profile

Curves = list[tuple[str, str, dict[str, Any]]]
"""(family, label, content of ``evaluation.json``) of several runs."""
CURVES_IN_A_PANEL = 6
"""With more labels than these each gets a place of its own beside the others."""
BARS = "Points: interquartile mean over seeds and tasks. Bars: its 95 % bootstrap interval, over both."


def adaptation_curve(evaluation: dict[str, Any], title: str = "") -> Figure:
    """Return on test tasks against adaptation steps, or episodes, with intervals and reference lines.

    ``evaluation`` is the content of ``evaluation.json``.
    """
    rows = 1 + ("costs" in evaluation)
    figure, axes = style.subplots(rows, 1, (7.2, 1.6 + 2.2 * rows))
    ax, references, episodes = axes[0, 0], evaluation["references"], by_episode(evaluation)
    # Episodes are counted from 1, adaptation steps from 0.
    places = np.arange(len(references["from_scratch"]["iqm"])) + episodes
    for name, colour in (("sampled", AFTER), ("deterministic", style.GREEDY)):
        draw_interval(ax, places, evaluation["summary"][name], color=colour, label=f"{name} policy", capsize=3)
    scratch = {"color": BEFORE, "markersize": 4, "label": "from scratch, same data"}
    ax.plot(places, references["from_scratch"]["iqm"], "s-", **scratch)
    draw_references(ax, references, first=int(episodes))
    style.draw_controllers(ax, [evaluation])
    ax.set(
        xlabel="episode" if episodes else "adaptation steps",
        ylabel=textwrap.fill(_words([evaluation]), 48),
        title=title,
    )
    words = BARS
    if "costs" in evaluation:
        words += (
            " Costs: means over seeds and tasks; percentages are the share of tasks in which the sampled policy's is "
        )
        words += "over the limit."
        ax.set(xlabel="")
        _draw_costs(axes[1, 0], evaluation["costs"], places)
        axes[1, 0].set(xlabel="episode" if episodes else "adaptation steps")
    for each in axes.flat:
        each.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(frameon=False, loc="outside right upper")
    style.footnote(figure, words)
    return figure


def _draw_costs(ax: Axes, costs: dict[str, Any], places: np.ndarray) -> None:
    """Mean costs by stage, each with the share of tasks over their limit, and the mean limit."""
    curves = {"sampled": (AFTER, "o-"), "deterministic": (style.GREEDY, "o-"), "from_scratch": (BEFORE, "s-")}
    for name, (colour, line) in curves.items():
        ax.plot(places, costs["mean"][name], line, color=colour, markersize=4)
    ax.axhline(costs["mean"]["random_policy"][0], color=MUTED, linestyle=":")
    ax.axhline(float(np.mean(costs["limit"])), color="black", label="limit of the costs, mean over tasks")
    for place, mean, share in zip(places, costs["mean"]["sampled"], costs["over_limit"]["sampled"], strict=True):
        ax.annotate(f"{share:.0%}", (place, mean), xytext=(4, 4), textcoords="offset points", fontsize=8, color=AFTER)
    ax.set(ylabel="cost of an episode (mean)")


def side_by_side(curves: Curves, *, columns: int = 4, policy: str = "sampled", per_seed: bool = False) -> Figure:
    """``comparison`` of several evaluated runs, or ``adaptation_by_label`` where they have many labels."""
    if len(distinct(curves, 1)) > CURVES_IN_A_PANEL:
        return adaptation_by_label(curves, policy=policy, per_seed=per_seed)
    return comparison(curves, columns=columns, policy=policy, per_seed=per_seed)


def comparison(curves: Curves, *, columns: int = 4, policy: str = "sampled", per_seed: bool = False) -> Figure:
    """Adaptation curves of several evaluated runs: a panel a family, a curve a label.

    The returns of a ``policy``, sampled or deterministic, are drawn with their intervals, and ``per_seed`` as a thin
    line for each seed too. A panel's references and curve from scratch are those of its first run. A row has
    ``columns`` panels at most. Which tasks they are is said once, or in each title where it differs.
    """
    curves = _with_tasks(curves)

    def draw(ax: Axes, runs: list[tuple[str, Any, dict[str, Any]]]) -> None:
        sampled = [evaluation["summary"][policy] for _, _, evaluation in runs]
        for _, colour, evaluation in runs if per_seed else ():
            for seed in of_seeds(evaluation, policy):
                ax.plot(seed, color=colour, linewidth=0.5, alpha=0.6)
        for (label, colour, _), one in zip(runs, sampled, strict=True):
            draw_interval(ax, range(len(one["iqm"])), one, color=colour, label=label, capsize=2, markersize=4)
        # Those of the first run, and what only others know.
        references = {name: line for _, _, one in reversed(runs) for name, line in one["references"].items()}
        ax.plot(references["from_scratch"]["iqm"], color=MUTED, marker="s", markersize=3, label="from scratch")
        draw_references(ax, references, first=0)
        style.draw_controllers(ax, [one for _, _, one in runs])
        for label, returns in references.get("published", {}).items():
            hollow = {"color": "black", "markerfacecolor": "none", "markersize": 5}
            ax.plot(returns[: len(sampled[0]["iqm"])], "D", **hollow, label=f"published, {label}")
        ax.set(xticks=range(max(len(one["iqm"]) for one in sampled)))

    words = ("adaptation steps", "episodes before this one")
    x = ", or ".join(words[kind] for kind in sorted({by_episode(evaluation) for _, _, evaluation in curves}))
    size = lambda rows, columns: (2.6 * columns + 1.4, 2.4 * rows)  # noqa: E731
    figure = style.family_panels(curves, columns, size, draw, x=x, y=_words(_evaluations(curves), policy))
    style.footnote(figure, BARS + (" Thin lines: one seed each." if per_seed else ""))
    return figure


def _evaluations(curves: Curves) -> list[dict[str, Any]]:
    return [evaluation for _, _, evaluation in curves]


def _words(evaluations: list[dict[str, Any]], policy: str = "sampled") -> str:
    """What is drawn of some evaluations, and on which tasks if they are the same ones."""
    tasks = _tasks(evaluations)
    returns = "return" if policy == "sampled" else "return of the policy's mode"
    return f"{returns} on {tasks[0] if len(tasks) == 1 else 'test tasks'} (IQM,\N{NO-BREAK SPACE}95\N{NO-BREAK SPACE}%)"


def _tasks(evaluations: list[dict[str, Any]]) -> list[str]:
    """On which tasks evaluations were, in words: the different ones."""
    return list(dict.fromkeys(tasks_in_words(evaluation.get("tasks", {})) for evaluation in evaluations))


def _with_tasks(curves: Curves) -> Curves:
    """The same, families named with the tasks that they were evaluated on where these are not of one kind."""
    if len(_tasks(_evaluations(curves))) == 1:
        return curves
    return [(f"{family}\n{_tasks([evaluation])[0]}", label, evaluation) for family, label, evaluation in curves]


def of_seeds(evaluation: dict[str, Any], policy: str) -> np.ndarray:
    """The interquartile mean over tasks of each seed's returns, ``[S, K + 1]``."""
    returns = np.asarray(evaluation["returns" if policy == "sampled" else "returns_deterministic"])
    return interquartile_mean(returns, axis=1)


def performance_profiles(curves: Curves, *, columns: int = 4, policy: str = "sampled") -> Figure:
    """The share of seeds and tasks whose last return is above a level, against the level (Agarwal et al. 2021).

    The arguments are those of ``comparison``.
    """
    name = "returns" if policy == "sampled" else "returns_deterministic"

    def draw(ax: Axes, runs: list[tuple[str, Any, dict[str, Any]]]) -> None:
        returns = [np.asarray(evaluation[name])[:, :, -1] for _, _, evaluation in runs]
        levels = np.linspace(min(map(np.nanmin, returns)), max(map(np.nanmax, returns)), 200)
        for (label, colour, _), one in zip(runs, returns, strict=True):
            ax.plot(levels, profile(one, levels), color=colour, label=label, linewidth=1.2)
        ax.set(ylim=(-0.02, 1.02))

    size = lambda rows, columns: (2.6 * columns + 1.6, 2.4 * rows)  # noqa: E731
    x, y = f"return after adaptation, {policy} policy", "share of seeds and tasks above it"
    return style.family_panels(curves, columns, size, draw, x=x, y=y)


def adaptation_by_label(curves: Curves, *, policy: str = "sampled", per_seed: bool = False) -> Figure:
    """The runs of ``comparison``, where they are too many for one set of axes: a row a family, a place a label.

    In each place are the returns after 0, 1, … adaptation steps, or of the first episode, the second, …, left to right.
    What lies below the random policy by more than half its distance to the best return is not on the axis, but marked
    at its edge.
    """
    curves = [(style.literal(family), style.literal(label), content) for family, label, content in _with_tasks(curves)]
    families, labels = distinct(curves, 0), distinct(curves, 1)
    stages = style.stages_of(_evaluations(curves))
    # A letter of a slanted label is 0.055 inches high.
    below = 0.055 * max(map(len, labels))
    figure, axes = style.subplots(len(families), 1, (0.62 * len(labels) + 1.6, 2.4 * len(families) + below))
    for ax, family in zip(axes.flat, families, strict=True):
        of_family = {label: evaluation for one, label, evaluation in curves if one == family}
        _draw_row(ax, of_family, labels, policy, per_seed=per_seed)
        ax.set(ylabel=style.filled(family, 30))
        ax.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
        ax.tick_params(labelbottom=ax is axes.flat[-1])
    later = "after each step, left to right" if stages is style.STEPS else "each later one, left to right"
    for marker, colour, size, label in (
        ("o", BEFORE, 4.5, stages.first),
        ("o-", AFTER, 3.5, later),
        ("v", "firebrick", 4.5, "lower still"),
    ):
        axes.flat[0].plot([], [], marker, color=colour, markersize=size, label=label)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=3)
    words = _words(_evaluations(curves), policy)
    figure.supylabel(textwrap.fill(words, 30) if len(families) == 1 else words, fontsize=9)
    style.footnote(figure, BARS)
    return figure


def _draw_row(ax: Axes, runs: dict[str, dict[str, Any]], labels: list[str], policy: str, *, per_seed: bool) -> None:
    """One family of ``adaptation_by_label``."""
    references = next(iter(runs.values()))["references"]
    draw_references(ax, references)
    random = references["random_policy"]["iqm"]
    sampled = {label: evaluation["summary"][policy] for label, evaluation in runs.items()}
    best = max(*(max(one["high"]) for one in sampled.values()), references.get("optimum", {"iqm": -np.inf})["iqm"])
    reach = best - random
    lowest = min(min(one["low"]) for one in sampled.values())
    floor = max(random - 0.5 * reach, min(random, lowest) - 0.05 * reach)
    for label, one in sampled.items():
        middle = np.asarray(one["iqm"])
        x = labels.index(label) + np.linspace(-0.3, 0.3, len(middle))
        for seed in of_seeds(runs[label], policy) if per_seed else ():
            ax.plot(x, seed, color=AFTER, linewidth=0.5, alpha=0.6)
        draw_interval(ax, x, one, color=AFTER, capsize=2, markersize=3.5, linewidth=1)
        ax.plot(x[0], middle[0], "o", color=BEFORE, markersize=4.5, zorder=3)
        below = x[middle < floor]
        ax.plot(below, np.full(len(below), floor + 0.03 * reach), "v", color="firebrick", markersize=4.5)
    ax.set(ylim=(floor, best + 0.08 * reach), xlim=(-0.6, len(labels) - 0.4))
