"""Draw what a run does in test tasks: its trajectories, and what it believes or which experts act."""

import dataclasses
import functools
from pathlib import Path
from typing import Literal

import tyro

from jaxmeta.checks import check_least
from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import of_flags
from jaxmeta.commands.figures import Figures
from jaxmeta.runs.evaluation import Adaptation, check_adaptation


@dataclasses.dataclass(frozen=True)
class Shown(Adaptation):
    """What is drawn."""

    tasks: int = 4
    """Test tasks, side by side."""
    task_seed: int = 1
    """Draws the tasks, or which of a finite family's they are."""
    shown: int = 8
    """Episodes drawn, at most."""
    gif: bool = True
    """Write the animation of the trajectories too."""
    film: tuple[Literal["png", "gif", "mp4"], ...] = ("gif",)
    """Formats of the animation, GIF or MP4, which needs imageio-ffmpeg; and, where the engine draws, of the film of an
    adapted episode, of which a PNG has six moments. None writes neither."""


@command()
def main(
    run: tyro.conf.Positional[Path],
    shown: tyro.conf.OmitArgPrefixes[Shown],
    figures: tyro.conf.OmitArgPrefixes[Figures],
    *,
    checkpoint: int | None = None,
) -> None:
    """Draw a run's trajectories in test tasks; writes RUN/trajectories.png and .gif.

    Of locomotion also an episode after adaptation in the first of the tasks, as MuJoCo draws it: RUN/film.gif.

    Of a run with experts also which of them act in 200 tasks after adaptation: RUN/experts.png.

    Args:
      run: The run's directory.
      shown: What is drawn.
      figures: How figures are written.
      checkpoint: Meta-iteration of a kept checkpoint; the newest if not given.
    """
    from jaxmeta.runs.run import load, read_config

    config = read_config(run)
    with of_flags():
        check_least(1, shown=shown.shown)
        check_adaptation(shown, config)
    from jaxmeta.commands.pictures import draw
    from jaxmeta.runs.trackers import show_in_tensorboard

    written = draw(load(run, checkpoint=checkpoint), shown, figures, functools.partial(print, flush=True))
    show_in_tensorboard(run, pictures=written, announce=print)
    print("wrote", *written)
