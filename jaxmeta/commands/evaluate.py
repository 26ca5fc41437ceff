"""Evaluate a run on tasks drawn anew: return per adaptation step or episode, reference lines, intervals."""

import dataclasses
import typing
from pathlib import Path

import tyro

from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import of_flags
from jaxmeta.runs.evaluation import Evaluation, check_evaluation

if typing.TYPE_CHECKING:
    from jaxmeta.runs.run import Run


@command()
def main(
    run: tyro.conf.Positional[Path],
    evaluation: typing.Annotated[Evaluation, tyro.conf.arg(name="")],
    *,
    checkpoint: int | None = None,
) -> None:
    """Evaluate a run on tasks drawn anew; writes RUN/evaluation.json and the curves.

    Args:
      run: The run's directory.
      evaluation: How.
      checkpoint: Meta-iteration of a kept checkpoint; the newest if not given.
    """
    from jaxmeta.runs.run import load, read_config

    config = read_config(run)
    with of_flags():
        check_evaluation(evaluation, config)
    evaluate_and_plot(load(run, checkpoint=checkpoint), evaluation)


def evaluate_and_plot(run: "Run", evaluation: Evaluation) -> None:
    """Write ``evaluation.json`` and the two curves into a run's directory, and print the table."""
    from jaxmeta import plots
    from jaxmeta.runs.evaluation import table
    from jaxmeta.runs.logging import read_csv

    result = run.evaluate(write=True, **dataclasses.asdict(evaluation))
    print("\n" + table(result))
    seeds, metrics = run.config.seeds, run.directory / "metrics.csv"
    title = f"{run.config.title}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    written = [plots.save(plots.adaptation_curve(result, title), run.directory / "adaptation_curve.png")]
    if metrics.exists() and (rows := read_csv(metrics)):
        figure = plots.learning_curve(rows, title, stages=plots.stages_of([result]))
        written.append(plots.save(figure, run.directory / "learning_curve.png"))
    print("wrote", run.directory / "evaluation.json", *written)
