"""Put evaluated runs side by side, in one figure and in a table in Markdown."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tyro.conf import Positional

from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import fail
from jaxmeta.runs.evaluation import check_result

if TYPE_CHECKING:
    from jaxmeta.runs.experiment import Experiment
    from jaxmeta.studies.comparison import Beside

Rows = list[dict[str, float]]
"""Rows of ``metrics.csv``."""
RETURNS = {"sampled": "returns", "deterministic": "returns_deterministic"}
"""Entries of ``evaluation.json`` by policy."""
CURVES_IN_A_PANEL = 6
"""With more labels than these each gets a place of its own beside the others."""


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

    names = [run.resolve().name for run in runs]
    places = names if len(set(names)) == len(set(runs)) else map(str, runs)
    loaded = [(place, read_config(run), evaluation(run)) for place, run in zip(places, runs, strict=True)]
    from jaxmeta import plots
    from jaxmeta.studies import comparison

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
    print(table(beside, policy))
    better = improvement_table(beside, policy)
    print(f"\n{better}" if better else "", end="\n" if better else "")
    drawn = [(one.panel, one.label, one.evaluation) for one in beside]
    many = len({one.label for one in beside}) > CURVES_IN_A_PANEL
    how = {"policy": policy, "per_seed": per_seed}
    figure = plots.adaptation_by_label(drawn, **how) if many else plots.comparison(drawn, columns=columns, **how)
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
    summaries = {name: value for name, value in one.evaluation.items() if not name.startswith(("returns", "tasks"))}
    return {
        "family": one.experiment.family,
        "method": one.experiment.method,
        "panel": one.panel,
        "label": one.label,
        **summaries,
    }


def evaluation(run: Path) -> dict[str, Any]:
    """What ``evaluate.py`` wrote into a run's directory."""
    path = run / "evaluation.json"
    if not path.is_file():
        fail(f"{run} has no evaluation.json; make it with jaxmeta evaluate {run}")
    try:
        found = json.loads(path.read_text())
        check_result(found)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, OSError) as error:
        fail(f"{path} cannot be read ({type(error).__name__}); make it anew with jaxmeta evaluate {run} --overwrite")
    except ValueError as error:
        fail(f"{path}: {error}; make it anew with jaxmeta evaluate {run} --overwrite")
    kept = {name: found[name] for name in ("axes", "iteration", "protocol", "seeds", "summary", "interval")}
    kept |= {name: found[name] for name in ("returns", "returns_deterministic", "tasks") if name in found}
    without_returns = lambda one: {name: values for name, values in one.items() if name != "returns"}  # noqa: E731
    references = {name: without_returns(one) for name, one in found["references"].items()}
    return {**kept, "env_steps": environment_steps(run), "references": references}


def metrics(run: Path) -> Rows:
    """Rows of a run's ``metrics.csv``; none if there is no such file."""
    from jaxmeta.runs.logging import read_csv

    return read_csv(run / "metrics.csv") if (run / "metrics.csv").is_file() else []


def training(run: Path, one: "Beside") -> tuple[str, str, Rows]:
    """Panel, label, and the rows of ``metrics.csv``."""
    rows = metrics(run) or fail(f"{run} has no metrics.csv; train it with jaxmeta train")
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
            next((_steps(x) for x, y in zip(steps, values.mean(axis=0), strict=True) if y >= level), "never")
            for level in (first + share * (final - first) for share in (0.5, 0.9, 1.0))
        ]
        rows.append([task, algorithm, *passed, _steps(steps[-1]), _number(last(values))])
    heads = ["task", "run", "half of the way", "90 %", f"all that {target} comes", "steps in all", "last return"]
    return _markdown(heads, rows)


def threshold_table(trained: list[tuple[str, str, Rows]], level: float) -> str:
    """Where each run's mean over the seeds first comes to a return, in Markdown."""
    from jaxmeta.studies.comparison import reached

    rows = []
    for panel, label, run in trained:
        found = reached(run, level)
        when = ["never", ""] if "env_steps" not in found else [_steps(found["env_steps"]), f"{found['seconds']:.0f}"]
        rows.append([panel, label, *when, f"{found['seeds']} of {len({row['seed'] for row in run})}"])
    return _markdown(["task", "run", f"env steps to {_number(level)}", "seconds", "seeds that reach it"], rows)


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


def environment_steps(run: Path) -> float | None:
    """Environment steps of training, mean over the seeds, as ``metrics.csv`` counts them."""
    last = {row["seed"]: row["env_steps"] for row in metrics(run)}
    return sum(last.values()) / len(last) if last else None


def table(beside: list["Beside"], policy: str) -> str:
    """Interquartile means and 95 % intervals, a row a run, in Markdown."""
    steps = max(len(one.evaluation["summary"][policy]["iqm"]) for one in beside)
    counts = [f"{k} step{'s' if k != 1 else ''}" for k in range(steps)]
    heads = ["task", "run", "seeds", "env steps", *counts, "from scratch, last", "optimum"]
    rows = []
    for panel, label, _, one in beside:
        returns, references = one["summary"][policy], one["references"]
        cells = [
            f"{_number(middle)} [{_number(low)}, {_number(high)}]"
            for middle, low, high in zip(returns["iqm"], returns["low"], returns["high"], strict=True)
        ]
        optimum = _number(references["optimum"]["iqm"]) if "optimum" in references else ""
        scratch = _number(references["from_scratch"]["iqm"][-1])
        trained = "" if one["env_steps"] is None else _steps(one["env_steps"])
        cells += [""] * (steps - len(cells))
        rows.append([panel, label, str(len(one["seeds"])), trained, *cells, scratch, optimum])
    return _markdown(heads, rows)


def improvement_table(beside: list["Beside"], policy: str) -> str:
    """How often each run's last return in a task is above that of the panel's first run, in Markdown; or nothing."""
    from jaxmeta.runs.statistics import probability_of_improvement

    name, rows, first = RETURNS[policy], [], {}
    for panel, label, _, one in beside:
        if name not in one:
            continue
        returns = np.asarray(one[name])[:, :, -1]
        if panel in first:
            value, low, high = probability_of_improvement(returns, first[panel][1])
            rows.append([panel, label, first[panel][0], f"{value:.0%} [{low:.0%}, {high:.0%}]"])
        first.setdefault(panel, (label, returns))
    return _markdown(["task", "run", "beside", "better in a task"], rows) if rows else ""


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows))


def _steps(value: float) -> str:
    return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def _number(value: float) -> str:
    """Three significant digits, but no fewer than all before the point."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")
