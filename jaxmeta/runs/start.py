"""Training of an experiment into a directory."""

import contextlib
import dataclasses
import functools
import json
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxmeta.checks import check_least
from jaxmeta.runs import hosts, machine
from jaxmeta.runs.diagnosis import diagnosed, in_words
from jaxmeta.runs.directory import FAILED, StartError, check_directory, entering
from jaxmeta.runs.evaluation import Evaluation
from jaxmeta.runs.experiment import Experiment
from jaxmeta.runs.logging import write_json
from jaxmeta.runs.loop import mesh_for
from jaxmeta.runs.memory import LESS, in_bytes
from jaxmeta.runs.program import Program, prepared
from jaxmeta.runs.run import CONFIG, FORMAT, Run, RunError, load, read_evaluation
from jaxmeta.runs.trackers import FOLDER, TensorBoardLog, Tracker, WandbLog, summary_writer, wandb_package
from jaxmeta.runs.training import Progress, train_run


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
    report: Callable[[Progress], None] = lambda progress: None,
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
    settings = {"experiment": experiment.config(), "saving": dataclasses.asdict(saving), "versions": machine.versions()}
    hosts.check_agreed(**settings, directory=str(directory), resume=resume, overwrite=overwrite)
    tasks, algorithm = experiment.build()
    seeds, meta_batch = experiment.seeds, experiment.tree["meta_batch"]
    if not hosts.first():
        report, announce = (lambda progress: None), (lambda line: None)
    # Some faults, such as minibatches that do not divide a meta-batch, show when the program is traced.
    with experiment.located(), hosts.while_all_live():
        shape = {"seeds": seeds, "meta_batch": meta_batch, "devices": saving.devices, "seed_chunk": saving.seed_chunk}
        program = prepared(algorithm, tasks, **shape, announce=announce)
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
        here = {**machine.describe(), "devices": program.devices, "seed_chunk": program.seed_chunk}
        if program.devices > 1:
            announce(shared_out(here, mesh_for(meta_batch, saving.devices, len(seeds)), len(seeds), meta_batch))
        for line in machine.changed(before["history"], here):
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
        outcome = train_run(
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


def check_fits(program: Program) -> None:
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
