"""Print what exact answers and classical methods reach on the standard problems, beside the published numbers."""

import dataclasses
from pathlib import Path

from jaxmeta import registry
from jaxmeta.commands.arguments import command
from jaxmeta.studies import reference_tables


@dataclasses.dataclass(frozen=True)
class References(reference_tables.Effort):
    """Print what exact answers and classical methods reach on the standard problems, beside published numbers."""

    only: tuple[str, ...] = ()
    """Problems; all if not given."""
    json: Path | None = None
    """Write the rows to this file, a JSON list; it is brought up to date after each setting."""


@command(References, tasks=2, seed=0, lifetimes=1)
def main(arguments: References) -> None:
    """Print a table for each setting of each problem, and write the rows."""
    for name in arguments.only:
        registry.check("--only", name, reference_tables.PROBLEMS)
    from jaxmeta.runs.logging import write_json

    effort = dataclasses.replace(arguments, tasks=min(arguments.tasks, 1000)) if arguments.quick else arguments
    rows: list[reference_tables.Row] = []
    for name in arguments.only or reference_tables.PROBLEMS:
        said = reference_tables.PROBLEMS[name].__doc__
        print(f"\n{name}. {said} {effort.tasks} tasks; mean ± standard error.", flush=True)
        for setting in reference_tables.rows_of(name, effort):
            print("\n" + reference_tables.text(setting), flush=True)
            rows += setting
            write_json(arguments.json, rows)
