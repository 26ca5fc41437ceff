"""Put evaluated runs side by side, in one figure and in a table in Markdown."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import fail
from jaxmeta.runs.evaluation import check_result

if TYPE_CHECKING:
    from jaxmeta.runs.experiment import Experiment

Rows = list[dict[str, float]]
"""Rows of ``metrics.csv``."""
CURVES_IN_A_PANEL = 6
"""With more methods than these each gets a place of its own beside the others."""


@command(columns=1)
def main(
    runs: Positional[tuple[Path, ...]],
    *,
    out: Path = Path("comparison.png"),
    json: Path | None = None,
    curves: Path | None = None,
    target: str | None = None,
    columns: int = 4,
) -> None:
    """Draw the adaptation curves of several evaluated runs into one figure, and print them as a table.

    Args:
      runs: The runs' directories.
      out: The PNG to write.
      json: Write what is drawn to this file as well: a JSON list, a run each.
      curves: Also draw training returns against environment steps, into this PNG. Runs of from-scratch show their
        returns in tasks drawn anew, against the steps taken in one of them.
      target: A method, such as maml. Also print after how many environment steps the mean return over seeds first
        reached half, 90 % and all of this method's improvement in training, from its first return to the mean of its
        last tenth.
      columns: Panels in a row, at most.
    """
    from jaxmeta.runs.logging import write_json
    from jaxmeta.runs.run import read_config

    loaded = [(read_config(run), evaluation(run)) for run in runs]
    from jaxmeta import plots

    print(table(loaded))
    drawn = [(what.family, what.method, one) for what, one in loaded]
    many = len({what.method for what, _ in loaded}) > CURVES_IN_A_PANEL
    figure = plots.adaptation_by_label(drawn) if many else plots.comparison(drawn, columns=columns)
    write_json(json, [{"family": what.family, "method": what.method, **one} for what, one in loaded])
    written = [plots.save(figure, out)]
    if curves is not None or target is not None:
        trained = [training(run, what, one) for run, (what, one) in zip(runs, loaded, strict=True)]
        if target is not None:
            print("\n" + steps_table(trained, target))
        if curves is not None:
            stages = plots.stages_of([one for _, one in loaded])
            written.append(plots.save(plots.sample_efficiency(trained, stages=stages), curves))
    print("\nwrote", *written)


def evaluation(run: Path) -> dict[str, Any]:
    """What ``evaluate.py`` wrote into a run's directory."""
    path = run / "evaluation.json"
    if not path.is_file():
        fail(f"{run} has no evaluation.json; make it with jaxmeta evaluate {run}")
    try:
        found = json.loads(path.read_text())
        check_result(found)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, OSError) as error:
        fail(f"{path} cannot be read ({type(error).__name__}); make it anew with jaxmeta evaluate {run}")
    except ValueError as error:
        fail(f"{path}: {error}; make it anew with jaxmeta evaluate {run}")
    kept = {name: found[name] for name in ("axes", "iteration", "protocol", "seeds", "summary", "interval")}
    without_returns = lambda one: {name: values for name, values in one.items() if name != "returns"}  # noqa: E731
    references = {name: without_returns(one) for name, one in found["references"].items()}
    return {**kept, "env_steps": environment_steps(run), "references": references}


def metrics(run: Path) -> Rows:
    """Rows of a run's ``metrics.csv``; none if there is no such file."""
    from jaxmeta.runs.logging import read_csv

    return read_csv(run / "metrics.csv") if (run / "metrics.csv").is_file() else []


def training(run: Path, what: "Experiment", one: dict[str, Any]) -> tuple[str, str, Rows]:
    """Family, method, and the rows of ``metrics.csv``."""
    rows = metrics(run) or fail(f"{run} has no metrics.csv; train it with jaxmeta train")
    if what.method != "from-scratch":
        return what.family, what.method, rows
    if type(one["protocol"].get("episodes")) is not int:
        entry = f"{run / 'evaluation.json'}: protocol.episodes: must be a whole number"
        fail(f"{entry}; make it anew with jaxmeta evaluate {run}")
    return what.family, what.method, alone(what, one, rows)


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
    heads = ["task", "algorithm", "half of the way", "90 %", f"all that {target} comes", "steps in all", "last return"]
    return _markdown(heads, rows)


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
    returns = one["summary"]["sampled"]["iqm"][1:]
    return [{"seed": 0, "env_steps": k * batch, "return_post": value} for k, value in enumerate(returns, 1)]


def environment_steps(run: Path) -> float | None:
    """Environment steps of training, mean over the seeds, as ``metrics.csv`` counts them."""
    last = {row["seed"]: row["env_steps"] for row in metrics(run)}
    return sum(last.values()) / len(last) if last else None


def table(loaded: list[tuple["Experiment", dict[str, Any]]]) -> str:
    """Interquartile means and 95 % intervals, a row a run, in Markdown."""
    steps = max(len(one["summary"]["sampled"]["iqm"]) for _, one in loaded)
    counts = [f"{k} step{'s' if k != 1 else ''}" for k in range(steps)]
    heads = ["task", "algorithm", "seeds", "env steps", *counts, "from scratch, last", "optimum"]
    rows = []
    for what, one in loaded:
        sampled, references = one["summary"]["sampled"], one["references"]
        cells = [
            f"{_number(middle)} [{_number(low)}, {_number(high)}]"
            for middle, low, high in zip(sampled["iqm"], sampled["low"], sampled["high"], strict=True)
        ]
        optimum = _number(references["optimum"]["iqm"]) if "optimum" in references else ""
        scratch = _number(references["from_scratch"]["iqm"][-1])
        trained = "" if one["env_steps"] is None else _steps(one["env_steps"])
        cells += [""] * (steps - len(cells))
        rows.append([what.family, what.method, str(len(one["seeds"])), trained, *cells, scratch, optimum])
    return _markdown(heads, rows)


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows))


def _steps(value: float) -> str:
    return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def _number(value: float) -> str:
    """Three significant digits, but no fewer than all before the point."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")
