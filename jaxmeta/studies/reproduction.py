"""Recipes of figures and tables: which runs, which commands after them, and the numbers that these should give.

A recipe is a TOML file in ``recipes``: a ``title``, its ``source``, the ``seconds`` it takes on two cores, and tables:

- ``[[runs]]``: a ``name``, the arguments of ``jaxmeta train``, and ``quick``: flags in their place, or beside them,
  with a reduced budget. ``each`` makes a run of each word, which stands for ``{each}``; ``quick-each`` are those of
  them that the reduced budget has, an empty list none.
- ``[[steps]]``: a ``command`` of ``jaxmeta`` or a script of the repository's ``benchmarks``; ``quick`` as above, and
  ``quick = false`` leaves it out. ``runs/NAME*`` stands for all runs whose names fit.
- ``[[bands]]``: ``of`` which number, the JSON ``file`` it is in, the row ``where`` some entries have these values, the
  ``value``'s place in it, and the lowest and highest value with each budget, ``full`` and ``quick``; ``published``.
"""

import fnmatch
import functools
import json
import shlex
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jaxmeta import registry

NOTED = ("compare", "regret", "report")
"""Commands whose figures say that the budget is reduced."""


class Band(NamedTuple):
    """A number that a recipe should give, and what it gave.

    ``value`` is ``None`` where the file or the row is not there.
    """

    of: str
    value: float | None
    low: float
    high: float
    published: float | None

    @property
    def inside(self) -> bool:
        """Whether the number is there and within the band."""
        return self.value is not None and self.low <= self.value <= self.high


class Recipe(NamedTuple):
    """A recipe, with its reduced budget or in full.

    Attributes:
      runs: name and arguments of ``jaxmeta train`` of each; they do not depend on each other.
      steps: arguments of ``jaxmeta``, or a script and its arguments, of each command after them, in this order.
      seconds: that all of it takes on two cores, about.
    """

    name: str
    title: str
    source: str
    quick: bool
    seconds: float
    runs: dict[str, list[str]]
    steps: list[list[str]]
    bands: list[dict[str, Any]]

    @property
    def command(self) -> str:
        """What makes it."""
        return f"jaxmeta reproduce {self.name}{' --quick' if self.quick else ''}"


def names() -> list[str]:
    """All recipes."""
    return sorted(_contents())


def recipe(name: str, *, quick: bool) -> Recipe:
    """A recipe by name; an unknown one is a ``ValueError`` that names those there are."""
    registry.check("recipe", name, names())
    return made(name, _contents()[name], quick=quick)


def made(name: str, content: dict[str, Any], *, quick: bool) -> Recipe:
    """A recipe from the content of its file."""
    runs = {}
    for one in content.get("runs", []):
        words = one.get("each", [""])
        for word in one.get("quick-each", words) if quick else words:
            arguments = merged(one["train"], one.get("quick", "") if quick else "")
            placed = [argument.replace("{each}", word) for argument in arguments]
            runs[one["name"].replace("{each}", word)] = placed
    steps = []
    for one in content.get("steps", []):
        if quick and one.get("quick") is False:
            continue
        arguments = merged(one["command"], one.get("quick", "") if quick else "")
        if quick and arguments[0] in NOTED:
            arguments += ["--note", f"Reduced budget: made by jaxmeta reproduce {name} --quick."]
        steps.append([place for argument in arguments for place in _places(argument, runs)])
    size = "quick" if quick else "full"
    about = {"title": content["title"], "source": content.get("source", ""), "seconds": content["seconds"][size]}
    bands = [band | {"band": band[size]} for band in content.get("bands", []) if size in band]
    return Recipe(name, quick=quick, runs=runs, steps=steps, bands=bands, **about)


def merged(command: str, flags: str) -> list[str]:
    """Arguments in which some flags are replaced, each with its values, and those that were not there added."""
    first, ours = _by_flag(command)
    _, others = _by_flag(flags)
    return [*first, *(word for flag, values in (ours | others).items() for word in (flag, *values))]


def _by_flag(text: str) -> tuple[list[str], dict[str, list[str]]]:
    """What stands before the first flag, and the values of each flag."""
    values = first = list[str]()
    by_flag: dict[str, list[str]] = {}
    for word in shlex.split(text):
        if word.startswith("--"):
            values = by_flag[word] = []
        else:
            values.append(word)
    return first, by_flag


def _places(argument: str, runs: dict[str, list[str]]) -> list[str]:
    if not argument.startswith("runs/"):
        return [argument]
    return [f"runs/{name}" for name in fnmatch.filter(runs, argument.removeprefix("runs/"))] or [argument]


def found(recipe: Recipe, folder: Path) -> list[Band]:
    """What a recipe's numbers are, by the files that it wrote into a folder."""
    bands = []
    for one in recipe.bands:
        low, high = one["band"]
        value = _value(folder / one["file"], one.get("where", {}), one["value"])
        bands.append(Band(one["of"], value, low, high, one.get("published")))
    return bands


def _value(path: Path, where: dict[str, Any], place: str) -> float | None:
    try:
        content = json.loads(path.read_text())
        if isinstance(content, list):
            content = next(row for row in content if all(row.get(name) == value for name, value in where.items()))
        for name in place.split("."):
            content = content[int(name) if isinstance(content, list) else name]
        return float(content)
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        return None


def table(bands: list[Band]) -> str:
    """Numbers beside their bands, in Markdown."""
    heads = ["", "here", "should be", "published", ""]
    rows = [heads, ["---"] * len(heads)]
    for band in bands:
        value, published = (f"{x:.4g}" if x is not None else "" for x in (band.value, band.published))
        verdict = "inside" if band.inside else "not there" if band.value is None else "OUTSIDE"
        rows.append([band.of, value, f"{band.low:g} to {band.high:g}", published, verdict])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


@functools.cache
def _contents() -> dict[str, dict[str, Any]]:
    files = resources.files("jaxmeta.studies").joinpath("recipes").iterdir()
    found = {path.name.removesuffix(".toml"): path for path in files if path.name.endswith(".toml")}
    return {name: tomllib.loads(path.read_text(encoding="utf-8")) for name, path in found.items()}
