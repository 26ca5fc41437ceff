"""Where a run can be followed from elsewhere: TensorBoard, and Weights & Biases, through one interface."""

import io
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from jaxmeta import parts

FOLDER, EVALUATION = "tensorboard", "evaluation"


class Tracker(Protocol):
    """Is told a run's rows, as they stand in ``metrics.csv``."""

    def write(self, rows: list[dict[str, float]]) -> None:
        """Take rows of one or several meta-iterations."""
        ...

    def sync(self) -> None:
        """Wait until they are on disk."""
        ...

    def close(self) -> None: ...


class TensorBoardLog:
    """Scalars over environment steps and hyper-parameters, one TensorBoard run a seed. Needs the ``tensorboard`` extra.

    Args:
      directory: of the files.
      settings: of the run, shown as hyper-parameters by their full names.
      steps: environment steps that each seed has done. What earlier files hold of later ones counts no more.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any], steps: Mapping[int, int]):
        shown, self._writers = flat(settings), {}
        for seed, done in steps.items():
            writer = _writer(directory / f"seed_{seed}", done + 1 if done else None)
            if not done:
                _tell_settings(writer, {**shown, "seed": seed})
            self._writers[seed] = writer

    def write(self, rows: list[dict[str, float]]) -> None:
        for row in rows:
            for name in row.keys() - {"env_steps", "seed"}:
                self._writers[int(row["seed"])].add_scalar(name, row[name], int(row["env_steps"]))

    def sync(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


class WandbLog:
    """The same for Weights & Biases: one run a seed, gone on with by its name. Needs the ``wandb`` extra.

    ``WANDB_MODE=offline`` keeps it on this machine, as Weights & Biases has it.

    Args:
      project: its name there.
      directory: the run's own; its name groups the seeds, and files that wait to be sent lie in it.
      identity: of the run, the same when it is resumed.
      settings, steps: as of ``TensorBoardLog``.

    Raises:
      RuntimeError: Weights & Biases does not let us in.
    """

    def __init__(
        self, project: str, directory: Path, identity: str, settings: Mapping[str, Any], steps: Mapping[int, int]
    ):
        wandb = wandb_package()
        self._runs = {}
        for seed in steps:
            try:
                found = wandb.init(
                    project=project,
                    group=directory.name,
                    name=f"{directory.name}, seed {seed}",
                    id=f"{identity}-{seed}",
                    resume="allow",
                    reinit="create_new",
                    dir=str(directory),
                    config={**flat(settings), "seed": seed},
                    settings=wandb.Settings(silent=True),
                )
            except wandb.Error as error:
                raise RuntimeError(f"wandb: {' '.join(str(error).split())}") from error
            found.define_metric("*", step_metric="env_steps")
            self._runs[seed] = found

    def write(self, rows: list[dict[str, float]]) -> None:
        for row in rows:
            # Of a step that it has already it keeps what it has, which is the same.
            self._runs[int(row["seed"])].log(dict(row), step=int(row["iteration"]))

    def sync(self) -> None:
        pass

    def close(self) -> None:
        for run in self._runs.values():
            run.finish()


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | float | str]:
    """A tree of settings by their full names; parts by what they use, and lists and nothing as text."""
    found: dict[str, bool | float | str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            label = prefix[:-1] if name == parts.USE and prefix else f"{prefix}{name}"
            found[label] = value if isinstance(value, bool | int | float | str) else str(value)
    return found


def _writer(folder: Path, purge_step: int | None) -> Any:
    """A writer of one more file in a folder, that begins anew what earlier files hold from ``purge_step`` on."""
    # Names are by the second: two files of one second would be one.
    return summary_writer()(str(folder), purge_step=purge_step, filename_suffix=f".{time.time_ns()}")


def _tell_settings(writer: Any, settings: dict[str, bool | float | str]) -> None:
    """TensorBoard's table of hyper-parameters, beside the scalars that it compares by."""
    from tensorboardX.summary import hparams

    for summary in hparams(settings, {"return_pre": 0.0, "return_post": 0.0}):
        writer.file_writer.add_summary(summary)


def show_in_tensorboard(
    directory: Path,
    evaluation: Mapping[str, Any] | None = None,
    pictures: Iterable[Path] = (),
    announce: Callable[[str], None] = lambda line: None,
) -> None:
    """Put a run's evaluation and pictures beside its scalars, where it has such; of each the last counts.

    Args:
      directory: the run's.
      evaluation: the content of ``evaluation.json``: returns over adaptation steps or episodes.
      pictures: files; of PNG and GIF, what they hold.
      announce: called with a line where the package that writes them is not here, and nothing is shown.
    """
    folder = directory / FOLDER
    # Nothing is written through a link: a run that somebody else made may hold one.
    if not folder.is_dir() or folder.is_symlink() or (folder / EVALUATION).is_symlink():
        return
    try:
        summary_writer()
    except ImportError as error:
        announce(f"warning: not shown in TensorBoard: {error}")
        return
    from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

    # What was shown before of an evaluation counts no more.
    writer = _writer(folder / EVALUATION, 0 if evaluation else None)
    if evaluation:
        stages = f"return_by_{evaluation['axes'][2]}"
        curves = {**evaluation["summary"], **evaluation["references"]}
        for name, curve in curves.items():
            for place, value in enumerate(curve["iqm"] if isinstance(curve["iqm"], list) else [curve["iqm"]]):
                writer.add_scalar(f"{stages}/{name}", value, place)
    for path in pictures:
        if path.suffix in (".png", ".gif"):
            content = path.read_bytes()
            width, height = _size(content)
            image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
            summary = Summary(value=[Summary.Value(tag=f"{path.stem}{path.suffix}", image=image)])
            writer.file_writer.add_summary(summary, 0)
    writer.close()


def _size(content: bytes) -> tuple[int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return image.size


def summary_writer() -> Any:
    """The class that writes TensorBoard's files; an ``ImportError`` of one line where it is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError('tensorboard: tensorboardX is missing; pip install "jaxmeta[tensorboard]"') from error
    return SummaryWriter


def wandb_package() -> Any:
    """The package ``wandb``; an ``ImportError`` of one line where it is not installed."""
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError('wandb: the package is missing; pip install "jaxmeta[wandb]"') from error
    return wandb
