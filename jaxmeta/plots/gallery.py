"""One picture of a task of each family, in a grid."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxmeta import tasks
from jaxmeta.types import Key, Task, TaskDistribution

RESOLUTION = 160
"""Pixels an inch of the pictures; the grid's own is the same, so that nothing is scaled."""


def gallery(names: list[str], *, seed: int = 0, steps: int = 10, columns: int = 6) -> Figure:
    """A sampled task of each of some families, after a few random steps, or at an episode's end if that comes before.

    Save it with ``dpi=RESOLUTION``. ``seed`` draws tasks and actions; a row has ``columns`` pictures at most.
    """
    images = {name: picture(tasks.make(name), seed, steps) for name in names}
    columns = min(columns, len(images))
    height, width = (max(image.shape[axis] for image in images.values()) / RESOLUTION for axis in (0, 1))
    # Above each picture are 0.3 inches for its name.
    total = math.ceil(len(images) / columns) * (height + 0.3)
    figure = Figure(figsize=(columns * width, total))
    for index, (name, image) in enumerate(images.items()):
        row, column = divmod(index, columns)
        bottom = 1.0 - ((row + 1) * (height + 0.3)) / total
        ax = figure.add_axes((column / columns, bottom, 1.0 / columns, height / total))
        ax.imshow(image)
        ax.axis("off")
        ax.set_title(name, fontsize=13, pad=4)
    return figure


def picture(family: TaskDistribution, seed: int, steps: int) -> np.ndarray:
    """What a sampled task looks like after ``steps`` random steps, ``[height, width, 4]``."""
    key_task, key_steps = jax.random.split(jax.random.key(seed))
    task = jax.jit(family.sample)(key_task)
    state = jax.jit(random_state, static_argnums=(0, 3))(family.env, key_steps, task, steps)
    task, state = jax.tree.map(np.asarray, (task, state))
    figure = family.env.render(state, task)  # pyright: ignore[reportAttributeAccessIssue]
    for ax in figure.axes:
        # Side by side the pictures are of one size without numbers at their edges. Ticks stay: grids hang on them.
        ax.tick_params(length=0, labelbottom=False, labelleft=False)
    figure.set_dpi(RESOLUTION)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def random_state(env: Any, key: Key, task: Task, steps: int) -> Any:
    """The state after ``steps`` random actions, or the one in which the episode ended before."""

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
