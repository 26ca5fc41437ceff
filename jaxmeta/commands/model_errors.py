"""How well models of runs that plan predict test tasks, before and after adaptation, as a table and as JSON."""

from pathlib import Path

from tyro.conf import Positional

from jaxmeta.commands.arguments import command


@command(tasks=(1, 1_000_000), ahead=(1, 1000), task_seed=0)
def main(runs: Positional[tuple[Path, ...]], *, tasks: int = 40, ahead: int = 10, task_seed: int = 0) -> None:
    """Errors of a model's predictions in test tasks; writes RUN/model_errors.json.

    Args:
      runs: Directories of runs of grbal or rebal.
      tasks: Test tasks, with a lifetime without exploration in each.
      ahead: Steps ahead, beside one.
      task_seed: Draws the tasks.
    """
    from jaxmeta.runs.display import Display
    from jaxmeta.runs.logging import write_json
    from jaxmeta.runs.run import load, read_config
    from jaxmeta.studies.model_errors import check, errors_of_run, table

    for directory in runs:
        check(read_config(directory))
    for directory in runs:
        run, sizes = load(directory), {"tasks": tasks, "ahead": ahead, "task_seed": task_seed}
        with Display(f"{directory}: tasks") as display:
            rows = errors_of_run(run, **sizes, report=display.count)
        write_json(directory / "model_errors.json", {**sizes, "seeds": rows})
        print(table(run.config, rows, tasks=tasks, ahead=ahead), flush=True)
        print("wrote", directory / "model_errors.json")
