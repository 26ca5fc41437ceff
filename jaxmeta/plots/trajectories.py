"""Trajectories: what is done in a few tasks, by adaptation step or by episode, as a picture and as an animation."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import matplotlib as mpl
import numpy as np
from gymnax.environments import spaces
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxmeta.plots.style import AFTER, BEFORE, GOAL, heat_map, subplots
from jaxmeta.tasks import EpisodeView, LifetimeEnv, Plane, TaskEnvironment, figures_of
from jaxmeta.types import Task, TaskDistribution, Trajectory

Draw = Callable[..., None]
"""``draw(ax, batches, task, stage, shown, until)``: episodes of a task at a stage, up to a time if one is given."""


def trajectories(tasks: TaskDistribution, batch: Task, batches: Trajectory, *, shown: int = 8) -> Figure:
    """Episodes before and after each adaptation step: a row a task, a column a step, or an episode of a lifetime.

    The environment says how they are drawn (``EpisodeView``): as paths in a plane with what is looked for, by how often
    each action is taken against time, or by each observed quantity against time.

    Args:
      tasks: the family.
      batch: task parameters, leaves ``[N, ...]``.
      batches: leaves ``[N, K + 1, E, T, ...]``.
      shown: episodes drawn, at most.
    """
    tasks, batches, titles = _stages(tasks, batches)
    rows, columns = batches.mask.shape[:2]
    figure, axes = subplots(rows, columns, (2.3 * columns, 2.3 * rows + 0.3))
    draw = _drawing(tasks, batch, batches)
    for row, column in np.ndindex(rows, columns):
        draw(axes[row, column], batches, row, column, shown, None)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title)
    return figure


def animate(tasks: TaskDistribution, batch: Task, batches: Trajectory, path: str | Path, *, shown: int = 8) -> Path:
    """The same episodes as a GIF: tasks side by side, adaptation steps, or a lifetime's episodes, one after another.

    The arguments are those of ``trajectories``, and the GIF's path, which is returned.
    """
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
            draw(axes[0, index], batches, index, step, shown, time)
        figure.suptitle(titles[step])
        return []

    FuncAnimation(figure, update, frames=frames, blit=False).save(path, writer=PillowWriter(fps=15), dpi=70)
    return Path(path)


def _drawing(tasks: TaskDistribution, batch: Task, batches: Trajectory) -> Draw:
    env = figures_of(tasks.env)
    if env.episode_view is EpisodeView.PATH:
        count = batches.mask.shape[0]
        planes = [env.plane(jax.tree.map(lambda leaf, index=index: leaf[index], batch)) for index in range(count)]
        return functools.partial(_draw_path, env=env, planes=planes, limits=_limits(env, planes, batches))
    actions = tasks.env.action_space(tasks.env.default_params)
    if env.episode_view is EpisodeView.ACTIONS and isinstance(actions, spaces.Discrete):
        return functools.partial(_draw_actions, actions=actions.n)
    return _draw_observations


def _stages(tasks: TaskDistribution, batches: Trajectory) -> tuple[TaskDistribution, Trajectory, list[str]]:
    """The family of single episodes, what was done in each column ``[N, columns, E, T, ...]``, and their titles."""
    if isinstance(tasks.env, LifetimeEnv):
        batches = episodes_of_lifetimes(tasks.env, batches)
        titles = [f"episode {number + 1}" for number in range(batches.mask.shape[1])]
        return tasks._replace(env=tasks.env.env), batches, titles
    steps = range(1, batches.mask.shape[1])
    return tasks, batches, ["before adaptation", *(f"after {step} step{'s' if step > 1 else ''}" for step in steps)]


def episodes_of_lifetimes(env: LifetimeEnv, batches: Trajectory) -> Trajectory:
    """Lifetimes ``[N, K + 1, E, T, ...]`` as episodes in order: ``[N, (K + 1) * episodes, E, T / episodes, ...]``.

    Observations are the wrapped environment's. What an episode's last step led to is not among those of a lifetime:
    ``final_obs`` is the last that was acted on.
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


def _draw_path(
    ax: Axes,
    batches: Trajectory,
    task: int,
    stage: int,
    shown: int,
    until: int | None,
    *,
    env: TaskEnvironment,
    planes: list[Plane],
    limits: tuple[float, float],
) -> None:
    colour = BEFORE if stage == 0 else AFTER
    for episode in range(min(shown, batches.mask.shape[2])):
        length = int(batches.mask[task, stage, episode].sum())
        observed = [batches.obs[task, stage, episode, :length], batches.final_obs[task, stage, episode][None]]
        path = env.points(np.concatenate(observed))[: None if until is None else until + 1]
        ax.plot(path[:, 0], path[:, 1], color=colour, alpha=0.55, linewidth=0.9)
        if until is not None:
            ax.plot(*path[-1], "o", color=colour, markersize=3)
    ax.plot(*planes[task].goals.T, "*", color=GOAL, markersize=11, zorder=5)
    ax.plot(*planes[task].start, "+", color="black", markersize=7)
    ax.set(xlim=limits, ylim=limits, aspect="equal")


def _limits(env: TaskEnvironment, planes: list[Plane], batches: Trajectory) -> tuple[float, float]:
    """One frame for all panels: goals, starts, and all but the farthest hundredth of where the points have been."""
    met = np.percentile(env.points(batches.obs[np.asarray(batches.mask) > 0]), [1, 99])
    marks = np.concatenate([[*plane.goals, plane.start] for plane in planes])
    low, high = min(marks.min(), met[0]), max(marks.max(), met[1])
    margin = max(0.1 * (high - low), 0.1)
    return low - margin, high + margin


def _draw_actions(
    ax: Axes, batches: Trajectory, task: int, stage: int, shown: int, until: int | None, *, actions: int
) -> None:
    chosen = np.asarray(batches.action[task, stage])[..., None] == np.arange(actions)
    mask = np.asarray(batches.mask[task, stage])[..., None]
    share = np.sum(chosen * mask, axis=0) / np.maximum(np.sum(mask, axis=0), 1)
    if until is not None:
        share[until:] = 0.0
    heat_map(ax, share.T)
    ax.set(xlabel="time step", ylabel="share of each action" if stage == 0 else None, yticks=range(actions))


def _draw_observations(ax: Axes, batches: Trajectory, task: int, stage: int, shown: int, until: int | None) -> None:
    palette = mpl.colormaps["tab10"]
    horizon = batches.mask.shape[-1]
    for episode in range(min(shown, batches.mask.shape[2])):
        length = int(batches.mask[task, stage, episode].sum())
        observed = batches.obs[task, stage, episode, : length if until is None else min(length, until)]
        for index, values in enumerate(observed.reshape(len(observed), -1).T[:4]):
            ax.plot(values, color=palette(index), alpha=0.5, linewidth=0.8)
    ax.set(xlim=(0, horizon), xlabel="time step")
