"""Pictures of states, one function a kind of environment: each draws into axes, and ``figure`` makes the axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AGENT, GOAL, WALL = "tab:blue", "crimson", "0.25"


def figure(draw: Callable[..., None], *args, **settings) -> Figure:
    """A square figure with what ``draw(ax, *args, **settings)`` draws. No window is opened, and none is left behind."""
    from matplotlib.figure import Figure

    result = Figure(figsize=(3.0, 3.0), layout="tight")
    draw(result.add_subplot(), *args, **settings)
    return result


def plane(ax: Axes, position, goal, *, radius: float = 0.0, semicircle: bool = False) -> None:
    """A point ``[2]`` in the plane and its goal ``[2]``.

    ``radius`` is that of the rewarded disc around the goal, if there is one. Where goals lie on the upper unit half
    circle, ``semicircle`` draws it.
    """
    from matplotlib.patches import Circle

    position, goal = np.asarray(position), np.asarray(goal)
    if semicircle:
        angle = np.linspace(0.0, np.pi, 100)
        ax.plot(np.cos(angle), np.sin(angle), "--", color="0.7", linewidth=1.0)
    if radius > 0:
        ax.add_patch(Circle(tuple(goal.tolist()), float(radius), color=GOAL, alpha=0.2))
    ax.plot(0, 0, "+", color="black", markersize=8)
    ax.plot(*goal, "*", color=GOAL, markersize=13)
    ax.plot(*position, "o", color=AGENT, markersize=7)
    reach = 1.3 if semicircle else 0.7
    reach = max(reach, 1.1 * float(np.max(np.abs(position))), 1.1 * float(np.max(np.abs(goal))))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


def grid(ax: Axes, walls, marks: Mapping[str, Sequence[int]], *, filled: Sequence | None = None) -> None:
    """A grid of cells, row by row from the top: ``walls`` and holes (``filled``) are 1 in arrays ``[rows, columns]``.

    ``marks`` maps letters to cells ``(row, column)``. "A", the agent, is drawn as a disc.
    """
    from matplotlib.patches import Circle, Rectangle

    walls = np.asarray(walls, bool)
    rows, columns = walls.shape
    for row, column in np.argwhere(walls):
        ax.add_patch(Rectangle((column, row), 1, 1, color=WALL))
    for row, column in np.argwhere(np.zeros_like(walls) if filled is None else np.asarray(filled, bool)):
        ax.add_patch(Circle((column + 0.5, row + 0.5), 0.35, color="lightskyblue"))
    for letter, cell in marks.items():
        row, column = (int(x) for x in np.asarray(cell))
        if letter == "A":
            ax.add_patch(Circle((column + 0.5, row + 0.5), 0.3, color=AGENT))
        else:
            ax.text(column + 0.5, row + 0.5, letter, color=GOAL, weight="bold", ha="center", va="center")
    ax.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
    ax.set_xticks(range(columns + 1), labels=[])
    ax.set_yticks(range(rows + 1), labels=[])
    ax.tick_params(length=0)
    ax.grid(color="0.85", linewidth=0.5)


def cart(ax: Axes, x, angle, *, half_length: float, track: float) -> None:
    """A pole on a cart. ``angle`` is in rad from upright, lengths in m, ``track`` the cart's largest distance."""
    from matplotlib.patches import Rectangle

    x, angle, length = float(x), float(angle), 2.0 * float(half_length)
    ax.axhline(0.0, color="0.7", linewidth=1.0)
    ax.add_patch(Rectangle((x - 0.25, -0.12), 0.5, 0.24, color=AGENT))
    ax.plot([x, x + length * np.sin(angle)], [0.0, length * np.cos(angle)], color=GOAL, linewidth=3.0)
    ax.set(xlim=(-track, track), ylim=(-0.5, 2.0 * track - 0.5), aspect="equal")


def hill(ax: Axes, position, *, goal: float, low: float, high: float) -> None:
    """A car on the hill ``sin(3x)`` and the flag of its goal; positions between ``low`` and ``high``."""
    ground = np.linspace(float(low), float(high), 100)
    ax.plot(ground, np.sin(3.0 * ground), color=WALL)
    ax.plot(float(goal), np.sin(3.0 * float(goal)), marker="^", color=GOAL, markersize=10)
    ax.plot(float(position), np.sin(3.0 * float(position)), "o", color=AGENT, markersize=9)
    ax.set(ylim=(-1.2, 1.2))


def links(ax: Axes, joints, *, goal=None) -> None:
    """A chain of links from the first joint to the tip, ``joints`` ``[J, 2]`` in m, and what it is to reach, if any."""
    joints = np.asarray(joints)
    reach = 1.15 * float(np.sum(np.linalg.norm(np.diff(joints, axis=0), axis=1)))
    ax.plot(joints[:, 0], joints[:, 1], "-o", color=AGENT, linewidth=3.0)
    ax.plot(*joints[0], "o", color="black")
    if goal is not None:
        ax.plot(*np.asarray(goal), "*", color=GOAL, markersize=13)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


def bars(ax: Axes, values, *, what: str) -> None:
    """A bar for each of ``values`` ``[A]``, one an arm, the highest in the goal's colour; ``what`` they are."""
    values = np.asarray(values, float)
    places = np.arange(len(values))
    colours = [GOAL if value == values.max() else AGENT for value in values]
    ax.bar(places, values, color=colours, width=0.75)
    ax.axhline(0.0, color=WALL, linewidth=0.8)
    ax.set(xlabel="arm", title=what, xticks=places if len(values) <= 12 else [])
    ax.spines[["top", "right"]].set_visible(False)


def heat_map(ax: Axes, values, *, row: int, what: str, rows: str, columns: str = "action") -> None:
    """A coloured cell for each of ``values`` ``[rows, columns]``, on a symmetric scale where signs differ.

    The agent's ``row`` is framed. The title says ``what`` the values are, the axes what ``rows`` and ``columns`` are.
    """
    from matplotlib.patches import Rectangle

    values = np.asarray(values, float)
    reach = float(np.max(np.abs(values)))
    signed = bool(values.min() < 0 < values.max())
    low, high = (-reach, reach) if signed else (float(values.min()), float(values.max()))
    image = ax.imshow(values, cmap="RdBu_r" if signed else "viridis", vmin=low, vmax=high, aspect="auto")
    ax.add_patch(Rectangle((-0.5, int(row) - 0.5), values.shape[1], 1, fill=False, edgecolor=GOAL, linewidth=2.0))
    ax.set(xlabel=columns, ylabel=rows, title=what)
    if (parent := ax.get_figure()) is not None:
        parent.colorbar(image, ax=ax)


def curves(ax: Axes, lines: Mapping[str, Sequence], point: Sequence[float], *, what: str, time: str) -> None:
    """Named ``lines`` ``[T]`` against the number of the step, and the ``point`` ``(step, value)`` of the agent."""
    for (name, values), colour in zip(lines.items(), (GOAL, "0.6"), strict=False):
        ax.plot(np.asarray(values), color=colour, label=name)
    ax.plot(*(float(x) for x in point), "o", color=AGENT, markersize=7)
    ax.set(xlabel=time, title=what)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)


def limbs(ax: Axes, ends, radii, *, what: str, ground: bool = True) -> None:
    """Rounded limbs from end to end, ``ends`` ``[L, 2, 2]`` in m, with ``radii`` ``[L]``.

    The title says ``what`` is asked; with ``ground`` there is a line at height 0.
    """
    from matplotlib.patches import Circle, Polygon

    ends, radii = np.asarray(ends, float), np.asarray(radii, float)
    middle = ends.mean(axis=(0, 1))
    for (first, last), radius in zip(ends, radii, strict=True):
        along = last - first
        length = np.linalg.norm(along)
        across = radius * np.array([-along[1], along[0]]) / max(length, 1e-9)
        ax.add_patch(Polygon([first + across, last + across, last - across, first - across], color=AGENT, linewidth=0))
        for end in (first, last):
            ax.add_patch(Circle((float(end[0]), float(end[1])), float(radius), color=AGENT, linewidth=0))
    reach = 1.2 * max(float(np.max(np.abs(ends - middle))), 0.8)
    if ground:
        ax.axhline(0.0, color=WALL, linewidth=1.0)
    ax.set(xlim=middle[0] + np.array([-reach, reach]), ylim=middle[1] + np.array([-reach, reach]), aspect="equal")
    ax.set_title(what)


def ffmpeg() -> str:
    """The program that writes MP4.

    Raises:
      ImportError: imageio-ffmpeg, which brings it, is missing.
    """
    try:
        import imageio_ffmpeg  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(f"{error.name} is missing, which MP4 needs; pip install imageio-ffmpeg") from error
    return imageio_ffmpeg.get_ffmpeg_exe()
