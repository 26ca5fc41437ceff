"""Meta-train, save, evaluate and plot, from one command."""

import dataclasses
import itertools
import sys
import time
import typing
from pathlib import Path

from jaxmeta.commands.arguments import parsed_by, split
from jaxmeta.commands.errors import fail, of_flags, one_line_errors
from jaxmeta.commands.flags import check_flags
from jaxmeta.runs import presets

if typing.TYPE_CHECKING:
    from jaxmeta.runs.evaluation import Evaluation
    from jaxmeta.runs.experiment import Experiment
    from jaxmeta.runs.start import Saving

USAGE = "jaxmeta train [METHOD [FAMILY]] [--preset NAME] [--config FILE] [--import FILE]"


@dataclasses.dataclass(frozen=True)
class Where:
    """Where the run is, and what is done with it."""

    out: Path | None = None
    """The run's directory; runs/METHOD-FAMILY if not given."""
    resume: Path | None = None
    """Go on with the run in this directory, bit for bit; only --iterations may differ (to train longer)."""
    overwrite: bool = False
    """Delete the run that the directory already holds."""
    evaluate: bool = True
    """Evaluate and plot after training."""


class Parsed(typing.NamedTuple):
    """What the arguments stand for."""

    experiment: "Experiment"
    where: Where
    saving: "Saving"
    evaluation: "Evaluation"


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    with one_line_errors():
        return run(parse(argv))


def parse(argv: list[str]) -> Parsed:
    """The arguments; settings come from presets, a file or a resumed run, and then from flags."""
    # Wrong names and flags are answered before anything heavy is imported.
    names = split(argv)
    if names.config is None and not any(flag.startswith("--resume") for flag in names.rest):
        check_flags(*presets.names_of(names.method, names.family, names.preset), names.rest)
    import tyro

    from jaxmeta.commands import settings
    from jaxmeta.runs.evaluation import Evaluation, check_evaluation
    from jaxmeta.runs.experiment import settings_paths
    from jaxmeta.runs.run import read_config
    from jaxmeta.runs.start import Saving, check_directory, check_saving

    resume = _value(names.rest, "--resume")
    if resume is not None:
        for flag, value in (("--preset", names.preset), ("--config", names.config), ("METHOD", names.method)):
            if value is not None:
                fail(f"{flag} and --resume: give one of them; a resumed run has its settings")
        start = read_config(resume)
    else:
        start = settings.base(names)
    start = settings.with_kinds(start, names.rest)
    flags = settings.flags(start)
    command = dataclasses.make_dataclass(
        "Train",
        [
            ("settings", typing.Annotated[flags, tyro.conf.arg(name="")], dataclasses.field(default_factory=flags)),
            ("where", typing.Annotated[Where, tyro.conf.arg(name="")], dataclasses.field(default_factory=Where)),
            ("saving", typing.Annotated[Saving, tyro.conf.arg(name="")], dataclasses.field(default_factory=Saving)),
            (
                "evaluation",
                typing.Annotated[Evaluation, tyro.conf.arg(name="eval")],
                dataclasses.field(default_factory=Evaluation),
            ),
        ],
        frozen=True,
    )
    command.__doc__ = f"Meta-train {start.method} on {start.family}; save, evaluate on unseen tasks, and plot."
    known = [f"--{path.replace('_', '-')}" for path in settings_paths(start.tree)]
    parsed = parsed_by(command, names.rest, USAGE, known)
    where: Where = parsed.where
    if where.resume is not None and (where.out is not None or where.overwrite):
        fail("--out, --overwrite and --resume: give one of them; a resumed run stays in its directory")
    experiment = settings.given(start, parsed.settings)
    with of_flags("eval."):
        check_evaluation(parsed.evaluation, experiment)
    with of_flags():
        check_saving(parsed.saving)
    directory = where.resume or where.out or default_directory(experiment)
    check_directory(experiment, directory, overwrite=where.overwrite, resume=where.resume is not None)
    return Parsed(experiment, where, parsed.saving, parsed.evaluation)


def _value(argv: list[str], flag: str) -> Path | None:
    """The value of a flag that must be known before the others are read."""
    for here, following in itertools.pairwise([*argv, ""]):
        name, equals, value = here.partition("=")
        if name == flag and (value or following):
            return Path(value if equals else following)
    return None


def default_directory(experiment: "Experiment") -> Path:
    return Path("runs") / f"{experiment.method}-{experiment.family}"


def run(arguments: Parsed) -> int:
    """Train, evaluate and plot; the exit status."""
    from jaxmeta.commands.evaluate import evaluate_and_plot
    from jaxmeta.runs.start import Display, Stopped, start

    started = time.perf_counter()
    experiment, where = arguments.experiment, arguments.where
    resume = where.resume is not None
    directory = where.resume or where.out or default_directory(experiment)
    try:
        with Display(experiment.tree["iterations"]) as display:
            found = start(
                experiment,
                directory,
                saving=arguments.saving,
                overwrite=where.overwrite,
                resume=resume,
                report=display.report,
                announce=display.announce,
            )
    except Stopped as stopped:
        print(f"{stopped}; go on with --resume {directory}")
        return 128 + stopped.signal
    if where.evaluate:
        evaluate_and_plot(found, arguments.evaluation)
    print(f"done in {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
