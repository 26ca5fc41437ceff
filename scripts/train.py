"""Meta-train, save, evaluate and plot, from one command."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import building
import evaluating
import experiment
import published
import tyro
from evaluating import Evaluation
from experiment import Experiment, fail


@dataclasses.dataclass(frozen=True)
class Train:
    """Meta-train an algorithm across a family of tasks; save, evaluate on unseen tasks, and plot."""

    experiment: Annotated[Experiment, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Experiment)
    evaluation: Annotated[Evaluation, tyro.conf.arg(name="eval")] = dataclasses.field(default_factory=Evaluation)
    preset: str | None = None
    """Settings of a paper's experiments, of what takes an accelerator, or of a network other than a method's own, by
    name; an unknown name lists them all. Other arguments go before them."""
    out: Path | None = None
    """The run's directory; runs/ALGORITHM-TASK if not given."""
    resume: Path | None = None
    """Go on with the run in this directory, bit for bit; only --iterations may differ (to train longer)."""
    overwrite: bool = False
    """Delete the run that the directory already holds."""
    checkpoint_every: int = 50
    """Meta-iterations between checkpoints."""
    keep: int = 3
    """Checkpoints kept, the newest."""
    evaluate: bool = True
    """Evaluate and plot after training."""
    tensorboard: bool = False
    """Write TensorBoard scalars beside metrics.csv (needs the tensorboard extra)."""


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    arguments = parse(argv)
    directory = prepare(arguments)
    return run(arguments, directory)


def parse(argv: list[str]) -> Train:
    """The arguments; those of a resumed run come from its ``config.json`` and may not be changed."""
    arguments = tyro.cli(Train, args=argv)
    if arguments.preset is not None:
        experiment.check_name("preset", arguments.preset, tuple(published.PUBLISHED))
        default = Experiment(**published.PUBLISHED[arguments.preset])
        arguments = over_preset(tyro.cli(Train, args=argv, default=Train(experiment=default)), default)
    elif preset := experiment.defaults(arguments.experiment):
        default = Experiment(algorithm=arguments.experiment.algorithm, task=arguments.experiment.task, **preset)
        arguments = over_preset(tyro.cli(Train, args=argv, default=Train(experiment=default)), default)
    if arguments.resume is not None:
        stored = experiment.load(arguments.resume)
        arguments = tyro.cli(Train, args=argv, default=Train(experiment=stored))
        differing = [
            f"{field.name} ({getattr(stored, field.name)} there, {getattr(arguments.experiment, field.name)} here)"
            for field in dataclasses.fields(Experiment)
            if field.name != "iterations" and getattr(stored, field.name) != getattr(arguments.experiment, field.name)
        ]
        if differing:
            fail(f"--resume {arguments.resume}: the run was made with other arguments: {', '.join(differing)}")
        if arguments.out is not None:
            fail("--out and --resume: give one of them; a resumed run stays in its directory")
        if arguments.overwrite:
            fail("--overwrite and --resume: give one of them")
    experiment.check(arguments.experiment)
    evaluating.check_evaluation(arguments.evaluation, arguments.experiment)
    experiment.check_numbers(arguments, checkpoint_every=1, keep=1)
    return arguments


def over_preset(arguments: Train, preset: Experiment) -> Train:
    """Settings NAME=VALUE that were given replace those of the preset by name, and leave it the others."""

    def merged(given: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
        named = {one.partition("=")[0] for one in given}
        return (*(one for one in own if one.partition("=")[0] not in named), *given)

    found = {
        name: merged(getattr(arguments.experiment, name), getattr(preset, name))
        for name in ("algorithm_settings", "task_settings")
    }
    return dataclasses.replace(arguments, experiment=dataclasses.replace(arguments.experiment, **found))


def prepare(arguments: Train) -> Path:
    """The run's directory, made or found, never one that holds another run."""
    if arguments.resume is not None:
        saved = [int(path.name) for path in (arguments.resume / "checkpoints").glob("*") if path.name.isdigit()]
        if saved and max(saved) > arguments.experiment.iterations:
            wanted = arguments.experiment.iterations
            fail(f"--resume {arguments.resume}: iteration {max(saved)} is beyond --iterations {wanted}")
        return arguments.resume
    default = Path("runs") / f"{arguments.experiment.algorithm}-{arguments.experiment.task}"
    directory = arguments.out or default
    if directory.exists() and not directory.is_dir():
        fail(f"--out {directory}: is a file; name a directory")
    if directory.exists() and any(directory.iterdir()):
        if not (directory / "config.json").exists():
            fail(f"--out {directory}: is not empty and holds no run; choose another directory")
        if not arguments.overwrite:
            ways = f"--resume {directory}, --overwrite it, or choose another --out"
            fail(f"--out {directory}: already holds a run; {ways}")
        shutil.rmtree(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--out {directory}: cannot be made ({error.strerror})")
    return directory


def run(arguments: Train, directory: Path) -> int:
    from jaxmeta.runs import directory as runs
    from jaxmeta.runs.checkpoint import CheckpointError

    started = time.perf_counter()
    what, seeds = arguments.experiment, experiment.seed_names(arguments.experiment)
    try:
        tasks, algorithm = building.build(what)
        runs.write_json(directory / "config.json", runs.describe(dataclasses.asdict(what)))
        if preset := published.PUBLISHED.get(arguments.preset or "", experiment.defaults(what)):
            kept = (f"{name} {value}" for name, value in preset.items() if getattr(what, name) == value)
            print("defaults changed:", ", ".join(kept))
        print(f"{what.algorithm} on {what.task}: {what.iterations} meta-iterations, seeds {seeds}, in {directory}")
        with Display(what.iterations) as display:
            outcome = runs.train_run(
                directory,
                algorithm,
                tasks,
                seeds=seeds,
                meta_batch=what.meta_batch,
                iterations=what.iterations,
                checkpoint_every=arguments.checkpoint_every,
                keep=arguments.keep,
                resume=arguments.resume is not None,
                tensorboard=arguments.tensorboard,
                report=display.report,
                announce=display.announce,
            )
    except (CheckpointError, OSError, ImportError, ValueError) as error:
        fail(" ".join(str(error).split()))
    if outcome.skipped:
        print(f"warning: {outcome.skipped} updates were not finite and were left out (column 'skipped' of metrics.csv)")
    if outcome.signal is not None:
        print(
            f"stopped by {signal.Signals(outcome.signal).name} after iteration {outcome.iteration}, state saved; "
            f"go on with --resume {directory}"
        )
        return 128 + outcome.signal
    if arguments.evaluate:
        evaluating.evaluate_and_plot(directory, what, arguments.evaluation)
    print(f"done in {time.perf_counter() - started:.0f} s")
    return 0


class Display:
    """Live progress: a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, iterations: int, every: float = 5.0):
        from rich import progress

        columns = (
            progress.TextColumn("{task.completed}/{task.total}"),
            progress.BarColumn(bar_width=20),
            progress.TextColumn("{task.fields[left]} left"),
            progress.TextColumn("{task.fields[rate]} env steps/s"),
            progress.TextColumn("return {task.fields[pre]} → {task.fields[post]}"),
            progress.TextColumn("{task.fields[skipped]}"),
        )
        self._bar = progress.Progress(*columns)
        self._live = self._bar.console.is_terminal
        self._id = self._bar.add_task("", total=iterations, left="-", rate="-", pre="-", post="-", skipped="")
        self._every, self._printed = every, 0.0

    def __enter__(self) -> Display:
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._bar.stop()

    def announce(self, line: str) -> None:
        self._bar.console.print(line, highlight=False)

    def report(self, progress) -> None:
        fields: dict[str, Any] = {
            "left": f"{int(progress.seconds_left) // 60}:{int(progress.seconds_left) % 60:02d}",
            "rate": f"{progress.steps_per_second / 1e3:,.0f} k",
            "pre": f"{progress.return_pre:.2f}",
            "post": f"{progress.return_post:.2f}",
            "skipped": f"{progress.skipped} skipped" if progress.skipped else "",
        }
        if self._live:
            self._bar.update(self._id, completed=progress.iteration, **fields)
        elif time.monotonic() - self._printed >= self._every or progress.iteration == progress.iterations:
            self._printed = time.monotonic()
            print(
                f"iteration {progress.iteration}/{progress.iterations}, {fields['left']} left, {fields['rate']} env "
                f"steps/s, return {fields['pre']} before and {fields['post']} after adaptation"
                + (f", {fields['skipped']}" if progress.skipped else ""),
                flush=True,
            )


if __name__ == "__main__":
    raise SystemExit(main())
