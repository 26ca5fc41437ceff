"""A figure of which experts act in which tasks."""

from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from jaxmeta.plots.style import heat_map, subplots
from jaxmeta.runs.evaluate import specialisation


def task_numbers(tasks: Any) -> dict[str, np.ndarray]:
    """The numbers that set tasks apart, by name, each ``[N]``; ``tasks`` is a pytree, leaves ``[N, ...]``."""
    numbers = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tasks):
        columns = np.asarray(leaf, np.float64).reshape(len(leaf), -1)
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        for place in np.flatnonzero(np.ptp(columns, axis=0) > 0):
            numbers[f"{name}[{place}]" if columns.shape[1] > 1 else name] = columns[:, place]
    return numbers


def telling_order(numbers: dict[str, np.ndarray], use: np.ndarray) -> tuple[str, np.ndarray]:
    """The number by which tasks are best sorted, so that neighbours use experts alike; and that order, ``[N]``.

    It is the one with the smallest mean squared difference of ``use``, ``[..., N, K]``, between neighbours (von Neumann
    1941), which also finds a dependence that is neither linear nor monotonic.
    """
    orders = {name: np.argsort(column, kind="stable") for name, column in numbers.items()}
    difference = {name: np.mean(np.square(np.diff(use[..., order, :], axis=-2))) for name, order in orders.items()}
    best = min(difference, key=lambda name: difference[name])
    return best, orders[best]


def expert_use(use: np.ndarray, tasks: Any, labels: list[str]) -> Figure:
    """Heat maps of how much each expert acts in each task after adaptation, ``use`` ``[S, N, K]``, a panel a seed.

    The tasks, leaves ``[N, ...]``, are sorted by what tells most of the use in all panels.
    """
    numbers = task_numbers(tasks)
    name, order = telling_order(numbers, use)
    figure, axes = subplots(1, len(use), (max(1.9 * len(use) + 1.6, 3.6), 3.8))
    for ax, one, label in zip(axes.flat, use, labels, strict=True):
        heat_map(ax, one[order])
        ax.set(xlabel="expert", xticks=range(use.shape[-1]), yticks=[])
        ax.set_title(f"{label}\n{specialisation(one):.2f} of {np.log(use.shape[-1]):.2f} nats", fontsize=8)
    ticks = np.linspace(0, len(order) - 1, 5).astype(int)
    axes[0, 0].set_yticks(
        ticks, [f"{value:.2g}".replace("-", "\N{MINUS SIGN}") for value in numbers[name][order[ticks]]]
    )
    axes[0, 0].set_ylabel(f"tasks, sorted by {name}")
    figure.colorbar(axes[0, 0].images[0], ax=axes, label="mean probability after adaptation")
    return figure
