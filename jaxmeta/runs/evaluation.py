"""Evaluation of a run on test tasks: the protocol, ``evaluation.json``, and the table."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from jaxmeta import parts, registry
from jaxmeta.checks import MOST, check_adaptation_steps, check_between, check_finite, check_least, check_positive

if TYPE_CHECKING:
    from jaxmeta.runs.experiment import Experiment
    from jaxmeta.types import MetaAlgorithm, TaskDistribution

Format = Literal["png", "svg", "pdf", "csv"]
"""Of the figures in a run's directory."""


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """How a trained run adapts to test tasks."""

    steps: int = 3
    """Adaptation steps K: what is shown is after 0 to K of them."""
    episodes: int | None = None
    """Episodes collected for each adaptation step; twice those of training if not given."""
    rate_decay: float = 0.5
    """Factor on the inner step size at each further step: its noise must shrink as the goal comes near."""
    tasks: int | None = None
    """Test tasks: drawn anew, or of a family that lists its tasks each once before any comes again. By default 400; 40
    for methods that plan, whose every action takes hundreds of times as long."""
    task_seed: int = 0
    """Draws these tasks, or their order; independent of every training seed."""


@dataclasses.dataclass(frozen=True)
class Evaluation(Adaptation):
    """How a trained run is evaluated."""

    in_distribution: bool = False
    """Take tasks of the training distribution, even where there are others for tests, such as cartpole's out-of-range
    ones, or those of --held-out."""
    greedy_episodes: int = 10
    """Episodes of the deterministic policy after each step."""
    solved_above: float | None = None
    """Return above which a task counts as solved; also print the share of tasks solved at each stage or before."""


def check_evaluation(evaluation: Evaluation, experiment: "Experiment") -> None:
    """Refuse what is out of range or of no use to the method: a ``ValueError`` that begins with the setting's name."""
    check_least(1, greedy_episodes=evaluation.greedy_episodes)
    check_finite(solved_above=evaluation.solved_above)
    check_adaptation(evaluation, experiment)


def check_adaptation(given: Adaptation, experiment: "Experiment") -> None:
    """Refuse what is out of range or of no use to the method: a ``ValueError`` that begins with the setting's name."""
    check_adaptation_steps(steps=given.steps)
    check_least(0, task_seed=given.task_seed)
    check_between(1, 10_000_000, tasks=given.tasks)
    check_least(1, episodes=given.episodes)
    check_positive(rate_decay=given.rate_decay)
    for name in without_use(experiment):
        if getattr(given, name) != getattr(Adaptation, name):
            raise ValueError(f"{name}: {experiment.method} has no use for it; leave it out")


def without_use(experiment: "Experiment") -> list[str]:
    """The settings of an evaluation that a run's method has no use for, by its signature."""
    names = {"steps": "adaptation_steps", "episodes": "episodes"}
    unused = [ours for ours, theirs in names.items() if not experiment.has(theirs)]
    return unused if _takes_schedule(experiment) else [*unused, "rate_decay"]


def _takes_schedule(experiment: "Experiment") -> bool:
    """Whether the method's inner step size may be a schedule over adaptation steps."""
    rate = parts.parameters(registry.builder(experiment.method)).get("inner_rate")
    return rate is not None and parts.plain_type(rate.annotation) != rate.annotation


def for_evaluation(experiment: "Experiment", given: Adaptation) -> "tuple[TaskDistribution, MetaAlgorithm]":
    """The family and the method with other adaptation steps and episodes than in training, where it has such."""
    import optax

    overrides: dict[str, Any] = {}
    if experiment.has("adaptation_steps"):
        overrides["adaptation_steps"] = given.steps
    if experiment.has("episodes"):
        overrides["episodes"] = _episodes(experiment, given)
    if given.rate_decay != 1.0 and _takes_schedule(experiment):
        overrides["inner_rate"] = optax.exponential_decay(experiment.tree["inner_rate"], 1, given.rate_decay)
    return experiment.build(**overrides)


def tasks_of(experiment: "Experiment", given: Adaptation) -> int:
    """Test tasks: as given, or so many that their evaluation takes less time than training."""
    default = 40 if experiment.has("planner") else 400
    return default if given.tasks is None else given.tasks


def _episodes(experiment: "Experiment", given: Adaptation) -> int:
    """Episodes of an adaptation step: as given, or twice those of training (Finn et al. 2017)."""
    return 2 * experiment.tree["episodes"] if given.episodes is None else given.episodes


def evaluate(
    experiment: "Experiment",
    theta: Any,
    iteration: int,
    evaluation: Evaluation,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Evaluate every seed of a run: the content of ``evaluation.json``.

    Args:
      experiment: the run's.
      theta: slow weights, leaves ``[S, ...]``.
      iteration: after which they are.
      evaluation: the protocol; a setting that cannot be meant is a ``ValueError``.
      report: told how many tasks are done, of how many, all seeds and references counted.
    """
    from jaxmeta.runs.evaluate import evaluate_run

    check_evaluation(evaluation, experiment)
    tasks, algorithm = for_evaluation(experiment, evaluation)
    result = evaluate_run(
        algorithm,
        tasks._replace(sample_test=None, every_test=None) if evaluation.in_distribution else tasks,
        theta,
        seeds=experiment.seeds,
        task_count=tasks_of(experiment, evaluation),
        task_seed=evaluation.task_seed,
        greedy_episodes=evaluation.greedy_episodes,
        report=report,
    )
    unused, protocol = without_use(experiment), dataclasses.asdict(evaluation)
    protocol["tasks"] = tasks_of(experiment, evaluation)
    if "episodes" not in unused:
        protocol["episodes"] = _episodes(experiment, evaluation)
    protocol = {name: value for name, value in protocol.items() if name not in unused}
    result = {"iteration": iteration, "protocol": protocol, **result}
    if evaluation.solved_above is not None:
        result["solved"] = solved_so_far(result["returns"], evaluation.solved_above)
    return result


COSTS_OF = {"sampled": None, "deterministic": None, "from_scratch": None, "random_policy": 1}
"""Whose costs an ``evaluation.json`` has, if any, and how many numbers: ``None`` is one for each stage."""


def check_result(found: Any) -> None:
    """Refuse what is not the content of an ``evaluation.json``: a ``ValueError`` names the first entry that is wrong.

    Looked at are the entries that tables and figures show; lists of numbers must be of one length.
    """

    def refuse_unless(right: bool, path: str, words: str) -> None:
        if not right:
            raise ValueError(f"{path}: must be {words}")

    def entry(path: str, *kinds: type) -> Any:
        value = found
        for name in path.split("."):
            refuse_unless(isinstance(value, dict) and name in value, path, "there, and is missing")
            value = value[name]
        words = {dict: "a table", list: "a list", int: "a whole number"}
        refuse_unless(not kinds or isinstance(value, kinds), path, words.get(kinds[0] if kinds else dict, ""))
        return value

    refuse_unless(isinstance(found, dict), "its content", "a table")
    axes, seeds = entry("axes", list), entry("seeds", list)
    refuse_unless(axes[:2] == ["seed", "task"] and len(axes) == 3, "axes", "seed, task and the stage")
    refuse_unless(bool(seeds) and all(type(seed) is int for seed in seeds), "seeds", "whole numbers, at least one")
    entry("iteration", int)
    entry("protocol", dict)
    entry("interval")
    taken = entry("tasks", dict) if "tasks" in found else {}
    if "tasks" in found:
        entry("tasks.count", int)
    if "distinct" in taken or "seen_in_training" in taken:
        entry("tasks.distinct", int)
    if "seen_in_training" in taken:
        for name in ("listed", "seen_in_training"):
            entry(f"tasks.{name}", int, type(None))
    # A whole number may be larger than any other.
    is_number = lambda value: isinstance(value, float) or (type(value) is int and abs(value) <= MOST)  # noqa: E731
    stages = len(entry("summary.sampled.iqm", list))
    curves = ["summary.sampled", "summary.deterministic", "references.from_scratch"]
    curves += ["references.bayes_optimum"] if "bayes_optimum" in entry("references", dict) else []
    for curve in curves:
        for name in ("iqm", "low", "high"):
            values = entry(f"{curve}.{name}", list)
            right = len(values) == max(stages, 1) and all(map(is_number, values))
            refuse_unless(right, f"{curve}.{name}", f"{max(stages, 1)} numbers")
    for name in ("returns", "returns_deterministic"):
        if name in found:
            shape = _shape(entry(name, list))
            refuse_unless(shape[::2] == (len(seeds), stages), name, f"{stages} numbers for each task and each seed")
            count = taken.get("count", shape[1])
            refuse_unless(shape[1] == count, name, f"of the {count} tasks that tasks.count says")
    for share in entry("solved", list) if "solved" in found else []:
        right = isinstance(share, list) and len(share) == stages and all(map(is_number, share))
        refuse_unless(right, "solved", f"lists of {stages} numbers")
    # Their names are a family's own, and may have dots.
    for name, line in entry("controllers", dict).items() if "controllers" in found else ():
        right = isinstance(line, dict) and is_number(line.get("iqm"))
        refuse_unless(right, f"controllers.{name}.iqm", "a number")
    if "costs" in found:
        limit = entry("costs.limit", list)
        refuse_unless(bool(limit) and all(map(is_number, limit)), "costs.limit", "numbers, one for each task")
        tables = {where: entry(f"costs.{where}", dict) for where in ("mean", "over_limit")}
        for name in dict.fromkeys((*COSTS_OF, *tables["mean"])):
            count = COSTS_OF.get(name) or stages
            for where, table in tables.items():
                values = table.get(name)
                right = isinstance(values, list) and len(values) == count and all(map(is_number, values))
                refuse_unless(right, f"costs.{where}.{name}", f"{count} number{'s' if count > 1 else ''}")
    for line in ("random_policy", *(["optimum"] if "optimum" in found["references"] else [])):
        for name in ("iqm", "low", "high"):
            refuse_unless(is_number(entry(f"references.{line}.{name}")), f"references.{line}.{name}", "a number")


def _shape(values: list[Any]) -> tuple[int, ...]:
    """The shape of nested lists of numbers; of no length if they are anything else."""
    try:
        found = np.asarray(values)
    except ValueError:
        return ()
    return found.shape if found.dtype.kind in "if" else ()


def solved_so_far(returns: Any, level: float) -> list[list[float]]:
    """The share of tasks whose return ``[seeds, tasks, stages]`` was above a level so far, ``[seeds, stages]``."""
    return np.mean(np.maximum.accumulate(np.asarray(returns), axis=-1) > level, axis=1).tolist()


def tasks_in_words(taken: dict[str, Any]) -> str:
    """Which tasks an evaluation was on, such as "400 tasks drawn anew", or "21 tasks, each also trained on"."""
    if "seen_in_training" not in taken:
        return "test tasks"  # An evaluation of an earlier version does not say.
    distinct, seen = taken["distinct"], taken["seen_in_training"]
    if seen is None:
        return f"{taken['count']} tasks ({distinct} distinct), which training may draw too"
    if not seen and taken["listed"] is None:
        return f"{distinct} tasks drawn anew"
    share = "each" if seen == distinct else f"{seen} of them"
    return f"{distinct} task{'s' if distinct > 1 else ''}, {f'{share} also' if seen else 'not'} trained on"


def rows_of(result: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Interquartile means over seeds and tasks, with intervals, per adaptation step or episode: names and cells.

    The first row counts the steps or episodes.
    """
    summary, references = result["summary"], result["references"]
    by_episode = result["axes"][2] == "episode"
    stages = range(by_episode, len(summary["sampled"]["iqm"]) + by_episode)
    rows = [("episode" if by_episode else "adaptation steps", [str(stage) for stage in stages])]
    curves = {f"{name} policy": one for name, one in summary.items() if name in ("sampled", "deterministic")}
    curves |= {"from scratch": references["from_scratch"]}
    for name, one in curves.items():
        cells = zip(one["iqm"], one["low"], one["high"], strict=True)
        rows.append((name, [f"{iqm:.2f} [{low:.2f}, {high:.2f}]" for iqm, low, high in cells]))
    if "bayes_optimum" in references:
        rows.append(("Bayes optimum", [f"{value:.2f}" for value in references["bayes_optimum"]["iqm"]]))
    for name, words in (("random_policy", "random policy"), ("optimum", "told the task")):
        if name in references:
            rows.append((words, [f"{references[name]['iqm']:.2f}"]))
    for name, returns in result.get("controllers", {}).items():
        rows.append((name, [f"{returns['iqm']:.2f}"]))
    if "costs" in result:
        for name, means in result["costs"]["mean"].items():
            both = zip(means, result["costs"]["over_limit"][name], strict=True)
            rows.append((f"cost, {name.replace('_', ' ')}", [f"{mean:.2f} ({share:.0%} over)" for mean, share in both]))
    if "solved" in result:
        solved = zip(*result["solved"], strict=True)
        rows.append(("solved, all seeds", [f"{np.mean(one):.1%} [{min(one):.1%}, {max(one):.1%}]" for one in solved]))
    return rows


def title_of(result: dict[str, Any]) -> str:
    """What the rows of an evaluation show."""
    taken, count = result["tasks"], len(result["seeds"])
    often = f" ({taken['count']} adaptations)" if (taken.get("listed") or taken["count"]) < taken["count"] else ""
    seeds = f"{count} seed{'s' if count > 1 else ''}"
    costs = "; mean cost of an episode (share of tasks over their limit)" if "costs" in result else ""
    return f"return on {tasks_in_words(taken)}{often}, {seeds}: IQM [95 % interval]{costs}"


def table(result: dict[str, Any]) -> str:
    """The rows of an evaluation as aligned text."""
    rows = rows_of(result)
    width = 2 + max(len(cell) for _, cells in rows for cell in cells)
    lines = (f"{name:20s}" + "".join(f"{one:>{width}s}" for one in cells) for name, cells in rows)
    return "\n".join([title_of(result), *lines])
