"""Evaluate a run on test tasks: return per adaptation step or episode, reference lines, intervals."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import tyro

from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import fail, of_flags
from jaxmeta.commands.figures import Figures
from jaxmeta.runs.evaluation import Evaluation, check_evaluation

if typing.TYPE_CHECKING:
    from jaxmeta.runs.run import Run

EVALUATION = "evaluation.json"


@command()
def main(
    run: tyro.conf.Positional[Path],
    evaluation: typing.Annotated[Evaluation, tyro.conf.arg(name="")],
    figures: tyro.conf.OmitArgPrefixes[Figures],
    *,
    checkpoint: int | None = None,
    json: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Evaluate a run on test tasks; writes RUN/evaluation.json and the curves.

    Args:
      run: The run's directory.
      evaluation: How.
      figures: How the curves are written.
      checkpoint: Meta-iteration of a kept checkpoint; the newest if not given.
      json: A file to write the evaluation to, without curves, in place of the run's own.
      overwrite: Replace an evaluation that is there already.
    """
    from jaxmeta.runs.logging import write_json
    from jaxmeta.runs.run import load, read_config

    config = read_config(run)
    with of_flags():
        check_evaluation(evaluation, config)
    there = json or run / EVALUATION
    if there.exists() and not overwrite:
        fail(f"{there} is there already; give --overwrite to replace it, or --json FILE")
    found = load(run, checkpoint=checkpoint)
    if json is None:
        evaluate_and_plot(found, evaluation, figures)
    else:
        write_json(json, evaluated(found, evaluation))
        print("wrote", json)


def evaluate_and_plot(run: "Run", evaluation: Evaluation, figures: Figures) -> None:
    """Write ``evaluation.json`` and the two curves into a run's directory, and print the table."""
    from jaxmeta import plots
    from jaxmeta.runs.logging import read_csv, write_json
    from jaxmeta.runs.trackers import show_in_tensorboard

    result = evaluated(run, evaluation)
    write_json(run.directory / EVALUATION, result)
    seeds, metrics = run.config.seeds, run.directory / "metrics.csv"
    title = f"{run.config.title}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    written = figures.save(plots.adaptation_curve(result, title), run.directory / "adaptation_curve")
    if metrics.exists() and (rows := read_csv(metrics)):
        figure = plots.learning_curve(rows, title, stages=plots.stages_of([result]))
        written += figures.save(figure, run.directory / "learning_curve")
    show_in_tensorboard(run.directory, result, written, print)
    print("wrote", run.directory / EVALUATION, *written)


def evaluated(run: "Run", evaluation: Evaluation) -> dict[str, Any]:
    """The content of ``evaluation.json``, its table printed; says meanwhile how far it is."""
    from jaxmeta.runs.display import Display
    from jaxmeta.runs.evaluation import table

    with Display("evaluated") as display:
        result = run.evaluate(report=display.count, **dataclasses.asdict(evaluation))
    print("\n" + table(result))
    return result
