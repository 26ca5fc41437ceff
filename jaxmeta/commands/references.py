"""Print what exact answers and classical methods reach on the standard problems, beside the published numbers."""

from pathlib import Path

from jaxmeta import registry
from jaxmeta.checks import check_finite
from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import fail, of_flags


@command(tasks=(2, 10_000_000), seed=0, lifetimes=1)
def main(
    *,
    tasks: int = 100_000,
    quick: bool = False,
    lifetimes: tuple[int, ...] = (),
    prior_mean: float = 1.0,
    seed: int = 0,
    only: tuple[str, ...] = (),
    json: Path | None = None,
) -> None:
    """Print what exact answers and classical methods reach on the standard problems, beside published numbers.

    Args:
      tasks: Tasks that each method is simulated on.
      quick: Fewer settings, and 1,000 tasks at most: under a minute on two cores.
      lifetimes: Lifetimes n of bandits (pulls) and tabular MDPs (episodes), of those tabulated; all if not given.
      prior_mean: Prior mean of the rewards that tabular methods begin with: 1 in the family, 0 in the published tables.
      seed: Draws the tasks and all that happens in them, the same for every method.
      only: Problems; all if not given.
      json: Write the rows to this file, a JSON list; it is brought up to date after each setting.
    """
    from jaxmeta.runs.logging import write_json
    from jaxmeta.studies import reference_tables

    with of_flags():
        check_finite(prior_mean=prior_mean)
    for name in only:
        registry.check("--only", name, reference_tables.PROBLEMS)
    effort = reference_tables.Effort(min(tasks, 1000) if quick else tasks, quick, lifetimes, prior_mean, seed)
    problems = only or tuple(reference_tables.PROBLEMS)
    tabulated = sorted({n for name in problems for n in effort.tabulated(name)})
    if unknown := [n for n in lifetimes if n not in tabulated]:
        fail(f"--lifetimes: got {unknown[0]}; tabulated are {', '.join(map(str, tabulated)) or 'none'}")
    rows: list[reference_tables.Row] = []
    for name in problems:
        said = reference_tables.PROBLEMS[name].__doc__
        print(f"\n{name}. {said} {effort.tasks} tasks; mean ± standard error.", flush=True)
        if (known := effort.tabulated(name)) and (skipped := [n for n in lifetimes if n not in known]):
            print(f"not tabulated, and left out: n {', '.join(map(str, skipped))}", flush=True)
        for setting in reference_tables.rows_of(name, effort):
            print("\n" + reference_tables.text(setting), flush=True)
            rows += setting
            write_json(json, rows)
