"""Training of an experiment into a directory: made or found, never one that holds something else."""

import contextlib
import dataclasses
import functools
import json
import os
import shutil
import signal
import typing
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxmeta.checks import check_least
from jaxmeta.runs import directory as runs, hosts
from jaxmeta.runs.diagnosis import diagnosed, in_words
from jaxmeta.runs.directory import RunError
from jaxmeta.runs.evaluation import Evaluation, Format
from jaxmeta.runs.experiment import Experiment
from jaxmeta.runs.logging import without_link, write_json
from jaxmeta.runs.memory import LESS, in_bytes
from jaxmeta.runs.run import CONFIG, FORMAT, Run, load, read_config, read_evaluation
from jaxmeta.runs.trackers import EVALUATION, FOLDER, TensorBoardLog, Tracker, WandbLog, summary_writer, wandb_package

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


@dataclasses.dataclass(frozen=True)
class Saving:
    """How a run is saved."""

    checkpoint_every: int = 50
    """Meta-iterations between checkpoints."""
    keep: int = 3
    """Checkpoints kept, the newest."""
    tensorboard: bool = False
    """Write TensorBoard's files beside metrics.csv (needs the tensorboard extra)."""
    wandb: str | None = None
    """Project of Weights & Biases that the run is shown in (needs the wandb extra)."""
    max_skipped: int = 20
    """Stop after so many updates in a row that were not finite, of any seed; 0: never."""
    devices: int | None = None
    """Devices that seeds, and the tasks of a meta-batch, are shared out over; by default as many as can be."""
    seed_chunk: int | None = None
    """Seeds that step side by side, at most; by default 1 on a CPU, and elsewhere all of them, or as many as fit."""


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


@hosts.while_all_live()
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

    Where several processes train together (``hosts.join``, or ``jax.distributed.initialize``) all must call this alike;
    the first writes, reports and announces.

    Args:
      experiment: what is trained.
      directory: made if it does not exist; it must be empty, or hold a run and ``overwrite`` or ``resume`` be given.
      saving: how often, how many, and what beside.
      evaluation: how the run is to be evaluated, noted in ``config.json``; by default as is noted there already.
      overwrite: delete the run that the directory holds, once the new one is built.
      resume: go on with the run that the directory holds, from its beginning if it has no checkpoint yet; only
        ``iterations`` may differ.
      report: called with a ``Progress`` after each chunk of iterations.
      announce: called with lines worth telling once.

    Raises:
      StartError: a directory that cannot be used.
      HostsError: processes that do not agree, or one that died.
      Stopped: a signal ended it; its state is saved.
      CheckpointError: a checkpoint that cannot be written or read.
    """
    saving = Saving() if saving is None else saving
    check_saving(saving)
    check_directory(experiment, directory, overwrite=overwrite, resume=resume)
    if evaluation is None:
        evaluation = read_evaluation(directory) if resume else Evaluation()
    settings = {"experiment": experiment.config(), "saving": dataclasses.asdict(saving), "versions": runs.versions()}
    hosts.check_agreed(**settings, directory=str(directory), resume=resume, overwrite=overwrite)
    tasks, algorithm = experiment.build()
    seeds, meta_batch = experiment.seeds, experiment.tree["meta_batch"]
    if not hosts.first():
        report, announce = (lambda progress: None), (lambda line: None)
    # Some faults, such as minibatches that do not divide a meta-batch, show when the program is traced.
    with experiment.located(), hosts.while_all_live():
        shape = {"seeds": seeds, "meta_batch": meta_batch, "devices": saving.devices, "seed_chunk": saving.seed_chunk}
        program = runs.prepared(algorithm, tasks, **shape, announce=announce)
    check_fits(program)
    with contextlib.ExitStack() as until_the_end:

        def entered() -> dict[str, Any]:
            until_the_end.enter_context(entering(experiment, directory, overwrite=overwrite, resume=resume))
            return json.loads((directory / CONFIG).read_text()) if resume else {"run": uuid.uuid4().hex, "history": []}

        before = hosts.on_first(entered)
        hosts.check_seen(directory / f"{CONFIG}.tmp")
        if experiment.preset:
            announce(f"preset: {experiment.preset}")
        announce(f"{experiment.title}: {experiment.tree['iterations']} meta-iterations, seeds {seeds}, in {directory}")
        here = {**runs.describe(), "devices": program.devices, "seed_chunk": program.seed_chunk}
        if program.devices > 1:
            announce(shared_out(here, runs.mesh_for(meta_batch, saving.devices, len(seeds)), len(seeds), meta_batch))
        for line in changed(before["history"], here):
            announce(f"warning: {line}")

        def begun(iteration: int) -> None:
            content = {"format": FORMAT, "experiment": experiment.config(), "preset": experiment.preset}
            content |= {"evaluation": dataclasses.asdict(evaluation), "run": before["run"], **here}
            part = {"from_iteration": iteration, **here, "compile_seconds": round(program.seconds, 1)}
            write_json(directory / CONFIG, {**content, "history": [*before["history"], part]})

        if not resume and hosts.first():
            begun(0)
        how = dataclasses.asdict(saving)
        asked = {name: how.pop(name) for name in ("tensorboard", "wandb")}
        outcome = runs.train_run(
            directory,
            algorithm,
            tasks,
            seeds=seeds,
            meta_batch=meta_batch,
            iterations=experiment.tree["iterations"],
            **how,
            trackers=functools.partial(trackers, directory, before["run"], experiment, **asked),
            resume=resume,
            identity=before["run"],
            begun=begun if resume else lambda iteration: None,
            report=report,
            announce=announce,
            program=program,
        )
        if outcome.ruined:
            raise RunError(_ruined(directory, algorithm, tasks, experiment, outcome, saving.max_skipped))
    if outcome.skipped:
        left_out = f"{outcome.skipped} updates were not finite and were left out"
        announce(f"warning: {left_out} (column 'skipped' of metrics.csv)")
    if outcome.signal is not None:
        name = signal.Signals(outcome.signal).name
        raise Stopped(outcome.signal, f"stopped by {name} after iteration {outcome.iteration}, state saved")
    return load(directory)


def shared_out(here: dict[str, Any], mesh: Any, seeds: int, meta_batch: int) -> str:
    """How seeds and tasks lie on the devices of a mesh, in words; ``here`` describes the machine."""
    of = f" of {here['processes']} processes" if hosts.several() else ""
    counts = {"seeds": seeds, "tasks": meta_batch}
    on_each = ", ".join(f"{counts[axis] // size} {axis}" for axis, size in mesh.shape.items())
    return f"{mesh.size} of {here['device']['count']} devices{of}, {on_each} on each"


def trackers(
    directory: Path,
    identity: str,
    experiment: Experiment,
    steps: dict[int, int],
    *,
    tensorboard: bool,
    wandb: str | None,
) -> list[Tracker]:
    """What a run is followed by as its ``Saving`` says, from the environment steps that each seed has done."""
    found: list[Tracker] = []
    if tensorboard:
        found.append(TensorBoardLog(directory / FOLDER, experiment.config(), steps))
    if wandb is not None:
        found.append(WandbLog(wandb, directory, identity, experiment.config(), steps))
    return found


def _ruined(directory: Path, algorithm: Any, tasks: Any, experiment: Experiment, outcome: Any, count: int) -> str:
    """What there is to say of a run whose updates are not finite any more; its tasks are written into a file."""
    import jax

    seed = outcome.ruined[0]
    state = jax.tree.map(lambda x: x[experiment.seeds.index(seed)], outcome.state)
    found = {"seed": seed, **diagnosed(algorithm, tasks, state, experiment.tree["meta_batch"])}
    if hosts.first():
        write_json(directory / FAILED, found)
    kept = sorted(int(path.name) for path in (directory / "checkpoints").iterdir() if path.name.isdigit())
    left = f"the last checkpoint is of iteration {kept[-1]}" if kept else "there is no checkpoint yet"
    return (
        f"{directory}: {count} updates in a row were not finite, of seed {seed}: {in_words(found)} (see {FAILED}); "
        f"{left}; smaller step sizes may help"
    )


def changed(history: list[dict[str, Any]], here: dict[str, Any]) -> list[str]:
    """What differs from the machine and the packages that a run was last trained with, if that may move its bits."""
    if not history:
        return []
    last, lines = history[-1], []
    # By what older versions did, where they did not write it; what nobody knows of them is not told.
    older = {"cores": None, "device": None, "devices": 1, "processes": 1}
    older |= {name: here[name] for name in ("seed_chunk", "deterministic_ops")}
    for name, default in older.items():
        was = last.get(name, default)
        if was != here[name]:
            lines.append(f"{name} were {was} and are {here[name]} now: the last bits may differ")
    moved = [name for name in ("jax", "jaxlib", "jaxmeta") if last["versions"].get(name) != here["versions"][name]]
    # An engine that was not there, or is not any more, has stepped none of the run.
    engines = [name for name in runs.ENGINES if name in last["versions"] and name in here["versions"]]
    moved += [name for name in engines if last["versions"][name] != here["versions"][name]]
    return [*lines, *(f"{name} is another version now: the last bits may differ" for name in moved)]


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


def _has_checkpoints(directory: Path) -> bool:
    return any(path.name.isdigit() for path in (directory / "checkpoints").glob("*"))


def _move(source: Path, target: Path) -> None:
    """Move what is ours; the configuration first or last, since a directory with one is a run."""
    for path in sorted(_ours(source), key=lambda path: (path.name == CONFIG) == (target.name != ASIDE)):
        there = target / path.relative_to(source)
        there.parent.mkdir(exist_ok=True)
        path.replace(there)
    _remove_empty(source)


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


def check_fits(program: runs.Program) -> None:
    """Refuse a compiled program that takes more memory than there is: a ``StartError`` of one line, before it runs."""
    if not program.fits:
        takes = f"training takes {in_bytes(program.needs.total)}, {in_bytes(program.needs.temporaries)} of it for "
        takes += f"intermediate values, with {program.seed_chunk} seeds at a time"
        raise StartError(f"out of memory: {takes}, and there are {in_bytes(program.memory or 0)}; {LESS}")


def check_saving(saving: Saving) -> None:
    """Refuse counts out of their range: a ``ValueError`` that begins with the setting's name.

    Raises:
      ImportError: TensorBoard or Weights & Biases is asked for, and its package is not installed.
    """
    check_least(1, checkpoint_every=saving.checkpoint_every, keep=saving.keep)
    check_least(0, max_skipped=saving.max_skipped)
    if saving.seed_chunk is not None:
        check_least(1, seed_chunk=saving.seed_chunk)
    if saving.tensorboard:
        summary_writer()
    if saving.wandb is not None:
        wandb_package()


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


def _is_run(directory: Path) -> bool:
    """Whether a directory's ``config.json`` is one that we wrote, in this version or an older one."""
    try:
        stored = json.loads((directory / CONFIG).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and "versions" in stored and ("experiment" in stored or "arguments" in stored)


def clear(directory: Path) -> None:
    """Delete what we wrote into a run's directory, by name and never through a link; the rest stays."""
    for path in _ours(directory):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    _remove_empty(directory)


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
