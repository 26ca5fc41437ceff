"""Print what exact answers and classical methods reach on the standard problems, beside the published numbers."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import experiment
import reference_problems
import tyro


@dataclasses.dataclass(frozen=True)
class References:
    """Print what exact answers and classical methods reach on the standard problems, beside the published numbers."""

    tasks: int = 100_000
    """Tasks that each method is simulated on."""
    quick: bool = False
    """Fewer settings, and 1,000 tasks at most: under a minute on two cores."""
    only: tuple[str, ...] = ()
    """Problems; all if not given."""
    lifetimes: tuple[int, ...] = ()
    """Lifetimes n of bandits (pulls) and tabular MDPs (episodes), of those tabulated; all if not given."""
    prior_mean: float = 1.0
    """What the tabular methods take a mean reward for before they see one; the family's is 1, published tables' 0."""
    seed: int = 0
    """Draws the tasks and all that happens in them, the same for every method."""
    json: Path | None = None
    """Write the rows to this file, a JSON list; it is brought up to date after each setting."""


def table_line(rows: list[reference_problems.Row]) -> str:
    """One setting: a column a method, the mean and its standard error above the published mean."""
    fields = ("problem", "method", "mean", "stderr", "tasks")
    setting = {name: value for name, value in rows[0].items() if name not in fields}
    published = reference_problems.PUBLISHED.get((rows[0]["problem"], *setting.values()), {})
    width = max(18, *(len(row["method"]) + 2 for row in rows))
    label = ", ".join(f"{name} {value}" for name, value in setting.items())
    errors = [f"± {row['stderr']:.3f}" if row["stderr"] else "exact" for row in rows]
    ours = [f"{row['mean']:.3f} {error}" for row, error in zip(rows, errors, strict=True)]
    lines = [(label, [row["method"] for row in rows]), ("", ours)]
    if published:
        theirs = [published.get(row["method"]) for row in rows]
        lines.append(("published", ["" if mean is None else f"{mean:.1f}" for mean in theirs]))
    return "\n".join(f"{head:14s}" + "".join(f"{cell:>{width}s}" for cell in cells) for head, cells in lines)


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(References, args=argv)
    experiment.check_numbers(arguments, tasks=2, seed=0, lifetimes=1)
    for name in arguments.only:
        experiment.check_name("problem", name, tuple(reference_problems.PROBLEMS))
    if arguments.json is not None and not arguments.json.parent.is_dir():
        experiment.fail(f"--json: {arguments.json.parent} is not a directory")
    tasks = min(arguments.tasks, 1000) if arguments.quick else arguments.tasks
    if arguments.quick:
        # Compiling is most of a quick run, and code that is optimised little is fast enough for a thousand tasks.
        flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
        os.environ.setdefault("XLA_FLAGS", flags)
    effort = reference_problems.Effort(
        tasks=tasks,
        quick=arguments.quick,
        seed=arguments.seed,
        lifetimes=arguments.lifetimes,
        prior_mean=arguments.prior_mean,
    )
    rows: list[reference_problems.Row] = []
    for name in arguments.only or reference_problems.PROBLEMS:
        problem = reference_problems.PROBLEMS[name]
        print(f"\n{name}. {problem.__doc__} {tasks} tasks; mean ± standard error.", flush=True)
        for setting in problem(effort):
            print("\n" + table_line(setting), flush=True)
            rows += setting
            if arguments.json is not None:
                arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
