"""Meta-train, save, evaluate and plot, from one command."""

import contextlib
import dataclasses
import sys
import time
import typing
from pathlib import Path

from jaxmeta.commands.arguments import parsed_by, split, types_of, without
from jaxmeta.commands.errors import Lenient, ending_together, fail, of_flags, one_line_errors, one_line_signals
from jaxmeta.commands.flags import check_flags
from jaxmeta.commands.plan import say_plan
from jaxmeta.runs import presets

if typing.TYPE_CHECKING:
    from jaxmeta.runs.evaluation import Evaluation
    from jaxmeta.runs.experiment import Experiment
    from jaxmeta.runs.hosts import Hosts
    from jaxmeta.runs.start import Saving

USAGE = "jaxmeta train [METHOD [FAMILY]] [--preset NAME] [--config FILE] [--import FILE]"


@dataclasses.dataclass(frozen=True)
class Where:
    """Where the run is, and what is done with it."""

    out: Path | None = None
    """The run's directory; runs/METHOD-FAMILY if not given."""
    resume: Path | None = None
    """Go on with the run in this directory, bit for bit. Only --iterations (to train longer) and flags that say how to
    save or evaluate may differ; --eval.* flags that are not given are those that the run began with."""
    auto_resume: bool = False
    """Go on with the run that the directory holds, or begin it: one command line for a job that is started again."""
    overwrite: bool = False
    """Delete the run that the directory already holds."""
    evaluate: bool = True
    """Evaluate and plot after training."""
    plan: bool = False
    """Say what training would take of memory and steps, and end: nothing is run or written."""


class Parsed(typing.NamedTuple):
    """What the arguments stand for."""

    experiment: "Experiment"
    where: Where
    saving: "Saving"
    evaluation: "Evaluation"

    @property
    def directory(self) -> Path:
        """Where the run is."""
        default = Path("runs") / f"{self.experiment.method}-{self.experiment.family}"
        return self.where.resume or self.where.out or default

    @property
    def resumes(self) -> bool:
        """Whether there is a run to go on with."""
        from jaxmeta.runs.run import CONFIG

        return self.where.resume is not None or (self.where.auto_resume and (self.directory / CONFIG).exists())


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    with ending_together(), one_line_errors(), contextlib.redirect_stdout(Lenient(sys.stdout)):
        return run(parse(sys.argv[1:] if argv is None else argv))


def parse(argv: list[str], usage: str = USAGE) -> Parsed:
    """The arguments; settings come from presets, a file or a resumed run, and then from flags."""
    # Wrong names and flags are answered before anything heavy is imported.
    names = split(argv)
    resume = without(names.rest, "--resume")[1]["--resume"]
    if names.config is None and not resume:
        check_flags(*presets.names_of(names.method, names.family, names.preset), names.rest)
    import tyro

    joined = joined_by(names.rest)
    from jaxmeta.commands import settings
    from jaxmeta.runs.directory import check_directory
    from jaxmeta.runs.evaluation import Evaluation, check_evaluation
    from jaxmeta.runs.run import read_config, read_evaluation
    from jaxmeta.runs.start import Saving, check_saving

    if resume:
        for flag, value in (("--preset", names.preset), ("--config", names.config), ("METHOD", names.method)):
            if value is not None:
                fail(f"{flag} and --resume: give one of them; a resumed run has its settings")
        start, evaluation = read_config(resume[0]), read_evaluation(resume[0])
    else:
        start, evaluation = settings.base(names), Evaluation()
    start = settings.with_kinds(start, names.rest)
    flags = {"settings": settings.flags(start)(), "where": Where(), "saving": Saving(), "evaluation": evaluation}
    flags["hosts"] = joined
    fields: list[typing.Any] = []
    for name, default in flags.items():
        prefix = tyro.conf.arg(name="eval" if name == "evaluation" else "")
        fields.append((name, typing.Annotated[type(default), prefix], dataclasses.field(default=default)))
    command = dataclasses.make_dataclass("Train", fields, frozen=True)
    command.__doc__ = f"Meta-train {start.method} on {start.family}; save, evaluate on test tasks, and plot."
    parsed = parsed_by(command, names.rest, usage)
    where: Where = parsed.where
    if where.resume is not None and (where.out is not None or where.overwrite or where.auto_resume):
        fail("--out, --overwrite, --auto-resume and --resume: give one; a resumed run stays in its directory")
    if where.auto_resume and where.overwrite:
        fail("--overwrite and --auto-resume: give one of them")
    found = Parsed(settings.given(start, parsed.settings), where, parsed.saving, parsed.evaluation)
    with of_flags("eval."):
        check_evaluation(found.evaluation, found.experiment)
    with of_flags():
        check_saving(found.saving)
    if not where.plan:
        check_directory(found.experiment, found.directory, overwrite=where.overwrite, resume=found.resumes)
    return found


def joined_by(argv: list[str]) -> "Hosts":
    """Join the other processes that the arguments tell of, before anything uses a device."""
    import jaxmeta.runs.hosts as hosts

    told, valued = [], types_of(hosts.Hosts)
    if not {"-h", "--help"} & set(argv):
        told = [one for one in argv if one in ("--distributed", "--no-distributed")]
        values = without(argv, *(flag for flag in valued if flag != "--distributed"))[1]
        told += [part for flag, given in values.items() for value in given for part in (flag, value)]
    found = parsed_by(hosts.Hosts, told, USAGE)
    with of_flags():
        hosts.join(found)
    if hosts.joined():
        # JAX has put its own handler of SIGTERM in the place of ours.
        one_line_signals()
    return found


def run(arguments: Parsed) -> int:
    """Train, evaluate and plot; the exit status."""
    import jax

    from jaxmeta.commands.evaluate import evaluate_and_plot
    from jaxmeta.commands.figures import Figures
    from jaxmeta.over_tasks import task_mesh
    from jaxmeta.runs import hosts
    from jaxmeta.runs.display import Display
    from jaxmeta.runs.start import Stopped, start

    if arguments.where.plan:
        say_plan(arguments)
        return 0
    started = time.perf_counter()
    experiment, where, saving, evaluation = arguments
    try:
        with Display("iteration") as display:
            found = start(
                experiment,
                arguments.directory,
                saving=saving,
                evaluation=evaluation,
                overwrite=where.overwrite,
                resume=arguments.resumes,
                report=display.report,
                announce=display.announce,
            )
    except Stopped as stopped:
        if hosts.first():
            print(f"{stopped}; go on with --resume {arguments.directory}")
        return 128 + stopped.signal
    hosts.leave()
    if not hosts.first():
        return 0
    if where.evaluate:
        # Of several processes this one is alone now, and of their devices it uses one.
        devices = 1 if hosts.several() else saving.devices or jax.device_count()
        with jax.set_mesh(task_mesh(devices)) if devices > 1 else contextlib.nullcontext():
            evaluate_and_plot(found, evaluation, Figures())
    print(f"done in {time.perf_counter() - started:.0f} s")
    return 0
