"""Print what exact answers and classical methods reach on the standard problems, beside the published numbers."""

import dataclasses
import json as json_format
from pathlib import Path

from jaxmeta import registry
from jaxmeta.commands.errors import check_folders, fail, one_line_errors
from jaxmeta.studies import reference_tables


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    import tyro

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

    with one_line_errors():
        arguments = tyro.cli(References, args=argv, prog="jaxmeta references")
        check_folders(json=arguments.json)
        for name in arguments.only:
            registry.check("--only", name, reference_tables.PROBLEMS)
        if arguments.tasks < 2 or arguments.seed < 0 or min(arguments.lifetimes, default=1) < 1:
            fail("--tasks, --seed, --lifetimes: must be at least 2, 0 and 1")
        effort = reference_tables.Effort(
            tasks=min(arguments.tasks, 1000) if arguments.quick else arguments.tasks,
            quick=arguments.quick,
            seed=arguments.seed,
            lifetimes=arguments.lifetimes,
            prior_mean=arguments.prior_mean,
        )
        rows: list[reference_tables.Row] = []
        for name in arguments.only or reference_tables.PROBLEMS:
            print(
                f"\n{name}. {reference_tables.PROBLEMS[name].__doc__} {effort.tasks} tasks; mean ± standard error.",
                flush=True,
            )
            for setting in reference_tables.rows_of(name, effort):
                print("\n" + reference_tables.text(setting), flush=True)
                rows += setting
                if arguments.json is not None:
                    arguments.json.write_text(json_format.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
