"""Tables of runs side by side: their returns, and how often one is better than another."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxmeta.runs.statistics import probability_of_improvement

if TYPE_CHECKING:
    from jaxmeta.studies.comparison import Beside

RETURNS = {"sampled": "returns", "deterministic": "returns_deterministic"}
"""Entries of ``evaluation.json`` by policy."""


class Table(NamedTuple):
    """Cells as they are read: a head for each column, and rows of as many cells."""

    heads: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        return "\n".join("| " + " | ".join(row) + " |" for row in (self.heads, ["---"] * len(self.heads), *self.rows))


def returns_table(beside: list["Beside"], policy: str) -> Table:
    """Interquartile means and 95 % intervals, a row a run."""
    steps = max(len(one.evaluation["summary"][policy]["iqm"]) for one in beside)
    counts = [f"{k} step{'s' if k != 1 else ''}" for k in range(steps)]
    heads = ["task", "run", "seeds", "env steps", *counts, "from scratch, last", "optimum"]
    rows = []
    for panel, label, _, one in beside:
        returns, references = one["summary"][policy], one["references"]
        cells = [
            f"{in_digits(middle)} [{in_digits(low)}, {in_digits(high)}]"
            for middle, low, high in zip(returns["iqm"], returns["low"], returns["high"], strict=True)
        ]
        optimum = in_digits(references["optimum"]["iqm"]) if "optimum" in references else ""
        scratch = in_digits(references["from_scratch"]["iqm"][-1])
        trained = "" if one["env_steps"] is None else in_thousands(one["env_steps"])
        cells += [""] * (steps - len(cells))
        rows.append([panel, label, str(len(one["seeds"])), trained, *cells, scratch, optimum])
    return Table(heads, rows)


def costs_table(beside: list["Beside"], policy: str) -> Table:
    """An episode's mean cost by stage, and the share of tasks over their limit; no rows where families tell none."""
    rows = []
    for panel, label, _, one in beside:
        if "costs" in one:
            both = zip(one["costs"]["mean"][policy], one["costs"]["over_limit"][policy], strict=True)
            rows.append([panel, label, *(f"{in_digits(mean)} ({share:.0%} over)" for mean, share in both)])
    most = max((len(row) for row in rows), default=2)
    stages = [f"cost, {k} step{'s' if k != 1 else ''}" for k in range(most - 2)]
    return Table(["task", "run", *stages], [row + [""] * (most - len(row)) for row in rows])


def improvement_table(beside: list["Beside"], policy: str) -> Table:
    """How often each run's last return in a task is above that of the panel's first run; there may be no rows."""
    name, rows, first = RETURNS[policy], [], {}
    for panel, label, _, one in beside:
        if name not in one:
            continue
        returns = np.asarray(one[name])[:, :, -1]
        if panel in first:
            value, low, high = probability_of_improvement(returns, first[panel][1])
            rows.append([panel, label, first[panel][0], f"{value:.0%} [{low:.0%}, {high:.0%}]"])
        first.setdefault(panel, (label, returns))
    return Table(["task", "run", "beside", "better in a task"], rows)


def in_thousands(steps: float) -> str:
    """Environment steps, in thousands or millions; fewer than a thousand as they are."""
    if steps < 1e3:
        return f"{steps:.0f}"
    return f"{steps / 1e6:.1f} M" if steps >= 1e6 else f"{steps / 1e3:.0f} k"


def in_digits(value: float) -> str:
    """Three significant digits, but no fewer than all before the point."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")
