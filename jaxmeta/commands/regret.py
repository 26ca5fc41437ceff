"""Set runs with a memory beside exact and classical methods, on the same tasks for all of them."""

import dataclasses
import json as json_format
import sys
from pathlib import Path

from jaxmeta.checks import check_least
from jaxmeta.commands.arguments import imported, parsed_by
from jaxmeta.commands.errors import check_folders, fail, of_flags, one_line_errors


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    import tyro

    @dataclasses.dataclass(frozen=True)
    class Regret:
        """Evaluate runs on bandits, random MDPs or GridNavi beside exact and classical methods, on the same tasks."""

        runs: tyro.conf.Positional[tuple[Path, ...]]
        """Directories of runs of methods with a memory."""
        tasks: int = 100_000
        """Tasks that each seed and each method is evaluated on."""
        task_seed: int = 0
        """Draws the tasks and, in bandits, all that happens in them: that of jaxmeta references --seed."""
        deterministic: bool = False
        """Act by the mode of the policy, and not by samples of it."""
        references: bool = True
        """Simulate the classical methods too."""
        json: Path | None = None
        """Write the rows to this file, a JSON list; it is brought up to date after each run."""
        out: Path | None = None
        """Write a figure of the regrets to this file."""

    with one_line_errors():
        arguments = parsed_by(Regret, imported(sys.argv[1:] if argv is None else argv), "jaxmeta regret")
        check_folders(json=arguments.json, out=arguments.out)
        if not arguments.runs:
            fail("RUNS: name the directory of at least one run")
        with of_flags():
            check_least(2, tasks=arguments.tasks)
            check_least(0, task_seed=arguments.task_seed)
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
            if arguments.json is not None:
                arguments.json.write_text(json_format.dumps(rows, indent=1) + "\n")
        if arguments.out is not None:
            from jaxmeta import plots
            from jaxmeta.plots import memory

            print("wrote", plots.save(memory.regrets(rows), arguments.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
