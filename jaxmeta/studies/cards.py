"""Model cards: what a run's meta-parameters are for, what they reach, and what is not known of them."""

from pathlib import Path

from jaxmeta.runs.evaluation import rows_of, tasks_in_words, title_of
from jaxmeta.studies import report
from jaxmeta.studies.comparison_tables import Table


def card(directory: Path, name: str, command: str) -> str:
    """The card of a run, in Markdown.

    Args:
      directory: the run's.
      name: what it is called.
      command: makes it.
    """
    run = report.read(directory, name)
    lines = [f"# {name}", "", f"{report.summary([run])}. Made by `{command}`.", ""]
    if run.evaluation is not None:
        heads, *rows = ([label, *cells] for label, cells in rows_of(run.evaluation))
        columns = max(map(len, [heads, *rows]))
        filled = [[*row, *[""] * (columns - len(row))] for row in (heads, *rows)]
        title = title_of(run.evaluation)
        lines += ["## Results", "", f"{title[:1].upper()}{title[1:]}.", "", Table(filled[0], filled[1:]).markdown(), ""]
    lines += ["## Limits", "", *(f"- {line}" for line in limits(run)), "", "## Made with", ""]
    made = {"versions": "versions", "device": "device", "git_revision": "revision"}
    lines += [f"- {name}: {_in_words(run.config[key])}" for key, name in made.items() if run.config.get(key)]
    return "\n".join([*lines, "", "All settings: `config.json`. Returns of each task: `evaluation.json`.", ""])


def limits(run: report.Reported) -> list[str]:
    """What a reader should know before using them; each follows from what is stored."""
    found = report.warnings(run)
    if len(run.experiment.seeds) == 1:
        found.append("One seed: how far another one would come is not known.")
    if run.evaluation is not None:
        words = tasks_in_words(run.evaluation["tasks"])
        if run.evaluation["tasks"].get("seen_in_training") != 0:
            found.append(f"Evaluated on {words}: what it does in other tasks is not known.")
        optimum = run.evaluation["references"].get("optimum")
        if optimum is None:
            found.append("How far it is from the best possible return is not known.")
    return [
        *found,
        f"Trained for tasks of {run.experiment.family} as `config.json` has it; others may be out of reach.",
    ]


def _in_words(value: object) -> str:
    return ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)
