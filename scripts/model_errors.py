"""How well the models of runs that plan predict unseen tasks, before and after adaptation, as a table and as JSON."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import building
import experiment
import names
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


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(ModelErrors, args=argv)
    experiment.check_numbers(arguments, tasks=1, ahead=1, task_seed=0)
    if not arguments.runs:
        experiment.fail("RUNS: name the directory of at least one run")
    trained = [(run, experiment.load(run)) for run in arguments.runs]
    for run, each in trained:
        experiment.check(each)
        if each.algorithm not in names.PLANNING:
            experiment.fail(f"{run} is {each.algorithm}; needed is one of {', '.join(names.PLANNING)}")
    from jaxmeta.runs import directory as runs
    from jaxmeta.runs.checkpoint import CheckpointError

    for run, each in trained:
        try:
            rows = errors(arguments, run, each)
        except (CheckpointError, runs.RunError, OSError, ValueError) as error:
            experiment.fail(" ".join(str(error).split()))
        content = {"tasks": arguments.tasks, "task_seed": arguments.task_seed, "ahead": arguments.ahead, "seeds": rows}
        runs.write_json(run / "model_errors.json", content)
        print(table(each, arguments, rows), flush=True)
        print("wrote", run / "model_errors.json")
    return 0


def errors(arguments: ModelErrors, run: Path, trained: experiment.Experiment) -> list[dict[str, Any]]:
    """One row for each seed."""
    import jax

    from jaxmeta.runs import directory as runs
    from jaxmeta.runs.loop import held_out_tasks
    from jaxmeta.studies.model_errors import model_errors

    tasks, algorithm = building.build(trained)
    online = building.online_model(trained, tasks)
    seeds = experiment.seed_names(trained)
    theta, iteration = runs.load_theta(run, algorithm, seeds)
    key = jax.random.fold_in(jax.random.key(runs.TEST_KEY), arguments.task_seed)
    key_tasks, key_act = jax.random.split(key)
    batch = held_out_tasks(key_tasks, tasks, arguments.tasks)
    keys = jax.random.split(key_act, arguments.tasks)
    act = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))
    rows = []
    for index, seed in enumerate(seeds):
        one = jax.tree.map(lambda x, index=index: x[index], theta)
        trajectories = jax.tree.map(lambda x: x[:, -1], act(keys, one, batch)[1].trajectory)
        found = model_errors(tasks.env, online, one["online"], trajectories, horizon=arguments.ahead)
        rows.append({"seed": seed, "iteration": iteration, **found})
    return rows


def table(trained: experiment.Experiment, arguments: ModelErrors, rows: list[dict[str, Any]]) -> str:
    """A line a seed, before and after adaptation."""
    names = {"one_step": "1 step", "horizon": f"{arguments.ahead} steps", "reward": "reward"}
    # A model without variances claims to be certain.
    if "probabilistic=True" in trained.algorithm_settings:
        names |= {"coverage_50": "in 50 %", "coverage_90": "in 90 %"}
    lines = [f"\n{trained.algorithm} on {trained.task}, {arguments.tasks} unseen tasks; errors in standard deviations"]
    lines.append(f"{'':24s}" + "".join(f"{name:>12s}" for name in names.values()))
    for row in rows:
        for when in ("before", "after"):
            cells = "".join(f"{row[when][name]:12.3f}" for name in names)
            lines.append(f"{'seed {}, {}'.format(row['seed'], when):24s}" + cells)
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
