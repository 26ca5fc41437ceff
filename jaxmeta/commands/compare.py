"""Put evaluated runs side by side, in one figure and in a table in Markdown."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import fail
from jaxmeta.studies.comparison_tables import (
    RETURNS,
    Table,
    costs_table,
    improvement_table,
    in_digits,
    in_thousands,
    returns_table,
)

if TYPE_CHECKING:
    from jaxmeta.runs.experiment import Experiment
    from jaxmeta.studies.comparison import Beside

Rows = list[dict[str, float]]
"""Rows of ``metrics.csv``."""


@command(columns=1)
def main(
    runs: Positional[tuple[Path, ...]],
    *,
    out: tuple[Path, ...] = (Path("comparison.png"),),
    json: Path | None = None,
    curves: tuple[Path, ...] = (),
    profiles: tuple[Path, ...] = (),
    note: str | None = None,
    labels: tuple[str, ...] = (),
    policy: Literal["sampled", "deterministic"] = "sampled",
    target: str | None = None,
    threshold: float | None = None,
    per_seed: bool = False,
    columns: int = 4,
) -> None:
    """Draw the adaptation curves of several evaluated runs into one figure, and print them as a table.

    A run is named by its method and by what differs from other runs of it. Runs share a panel if they were evaluated on
    the same tasks in the same way; a warning names those that were not.

    Args:
      runs: The runs' directories.
      out: The files to write: PNG, SVG, PDF, or CSV with the numbers drawn.
      json: Write what is drawn to this file as well: a JSON list, a run each.
      curves: Also draw training returns against environment steps, into these files. Runs of from-scratch show their
        returns in test tasks, against the steps taken in one of them.
      profiles: Also draw the share of seeds and tasks with a return above each level, into these files.
      note: A line below each figure.
      labels: What the runs are called, one each.
      policy: Whose returns: those of the policy that is sampled from, or of its mode.
      target: A label, such as maml. Also print after how many environment steps the mean return over seeds first
        reached half, 90 % and all of this run's improvement in training, from its first return to the mean of its
        last tenth.
      threshold: Also print the environment steps and seconds after which the mean return over seeds in training first
        reached this return.
      per_seed: Also draw each seed by itself.
      columns: Panels in a row, at most.
    """
    if labels and len(labels) != len(runs):
        fail(f"--labels: got {len(labels)}; must be one for each of the {len(runs)} runs")
    from jaxmeta.runs.logging import write_json
    from jaxmeta.runs.run import read_config
    from jaxmeta.studies import comparison

    places = comparison.names_of(runs)
    loaded = [(place, read_config(run), comparison.evaluated(run)) for place, run in zip(places, runs, strict=True)]
    from jaxmeta import plots

    beside, warnings = comparison.side_by_side(loaded, labels)
    given = [(one.panel, one.label) for one in beside if labels]
    for panel, label in given:
        if given.count((panel, label)) > 1:
            fail(f"--labels: {label!r} names two runs on {panel}; each must have one of its own")
    lacks = [run for run, one in zip(runs, beside, strict=True) if RETURNS[policy] not in one.evaluation]
    if lacks and (per_seed or profiles):
        fail(
            f"--per-seed, --profiles: {lacks[0] / 'evaluation.json'} has no {RETURNS[policy]}; make it anew with "
            f"jaxmeta evaluate {lacks[0]} --overwrite"
        )
    for line in warnings:
        print(f"warning: {line}")
    print(returns_table(beside, policy).markdown())
    for further in (costs_table(beside, policy), improvement_table(beside, policy)):
        if further.rows:
            print("\n" + further.markdown())
    drawn = [(one.panel, one.label, one.evaluation) for one in beside]
    figure = plots.side_by_side(drawn, policy=policy, per_seed=per_seed, columns=columns)
    write_json(json, [_content(one) for one in beside])
    written = plots.save(figure, *out, note=note)
    if profiles:
        shares = plots.performance_profiles(drawn, policy=policy, columns=columns)
        written += plots.save(shares, *profiles, note=note)
    if curves or target is not None or threshold is not None:
        trained = [training(run, one) for run, one in zip(runs, beside, strict=True)]
        if target is not None:
            print("\n" + steps_table(trained, target))
        if threshold is not None:
            print("\n" + threshold_table(trained, threshold))
        if curves:
            stages = plots.stages_of([one.evaluation for one in beside])
            drawn_curves = plots.sample_efficiency(trained, stages=stages, per_seed=per_seed, level=threshold)
            written += plots.save(drawn_curves, *curves, note=note)
    print("\nwrote", *written)


def _content(one: "Beside") -> dict[str, Any]:
    """What is drawn of a run, for a file."""
    every_task = ("returns", "tasks", "solved")
    summaries = {name: value for name, value in one.evaluation.items() if not name.startswith(every_task)}
    if "costs" in summaries:
        summaries["costs"] = {name: summaries["costs"][name] for name in ("mean", "over_limit")}
    return {
        "family": one.experiment.family,
        "method": one.experiment.method,
        "panel": one.panel,
        "label": one.label,
        **summaries,
    }


def training(run: Path, one: "Beside") -> tuple[str, str, Rows]:
    """Panel, label, and the rows of ``metrics.csv``."""
    from jaxmeta.studies import comparison

    rows = comparison.metrics(run) or fail(f"{run} has no metrics.csv; train it with jaxmeta train")
    if one.experiment.method != "from-scratch":
        return one.panel, one.label, rows
    if type(one.evaluation["protocol"].get("episodes")) is not int:
        entry = f"{run / 'evaluation.json'}: protocol.episodes: must be a whole number"
        fail(f"{entry}; make it anew with jaxmeta evaluate {run} --overwrite")
    return one.panel, one.label, alone(one.experiment, one.evaluation, rows)


def steps_table(trained: list[tuple[str, str, Rows]], target: str) -> str:
    """Where each run's mean over the seeds first comes part of the way that the target's comes, in Markdown."""
    from jaxmeta.plots import over_seeds

    rows = []
    for task, algorithm, run in trained:
        reached = [over_seeds(one, "return_post") for family, name, one in trained if (family, name) == (task, target)]
        if not reached:
            fail(f"--target {target}: none of the runs on {task} is of it")
        _, way = reached[0]
        first, final = way[:, 0].mean(), last(way)
        steps, values = over_seeds(run, "return_post")
        passed = [
            next((in_thousands(x) for x, y in zip(steps, values.mean(axis=0), strict=True) if y >= level), "never")
            for level in (first + share * (final - first) for share in (0.5, 0.9, 1.0))
        ]
        rows.append([task, algorithm, *passed, in_thousands(steps[-1]), in_digits(last(values))])
    heads = ["task", "run", "half of the way", "90 %", f"all that {target} comes", "steps in all", "last return"]
    return Table(heads, rows).markdown()


def threshold_table(trained: list[tuple[str, str, Rows]], level: float) -> str:
    """Where each run's mean over the seeds first comes to a return, in Markdown."""
    from jaxmeta.studies.comparison import reached

    rows = []
    for panel, label, run in trained:
        found = reached(run, level)
        when = ["never", ""]
        if "env_steps" in found:
            when = [in_thousands(found["env_steps"]), f"{found['seconds']:.0f}"]
        rows.append([panel, label, *when, f"{found['seeds']} of {len({row['seed'] for row in run})}"])
    heads = ["task", "run", f"env steps to {in_digits(level)}", "seconds", "seeds that reach it"]
    return Table(heads, rows).markdown()


def last(values: Any) -> float:
    """Mean of the last tenth of ``[S, I]``."""
    return float(values[:, -max(values.shape[1] // 10, 1) :].mean())


def alone(what: "Experiment", one: dict[str, Any], rows: Rows) -> Rows:
    """What was learned from scratch in each task by itself, against the steps taken there, as rows of metrics.

    The steps of a batch of episodes are their mean in the run's own tasks.
    """
    taken = sum(row["env_steps"] / row["iteration"] for row in rows) / len(rows)
    batch = taken / what.tree["meta_batch"] / (what.tree["adaptation_steps"] + 1)
    batch *= one["protocol"]["episodes"] / what.tree["episodes"]
    # The mean over tasks, as those that train together report it.
    returns = one["summary"]["sampled"]["mean"][1:]
    seconds = {"seconds": math.nan}
    return [{"seed": 0, "env_steps": k * batch, "return_post": value, **seconds} for k, value in enumerate(returns, 1)]
