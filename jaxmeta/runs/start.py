"""Training of an experiment into a directory: made or found, never one that holds something else."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxmeta.checks import check_least
from jaxmeta.runs import directory as runs
from jaxmeta.runs.evaluation import Evaluation
from jaxmeta.runs.experiment import Experiment
from jaxmeta.runs.logging import write_json
from jaxmeta.runs.run import CONFIG, FORMAT, Run, load, read_config, read_evaluation

DATA = (CONFIG, "metrics.csv", "checkpoints", "tensorboard", "evaluation.json", "model_errors.json")
PICTURES = ("adaptation_curve", "arm_pulls", "beliefs", "experts", "learning_curve", "trajectories")
OURS = (
    *DATA,
    *(f"{name}.tmp" for name in DATA if name.endswith(".json")),
    *(f"{name}.png" for name in PICTURES),
    "trajectories.gif",
)
"""What we write into a run's directory, and delete when it is overwritten."""


@dataclasses.dataclass(frozen=True)
class Saving:
    """How a run is saved."""

    checkpoint_every: int = 50
    """Meta-iterations between checkpoints."""
    keep: int = 3
    """Checkpoints kept, the newest."""
    tensorboard: bool = False
    """Write TensorBoard scalars beside metrics.csv (needs the tensorboard extra)."""


class StartError(RuntimeError):
    """A run that cannot be started here; the message is one line that says what to do."""


class Stopped(RuntimeError):
    """A run that a signal ended; its state is saved.

    Attributes:
      signal: the signal's number.
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.signal = number


def start(
    experiment: Experiment,
    directory: Path,
    *,
    saving: Saving | None = None,
    evaluation: Evaluation | None = None,
    overwrite: bool = False,
    resume: bool = False,
    report: Callable[[Any], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda line: None,
) -> Run:
    """Train, log and save into ``directory``.

    Args:
      experiment: what is trained.
      directory: made if it does not exist; it must be empty, or hold a run and ``overwrite`` or ``resume`` be given.
      saving: how often, how many, and what beside.
      evaluation: how the run is to be evaluated, noted in ``config.json``; by default as is noted there already.
      overwrite: delete the run that the directory holds, once the new one is built.
      resume: go on with the run that the directory holds; only ``iterations`` may differ.
      report: called with a ``Progress`` after each chunk of iterations.
      announce: called with lines worth telling once.

    Raises:
      StartError: a directory that cannot be used.
      Stopped: a signal ended it; its state is saved.
      CheckpointError: a checkpoint that cannot be written or read.
    """
    saving = Saving() if saving is None else saving
    check_saving(saving)
    check_directory(experiment, directory, overwrite=overwrite, resume=resume)
    if evaluation is None:
        evaluation = read_evaluation(directory) if resume else Evaluation()
    tasks, algorithm = experiment.build()
    seeds, meta_batch = experiment.seeds, experiment.tree["meta_batch"]
    # Some faults, such as minibatches that do not divide a meta-batch, show when the program is traced.
    with experiment.located():
        program = runs.traced(algorithm, tasks, seeds=seeds, meta_batch=meta_batch)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"{directory}: cannot be made ({error.strerror})") from error
    with held(directory):
        # Another process may have written there while this one was building.
        check_directory(experiment, directory, overwrite=overwrite, resume=resume)
        if experiment.preset:
            announce(f"preset: {experiment.preset}")
        announce(f"{experiment.title}: {experiment.tree['iterations']} meta-iterations, seeds {seeds}, in {directory}")
        if overwrite and not resume:
            clear(directory)
        content = {"format": FORMAT, "experiment": experiment.config(), "preset": experiment.preset}
        content |= {"evaluation": dataclasses.asdict(evaluation), **runs.describe()}
        write_json(directory / CONFIG, content)
        outcome = runs.train_run(
            directory,
            algorithm,
            tasks,
            seeds=seeds,
            meta_batch=meta_batch,
            iterations=experiment.tree["iterations"],
            **dataclasses.asdict(saving),
            resume=resume,
            report=report,
            announce=announce,
            program=program,
        )
    if outcome.skipped:
        left_out = f"{outcome.skipped} updates were not finite and were left out"
        announce(f"warning: {left_out} (column 'skipped' of metrics.csv)")
    if outcome.signal is not None:
        name = signal.Signals(outcome.signal).name
        raise Stopped(outcome.signal, f"stopped by {name} after iteration {outcome.iteration}, state saved")
    return load(directory)


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Inside the ``with`` block no other process trains in the directory; the lock ends with the process at last."""
    try:
        import fcntl
    except ImportError:  # Not a POSIX system: nobody is kept out.
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(f"{directory}: another process trains in it; choose another directory") from error
        except OSError:
            pass  # A file system without locks: nobody is kept out.
        yield
    finally:
        os.close(descriptor)


def check_saving(saving: Saving) -> None:
    """Refuse counts out of their range: a ``ValueError`` that begins with the setting's name."""
    check_least(1, checkpoint_every=saving.checkpoint_every, keep=saving.keep)


def check_directory(experiment: Experiment, directory: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse a directory that holds something else than what is to be done with it.

    Raises:
      StartError: one line that says what to do.
    """
    if resume:
        stored = read_config(directory)
        differing = differences(stored.config(), experiment.config())
        differing.pop("iterations", None)
        if differing:
            listed = ", ".join(f"{name} ({there} there, {here} here)" for name, (there, here) in differing.items())
            raise StartError(f"{directory}: the run was made with other settings: {listed}")
        saved = [int(path.name) for path in (directory / "checkpoints").glob("*") if path.name.isdigit()]
        asked = experiment.tree["iterations"]
        if not saved:
            raise StartError(f"{directory}: holds no complete checkpoint; start the run anew and overwrite it")
        if max(saved) > asked:
            raise StartError(f"{directory}: iteration {max(saved)} is beyond iterations {asked}")
        return
    if directory.exists() and not directory.is_dir():
        raise StartError(f"{directory}: is a file; name a directory")
    if directory.exists() and any(directory.iterdir()):
        if not _is_run(directory):
            raise StartError(f"{directory}: is not empty and holds no run; choose another directory")
        if not overwrite:
            raise StartError(f"{directory}: already holds a run; resume it, overwrite it, or choose another directory")


def _is_run(directory: Path) -> bool:
    """Whether a directory's ``config.json`` is one that we wrote, in this version or an older one."""
    try:
        stored = json.loads((directory / CONFIG).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and "versions" in stored and ("experiment" in stored or "arguments" in stored)


def clear(directory: Path) -> None:
    """Delete what we wrote into a run's directory, by name and never through a link; the rest stays."""
    for path in (directory / name for name in OURS):
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            _clear_folder(path)


def _clear_folder(folder: Path) -> None:
    """Delete checkpoints, by their numbers, and event files; the folder too, if nothing else is in it."""
    for path in folder.iterdir():
        checkpoint = path.name.partition(".")[0].isdigit() or path.name.startswith("seed_")
        if checkpoint and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
    with contextlib.suppress(OSError):
        folder.rmdir()


def differences(first: Any, second: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Settings that two trees have different values of, by their full path."""
    # As they read in JSON: a tuple is a list.
    first, second = (json.loads(json.dumps(tree)) for tree in (first, second))
    found: dict[str, tuple[Any, Any]] = {}
    for name in [*first, *(name for name in second if name not in first)]:
        full = f"{path}.{name}" if path else name
        there, here = first.get(name), second.get(name)
        if isinstance(there, dict) and isinstance(here, dict):
            found |= differences(there, here, full)
        elif there != here:
            found[full] = (there, here)
    return found


class Display:
    """Live progress: a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, iterations: int, every: float = 5.0):
        from rich import progress

        count, said = (progress.TextColumn(text) for text in ("{task.completed}/{task.total}", "{task.fields[said]}"))
        self._bar = progress.Progress(count, progress.BarColumn(bar_width=20), said)
        self._live = self._bar.console.is_terminal
        self._id = self._bar.add_task("", total=iterations, said="")
        self._every, self._printed = every, 0.0

    def __enter__(self) -> "Display":
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._bar.stop()

    def announce(self, line: str) -> None:
        if self._live:
            self._bar.console.print(line, highlight=False)
        else:
            print(line, flush=True)

    def report(self, progress: Any) -> None:
        minutes, seconds = divmod(int(progress.seconds_left), 60)
        parts = [
            f"{minutes}:{seconds:02d} left",
            f"{progress.steps_per_second / 1e3:,.0f} k env steps/s",
            f"return {progress.return_pre:.2f} → {progress.return_post:.2f}",
            *([f"{progress.skipped} skipped"] if progress.skipped else []),
        ]
        if self._live:
            self._bar.update(self._id, completed=progress.iteration, said="  ".join(parts))
        elif time.monotonic() - self._printed >= self._every or progress.iteration == progress.iterations:
            self._printed = time.monotonic()
            print(f"iteration {progress.iteration}/{progress.iterations}", *parts, sep=", ", flush=True)
