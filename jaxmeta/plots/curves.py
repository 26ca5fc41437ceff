"""Figures of a run: learning curve, adaptation curve, trajectories. Every function returns a matplotlib figure."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from gymnax.environments import spaces
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxmeta.runs.evaluate import interquartile_mean
from jaxmeta.tasks.lifetimes import LifetimeEnv
from jaxmeta.tasks.wrappers import PartlyObserved
from jaxmeta.types import TaskDistribution, Trajectory

BEFORE, AFTER, GREEDY, MUTED = "#9a6324", "#1f5fa8", "#2a9d5c", "#777777"
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "font.size": 9}


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=150)
    return Path(path)


def learning_curve(rows: list[dict[str, float]], title: str = "") -> Figure:
    """Return before and after adaptation against all environment steps, over the seeds of ``metrics.csv``.

    The line is the interquartile mean over seeds, the band runs from the lowest to the highest seed.
    """
    figure, axes = subplots(1, 1, (5.6, 3.6))
    ax = axes[0, 0]
    _draw_learning(ax, rows, "return_pre", "before adaptation", BEFORE)
    _draw_learning(ax, rows, "return_post", "after adaptation", AFTER)
    ax.set(xlabel="environment steps (adaptation included)", ylabel="return on training tasks", title=title)
    ax.legend(frameon=False)
    return figure


def sample_efficiency(runs: list[tuple[str, str, list[dict[str, float]]]]) -> Figure:
    """Return after adaptation against all environment steps of several runs: a panel a task, a curve a label.

    Args:
      runs: (task, label, rows of ``metrics.csv``). The steps are on a logarithmic scale.
    """
    tasks = list(dict.fromkeys(task for task, _, _ in runs))
    labels = list(dict.fromkeys(label for _, label, _ in runs))
    palette = mpl.colormaps["tab10" if len(labels) <= 10 else "tab20"]
    figure, axes = subplots(1, len(tasks), (3.4 * len(tasks) + 1.6, 3.0))
    for ax, task in zip(axes.flat, tasks, strict=True):
        for label, rows in ((label, rows) for one, label, rows in runs if one == task):
            _draw_learning(ax, rows, "return_post", label, palette(labels.index(label)))
        ax.set(title=task, xscale="log")
    figure.supxlabel("environment steps (adaptation included)", fontsize=9)
    figure.supylabel("return after adaptation, training tasks", fontsize=9)
    entries = {label: line for ax in axes.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(entries.values()), list(entries), frameon=False, loc="outside right center")
    return figure


def over_seeds(rows: list[dict[str, float]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Of rows of ``metrics.csv``: environment steps, the mean over the seeds ``[I]``, and a column ``[S, I]``."""
    seeds = sorted({row["seed"] for row in rows})
    by_seed = [[row for row in rows if row["seed"] == seed] for seed in seeds]
    length = min(len(one) for one in by_seed)
    steps = np.array([[row["env_steps"] for row in one[:length]] for one in by_seed]).mean(axis=0)
    return steps, np.array([[row[name] for row in one[:length]] for one in by_seed])


def _draw_learning(ax, rows: list[dict[str, float]], name: str, label: str, colour: Any) -> None:
    steps, values = over_seeds(rows, name)
    ax.plot(steps, interquartile_mean(values, axis=0), color=colour, label=label, linewidth=1.2)
    if len(values) > 1:
        ax.fill_between(steps, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0)


def adaptation_curve(evaluation: dict[str, Any], title: str = "") -> Figure:
    """Return on held-out tasks against adaptation steps, or episodes, with intervals and reference lines."""
    figure, axes = subplots(1, 1, (7.2, 3.8))
    ax = axes[0, 0]
    summaries, references = evaluation["summary"], evaluation["references"]
    by_episode = evaluation["axes"][2] == "episode"
    steps = np.arange(len(summaries["sampled"]["iqm"])) + by_episode
    for name, label, colour in (
        ("sampled", "sampled policy", AFTER),
        ("deterministic", "deterministic policy", GREEDY),
    ):
        one = summaries[name]
        errors = np.array([np.subtract(one["iqm"], one["low"]), np.subtract(one["high"], one["iqm"])])
        ax.errorbar(steps, one["iqm"], yerr=np.maximum(errors, 0), color=colour, label=label, capsize=3, marker="o")
    ax.plot(
        steps,
        references["from_scratch"]["iqm"],
        color=BEFORE,
        marker="s",
        markersize=4,
        label="from scratch, same data",
    )
    ax.axhline(references["random_policy"]["iqm"], color=MUTED, linestyle=":", label="random policy")
    if "optimum" in references:
        ax.axhline(references["optimum"]["iqm"], color="black", linestyle="--", label="exact optimum")
    ax.set(xlabel="episode" if by_episode else "adaptation steps", ylabel="return on unseen tasks (IQM, 95 %)")
    ax.set(title=title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(frameon=False, loc="outside right upper")
    return figure


def comparison(curves: list[tuple[str, str, dict[str, Any]]], *, columns: int = 4) -> Figure:
    """Adaptation curves of several evaluated runs: a panel a task, a curve a label.

    Args:
      curves: (task, label, content of ``evaluation.json``); the sampled policy is drawn, with its intervals. The lines
        of a task's references are those of its first run, and so are its curve from scratch.
      columns: panels in a row, at most.
    """
    by_task: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for task, label, evaluation in curves:
        by_task.setdefault(task, []).append((label, evaluation))
    labels = list(dict.fromkeys(label for _, label, _ in curves))
    palette = mpl.colormaps["tab10" if len(labels) <= 10 else "tab20"]
    columns = min(columns, len(by_task))
    rows = -(-len(by_task) // columns)
    figure, axes = subplots(rows, columns, (2.6 * columns + 1.4, 2.4 * rows))
    for ax, (task, runs) in zip(axes.flat, by_task.items(), strict=False):
        for label, evaluation in runs:
            one = evaluation["summary"]["sampled"]
            errors = np.maximum([np.subtract(one["iqm"], one["low"]), np.subtract(one["high"], one["iqm"])], 0)
            style = {"color": palette(labels.index(label)), "label": label, "capsize": 2, "marker": "o"}
            ax.errorbar(range(len(one["iqm"])), one["iqm"], yerr=errors, markersize=4, **style)
        references = runs[0][1]["references"]
        ax.plot(references["from_scratch"]["iqm"], color=MUTED, marker="s", markersize=3, label="from scratch")
        ax.axhline(references["random_policy"]["iqm"], color=MUTED, linestyle=":", label="random policy")
        if "optimum" in references:
            ax.axhline(references["optimum"]["iqm"], color="black", linestyle="--", label="exact optimum")
        longest = max(len(evaluation["summary"]["sampled"]["iqm"]) for _, evaluation in runs)
        ax.set(title=task, xticks=range(longest))
    for ax in axes.flat[len(by_task) :]:
        ax.axis("off")
    figure.supxlabel("adaptation steps, or episodes before this one", fontsize=9)
    figure.supylabel("return on unseen tasks (IQM, 95 %)", fontsize=9)
    entries = {label: line for ax in axes.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(entries.values()), list(entries), frameon=False, loc="outside right center")
    return figure


def adaptation_by_label(curves: list[tuple[str, str, dict[str, Any]]]) -> Figure:
    """The runs of ``comparison``, where they are too many for one set of axes: a row a task, a place a label.

    In each place are the returns after 0, 1, … adaptation steps, left to right. What lies below the random policy by
    more than half its distance to the best return is not on the axis, but marked at its edge.
    """
    tasks = list(dict.fromkeys(task for task, _, _ in curves))
    labels = list(dict.fromkeys(label for _, label, _ in curves))
    figure, axes = subplots(len(tasks), 1, (0.62 * len(labels) + 1.6, 2.4 * len(tasks) + 0.8))
    for ax, task in zip(axes.flat, tasks, strict=True):
        runs = {label: evaluation for one, label, evaluation in curves if one == task}
        references = next(iter(runs.values()))["references"]
        random = references["random_policy"]["iqm"]
        best = max(max(one["summary"]["sampled"]["high"]) for one in runs.values())
        if "optimum" in references:
            best = max(best, references["optimum"]["iqm"])
            ax.axhline(references["optimum"]["iqm"], color="black", linestyle="--", label="exact optimum")
        ax.axhline(random, color=MUTED, linestyle=":", label="random policy")
        reach = best - random
        lowest = min(min(one["summary"]["sampled"]["low"]) for one in runs.values())
        floor = max(random - 0.5 * reach, min(random, lowest) - 0.05 * reach)
        for label, evaluation in runs.items():
            one = evaluation["summary"]["sampled"]
            middle = np.asarray(one["iqm"])
            x = labels.index(label) + np.linspace(-0.3, 0.3, len(middle))
            errors = np.maximum([middle - one["low"], one["high"] - middle], 0)
            ax.errorbar(x, middle, yerr=errors, color=AFTER, capsize=2, marker="o", markersize=3.5, linewidth=1)
            ax.plot(x[0], middle[0], "o", color=BEFORE, markersize=4.5, zorder=3)
            below = x[middle < floor]
            ax.plot(below, np.full(len(below), floor + 0.03 * reach), "v", color="firebrick", markersize=4.5)
        ax.set(ylabel=task, ylim=(floor, best + 0.08 * reach), xlim=(-0.6, len(labels) - 0.4))
        ax.set_xticks(range(len(labels)), labels if task == tasks[-1] else [""] * len(labels), rotation=40, ha="right")
    axes.flat[0].plot([], [], "o", color=BEFORE, markersize=4.5, label="before adaptation")
    axes.flat[0].plot([], [], "o-", color=AFTER, markersize=3.5, label="after each step, left to right")
    axes.flat[0].plot([], [], "v", color="firebrick", markersize=4.5, label="lower still")
    figure.legend(*axes.flat[0].get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=3)
    figure.supylabel("return on unseen tasks (IQM, 95 %)", fontsize=9)
    return figure


def can_draw_plane(tasks: TaskDistribution) -> bool:
    """Whether a family's observations are points of a plane."""
    space = tasks.env.observation_space(tasks.env.default_params)
    if isinstance(tasks.env, PartlyObserved):
        return False
    return isinstance(space, spaces.Box) and space.shape == (2,) and hasattr(tasks.env.default_params, "goal")


def trajectories(tasks: TaskDistribution, batch: Any, batches: Trajectory, *, shown: int = 8) -> Figure:
    """Episodes before and after each adaptation step: a row a task, a column a step, or an episode of a lifetime.

    Args:
      tasks: the family. Where observations are points of a plane, paths and goal are drawn in it; where they are
        flags (bandits, one-hot states), how often each action is taken against time; elsewhere each observed quantity
        against time.
      batch: task parameters, leaves ``[N, ...]``.
      batches: leaves ``[N, K + 1, E, T, ...]``.
      shown: episodes drawn, at most.
    """
    tasks, batches, titles = _stages(tasks, batches)
    rows, columns = batches.mask.shape[:2]
    figure, axes = subplots(rows, columns, (2.3 * columns, 2.3 * rows + 0.3))
    draw = _drawing(tasks, batch, batches)
    for row in range(rows):
        for column in range(columns):
            draw(axes[row, column], batch, batches, row, column, shown, None)
            if row == 0:
                axes[row, column].set_title(titles[column])
    return figure


def animate(tasks: TaskDistribution, batch: Any, batches: Trajectory, path: str | Path, *, shown: int = 8) -> Path:
    """The same episodes as a GIF: tasks side by side, adaptation steps, or a lifetime's episodes, one after another."""
    tasks, batches, titles = _stages(tasks, batches)
    count, steps = batches.mask.shape[:2]
    draw = _drawing(tasks, batch, batches)
    longest = [int(np.max(np.sum(batches.mask[:, k, :shown], axis=-1))) for k in range(steps)]
    frames = [(k, t) for k in range(steps) for t in [*range(2, longest[k] + 1, 2), *[longest[k]] * 6]]
    figure, axes = subplots(1, count, (2.4 * count, 2.9))

    def update(frame: tuple[int, int]) -> list:
        step, time = frame
        for index in range(count):
            axes[0, index].clear()
            draw(axes[0, index], batch, batches, index, step, shown, time)
        figure.suptitle(titles[step])
        return []

    FuncAnimation(figure, update, frames=frames, blit=False).save(path, writer=PillowWriter(fps=15), dpi=70)
    return Path(path)


def _drawing(tasks: TaskDistribution, batch: Any, batches: Trajectory) -> Callable:
    if can_draw_plane(tasks):
        return functools.partial(_draw_plane, limits=_limits(batch, batches))
    params = tasks.env.default_params
    actions, observations = tasks.env.action_space(params), tasks.env.observation_space(params)
    flags = isinstance(observations, spaces.Box) and np.all(observations.low == 0) and np.all(observations.high == 1)
    if isinstance(actions, spaces.Discrete) and flags:
        return functools.partial(_draw_choices, actions=actions.n)
    return _draw_timeline


def _stages(tasks: TaskDistribution, batches: Trajectory) -> tuple[TaskDistribution, Trajectory, list[str]]:
    """The family of single episodes, what was done in each column ``[N, columns, E, T, ...]``, and their titles."""
    if isinstance(tasks.env, LifetimeEnv):
        batches = by_episode(tasks.env, batches)
        titles = [f"episode {number + 1}" for number in range(batches.mask.shape[1])]
        return tasks._replace(env=tasks.env.env), batches, titles
    steps = range(1, batches.mask.shape[1])
    return tasks, batches, ["before adaptation", *(f"after {step} step{'s' if step > 1 else ''}" for step in steps)]


def by_episode(env: LifetimeEnv, batches: Trajectory) -> Trajectory:
    """Lifetimes as the episodes that they are made of, one after the other.

    Args:
      env: of the lifetimes.
      batches: leaves ``[N, K + 1, E, T, ...]``.

    Returns:
      Leaves ``[N, (K + 1) * episodes, E, T / episodes, ...]``, with the wrapped environment's observations. What an
      episode's last step led to is not among those of a lifetime: ``final_obs`` is the last that was acted on.
    """
    parts = env.split_observation(batches.obs)
    ended = np.asarray(parts.episode_end) > 0.5
    tasks, steps, parallel, length = batches.mask.shape
    time = np.arange(length)
    within = time - np.maximum.accumulate(np.where(ended, time, 0), axis=-1)
    task, step, one, when = np.nonzero(batches.mask)
    episode = step * env.episodes + np.cumsum(ended, axis=-1)[task, step, one, when]
    place = (task, episode, one, within[task, step, one, when])
    shape = (tasks, steps * env.episodes, parallel, env.horizon)

    def placed(leaf: Any) -> np.ndarray:
        found = np.zeros((*shape, *np.shape(leaf)[4:]), np.asarray(leaf).dtype)
        found[place] = np.asarray(leaf)[task, step, one, when]
        return found

    leaves = {**batches._asdict(), "obs": parts.obs}
    leaves = {name: placed(leaf) for name, leaf in leaves.items() if name != "final_obs"}
    lasts = np.maximum(np.sum(leaves["mask"], axis=-1).astype(int) - 1, 0)
    final = np.take_along_axis(leaves["obs"], lasts[..., None, None], axis=3)[..., 0, :]
    return cast(Any, Trajectory)(**leaves, final_obs=final)


def _draw_plane(ax, batch, batches, task, step, shown, until, *, limits) -> None:
    goal = np.asarray(batch.goal[task])
    for episode in range(min(shown, batches.mask.shape[2])):
        length = int(batches.mask[task, step, episode].sum())
        path = np.concatenate([batches.obs[task, step, episode, :length], batches.final_obs[task, step, episode][None]])
        path = path[: None if until is None else until + 1]
        ax.plot(path[:, 0], path[:, 1], color=BEFORE if step == 0 else AFTER, alpha=0.55, linewidth=0.9)
        if until is not None:
            ax.plot(*path[-1], "o", color=BEFORE if step == 0 else AFTER, markersize=3)
    ax.plot(*goal, "*", color="crimson", markersize=11, zorder=5)
    ax.plot(0, 0, "+", color="black", markersize=7)
    ax.set(xlim=limits, ylim=limits, aspect="equal")


def _limits(batch: Any, batches: Trajectory) -> tuple[float, float]:
    """One frame for all panels: goals, start, and all but the farthest hundredth of where the points have been."""
    been = np.percentile(batches.obs[np.asarray(batches.mask) > 0], [1, 99])
    goals = np.asarray(batch.goal)
    low, high = min(goals.min(), been[0], 0.0), max(goals.max(), been[1], 0.0)
    margin = max(0.1 * (high - low), 0.1)
    return low - margin, high + margin


def _draw_choices(ax, batch, batches, task, step, shown, until, *, actions) -> None:
    taken = np.asarray(batches.action[task, step])[..., None] == np.arange(actions)
    mask = np.asarray(batches.mask[task, step])[..., None]
    share = np.sum(taken * mask, axis=0) / np.maximum(np.sum(mask, axis=0), 1)
    if until is not None:
        share[until:] = 0.0
    ax.imshow(share.T, vmin=0.0, vmax=1.0, cmap="Blues", aspect="auto", interpolation="nearest")
    ax.grid(visible=False)
    ax.set(xlabel="time step", ylabel="share of each action" if step == 0 else None, yticks=range(actions))


def _draw_timeline(ax, batch, batches, task, step, shown, until) -> None:
    palette = mpl.colormaps["tab10"]
    horizon = batches.mask.shape[-1]
    for episode in range(min(shown, batches.mask.shape[2])):
        length = int(batches.mask[task, step, episode].sum())
        observed = batches.obs[task, step, episode, : length if until is None else min(length, until)]
        for index, values in enumerate(observed.reshape(len(observed), -1).T[:4]):
            ax.plot(values, color=palette(index), alpha=0.5, linewidth=0.8)
    ax.set(xlim=(0, horizon), xlabel="time step")


def subplots(rows: int, columns: int, size: tuple[float, float]):
    """A figure in this style, and its axes ``[rows, columns]``."""
    with mpl.rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes
