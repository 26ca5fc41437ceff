"""What a report says of a run: a summary, warnings and tables, as text. Nothing here draws or writes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmeta.runs.evaluation import rows_of, title_of
from jaxmeta.runs.experiment import Experiment
from jaxmeta.runs.run import CONFIG, read_config
from jaxmeta.runs.statistics import interquartile_mean
from jaxmeta.studies.comparison import Rows, environment_steps, evaluated, flat, metrics
from jaxmeta.studies.comparison_tables import Table, in_digits

POINTS = 400
"""Iterations that a curve shows, at most."""
PICTURES = {
    "trajectories.png": "Episodes before and after adaptation in tasks drawn anew",
    "trajectories.gif": "Episodes before and after adaptation in tasks drawn anew, moving",
    "arm_pulls.png": "How often the best arm, the second best, and so on are pulled at each time",
    "beliefs.png": "Beliefs over goals along an episode, learned and exact",
    "experts.png": "Which experts act in which tasks after adaptation",
}
"""What ``jaxmeta render`` leaves in a run's directory, and what is seen there."""
NOT_OF_THE_MACHINE = ("format", "experiment", "evaluation", "history")
"""Entries of ``config.json`` that do not say what a run was made with."""
OF_A_PART = ("from_iteration", "compile_seconds")
"""Entries of a part of the training that are its own, wherever it ran."""


class Reported(NamedTuple):
    """A run, as far as it is there.

    Attributes:
      directory: where it is.
      name: what it is called.
      experiment: what was, or is, trained.
      config: the content of ``config.json``.
      rows: of ``metrics.csv``; none before the first iterations are done.
      evaluation: from ``comparison.evaluated``; ``None`` if there is none.
    """

    directory: Path
    name: str
    experiment: Experiment
    config: dict[str, Any]
    rows: Rows
    evaluation: dict[str, Any] | None


def read(run: Path, name: str) -> Reported:
    """What lies in a run's directory.

    Raises:
      RunError, ValueError: no run, or a file of it that cannot be read.
    """
    experiment = read_config(run)
    evaluation = evaluated(run) if (run / "evaluation.json").is_file() else None
    return Reported(run, name, experiment, json.loads((run / CONFIG).read_text()), metrics(run), evaluation)


def summary(runs: list[Reported]) -> str:
    """Methods, families, seeds and steps in one line; of a single run its iterations too."""
    if len(runs) == 1:
        steps = environment_steps(runs[0].rows) or 0
        counts = [_counted(len(runs[0].experiment.seeds), "seed"), _counted(_iterations(runs[0]), "meta-iteration")]
        return f"{runs[0].experiment.title}: {', '.join(counts)}, {steps:,.0f} environment steps in each seed"
    titles = [one.experiment.title for one in runs]
    kinds = [f"{title} ({titles.count(title)})" for title in dict.fromkeys(titles)]
    steps = sum(sum(_last(one.rows, "env_steps").values()) for one in runs)
    seeds = sum(len(one.experiment.seeds) for one in runs)
    return f"{len(runs)} runs: {', '.join(kinds)}; {_counted(seeds, 'seed')}, {steps:,.0f} environment steps in all"


def warnings(one: Reported) -> list[str]:
    """What a reader should know before believing a run's numbers."""
    links = [f"{name} is a link and is not shown." for name in PICTURES if (one.directory / name).is_symlink()]
    return [*_of_training(one), *_of_evaluation(one), *_of_history(one), *links]


def _of_training(one: Reported) -> Iterator[str]:
    asked, done = one.experiment.tree["iterations"], _iterations(one)
    if done < asked:
        yield f"The run is not finished: {done:,} of {_counted(asked, 'meta-iteration')} are done."
    for seed in sorted({row["seed"] for row in one.rows}):
        skipped = [row.get("skipped", 0.0) for row in one.rows if row["seed"] == seed]
        if count := sum(each > 0 for each in skipped):
            left_out = "updates that were not finite were left out"
            yield f"Seed {seed}: {left_out} in {count:,} of {_counted(len(skipped), 'meta-iteration')}."


def _of_evaluation(one: Reported) -> Iterator[str]:
    if one.evaluation is None:
        yield "The run has no evaluation; jaxmeta evaluate makes it."
        return
    if one.evaluation["iteration"] < _iterations(one):
        yield f"The evaluation is of iteration {one.evaluation['iteration']:,}, and training went on after it."
    last = one.evaluation["summary"]["deterministic"]
    improvement, low, high = last["iqm"][-1] - last["iqm"][0], last["low"][-1], last["high"][-1]
    # Of a single stage there is no improvement to compare with.
    if len(last["iqm"]) > 1 and not high - low <= improvement / 2:
        yield (
            f"The last deterministic return is uncertain: its 95 % interval, [{in_digits(low)}, {in_digits(high)}], is "
            f"wider than half of the improvement from the first to the last, {in_digits(improvement)}."
        )
    for seed, value, others in _apart(one.evaluation, improvement):
        yield (
            f"Seed {seed} lies far from the others: its last deterministic return is {in_digits(value)} and their "
            f"median {in_digits(others)}, further apart than half of the improvement from the first to the last, "
            f"{in_digits(improvement)}."
        )


def _apart(evaluation: dict[str, Any], improvement: float) -> Iterator[tuple[int, float, float]]:
    """Seeds whose last return is further from the median of the others than half of the improvement, with both."""
    if "returns_deterministic" not in evaluation or improvement <= 0:
        return
    values = interquartile_mean(np.asarray(evaluation["returns_deterministic"])[:, :, -1], axis=1)
    for place, seed in enumerate(evaluation["seeds"]):
        others = np.delete(values, place)
        if len(others) and not abs(values[place] - np.median(others)) <= improvement / 2:
            yield seed, values[place], float(np.median(others))


def _of_history(one: Reported) -> Iterator[str]:
    table = history_table(one)
    differs = [name for name in table.heads if name != "from iteration"]
    if differs:
        yield (
            f"The run was trained in {len(table.rows)} parts, and not all on the same machine with the same versions: "
            f"they differ in {', '.join(differs)}. The last bits of its numbers may depend on it."
        )


def history_table(one: Reported) -> Table:
    """From which iteration on a run was trained where and with what; only what differs, and maybe nothing."""
    parts = [flat(each) for each in one.config.get("history", [])]
    known = dict.fromkeys(name for each in parts for name in each if name not in OF_A_PART)
    differs = [name for name in known if any(each.get(name) != parts[0].get(name) for each in parts)]
    rows = [[_said(each.get(name)) for name in ("from_iteration", *differs)] for each in parts]
    return Table(["from iteration", *differs], rows)


def machine_table(one: Reported) -> Table:
    """What the run was last trained on and with, as ``config.json`` has it."""
    kept = flat({name: value for name, value in one.config.items() if name not in NOT_OF_THE_MACHINE})
    return Table(["entry", "value"], [[name, _said(value)] for name, value in kept.items()])


def protocol_table(evaluation: dict[str, Any]) -> Table:
    """How a run was evaluated."""
    rows = [[name.replace("_", " "), _said(value)] for name, value in flat(evaluation["protocol"]).items()]
    return Table(["setting", "value"], rows)


def returns_table(evaluation: dict[str, Any]) -> tuple[str, Table]:
    """What the table of an evaluation shows, and the table: returns by stage, with intervals and references."""
    (name, stages), *rows = rows_of(evaluation)
    filled = [[first, *cells, *[""] * (len(stages) - len(cells))] for first, cells in rows]
    title = title_of(evaluation) if "tasks" in evaluation else "return on tasks drawn anew: IQM [95 % interval]"
    return title, Table([name, *stages], [[cell.replace("-", "−") for cell in row] for row in filled])


def timings_table(one: Reported) -> Table:
    """How long compilation took, where that is known, and training; and what was done in training."""
    seconds = max((row["seconds"] for row in one.rows), default=0.0)
    steps, iterations = sum(_last(one.rows, "env_steps").values()), _iterations(one)
    # Older versions did not note it.
    compiled = [each.get("compile_seconds") for each in one.config.get("history", [])]
    known = bool(compiled) and all(isinstance(each, (int, float)) for each in compiled)
    rows = [
        *([["compilation", f"{sum(compiled):,.1f} s"]] if known else []),
        ["training, without compilation", f"{seconds:,.1f} s"],
        ["meta-iterations", f"{iterations:,} of {one.experiment.tree['iterations']:,}"],
        ["environment steps, all seeds", f"{steps:,.0f}"],
    ]
    if seconds > 0 and iterations:
        rows.append(["environment steps a second", f"{steps / seconds:,.0f}"])
        rows.append(["time of a meta-iteration, all seeds", f"{1e3 * seconds / iterations:,.1f} ms"])
    return Table(["what", "value"], rows)


def pictures(one: Reported) -> list[tuple[Path, str]]:
    """The pictures in a run's directory, and what is seen in each."""
    # A run that somebody else made may hold links to any file of the one who reports it.
    there = [(one.directory / name, seen) for name, seen in PICTURES.items()]
    return [(path, seen) for path, seen in there if path.is_file() and not path.is_symlink()]


def thinned(rows: Rows) -> tuple[Rows, int]:
    """Rows of as many iterations as a curve shows: every n-th, beside the first and the last; and n."""
    last = max(row["iteration"] for row in rows)
    every = -(-int(last) // POINTS)
    return [row for row in rows if row["iteration"] in (1, last) or row["iteration"] % every == 0], every


def _iterations(one: Reported) -> int:
    """Meta-iterations that every seed has done."""
    return int(min(_last(one.rows, "iteration").values(), default=0))


def _last(rows: Rows, name: str) -> dict[float, float]:
    return {row["seed"]: row[name] for row in rows}


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def _said(value: Any) -> str:
    """A value of a file in words."""
    if isinstance(value, list):
        return " ".join(map(_said, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
