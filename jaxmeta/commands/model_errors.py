"""How well the models of runs that plan predict unseen tasks, before and after adaptation, as a table and as JSON."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from jaxmeta.checks import check_least
from jaxmeta.commands.arguments import imported, parsed_by
from jaxmeta.commands.errors import fail, of_flags, one_line_errors


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    import tyro

    @dataclasses.dataclass(frozen=True)
    class ModelErrors:
        """Errors of a model's predictions in unseen tasks; writes RUN/model_errors.json."""

        runs: tyro.conf.Positional[tuple[Path, ...]]
        """Directories of runs of grbal or rebal."""
        tasks: int = 40
        """Unseen tasks, with a lifetime without exploration in each."""
        ahead: int = 10
        """Steps ahead, beside one."""
        task_seed: int = 0
        """Draws the tasks."""

    with one_line_errors():
        arguments = parsed_by(ModelErrors, imported(sys.argv[1:] if argv is None else argv), "jaxmeta model-errors")
        if not arguments.runs:
            fail("RUNS: name the directory of at least one run")
        with of_flags():
            check_least(1, tasks=arguments.tasks, ahead=arguments.ahead)
            check_least(0, task_seed=arguments.task_seed)
        from jaxmeta.runs.directory import write_json
        from jaxmeta.runs.run import load, read_config
        from jaxmeta.studies.model_errors import check, errors_of_run, table

        for directory in arguments.runs:
            check(read_config(directory))
        sizes = {"tasks": arguments.tasks, "ahead": arguments.ahead}
        for directory in arguments.runs:
            run = load(directory)
            rows: list[dict[str, Any]] = errors_of_run(run, **sizes, task_seed=arguments.task_seed)
            write_json(directory / "model_errors.json", {**sizes, "task_seed": arguments.task_seed, "seeds": rows})
            print(table(run.config, rows, **sizes), flush=True)
            print("wrote", directory / "model_errors.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
