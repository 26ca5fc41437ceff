"""Set runs with a memory beside exact and classical methods, on the same tasks for all of them."""

from pathlib import Path

from tyro.conf import Positional

from jaxmeta.commands.arguments import command


@command(tasks=(2, 10_000_000), task_seed=0)
def main(
    runs: Positional[tuple[Path, ...]],
    *,
    tasks: int = 100_000,
    task_seed: int = 0,
    deterministic: bool = False,
    references: bool = True,
    json: Path | None = None,
    out: tuple[Path, ...] = (),
    note: str | None = None,
) -> None:
    """Evaluate runs on bandits, random MDPs or GridNavi beside exact and classical methods, on the same tasks.

    Runs with goals held out are evaluated on these; the other methods believe in all goals alike at first.

    Args:
      runs: Directories of runs of methods with a memory.
      tasks: Tasks that each seed and each method is evaluated on.
      task_seed: Draws the tasks and, in bandits, all that happens in them: that of jaxmeta references --seed.
      deterministic: Act by the mode of the policy instead of samples from it.
      references: Simulate the classical methods too.
      json: Write the rows to this file, a JSON list; it is brought up to date after each run.
      out: Write a figure of the regrets to these files: PNG, SVG, PDF, or CSV with the numbers.
      note: A line below the figure.
    """
    from jaxmeta.runs.display import Display
    from jaxmeta.runs.logging import write_json
    from jaxmeta.runs.run import load, read_config
    from jaxmeta.studies import regret

    for directory in runs:
        regret.check(read_config(directory))
    rows: list[regret.Row] = []
    how = {"tasks": tasks, "task_seed": task_seed, "deterministic": deterministic, "references": references}
    for directory in runs:
        with Display(f"{directory}: simulated") as display:
            found, problem = regret.compare(load(directory), **how, report=display.count)
        print(regret.table(found, problem), flush=True)
        rows += found
        write_json(json, rows)
    if out:
        from jaxmeta import plots

        print("wrote", *plots.save(plots.regrets(rows), *out, note=note))
