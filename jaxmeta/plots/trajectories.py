"""Trajectories: what is done in a few tasks, by adaptation step or by episode, as a picture and as an animation."""

import functools
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import matplotlib as mpl
import numpy as np
from gymnax.environments import spaces
from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxmeta.plots.style import AFTER, BEFORE, GOAL, heat_map, subplots
from jaxmeta.runs.logging import without_link
from jaxmeta.tasks import EpisodeView, LifetimeEnv, TaskEnvironment, ffmpeg, figures_of
from jaxmeta.types import Task, TaskDistribution, Trajectory

LEGIBLE = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.0}
Draw = Callable[[Axes, int, int, int | None], None]
"""``draw(ax, task, stage, until)``: episodes of a task at a stage, up to a time if one is given."""


def trajectories(tasks: TaskDistribution, batch: Task, batches: Trajectory, *, shown: int = 8) -> Figure:
    """Episodes before and after each adaptation step: a row a task, a column a step, or an episode of a lifetime.

    The environment says how they are drawn (``EpisodeView``): as paths in a plane with what is looked for, by how often
    each action is taken against time, or by each observed quantity against time. A path ends at its dot. A panel has
    the mean return of all of its episodes.
    The leaves of ``batch``, parameters of tasks, are ``[N, ...]``, and those of ``batches`` ``[N, K + 1, E, T, ...]``;
    of the episodes ``shown`` are drawn at most.
    """
    drawing = _drawing(tasks, batch, batches, shown)
    rows, columns = drawing.mask.shape[:2]
    figure, axes = subplots(rows, columns, (2.3 * columns, 2.3 * rows + 0.5))
    for ax, (row, column) in zip(axes.flat, np.ndindex(rows, columns), strict=True):
        drawing.draw(ax, row, column, None)
        said = f"return {drawing.returns[row, column]:.3g}".replace("-", "−")
        ax.text(0.03, 0.97, said, transform=ax.transAxes, va="top", fontsize=8, zorder=6, bbox=LEGIBLE)
    for ax, title in zip(axes[0], drawing.titles, strict=True):
        ax.set_title(title)
    for row, ax in enumerate(axes[:, 0]):
        ax.set_ylabel("\n".join(filter(None, [f"task {row + 1}", ax.get_ylabel()])))
    legend = f"{drawing.legend}; return: mean of a panel's episodes"
    figure.supxlabel(textwrap.fill(legend, 36 * columns), fontsize=8)
    return figure


def animate(
    tasks: TaskDistribution,
    batch: Task,
    batches: Trajectory,
    path: str | Path,
    *,
    shown: int = 8,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """The figure of ``trajectories`` as an animation, whose path is returned: its columns one after another.

    A path that ends in ``.mp4`` needs imageio-ffmpeg; all others are GIF. ``report`` is told how many frames are drawn,
    of how many.
    """
    drawing = _drawing(tasks, batch, batches, shown)
    longest = np.max(np.sum(drawing.mask[:, :, :shown], axis=-1), axis=(0, 2)).astype(int)
    frames = [(k, t) for k, end in enumerate(longest) for t in [*range(2, end + 1, 2), *[end] * 6]]
    figure, axes = subplots(1, len(drawing.mask), (2.4 * len(drawing.mask), 2.9))

    def update(frame: tuple[int, int]) -> list:
        step, time = frame
        for index, ax in enumerate(axes.flat):
            ax.clear()
            drawing.draw(ax, index, step, time)
        figure.suptitle(drawing.titles[step])
        return []

    film = Path(path).suffix == ".mp4"
    program = {"animation.ffmpeg_path": ffmpeg()} if film else {}
    moving = FuncAnimation(figure, update, frames=frames, blit=False)
    # MP4 wants an even number of pixels.
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]
    writer = FFMpegWriter(fps=15, extra_args=even) if film else PillowWriter(fps=15)
    with mpl.rc_context(cast(Any, program)):
        told = lambda frame, total: report(frame + 1, total)  # noqa: E731
        moving.save(without_link(path), writer=writer, dpi=140 if film else 70, progress_callback=told)
    return Path(path)


class _Drawing(NamedTuple):
    """How to draw the episodes of N tasks at each stage, which is an adaptation step or an episode of a lifetime.

    Attributes:
      draw: draws one panel.
      titles: of the stages.
      legend: what the signs in a panel are.
      mask: ``[N, stages, E, T]``.
      returns: mean over the episodes, ``[N, stages]``.
    """

    draw: Draw
    titles: list[str]
    legend: str
    mask: np.ndarray
    returns: np.ndarray


def _drawing(tasks: TaskDistribution, batch: Task, batches: Trajectory, shown: int) -> _Drawing:
    env = tasks.env
    if isinstance(env, LifetimeEnv):
        env, batches = env.env, episodes_of_lifetimes(env, batches)
        titles = [f"episode {number + 1}" for number in range(batches.mask.shape[1])]
    else:
        steps = range(1, batches.mask.shape[1])
        titles = ["before adaptation", *(f"after {step} step{'s' if step > 1 else ''}" for step in steps)]
    figures, actions = figures_of(env), env.action_space(env.default_params)
    if figures.episode_view is EpisodeView.PATH:
        draw, legend = _path(figures, batch, batches, shown), "+ start, ★ goal, ● where an episode ended"
    elif figures.episode_view is EpisodeView.ACTIONS and isinstance(actions, spaces.Discrete):
        draw, legend = functools.partial(_draw_actions, batches, int(actions.n)), "shade: share of an action"
    else:
        draw, legend = (
            functools.partial(_draw_observations, batches, shown),
            "a colour for each entry of the observation",
        )
    mask = np.asarray(batches.mask)
    returns = np.mean(np.sum(np.asarray(batches.reward) * mask, axis=-1), axis=-1)
    return _Drawing(draw, titles, legend, mask, returns)


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
    leaves = {name: jax.tree.map(placed, leaf) for name, leaf in leaves.items() if name != "final_obs"}
    lasts = np.maximum(np.sum(leaves["mask"], axis=-1).astype(int) - 1, 0)
    final = np.take_along_axis(leaves["obs"], lasts[..., None, None], axis=3)[..., 0, :]
    return cast(Any, Trajectory)(**leaves, final_obs=final)


def _observed(batches: Trajectory, task: int, stage: int, shown: int) -> Iterator[np.ndarray]:
    """The observations of each episode that is drawn, with the one that its last step led to, ``[steps + 1, ...]``."""
    for episode in range(min(shown, batches.mask.shape[2])):
        place = (task, stage, episode)
        yield np.concatenate([batches.obs[place][: int(batches.mask[place].sum())], batches.final_obs[place][None]])


def _path(env: TaskEnvironment, batch: Task, batches: Trajectory, shown: int) -> Draw:
    """Paths in a plane, with starts and goals, in one frame for all panels."""
    count = len(batches.mask)
    planes = [env.plane(jax.tree.map(lambda leaf, index=index: leaf[index], batch)) for index in range(count)]
    # Of where the points have been, all but the farthest hundredth is in the frame.
    met = np.percentile(env.points(batches.obs[np.asarray(batches.mask) > 0]), [1, 99])
    marks = np.concatenate([[*plane.goals, plane.start] for plane in planes])
    low, high = min(marks.min(), met[0]), max(marks.max(), met[1])
    margin = max(0.1 * (high - low), 0.1)
    limits = (low - margin, high + margin)

    def draw(ax: Axes, task: int, stage: int, until: int | None) -> None:
        colour = BEFORE if stage == 0 else AFTER
        for observed in _observed(batches, task, stage, shown):
            path = env.points(observed)[: None if until is None else until + 1]
            ax.plot(path[:, 0], path[:, 1], color=colour, alpha=0.55, linewidth=0.9)
            ax.plot(*path[-1], "o", color=colour, markersize=3)
        ax.plot(*planes[task].goals.T, "*", color=GOAL, markersize=11, zorder=5)
        ax.plot(*planes[task].start, "+", color="black", markersize=7)
        ax.set(xlim=limits, ylim=limits, aspect="equal", xlabel="x", ylabel="y" if stage == 0 else None)

    return draw


def _draw_actions(batches: Trajectory, actions: int, ax: Axes, task: int, stage: int, until: int | None) -> None:
    chosen = np.asarray(batches.action[task, stage])[..., None] == np.arange(actions)
    mask = np.asarray(batches.mask[task, stage])[..., None]
    share = np.sum(chosen * mask, axis=0) / np.maximum(np.sum(mask, axis=0), 1)
    if until is not None:
        share[until:] = 0.0
    heat_map(ax, share.T)
    ax.set(xlabel="time step", ylabel="share of each action" if stage == 0 else None, yticks=range(actions))


def _draw_observations(batches: Trajectory, shown: int, ax: Axes, task: int, stage: int, until: int | None) -> None:
    for observed in _observed(batches, task, stage, shown):
        for index, values in enumerate(observed[:-1][:until].reshape(-1, observed[0].size).T[:4]):
            ax.plot(values, color=mpl.colormaps["tab10"](index), alpha=0.5, linewidth=0.8)
    ax.set(xlim=(0, batches.mask.shape[-1]), xlabel="time step")
