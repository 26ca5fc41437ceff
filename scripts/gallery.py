"""One picture of each task family, in a grid, as a PNG."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import experiment
import tyro

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from jaxmeta.types import TaskDistribution

# Pixels an inch of the pictures; the grid's own is the same, so that nothing is scaled.
RESOLUTION = 160


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Draw a sampled task of each family after a few random steps; writes one PNG."""

    out: Path = Path("gallery.png")
    """The PNG to write."""
    task: tuple[str, ...] = ()
    """Families to draw; all if not given."""
    seed: int = 0
    """Draws tasks and actions."""
    steps: int = 10
    """Random steps before the picture; an episode that ends before is drawn at its end."""
    columns: int = 6
    """Pictures in a row, at most."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Gallery, args=argv)
    experiment.check_numbers(arguments, seed=0, steps=0, columns=1)

    from jaxmeta import tasks

    for name in arguments.task:
        if name not in tasks.names():
            experiment.fail(tasks.unknown("task", name, tasks.names()))
    if not arguments.out.absolute().parent.is_dir():
        experiment.fail(f"--out: {arguments.out.parent} is not a directory")
    drawn = arguments.task or tasks.names()
    images = {name: pixels(picture(tasks.make(name), arguments.seed, arguments.steps)) for name in drawn}
    result = compose(images, arguments.columns)
    try:
        result.savefig(arguments.out, dpi=RESOLUTION, format="png")
    except OSError as error:
        experiment.fail(f"--out: {' '.join(str(error).split())}")
    print("wrote", arguments.out)
    return 0


def picture(family: TaskDistribution, seed: int, steps: int) -> Figure:
    """A sampled task after ``steps`` random steps."""
    import jax
    import numpy as np

    key_task, key_steps = jax.random.split(jax.random.key(seed))
    task = jax.jit(family.sample)(key_task)
    state = jax.jit(random_state, static_argnums=(0, 3))(family.env, key_steps, task, steps)
    task, state = jax.tree.map(np.asarray, (task, state))
    figure = family.env.render(state, task)  # pyright: ignore[reportAttributeAccessIssue]
    for ax in figure.axes:
        # Side by side the pictures are of one size without numbers at their edges. Ticks stay: grids hang on them.
        ax.tick_params(length=0, labelbottom=False, labelleft=False)
    return figure


def random_state(env: Any, key: Any, task: Any, steps: int) -> Any:
    """The state after ``steps`` random actions, or the one in which the episode ended before."""
    import jax
    import jax.numpy as jnp

    def step(carry, key):
        state, alive = carry
        key_act, key_env = jax.random.split(key)
        action = env.action_space(task).sample(key_act)
        _, next_state, _, terminated, _ = env.step_env(key_env, state, action, task)
        ended = terminated | env.is_truncated(next_state, task)
        state = jax.tree.map(lambda new, old: jnp.where(alive, new, old).astype(old.dtype), next_state, state)
        return (state, alive & ~ended), None

    key_reset, key_steps = jax.random.split(key)
    state = jax.tree.map(jnp.asarray, env.reset_env(key_reset, task)[1])
    return jax.lax.scan(step, (state, jnp.bool_(True)), jax.random.split(key_steps, steps))[0][0]


def pixels(figure: Figure) -> np.ndarray:
    """What a figure looks like, ``[height, width, 4]``."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(RESOLUTION)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def compose(images: dict[str, np.ndarray], columns: int) -> Figure:
    """A grid of images, row by row, with their names above them."""
    from matplotlib.figure import Figure

    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    width = max(image.shape[1] for image in images.values()) / RESOLUTION
    height = max(image.shape[0] for image in images.values()) / RESOLUTION
    title = 0.3
    size = (columns * width, rows * (height + title))
    figure = Figure(figsize=size)
    for index, (name, image) in enumerate(images.items()):
        row, column = divmod(index, columns)
        bottom = 1.0 - ((row + 1) * (height + title)) / size[1]
        ax = figure.add_axes((column / columns, bottom, 1.0 / columns, height / size[1]))
        ax.imshow(image)
        ax.axis("off")
        ax.set_title(name, fontsize=13, pad=4)
    return figure


if __name__ == "__main__":
    raise SystemExit(main())
