"""A run's directory: found, made or emptied, never one that holds something else, and held by one process."""

import contextlib
import json
import os
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxmeta.runs.evaluation import Format
from jaxmeta.runs.experiment import Experiment
from jaxmeta.runs.logging import without_link
from jaxmeta.runs.run import CONFIG, read_config
from jaxmeta.runs.trackers import EVALUATION

FAILED = "not_finite.json"

DATA = (CONFIG, "metrics.csv", "checkpoints", "tensorboard", "evaluation.json", "model_errors.json", FAILED)

CARD = "card.md"

PICTURES = ("adaptation_curve", "arm_pulls", "beliefs", "experts", "learning_curve", "trajectories")

TEMPORARY = tuple(f"{name}.tmp" for name in DATA if "." in name)

FIGURES = tuple(f"{name}.{ending}" for name in PICTURES for ending in typing.get_args(Format))

OURS = (*DATA, *TEMPORARY, CARD, *FIGURES, "trajectories.gif")
"""What we write into a run's directory, and delete when it is overwritten."""

ASIDE = ".overwritten"
"""Where a run that is overwritten stays until the new one has a checkpoint."""


class StartError(RuntimeError):
    """A run that cannot be started here; the message is one line that says what to do."""


def check_directory(experiment: Experiment, directory: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse a directory that holds something else than what is to be done with it.

    Raises:
      StartError: one line that says what to do.
    """
    for path in (directory / name for name in (ASIDE, "checkpoints", "tensorboard") if resume or overwrite):
        link = path if path.is_symlink() else next((one for one in path.glob("*") if one.is_symlink()), None)
        # What we delete is deleted by name, a link among it: only what we would write into must be no link.
        if link is not None and (resume or path.name == ASIDE):
            raise StartError(
                f"{link}: is a link, and nothing is written through one; put in its place what it leads to"
            )
    if resume:
        stored = read_config(directory)
        differing = differences(stored.config(), experiment.config())
        differing.pop("iterations", None)
        if differing:
            listed = ", ".join(f"{name} ({there} there, {here} here)" for name, (there, here) in differing.items())
            raise StartError(f"{directory}: the run was made with other settings: {listed}")
        saved = [int(path.name) for path in (directory / "checkpoints").glob("*") if path.name.isdigit()]
        asked = experiment.tree["iterations"]
        if saved and max(saved) > asked:
            raise StartError(f"{directory}: iteration {max(saved)} is beyond iterations {asked}")
        return
    if directory.exists() and not directory.is_dir():
        raise StartError(f"{directory}: is a file; name a directory")
    # What a kill left before there was a run counts for nothing; a run that was being overwritten is put back.
    left = {*OURS, ASIDE} if (directory / ASIDE).exists() and not (directory / CONFIG).exists() else TEMPORARY
    if directory.exists() and any(path.name not in left for path in directory.iterdir()):
        if overwrite and (directory.is_symlink() or Path.cwd().is_relative_to(directory.resolve())):
            raise StartError(f"{directory}: is a link, or the folder that you are in; only a run's own is overwritten")
        if not _is_run(directory):
            raise StartError(f"{directory}: is not empty and holds no run; choose another directory")
        if not overwrite:
            raise StartError(f"{directory}: already holds a run; resume it, overwrite it, or choose another directory")


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


@contextlib.contextmanager
def entering(experiment: Experiment, directory: Path, *, overwrite: bool, resume: bool) -> Iterator[None]:
    """Inside the ``with`` block the directory is there and this process's own, what is to be overwritten put aside.

    Raises:
      StartError: a directory that cannot be used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"{directory}: cannot be made ({error.strerror})") from error
    with held(directory):
        if not (directory / CONFIG).exists():
            # A run was being overwritten when the process was killed.
            _move(directory / ASIDE, directory)
        # Another process may have written there while this one was building.
        check_directory(experiment, directory, overwrite=overwrite, resume=resume)
        with put_aside(directory, overwrite=overwrite and not resume):
            yield


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
            raise StartError(
                f"{directory}: another process trains in it; choose another one, or train together (--distributed)"
            ) from error
        except OSError:
            pass  # A file system without locks: nobody is kept out.
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def put_aside(directory: Path, *, overwrite: bool) -> Iterator[None]:
    """Inside the ``with`` block the run that was there stands aside; after it, it is removed.

    It is put back if the new one ends without any checkpoint.
    """
    aside = directory / ASIDE
    if overwrite and not ((aside / CONFIG).exists() and not _has_checkpoints(directory)):
        aside.mkdir(exist_ok=True)
        clear(aside)
        _move(directory, aside)
    elif overwrite:
        # A run that was killed before its first checkpoint: what it was to replace still stands aside.
        clear(directory)
    try:
        yield
    except BaseException:
        if overwrite and not _has_checkpoints(directory):
            failed = directory / FAILED
            why = failed.read_bytes() if failed.is_file() else None
            clear(directory)
            _move(aside, directory)
            if why is not None:
                without_link(failed).write_bytes(why)
        raise
    finally:
        if aside.is_dir():
            clear(aside)
            with contextlib.suppress(OSError):
                aside.rmdir()


def clear(directory: Path) -> None:
    """Delete what we wrote into a run's directory, by name and never through a link; the rest stays."""
    for path in _ours(directory):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    _remove_empty(directory)


def _is_run(directory: Path) -> bool:
    """Whether a directory's ``config.json`` is one that we wrote, in this version or an older one."""
    try:
        stored = json.loads((directory / CONFIG).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and "versions" in stored and ("experiment" in stored or "arguments" in stored)


def _has_checkpoints(directory: Path) -> bool:
    return any(path.name.isdigit() for path in (directory / "checkpoints").glob("*"))


def _move(source: Path, target: Path) -> None:
    """Move what is ours; the configuration first or last, since a directory with one is a run."""
    for path in sorted(_ours(source), key=lambda path: (path.name == CONFIG) == (target.name != ASIDE)):
        there = target / path.relative_to(source)
        there.parent.mkdir(exist_ok=True)
        path.replace(there)
    _remove_empty(source)


def _ours(directory: Path) -> list[Path]:
    """What we wrote: files by name; of folders the checkpoints, by their numbers, and the seeds' event files."""
    found = []
    for path in (directory / name for name in OURS):
        if path.is_dir() and not path.is_symlink():
            found += [one for one in path.iterdir() if _is_ours(one.name)]
        elif path.is_symlink() or path.exists():
            found.append(path)
    return found


def _is_ours(name: str) -> bool:
    return name.partition(".")[0].isdigit() or name.startswith("seed_") or name == EVALUATION


def _remove_empty(directory: Path) -> None:
    for path in (directory / name for name in OURS):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.rmdir()
