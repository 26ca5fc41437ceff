"""Write what is known of runs into one page of HTML, which needs no server and no network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import fail

if TYPE_CHECKING:
    from jaxmeta.studies.comparison import Beside
    from jaxmeta.studies.report import Reported


@command(endings=(".html", ".htm"))
def main(
    runs: Positional[tuple[Path, ...]],
    *,
    out: Path = Path("report.html"),
    title: str | None = None,
    note: str | None = None,
    figures: tuple[Path, ...] = (),
) -> None:
    """Write a report of one or several runs: one HTML file with warnings, curves, tables, settings and pictures.

    Args:
      runs: The runs' directories.
      out: The HTML file to write.
      title: Of the report; what was trained if not given.
      note: A line under the title.
      figures: Further pictures and films to show at the end: PNG, SVG, GIF or MP4, called as their files are.
    """
    from jaxmeta.runs.logging import write_text
    from jaxmeta.studies import comparison, report

    for path in figures:
        if not path.is_file():
            fail(f"--figures {path}: there is no such file")
    read = [report.read(run, name) for run, name in zip(runs, comparison.names_of(runs), strict=True)]
    evaluated = [(one.name, one.experiment, one.evaluation) for one in read if one.evaluation is not None]
    beside, apart = comparison.side_by_side(evaluated) if len(evaluated) > 1 else ([], [])
    warnings = [f"{line[:1].upper()}{line[1:]}." for line in apart]
    for one in read:
        prefix = f"{one.name}: " if len(read) > 1 else ""
        warnings += [prefix + line for line in report.warnings(one)]
    from jaxmeta.plots import page

    title = title or (read[0].experiment.title if len(read) == 1 else f"{len(read)} runs")
    body = [page.heading(1, title), *([page.paragraph(note, "note")] if note else [])]
    body.append(page.paragraph(report.summary(read), "summary"))
    body += [page.notices("Warnings", warnings)] if warnings else []
    labels = {name: each.label for (name, *_), each in zip(evaluated, beside, strict=False)}
    heads = {f"run-{place}": _head(one, labels.get(one.name)) for place, one in enumerate(read, 1)}
    body += [page.links(heads.items())] if len(read) > 1 else []
    body += _comparison(beside) if beside else []
    for one, (name, head) in zip(read, heads.items(), strict=True):
        body.append(page.heading(2, head, name))
        body += [page.paragraph(report.summary([one]), "summary")] if len(read) > 1 else []
        body += _run(one, name)
    body += [page.heading(2, "Figures")] if figures else []
    body += [page.embedded(path, path.stem, path.name) for path in figures]
    write_text(out, page.document(title, body))
    print("wrote", out)


def _head(one: "Reported", label: str | None) -> str:
    """What a run is called in the report: its directory, and its label beside other runs."""
    said = label.removesuffix(f", {one.name}") if label else one.experiment.title
    return f"{one.name}: {said}"


def _comparison(beside: list["Beside"]) -> list[str]:
    """Several evaluated runs beside each other."""
    from jaxmeta import plots
    from jaxmeta.plots import page
    from jaxmeta.studies.comparison_tables import improvement_table, returns_table

    figure = plots.side_by_side([(one.panel, one.label, one.evaluation) for one in beside], columns=3)
    better = improvement_table(beside, "sampled")
    alt = f"Adaptation curves of {len(beside)} runs; the table below has their numbers"
    caption = "Returns of the sampled policy on tasks drawn anew: interquartile mean with its 95 % interval."
    return [
        page.heading(2, "Comparison"),
        page.drawing(figure, "comparison", alt, caption),
        page.table("Returns: interquartile mean [95 % interval]", *returns_table(beside, "sampled")),
        *([page.table("How often a run's last return in a task is the better one", *better)] if better.rows else []),
    ]


def _run(one: "Reported", name: str) -> list[str]:
    """What is shown of a run under its heading; the names of its figures begin with ``name``."""
    from jaxmeta.commands.settings import as_toml
    from jaxmeta.plots import page
    from jaxmeta.studies import report

    drawn = [_learning(one, name)] if one.rows else []
    drawn += [_adaptation(one, name)] if one.evaluation is not None else []
    pieces = [page.beside(*drawn)] if drawn else []
    if one.evaluation is not None:
        caption, returns = report.returns_table(one.evaluation)
        protocol = page.table("Protocol", *report.protocol_table(one.evaluation))
        pieces += [page.heading(3, "Returns"), page.table(caption, *returns)]
        pieces.append(page.folded("How it was evaluated", protocol))
    pieces += [page.heading(3, "Time"), page.table("Training", *report.timings_table(one))]
    settings = page.text(as_toml(one.experiment.config()))
    machine = page.table("As config.json has them", *report.machine_table(one))
    pieces += [page.heading(3, "Settings and versions"), page.folded("Configuration, as TOML", settings)]
    pieces.append(page.folded("Versions and device", machine))
    history = report.history_table(one)
    if len(history.rows) > 1:
        pieces.append(page.table("Parts of the training, and what differs between them", *history))
    pictures = [page.embedded(path, alt, path.name) for path, alt in report.pictures(one)]
    return [*pieces, *([page.heading(3, "Pictures"), *pictures] if pictures else [])]


def _learning(one: "Reported", name: str) -> str:
    from jaxmeta import plots
    from jaxmeta.studies import report

    rows, every = report.thinned(one.rows)
    seeds = len({row["seed"] for row in rows})
    stages = plots.stages_of([one.evaluation]) if one.evaluation else None
    stages = stages or (plots.EPISODES if one.experiment.has("lifetime") else plots.STEPS)
    figure = plots.learning_curve(rows, stages=stages, per_seed=seeds > 1)
    caption = "Learning: return on training tasks."
    if seeds > 1:
        caption += (
            " Lines: interquartile mean over seeds; thin lines: each seed; bands: from the lowest to the highest."
        )
    caption += f" One meta-iteration of {every} is shown." if every > 1 else ""
    alt = f"Learning curve of {one.experiment.title}: return on training tasks against environment steps"
    return plots.page.curves(figure, f"{name}-learning", alt, caption)


def _adaptation(one: "Reported", name: str) -> str:
    from jaxmeta import plots

    evaluation: Any = one.evaluation
    alt = f"Adaptation curve of {one.experiment.title} on tasks drawn anew; the table of returns has its numbers"
    caption = "Adaptation: return on tasks drawn anew, interquartile mean with its 95 % interval."
    return plots.page.drawing(plots.adaptation_curve(evaluation), f"{name}-adaptation", alt, caption)
