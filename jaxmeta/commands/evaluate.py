"""Evaluate a run on unseen tasks: return per adaptation step or episode, reference lines, intervals."""

import dataclasses
import sys
import typing
from pathlib import Path

from jaxmeta.commands.errors import of_flags, one_line_errors

if typing.TYPE_CHECKING:
    from jaxmeta.runs.evaluation import Evaluation
    from jaxmeta.runs.run import Run


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    import tyro

    from jaxmeta.commands.arguments import imported, parsed_by
    from jaxmeta.runs.evaluation import Evaluation, check_evaluation

    @dataclasses.dataclass(frozen=True)
    class Evaluate:
        """Evaluate a run on unseen tasks; writes RUN/evaluation.json and the curves."""

        run: tyro.conf.Positional[Path]
        """The run's directory."""
        evaluation: typing.Annotated[Evaluation, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Evaluation)
        checkpoint: int | None = None
        """Meta-iteration of a kept checkpoint; the newest if not given."""

    with one_line_errors():
        argv = imported(sys.argv[1:] if argv is None else argv)
        arguments = parsed_by(Evaluate, argv, "jaxmeta evaluate")
        from jaxmeta.runs.run import load, read_config

        config = read_config(arguments.run)
        with of_flags():
            check_evaluation(arguments.evaluation, config)
        evaluate_and_plot(load(arguments.run, checkpoint=arguments.checkpoint), arguments.evaluation)
    return 0


def evaluate_and_plot(run: "Run", evaluation: "Evaluation") -> None:
    """Write ``evaluation.json`` and the two curves into a run's directory, and print the table."""
    from jaxmeta import plots
    from jaxmeta.runs.evaluation import table
    from jaxmeta.runs.logging import read_csv

    result = run.evaluate(write=True, **dataclasses.asdict(evaluation))
    print("\n" + table(result))
    seeds = run.config.seeds
    title = f"{run.config.title}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    written = [plots.save(plots.adaptation_curve(result, title), run.directory / "adaptation_curve.png")]
    if (run.directory / "metrics.csv").exists() and (rows := read_csv(run.directory / "metrics.csv")):
        written.append(
            plots.save(
                plots.learning_curve(rows, title, stages=plots.stages_of([result])),
                run.directory / "learning_curve.png",
            )
        )
    print("wrote", run.directory / "evaluation.json", *written)


if __name__ == "__main__":
    raise SystemExit(main())
