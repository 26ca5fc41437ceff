"""Print what exact answers and classical methods reach on the standard problems, beside the published numbers."""

import dataclasses
from pathlib import Path

from jaxmeta import registry
from jaxmeta.commands.arguments import command
from jaxmeta.studies import reference_tables


@dataclasses.dataclass(frozen=True)
class References:
    """Print what exact answers and classical methods reach on the standard problems, beside published numbers."""

    tasks: int = 100_000
    """Tasks that each method is simulated on."""
    quick: bool = False
    """Fewer settings, and 1,000 tasks at most: under a minute on two cores."""
    only: tuple[str, ...] = ()
    """Problems; all if not given."""
    lifetimes: tuple[int, ...] = ()
    """Lifetimes n of bandits (pulls) and tabular MDPs (episodes), of those tabulated; all if not given."""
    prior_mean: float = 1.0
    """What tabular methods take a mean reward for before they see one; the family's is 1, published tables' 0."""
    seed: int = 0
    """Draws the tasks and all that happens in them, the same for every method."""
    json: Path | None = None
    """Write the rows to this file, a JSON list; it is brought up to date after each setting."""


@command(References, tasks=2, seed=0, lifetimes=1)
def main(arguments: References) -> None:
    """Print a table for each setting of each problem, and write the rows."""
    for name in arguments.only:
        registry.check("--only", name, reference_tables.PROBLEMS)
    from jaxmeta.runs.logging import write_json

    effort = reference_tables.Effort(
        tasks=min(arguments.tasks, 1000) if arguments.quick else arguments.tasks,
        **{name: getattr(arguments, name) for name in ("quick", "seed", "lifetimes", "prior_mean")},
    )
    rows: list[reference_tables.Row] = []
    for name in arguments.only or reference_tables.PROBLEMS:
        said = reference_tables.PROBLEMS[name].__doc__
        print(f"\n{name}. {said} {effort.tasks} tasks; mean ± standard error.", flush=True)
        for setting in reference_tables.rows_of(name, effort):
            print("\n" + reference_tables.text(setting), flush=True)
            rows += setting
            write_json(arguments.json, rows)
