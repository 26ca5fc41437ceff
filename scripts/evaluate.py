"""Evaluate a run on unseen tasks: return per adaptation step, reference lines, intervals."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import evaluating
import experiment
import tyro


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluate a run on unseen tasks; writes RUN/evaluation.json and the curves."""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    evaluation: Annotated[evaluating.Evaluation, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=evaluating.Evaluation
    )


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Evaluate, args=argv)
    trained = experiment.load(arguments.run)
    experiment.check(trained)
    evaluating.check_evaluation(arguments.evaluation, trained)
    from jaxmeta.runs.checkpoint import CheckpointError
    from jaxmeta.runs.directory import RunError

    try:
        evaluating.evaluate_and_plot(arguments.run, trained, arguments.evaluation)
    except (CheckpointError, RunError, OSError) as error:
        experiment.fail(" ".join(str(error).split()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
