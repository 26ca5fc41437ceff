"""What comes before the flags: names, presets, files, and a user's own code. Nothing heavy is imported."""

import contextlib
import importlib.util
import io
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from jaxmeta import registry
from jaxmeta.commands.errors import fail


def imported(argv: list[str]) -> list[str]:
    """The arguments without ``--import FILE``, each such file run."""
    kept, rest = [], list(argv)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag != "--import":
            kept.append(flag + equals + value)
            continue
        if not equals and not rest:
            fail("--import: a file must follow")
        import_file(Path(value if equals else rest.pop(0)))
    return kept


def import_file(path: Path) -> None:
    """Run a user's file, which registers families, methods or factories of its own.

    It ends the command in one line if the file cannot be run: the file and its own error.
    """
    if not path.is_file():
        fail(f"--import {path}: there is no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        fail(f"--import {path}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Found by name later, as where a dataclass of the file looks for its module.
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        fail(f"--import {path}: {type(error).__name__}: {error}")


def parsed_by(command: Any, argv: list[str], usage: str, known: Iterable[str] = ()) -> Any:
    """The command's arguments, by tyro; where one does not fit it ends in one line, and not in a box.

    Args:
      command: a dataclass.
      argv: its arguments.
      usage: the command's name, for its help.
      known: its flags, for the near ones where one is unknown.
    """
    import tyro

    if {"-h", "--help"} & set(argv):
        return tyro.cli(command, args=argv, prog=usage)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, unknown = tyro.cli(command, args=argv, prog=usage, return_unknown_args=True)
    except SystemExit:
        fail(_without_box(said.getvalue()))
    if unknown:
        what = "flag" if unknown[0].startswith("-") else "argument"
        near = registry.hint(unknown[0].partition("=")[0], known)
        fail(f"{unknown[0]}: unknown {what}{near} --help shows what there is")
    return parsed


def _without_box(text: str) -> str:
    """The first paragraph inside the box that tyro draws around its errors, under the box's title."""
    lines = [line.strip("│ ") for line in text.strip().splitlines()[1:]]
    # Rules are dashes where the terminal has nothing better.
    below = itertools.dropwhile(lambda line: not line.strip("─-"), lines)
    said = " ".join(itertools.takewhile(lambda line: line.strip("─-╰╯"), below))
    return said.replace("Error parsing ", "") or " ".join(text.split())


class Names(NamedTuple):
    """What comes before the flags, and what must be known before they can be read."""

    method: str | None
    family: str | None
    preset: str | None
    config: Path | None
    rest: list[str]


def split(argv: list[str]) -> Names:
    """Take the names, ``--preset``, ``--config`` and ``--import`` from the arguments, and import the files."""
    names: list[str] = []
    rest = imported(argv)
    while rest and not rest[0].startswith("-") and len(names) < 2:
        names.append(rest.pop(0))
    taken: dict[str, str] = {}
    kept: list[str] = []
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag in ("--preset", "--config"):
            if not equals and not rest:
                fail(f"{flag}: a value must follow")
            taken[flag] = value if equals else rest.pop(0)
        else:
            kept.append(flag + equals + value)
    method, family = (*names, None, None)[:2]
    if method is not None:
        registry.check("method", method, registry.methods())
    if family is not None:
        registry.check("family", family, registry.families())
    config = Path(taken["--config"]) if "--config" in taken else None
    return Names(method, family, taken.get("--preset"), config, kept)
