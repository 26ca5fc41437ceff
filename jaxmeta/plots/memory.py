"""Figures of learners with a memory: regrets, which arms they pull, and what they believe. Each returns a figure."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxmeta.plots.style import AFTER, BEFORE, GOAL, MUTED, footnote, grid, heat_map, subplots

PUBLISHED = "Published: Duan et al. 2016 (RL²), Mishra et al. 2018 (SNAIL). Means over 1,000 tasks of their own."


def regrets(rows: list[dict[str, Any]]) -> Figure:
    """Regret of each method, a panel a setting, with standard errors; seeds of a run are small dots.

    A row is ``{"problem", ...setting, "run", "method", "regret", "regret_stderr", ...}``, with ``seeds`` if it is a
    run's mean, and ``seed`` if it is one of its seeds. Methods that several runs were set beside are drawn once.
    ``published`` returns in a run's row are hollow: their regret is that against the mean optimum of the tasks here.
    """
    by_setting: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        names = ("k", "n", "episodes", "states", "actions", "size", "horizon"), ("held_out", "prior")
        lines = [", ".join(f"{name.replace('_', ' ')} = {row[name]}" for name in each if name in row) for each in names]
        by_setting.setdefault("\n".join([row["problem"], *filter(None, lines)]), []).append(row)
    figure, axes = grid(len(by_setting), 3, lambda rows, columns: (max(3.4 * columns, 5.0), 2.1 * rows))
    for ax, (setting, group) in zip(axes.flat, by_setting.items(), strict=False):
        runs = [row for row in group if "seeds" in row]
        others = {row["method"]: row for row in group if "seeds" not in row and "seed" not in row}
        others |= {row["method"]: row for run in runs for row in _published(run)}
        methods = sorted([*runs, *others.values()], key=lambda row: -row["regret"])
        for place, row in enumerate(methods):
            if "regret_stderr" not in row:
                ax.plot(row["regret"], place, "D", color=MUTED, markerfacecolor="none", markersize=5)
                continue
            colour = AFTER if "seeds" in row else MUTED
            ax.errorbar(row["regret"], place, xerr=row["regret_stderr"], color=colour, marker="o", capsize=2)
            if "seeds" in row:
                dots = [one["regret"] for one in group if "seed" in one and one["run"] == row["run"]]
                ax.plot(dots, np.full(len(dots), place - 0.25), ".", color=AFTER, alpha=0.5, markersize=3)
        several = len({row["method"] for row in runs}) < len(runs)
        labels = [row["run"] if several and "seeds" in row else row["method"] for row in methods]
        ax.set_yticks(range(len(methods)), labels)
        ax.set_title(setting, fontsize=8 if len(setting) < 40 else 7)
        ax.set(ylim=(-0.6, len(methods) - 0.4))
    what = "regret of a lifetime (± standard error over tasks, and over seeds of a run; dots are seeds)"
    # A letter is 0.075 inches wide.
    figure.supxlabel(textwrap.fill(what, int(figure.get_figwidth() / 0.075)), fontsize=9)
    if any(row.get("published") for row in rows):
        footnote(figure, PUBLISHED)
    return figure


def _published(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of what was published beside a run."""
    found = run.get("published", {})
    return [
        {"method": f"{name}, published", "regret": run["mean"] + run["regret"] - mean} for name, mean in found.items()
    ]


def arm_pull_shares(expected: np.ndarray, action: np.ndarray) -> np.ndarray:
    """How often the best arm, the second best, … is pulled at each time, over tasks: ``[k, T]``, columns sum to 1.

    ``expected`` is what each arm pays on average, ``[N, k]``, and ``action`` the arms pulled, ``[N, T]``.
    """
    rank = np.argsort(np.argsort(-np.asarray(expected), axis=1, kind="stable"), axis=1)
    ranks = np.take_along_axis(rank, np.asarray(action), axis=1)
    return np.stack([(ranks == one).mean(axis=0) for one in range(rank.shape[1])])


def arm_pulls(shares: dict[str, np.ndarray]) -> Figure:
    """Heat maps of ``arm_pull_shares``, one a label."""
    figure, axes = subplots(1, len(shares), (3.6 * len(shares) + 0.8, 2.6))
    for ax, (label, share) in zip(axes.flat, shares.items(), strict=True):
        heat_map(ax, share)
        ax.set(title=label, xlabel="pull", ylabel="arm, best at the top")
        ax.set_yticks([0, len(share) - 1], ["best", "worst"])
    figure.colorbar(axes[0, 0].images[0], ax=axes, label="share of tasks")
    return figure


def grid_beliefs(
    learned: np.ndarray, exact: np.ndarray, position: np.ndarray, goal: np.ndarray, times: list[int], horizon: int
) -> Figure:
    """Probability that each cell of a grid is the goal, after some steps of a lifetime: learned above, exact below.

    The probabilities are ``[T, size, size]``, after each of T steps, the exact ones by Bayes' rule. The agent was at
    ``position`` ``[T, 2]``, the goal is ``[2]``; ``times`` are shown, and an episode has ``horizon`` steps. The exact
    one begins with the cells that are possible at first, which is said.
    """
    figure, axes = subplots(2, len(times), (1.25 * len(times) + 0.9, 3.2))
    for column, time in enumerate(times):
        path = position[time - time % horizon : time + 1]
        for ax, belief in zip(axes[:, column], (learned, exact), strict=True):
            # A cell is (x, y): x to the right, y upwards.
            ax.imshow(belief[time].T, origin="lower", vmin=0.0, vmax=1.0, cmap="Purples")
            ax.plot(path[:, 0], path[:, 1], color=BEFORE, linewidth=1.0, alpha=0.7)
            ax.plot(*position[time], "o", color=BEFORE, markersize=5)
            ax.plot(*goal, "*", color=GOAL, markersize=8)
            ax.set(xticks=[], yticks=[])
            ax.grid(visible=False)
        axes[0, column].set_title(f"episode {time // horizon + 1}\nstep {time % horizon}", fontsize=8)
    axes[0, 0].set_ylabel("learned")
    axes[1, 0].set_ylabel(f"exact, prior of\n{np.sum(exact[0] > 0.0)} cells")
    figure.colorbar(axes[0, 0].images[0], ax=axes, label="belief that the goal is here", ticks=[0.0, 0.5, 1.0])
    return figure
