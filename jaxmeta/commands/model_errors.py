"""How well the models of runs that plan predict unseen tasks, before and after adaptation, as a table and as JSON."""

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from jaxmeta.commands.arguments import command


@dataclasses.dataclass(frozen=True)
class ModelErrors:
    """Errors of a model's predictions in unseen tasks; writes RUN/model_errors.json."""

    runs: Positional[tuple[Path, ...]]
    """Directories of runs of grbal or rebal."""
    tasks: int = 40
    """Unseen tasks, with a lifetime without exploration in each."""
    ahead: int = 10
    """Steps ahead, beside one."""
    task_seed: int = 0
    """Draws the tasks."""


@command(ModelErrors, tasks=1, ahead=1, task_seed=0)
def main(arguments: ModelErrors) -> None:
    """Print a table for each run, and write its rows into its directory."""
    from jaxmeta.runs.logging import write_json
    from jaxmeta.runs.run import load, read_config
    from jaxmeta.studies.model_errors import check, errors_of_run, table

    for directory in arguments.runs:
        check(read_config(directory))
    sizes, seed = {"tasks": arguments.tasks, "ahead": arguments.ahead}, {"task_seed": arguments.task_seed}
    for directory in arguments.runs:
        run = load(directory)
        rows = errors_of_run(run, **sizes, **seed)
        write_json(directory / "model_errors.json", {**sizes, **seed, "seeds": rows})
        print(table(run.config, rows, **sizes), flush=True)
        print("wrote", directory / "model_errors.json")
