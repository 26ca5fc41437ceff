"""Evaluation of a run on unseen tasks: its arguments, ``evaluation.json``, the curves and the table."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from building import build
from experiment import Experiment, check_numbers, fail, seed_names
from names import RECURRENT


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a trained run is evaluated."""

    steps: int = 3
    """Adaptation steps K; returns are measured after 0 to K."""
    episodes: int | None = None
    """Episodes collected for each adaptation step; twice those of training if not given."""
    rate_decay: float = 0.5
    """Factor on the inner step size at each further step: its noise must shrink as the goal comes near."""
    tasks: int = 400
    """Held-out tasks."""
    in_distribution: bool = False
    """Unseen tasks of the distribution that training drew from, also where the family's test tasks are of another, such
    as cartpole's out of range."""
    task_seed: int = 0
    """Draws the held-out tasks; independent of every training seed."""
    greedy_episodes: int = 10
    """Episodes of the deterministic policy after each step."""
    solved_above: float | None = None
    """A return above which a task counts as solved: also print the share solved so far, by one stage or an earlier."""


def check_evaluation(arguments: Evaluation, trained: Experiment) -> None:
    """Fail in one line on the first argument that cannot be meant, or that the run's algorithm has no use for."""
    check_numbers(arguments, steps=0, episodes=1, tasks=1, task_seed=0, greedy_episodes=1, rate_decay=0.0)
    check_numbers(arguments, solved_above=-math.inf)
    check_use(arguments, Evaluation(), trained, " of the evaluation")


def check_use(arguments: Any, default: Any, trained: Experiment, where: str = "") -> None:
    """Fail in one line on an argument of how to adapt that the run's algorithm has no use for."""
    for name in without(trained.algorithm):
        if getattr(arguments, name) != getattr(default, name):
            fail(f"--{name.replace('_', '-')}{where}: {trained.algorithm} has no use for it; leave it out")


def without(algorithm: str) -> tuple[str, ...]:
    """The arguments of an evaluation that an algorithm has no use for."""
    if algorithm in ("mql", "pearl"):
        return ("episodes", "rate_decay")
    if algorithm == "maml-q":
        return ("rate_decay",)
    return ("steps", "episodes", "rate_decay") if algorithm in RECURRENT else ()


def evaluation_episodes(arguments: Experiment, episodes: int | None) -> int:
    """Episodes of an adaptation step in evaluation: as given, or twice those of training (Finn et al. 2017)."""
    return 2 * arguments.episodes if episodes is None else episodes


def evaluate_and_plot(directory: Path, arguments: Experiment, evaluation: Evaluation) -> None:
    """Write ``evaluation.json`` and the two curves into a run's directory, and print the table."""
    from jaxmeta.plots import curves as plots
    from jaxmeta.runs import directory as runs
    from jaxmeta.runs.logging import read_csv

    seeds = seed_names(arguments)
    episodes = evaluation_episodes(arguments, evaluation.episodes)
    _, training_algorithm = build(arguments)
    theta, iteration = runs.load_theta(directory, training_algorithm, seeds)
    tasks, algorithm = build(
        arguments,
        adaptation_steps=evaluation.steps,
        episodes=episodes,
        rate_decay=evaluation.rate_decay,
    )
    if evaluation.in_distribution:
        tasks = tasks._replace(sample_test=None)
    result = runs.evaluate_run(
        algorithm,
        tasks,
        theta,
        seeds=seeds,
        task_count=evaluation.tasks,
        task_seed=evaluation.task_seed,
        greedy_episodes=evaluation.greedy_episodes,
    )
    protocol = {**dataclasses.asdict(evaluation), "episodes": episodes}
    for name in without(arguments.algorithm):
        del protocol[name]
    result = {"iteration": iteration, "protocol": protocol, **result}
    if evaluation.solved_above is not None:
        result["solved"] = solved_so_far(result["returns"], evaluation.solved_above)
    runs.write_json(directory / "evaluation.json", result)
    print_table(result)
    title = f"{arguments.algorithm} on {arguments.task}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    written = [plots.save(plots.adaptation_curve(result, title), directory / "adaptation_curve.png")]
    if (directory / "metrics.csv").exists() and (rows := read_csv(directory / "metrics.csv")):
        written.append(plots.save(plots.learning_curve(rows, title), directory / "learning_curve.png"))
    print("wrote", directory / "evaluation.json", *written)


def solved_so_far(returns: Any, level: float) -> list[list[float]]:
    """The share of tasks whose return was above a level at one stage or an earlier, ``[seeds, stages]``.

    Args:
      returns: ``[seeds, tasks, stages]``.
      level: of a return.
    """
    import numpy as np

    return np.mean(np.maximum.accumulate(np.asarray(returns), axis=-1) > level, axis=1).tolist()


def print_table(result: dict[str, Any]) -> None:
    """Interquartile means over seeds and tasks, with intervals, per adaptation step."""
    import numpy as np

    count = result["tasks"]["count"]
    print(f"\nreturn on {count} unseen tasks, {len(result['seeds'])} seeds: IQM [95 % interval]")
    steps = range(len(result["summary"]["sampled"]["iqm"]))
    by_episode = result["axes"][2] == "episode"
    rows = [("episode" if by_episode else "adaptation steps", [str(k + by_episode) for k in steps])]
    for name, one in (
        ("sampled policy", result["summary"]["sampled"]),
        ("deterministic policy", result["summary"]["deterministic"]),
        ("from scratch", result["references"]["from_scratch"]),
    ):
        cells = zip(one["iqm"], one["low"], one["high"], strict=True)
        rows.append((name, [f"{iqm:.2f} [{low:.2f}, {high:.2f}]" for iqm, low, high in cells]))
    for name in ("random_policy", "optimum"):
        if name in result["references"]:
            rows.append((name.replace("_", " "), [f"{result['references'][name]['iqm']:.2f}"]))
    if "solved" in result:
        stages = list(zip(*result["solved"], strict=True))
        shares = [f"{np.mean(one):.1%} [{min(one):.1%}, {max(one):.1%}]" for one in stages]
        rows.append(("solved, all seeds", shares))
    width = 2 + max(len(cell) for _, cells in rows for cell in cells)
    for name, cells in rows:
        print(f"{name:20s}" + "".join(f"{cell:>{width}s}" for cell in cells))
