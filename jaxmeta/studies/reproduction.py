"""Recipes of figures and tables: which runs, which commands after them, and the numbers that these should give.

A recipe is a TOML file in ``recipes``: a ``title``, its ``source``, the ``seconds`` it takes on two cores, and tables:

- ``[[runs]]``: a ``name`` and ``train``, the arguments of ``jaxmeta train``.
- ``[[steps]]``: a ``command`` of ``jaxmeta`` or a script of the repository's ``benchmarks``. ``runs/NAME*`` stands for
  all runs of the budget whose names fit.
- Both: ``quick``, flags in the place of others, or beside them, with a reduced budget, or ``false``: it has none of
  this. ``each`` makes one of each word, which stands for ``{each}``; ``quick-each`` are those of the reduced budget.
- ``[[bands]]``: ``of`` which number, the JSON ``file`` it is in, the row ``where`` some entries have these values, the
  ``value``'s place in it, and the lowest and highest value with each budget, ``full`` and ``quick``; ``published``.
  In a place ``*`` stands for the mean over a list. Tables instead of the last three make a band of each of their
  words, which stands for ``{each}``.
"""

import fnmatch
import functools
import json
import shlex
import statistics
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jaxmeta import registry

NOTED = ("compare", "regret", "render", "report")
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
    runs, steps = {}, []
    for one, word in _entries(content.get("runs", []), quick=quick):
        arguments = merged(one["train"], one.get("quick", "") if quick else "")
        runs[_placed(one["name"], word)] = [_placed(argument, word) for argument in arguments]
    for one, word in _entries(content.get("steps", []), quick=quick):
        arguments = merged(one["command"], one.get("quick", "") if quick else "")
        if quick and arguments[0] in NOTED:
            arguments += ["--note", f"Reduced budget: made by jaxmeta reproduce {name} --quick."]
        steps.append([place for argument in arguments for place in _places(_placed(argument, word), runs)])
    size = "quick" if quick else "full"
    about = {"title": content["title"], "source": content.get("source", ""), "seconds": content["seconds"][size]}
    bands = [band for one in content.get("bands", []) if size in one for band in _bands(one, one[size])]
    return Recipe(name, quick=quick, runs=runs, steps=steps, bands=bands, **about)


def _entries(entries: list[dict[str, Any]], *, quick: bool) -> Iterator[tuple[dict[str, Any], str]]:
    """The entries that a budget has, each with each of its words."""
    for one in entries:
        if quick and one.get("quick") is False:
            continue
        words = one.get("each", [""])
        for word in one.get("quick-each", words) if quick else words:
            yield one, word


def _bands(one: dict[str, Any], ends: list[float] | dict[str, list[float]]) -> Iterator[dict[str, Any]]:
    """The bands that an entry stands for, each with its ``band``; ``ends`` are those of the budget."""
    of_each = ends if isinstance(ends, dict) else {"": ends}
    for word, band in of_each.items():
        placed = {name: _placed(value, word) for name, value in one.items() if name in ("of", "file", "where", "value")}
        published = one.get("published")
        yield placed | {"band": band, "published": published.get(word) if isinstance(published, dict) else published}


def _placed(value: Any, word: str) -> Any:
    if isinstance(value, dict):
        return {name: _placed(entry, word) for name, entry in value.items()}
    return value.replace("{each}", word) if isinstance(value, str) else value


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
    """An argument, or the runs that it stands for."""
    if not argument.startswith("runs/"):
        return [argument]
    return [f"runs/{name}" for name in fnmatch.filter(runs, argument.removeprefix("runs/"))]


def found(recipe: Recipe, folder: Path) -> list[Band]:
    """What a recipe's numbers are, by the files that it wrote into a folder."""
    bands = []
    for one in recipe.bands:
        low, high = one["band"]
        value = _value(folder / one["file"], one.get("where", {}), one["value"])
        bands.append(Band(one["of"], value, low, high, one["published"]))
    return bands


def _value(path: Path, where: dict[str, Any], place: str) -> float | None:
    try:
        content = json.loads(path.read_text())
        if isinstance(content, list):
            content = next(row for row in content if all(row.get(name) == value for name, value in where.items()))
        return _value_at(content, place.split("."))
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        return None


def _value_at(content: Any, names: list[str]) -> float:
    if not names:
        return float(content)
    name, *rest = names
    if name == "*":
        return statistics.mean(_value_at(one, rest) for one in content)
    return _value_at(content[int(name) if isinstance(content, list) else name], rest)


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
