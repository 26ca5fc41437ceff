"""Evaluation of a run on unseen tasks: the protocol, ``evaluation.json``, and the table."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxmeta import parts, registry
from jaxmeta.checks import check_finite, check_least, check_positive

if TYPE_CHECKING:
    from jaxmeta.runs.experiment import Experiment
    from jaxmeta.types import MetaAlgorithm, TaskDistribution


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


def check_evaluation(evaluation: Evaluation, experiment: "Experiment") -> None:
    """Refuse what is out of range, and what the method has no use for.

    Raises:
      ValueError: the message begins with the setting's name.
    """
    check_least(0, steps=evaluation.steps, task_seed=evaluation.task_seed)
    check_least(1, tasks=evaluation.tasks, greedy_episodes=evaluation.greedy_episodes)
    if evaluation.episodes is not None:
        check_least(1, episodes=evaluation.episodes)
    check_positive(rate_decay=evaluation.rate_decay)
    check_finite(solved_above=evaluation.solved_above)
    check_use(evaluation, Evaluation(), experiment)


def check_use(given: Any, default: Any, experiment: "Experiment") -> None:
    """Refuse a setting of how to adapt that the run's method has no use for.

    Raises:
      ValueError: the message begins with the setting's name.
    """
    for name in without_use(experiment):
        if getattr(given, name) != getattr(default, name):
            raise ValueError(f"{name}: {experiment.method} has no use for it; leave it out")


def without_use(experiment: "Experiment") -> list[str]:
    """The settings of an evaluation that a run's method has no use for, by its signature."""
    names = {"steps": "adaptation_steps", "episodes": "episodes"}
    unused = [ours for ours, theirs in names.items() if not experiment.has(theirs)]
    return unused if _takes_schedule(experiment) else [*unused, "rate_decay"]


def _takes_schedule(experiment: "Experiment") -> bool:
    """Whether the method's inner step size may be a schedule over adaptation steps."""
    known = parts.parameters(registry.builder(experiment.method))
    return "inner_rate" in known and parts.plain_type(known["inner_rate"].annotation) != known["inner_rate"].annotation


def for_evaluation(
    experiment: "Experiment", *, steps: int, episodes: int | None, rate_decay: float = 1.0
) -> "tuple[TaskDistribution, MetaAlgorithm]":
    """The family and the method with other adaptation steps and episodes than in training, where it has such.

    Args:
      experiment: the run's.
      steps: K ≥ 0 adaptation steps.
      episodes: of each, ≥ 1; by default twice those of training (Finn et al. 2017).
      rate_decay: factor on the inner step size at each adaptation step after the first.
    """
    import optax

    overrides: dict[str, Any] = {}
    if experiment.has("adaptation_steps"):
        overrides["adaptation_steps"] = steps
    if experiment.has("episodes"):
        overrides["episodes"] = evaluation_episodes(experiment, episodes)
    if rate_decay != 1.0 and _takes_schedule(experiment):
        overrides["inner_rate"] = optax.exponential_decay(experiment.tree["inner_rate"], 1, rate_decay)
    return experiment.build(**overrides)


def evaluation_episodes(experiment: "Experiment", episodes: int | None) -> int | None:
    """Episodes of an adaptation step in evaluation: as given, or twice those of training (Finn et al. 2017)."""
    if not experiment.has("episodes"):
        return None
    return 2 * experiment.tree["episodes"] if episodes is None else episodes


def evaluate(experiment: "Experiment", theta: Any, iteration: int, evaluation: Evaluation) -> dict[str, Any]:
    """Evaluate every seed of a run: the content of ``evaluation.json``.

    Args:
      experiment: the run's.
      theta: slow weights, leaves ``[S, ...]``.
      iteration: after which they are.
      evaluation: the protocol.

    Raises:
      ValueError: a setting of the protocol that cannot be meant.
    """
    from jaxmeta.runs.directory import evaluate_run

    check_evaluation(evaluation, experiment)
    sizes = {"steps": evaluation.steps, "episodes": evaluation.episodes, "rate_decay": evaluation.rate_decay}
    tasks, algorithm = for_evaluation(experiment, **sizes)
    if evaluation.in_distribution:
        tasks = tasks._replace(sample_test=None)
    result = evaluate_run(
        algorithm,
        tasks,
        theta,
        seeds=experiment.seeds,
        task_count=evaluation.tasks,
        task_seed=evaluation.task_seed,
        greedy_episodes=evaluation.greedy_episodes,
    )
    protocol = {**dataclasses.asdict(evaluation), "episodes": evaluation_episodes(experiment, evaluation.episodes)}
    for name in without_use(experiment):
        del protocol[name]
    result = {"iteration": iteration, "protocol": protocol, **result}
    if evaluation.solved_above is not None:
        result["solved"] = solved_so_far(result["returns"], evaluation.solved_above)
    return result


def solved_so_far(returns: Any, level: float) -> list[list[float]]:
    """The share of tasks whose return was above a level at one stage or an earlier, ``[seeds, stages]``.

    Args:
      returns: ``[seeds, tasks, stages]``.
      level: of a return.
    """
    return np.mean(np.maximum.accumulate(np.asarray(returns), axis=-1) > level, axis=1).tolist()


def table(result: dict[str, Any]) -> str:
    """Interquartile means over seeds and tasks, with intervals, per adaptation step or episode."""
    count = result["tasks"]["count"]
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
    lines = [f"return on {count} unseen tasks, {len(result['seeds'])} seeds: IQM [95 % interval]"]
    return "\n".join(lines + [f"{name:20s}" + "".join(f"{cell:>{width}s}" for cell in cells) for name, cells in rows])
