"""Runs side by side: what each is called, which of them may share a panel, and where they come to a return."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import parts, registry
from jaxmeta.parts import USE
from jaxmeta.runs.evaluation import check_result
from jaxmeta.runs.experiment import Experiment
from jaxmeta.runs.logging import read_csv
from jaxmeta.runs.run import RunError

OTHER_TASKS = ("observed", "repeat", "held_out")
"""Settings that make other tasks of a family. Scaled observations do not: they hold as much, and returns stay."""
NOT_COMPARED = ("family", "seed", "seeds", "method", *OTHER_TASKS)
PROTOCOL = ("steps", "episodes", "rate_decay", "greedy_episodes")
"""Entries of a protocol that a method may have no use for; where two have one, they must agree to share a panel."""
MOST_NAMED = 3
"""Settings in a label, at most; of runs that differ in more the directories are named."""
PUBLISHED = {"navigation": {"maml, Finn et al. 2017": [-40.4, -11.7, -3.33, -3.23]}}
"""Returns by adaptation step on a family with its default settings, as the authors logged them: means of 40 goals."""

Rows = list[dict[str, float]]
"""Rows of ``metrics.csv``."""


class Beside(NamedTuple):
    """A run among others.

    Attributes:
      panel: the task, with its settings where others of the family have other ones.
      label: the method, with what differs from others of it.
      experiment: what was trained.
      evaluation: the content of ``evaluation.json``.
    """

    panel: str
    label: str
    experiment: Experiment
    evaluation: dict[str, Any]


def names_of(runs: Sequence[Path]) -> list[str]:
    """What the directories of runs are called: by their last part, or in full if two of them share it."""
    names = [run.resolve().name for run in runs]
    names = names if len(set(names)) == len(set(runs)) else list(map(str, runs))
    # A name may hold bytes that are no text.
    return [name.encode("utf-8", "replace").decode() for name in names]


def evaluated(run: Path) -> dict[str, Any]:
    """What ``jaxmeta evaluate`` wrote into a run's directory, with the environment steps of training.

    Raises:
      RunError: nothing, or what is no evaluation; one line that says what to do.
    """
    path = run / "evaluation.json"
    if not path.is_file():
        raise RunError(f"{run} has no evaluation.json; make it with jaxmeta evaluate {run}")
    anew = f"make it anew with jaxmeta evaluate {run} --overwrite"
    try:
        found = json.loads(path.read_text())
        check_result(found)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, OSError) as error:
        raise RunError(f"{path} cannot be read ({type(error).__name__}); {anew}") from error
    except ValueError as error:
        raise RunError(f"{path}: {error}; {anew}") from error
    kept = {name: found[name] for name in ("axes", "iteration", "protocol", "seeds", "summary", "interval")}
    kept |= {name: found[name] for name in ("returns", "returns_deterministic", "tasks", "solved") if name in found}
    if "costs" in found:
        kept["costs"] = {name: found["costs"][name] for name in ("limit", "mean", "over_limit")}
    without_returns = lambda one: {name: values for name, values in one.items() if name != "returns"}  # noqa: E731
    for name in ("references", "controllers"):
        if name in found:
            kept[name] = {line: without_returns(one) for line, one in found[name].items()}
    return {**kept, "env_steps": environment_steps(metrics(run))}


def metrics(run: Path) -> Rows:
    """Rows of a run's ``metrics.csv``; none if there is no such file."""
    return read_csv(run / "metrics.csv") if (run / "metrics.csv").is_file() else []


def environment_steps(rows: Rows) -> float | None:
    """Environment steps of training, mean over the seeds."""
    last = {row["seed"]: row["env_steps"] for row in rows}
    return sum(last.values()) / len(last) if last else None


def side_by_side(
    runs: Sequence[tuple[str, Experiment, dict[str, Any]]], labels: Sequence[str] = ()
) -> tuple[list[Beside], list[str]]:
    """Panels and labels of runs, and warnings.

    Runs share a panel if they were evaluated on the same tasks of the same family with the same settings, and in the
    same way, as far as both methods have a use for it.

    Args:
      runs: the directory, experiment and evaluation of each.
      labels: of each, if they are not to be found.
    """
    keys = [_task(experiment, evaluation) for _, experiment, evaluation in runs]
    ways = _ways(keys, [evaluation["protocol"] for _, _, evaluation in runs])
    panels = _titles([{**key, **way} for key, way in zip(keys, ways, strict=True)])
    found = list(labels) or _labels([(place, experiment) for place, experiment, _ in runs], panels)
    beside = [
        Beside(panel, label, experiment, _with_published(experiment, evaluation))
        for panel, label, (_, experiment, evaluation) in zip(panels, found, runs, strict=True)
    ]
    tasks: dict[str, set[str]] = {}
    for key, panel in zip(keys, panels, strict=True):
        tasks.setdefault(_text({name: key[name] for name in ("family", *OTHER_TASKS)}), set()).add(panel)
    apart = [sorted(each) for each in tasks.values() if len(each) > 1]
    return beside, [f"evaluated in different ways, and shown apart: {'; '.join(each)}" for each in apart]


def _with_published(experiment: Experiment, evaluation: dict[str, Any]) -> dict[str, Any]:
    """The same evaluation, with what was published of its tasks among the references, if anything was."""
    if experiment.family not in PUBLISHED or evaluation["axes"][2] == "episode":
        return evaluation
    tree, plain = experiment.tree, parts.default_tree(registry.family_factory(experiment.family))
    if tree["family"] != {USE: experiment.family, **plain}:
        return evaluation
    if tree["repeat"] > 1 or tree["observed"] or tree["scaled"] or tree["held_out"]:
        return evaluation
    return {**evaluation, "references": {**evaluation["references"], "published": PUBLISHED[experiment.family]}}


def _task(experiment: Experiment, evaluation: dict[str, Any]) -> dict[str, Any]:
    """What makes returns those of one task: the family with its settings and wrappers, and the tasks taken from it."""
    family, tasks = dict(experiment.tree["family"]), evaluation.get("tasks", {})
    protocol = evaluation["protocol"]
    taken = {"tasks": tasks.get("count", protocol.get("tasks")), "listed": tasks.get("listed") is not None}
    taken |= {name: protocol.get(name) for name in ("task_seed", "in_distribution")}
    return {"family": family, **{name: experiment.tree[name] for name in OTHER_TASKS}, **taken}


def _ways(keys: list[dict[str, Any]], protocols: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each run the way in which it was evaluated, filled up from the first with the same tasks that agrees."""
    ways: list[tuple[str, dict[str, Any]]] = []
    for key, protocol in zip(map(_text, keys), protocols, strict=True):
        way = {name: protocol[name] for name in PROTOCOL if name in protocol}
        for other, there in ways:
            if other == key and all(there.get(name, value) == value for name, value in way.items()):
                there.update(way)
                way = there
                break
        ways.append((key, way))
    return [way for _, way in ways]


def _titles(keys: list[dict[str, Any]]) -> list[str]:
    """The family of each, with what differs between different ones of it."""
    titles = []
    for key in keys:
        of_family = [each for each in keys if each["family"][USE] == key["family"][USE]]
        own, others = flat(key), [flat(each) for each in of_family]
        differs = [name for name in own if any(other.get(name) != own[name] for other in others)]
        shown = [_words(name.removeprefix("family."), own[name]) for name in differs if name != "family.use"]
        titles.append(", ".join([key["family"][USE], *shown]))
    return titles


def _labels(runs: list[tuple[str, Experiment]], panels: list[str]) -> list[str]:
    """The method of each, with what differs from the others of it on this family."""
    labels = []
    settings = [flat({n: v for n, v in one.tree.items() if n not in NOT_COMPARED}) for _, one in runs]
    for (place, experiment), panel, own in zip(runs, panels, settings, strict=True):
        kind = (experiment.method, experiment.family)
        others = [there for (_, one), there in zip(runs, settings, strict=True) if (one.method, one.family) == kind]
        differs = [name for name in own if any(other.get(name) != own[name] for other in others)]
        # Where another factory fills a part, its name says enough.
        other_parts = [name.removesuffix(USE) for name in differs if name.endswith(f".{USE}")]
        differs = [n for n in differs if n.endswith(f".{USE}") or not any(n.startswith(part) for part in other_parts)]
        words = [_words(name.removesuffix(f".{USE}"), own[name]) for name in differs]
        twins = [
            (one.method, there, other) for (_, one), there, other in zip(runs, panels, settings, strict=True)
        ].count((experiment.method, panel, own))
        if twins > 1 or len(words) > MOST_NAMED:
            words = [place]
        labels.append(", ".join([experiment.method, *words]))
    return labels


def flat(tree: dict[str, Any], path: str = "") -> dict[str, Any]:
    """A tree's values by their full names: ``{"outer": {"rate": 1}}`` as ``{"outer.rate": 1}``."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        full = f"{path}.{name}" if path else name
        found |= flat(value, full) if isinstance(value, dict) else {full: value}
    return found


def _words(name: str, value: Any) -> str:
    if name == "observed" and not value:
        return "all observed"
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    return f"{name.replace('_', ' ')} {value}"


def _text(content: Any) -> str:
    return json.dumps(content, sort_keys=True)


def reached(rows: Rows, level: float, name: str = "return_post") -> dict[str, float]:
    """Where the mean over seeds of a column of ``metrics.csv`` first comes to a level.

    Returns:
      ``seeds``, how many came there by themselves; and ``env_steps`` and ``seconds`` until their mean did, means over
      seeds, if it did.
    """
    by_seed: dict[float, list[dict[str, float]]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], []).append(row)
    length = min(map(len, by_seed.values()))
    table = {
        column: np.array([[row[column] for row in one[:length]] for one in by_seed.values()])
        for column in (name, "env_steps", "seconds")
    }
    there = np.flatnonzero(table[name].mean(axis=0) >= level)
    found: dict[str, float] = {"seeds": int(np.sum(np.any(table[name] >= level, axis=1)))}
    if not len(there):
        return found
    return found | {column: float(table[column][:, there[0]].mean()) for column in ("env_steps", "seconds")}
