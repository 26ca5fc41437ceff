"""Learning curves: returns on training tasks against all steps of the environment."""

from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from jaxmeta.plots.style import AFTER, BEFORE, MUTED, STEPS, Stages, distinct, family_panels, footnote, subplots
from jaxmeta.runs.statistics import interquartile_mean

Rows = list[dict[str, float]]
"""Rows of ``metrics.csv``."""
BANDS = "Line: interquartile mean over seeds. Band: from the lowest to the highest seed."
STEPS_TAKEN = "environment steps (adaptation included)"


def learning_curve(rows: Rows, title: str = "", *, stages: Stages = STEPS, per_seed: bool = False) -> Figure:
    """Return before and after adaptation against all environment steps, over the seeds of ``metrics.csv``.

    The line is the interquartile mean over seeds, the band runs from the lowest to the highest seed. ``stages`` names
    the two ends of adaptation: ``EPISODES`` for learners with a memory. ``per_seed`` draws each seed too, as a thin
    line.
    """
    figure, axes = subplots(1, 1, (5.6, 3.6))
    ax = axes[0, 0]
    for name, label, colour in zip(("return_pre", "return_post"), stages, (BEFORE, AFTER), strict=True):
        _draw_learning(ax, rows, name, label, colour, per_seed=per_seed)
    ax.set(xlabel=STEPS_TAKEN, ylabel="return on training tasks", title=title)
    ax.legend(frameon=False)
    footnote(figure, BANDS)
    return figure


def sample_efficiency(
    runs: list[tuple[str, str, Rows]], *, stages: Stages = STEPS, per_seed: bool = False, level: float | None = None
) -> Figure:
    """Return after adaptation against all environment steps of several runs: a panel a family, a curve a label.

    A run is (family, label, rows of ``metrics.csv``). The steps are on a logarithmic scale. ``per_seed`` draws each
    seed too, as a thin line; a line is drawn at a ``level``.
    """

    def draw(ax: Axes, runs: list[tuple[str, Any, Rows]]) -> None:
        for label, colour, rows in runs:
            _draw_learning(ax, rows, "return_post", label, colour, per_seed=per_seed)
        if level is not None:
            ax.axhline(level, color=MUTED, linestyle=":", label=f"{level:g}".replace("-", "\N{MINUS SIGN}"))
        ax.set(xscale="log")
        ax.xaxis.set_minor_formatter(FuncFormatter(partial(_between_powers, ax)))

    count, y = len(distinct(runs, 0)), f"return, {stages.last}, training tasks"
    figure = family_panels(runs, count, lambda _, columns: (3.4 * columns + 1.6, 3.0), draw, x=STEPS_TAKEN, y=y)
    footnote(figure, BANDS)
    return figure


def _between_powers(ax: Axes, x: float, _: int) -> str:
    """The label of a tick between powers of ten: of 2 and 5 where one power at most is in view. More would overlap."""
    low, high = np.log10(ax.get_xlim())
    digit, exponent = f"{x:.0e}".split("e")
    return rf"${digit} \times 10^{{{int(exponent)}}}$" if digit in "25" and np.floor(high) <= np.ceil(low) else ""


def over_seeds(rows: Rows, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Of rows of ``metrics.csv``: environment steps, the mean over the seeds ``[I]``, and a column ``[S, I]``."""
    seeds = sorted({row["seed"] for row in rows})
    by_seed = [[row for row in rows if row["seed"] == seed] for seed in seeds]
    length = min(len(one) for one in by_seed)
    steps = np.array([[row["env_steps"] for row in one[:length]] for one in by_seed]).mean(axis=0)
    return steps, np.array([[row[name] for row in one[:length]] for one in by_seed])


def _draw_learning(ax: Axes, rows: Rows, name: str, label: str, colour: Any, *, per_seed: bool) -> None:
    # No legend has the labels that begin with an underscore; by them a page knows what belongs together.
    steps, values = over_seeds(rows, name)
    # A single point is no line.
    marker = "o" if len(steps) == 1 else None
    ax.plot(steps, interquartile_mean(values, axis=0), color=colour, label=label, linewidth=1.2, marker=marker)
    if len(values) > 1:
        band = {"color": colour, "alpha": 0.2, "linewidth": 0, "label": f"_{label}"}
        ax.fill_between(steps, values.min(axis=0), values.max(axis=0), **band)
    for seed, one in zip(sorted({row["seed"] for row in rows}), values, strict=True) if per_seed else ():
        ax.plot(steps, one, color=colour, linewidth=0.4, alpha=0.6, label=f"_seed {seed:g}")
