"""Set runs with a memory beside exact and classical methods, on the same tasks for all of them."""

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from jaxmeta.commands.arguments import command


@dataclasses.dataclass(frozen=True)
class Regret:
    """Evaluate runs on bandits, random MDPs or GridNavi beside exact and classical methods, on the same tasks."""

    runs: Positional[tuple[Path, ...]]
    """Directories of runs of methods with a memory."""
    tasks: int = 100_000
    """Tasks that each seed and each method is evaluated on."""
    task_seed: int = 0
    """Draws the tasks and, in bandits, all that happens in them: that of jaxmeta references --seed."""
    deterministic: bool = False
    """Act by the mode of the policy instead of samples from it."""
    references: bool = True
    """Simulate the classical methods too."""
    json: Path | None = None
    """Write the rows to this file, a JSON list; it is brought up to date after each run."""
    out: Path | None = None
    """Write a figure of the regrets to this file."""


@command(Regret, tasks=2, task_seed=0)
def main(arguments: Regret) -> None:
    """Print a table for each run, and write the rows and the figure."""
    from jaxmeta.runs.logging import write_json
    from jaxmeta.runs.run import load, read_config
    from jaxmeta.studies import regret

    for directory in arguments.runs:
        regret.check(read_config(directory))
    rows: list[regret.Row] = []
    how = {name: getattr(arguments, name) for name in ("tasks", "task_seed", "deterministic", "references")}
    for directory in arguments.runs:
        found, problem = regret.compare(load(directory), **how)
        print(regret.table(found, problem), flush=True)
        rows += found
        write_json(arguments.json, rows)
    if arguments.out is not None:
        from jaxmeta import plots

        print("wrote", plots.save(plots.regrets(rows), arguments.out))
