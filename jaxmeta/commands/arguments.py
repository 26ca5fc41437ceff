"""Arguments of commands: a user's own code, names, presets and files before the flags. Nothing heavy is imported."""

import contextlib
import dataclasses
import functools
import importlib.util
import inspect
import io
import itertools
import re
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jaxmeta import parts, registry
from jaxmeta.checks import MOST, check_between
from jaxmeta.commands.errors import fail, of_flags, one_line_errors

PYTHON_WORDS = re.compile(
    r"(?P<flag>--[\w.-]+): (?:invalid literal|could not convert|no type matching|Could not find valid parse)"
    r"[^']*(?P<value>'.*')\]?\.?"
)
"""How tyro and Python say that a value is not of a flag's type."""
FIGURES = ("out", "curves", "profiles")
"""Arguments that name files of figures."""
PICTURES = (".csv", ".eps", ".jpeg", ".jpg", ".pdf", ".png", ".svg", ".tif", ".tiff", ".webp")
"""Formats of figures, by the end of a file's name."""


def command(
    *, endings: tuple[str, ...] = PICTURES, **ranges: int | tuple[int, int]
) -> Callable[[Callable[..., None]], Callable[..., int]]:
    """Make a function a command's ``main(argv) -> exit status``: its parameters are the arguments, its docstring helps.

    The command is called as its module. Flags that are paths are files to be written: their folders must exist, and the
    names of ``FIGURES`` must have one of the ``endings``; without endings those are folders. Of ``runs`` at least one
    must be named. ``ranges`` say what a number, or each of several, must be at least; or at least and at most.
    """

    def decorated(function: Callable[..., None]) -> Callable[..., int]:
        name = function.__module__.rpartition(".")[2].replace("_", "-")

        @functools.wraps(function)
        def bound(*arguments: Any, **flags: Any) -> dict[str, Any]:
            return inspect.signature(function).bind(*arguments, **flags).arguments

        @functools.wraps(function)
        def main(argv: list[str] | None = None) -> int:
            with one_line_errors():
                arguments = parsed_by(bound, imported(sys.argv[1:] if argv is None else argv), f"jaxmeta {name}")
                _check(arguments, ranges, endings)
                function(**arguments)
            return 0

        return main

    return decorated


def _check(arguments: dict[str, Any], ranges: dict[str, int | tuple[int, int]], endings: tuple[str, ...]) -> None:
    for group in filter(dataclasses.is_dataclass, list(arguments.values())):
        arguments = {**arguments, **vars(group)}
    for name, value in arguments.items():
        for path in value if isinstance(value, tuple) and name in FIGURES else (value,):
            if isinstance(path, Path) and name != "run" and (endings or name not in FIGURES):
                check_file(f"--{name.replace('_', '-')}", path, endings if name in FIGURES else ())
    if not arguments.get("runs", True):
        fail("RUNS: name the directory of at least one run")
    with of_flags():
        for name, ends in ranges.items():
            low, high = ends if isinstance(ends, tuple) else (ends, MOST)
            for value in arguments[name] if isinstance(arguments[name], tuple) else (arguments[name],):
                check_between(low, high, **{name: value})


def check_file(flag: str, path: Path, endings: tuple[str, ...] = ()) -> None:
    """End the command where no file can be written to a path, or its name has none of the endings, if there are any."""
    if path.is_dir():
        fail(f"{flag}: {path} is a directory; name a file")
    if not path.absolute().parent.is_dir():
        fail(f"{flag}: {path.parent} is not a directory")
    if endings and path.suffix.lower() not in endings:
        fail(f"{flag}: got {path}; its name must end in one of {', '.join(endings)}")


def imported(argv: list[str]) -> list[str]:
    """The arguments without ``--import FILE``, each such file run."""
    kept, files = without(argv, "--import")
    for file in files["--import"]:
        import_file(Path(file))
    return kept


def without(argv: list[str], *flags: str) -> tuple[list[str], dict[str, list[str]]]:
    """The arguments without some flags, and the values that each of these flags was given."""
    kept, rest = [], list(argv)
    values: dict[str, list[str]] = {flag: [] for flag in flags}
    while rest:
        argument = rest.pop(0)
        flag, equals, value = argument.partition("=")
        if flag not in flags:
            kept.append(argument)
        elif not equals and not rest:
            fail(f"{flag}: a value must follow")
        else:
            values[flag].append(value if equals else rest.pop(0))
    return kept, values


def import_file(path: Path) -> None:
    """Run a user's file, which registers families, methods or factories of its own.

    If the file cannot be run, the command ends in one line: the file and its own error.
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


def parsed_by(kind: Any, argv: list[str], usage: str) -> Any:
    """A dataclass or call, its arguments parsed by tyro; where one does not fit the command ends in one line."""
    import tyro

    if {"-h", "--help"} & set(argv):
        return tyro.cli(kind, args=argv, prog=usage)
    refuse_repeated(argv)
    argv = spelled(kind, argv)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, unknown = tyro.cli(kind, args=argv, prog=usage, return_unknown_args=True)
    except SystemExit:
        message = _without_box(said.getvalue())
        if found := PYTHON_WORDS.match(message):
            flag, value = found.groups()
            message = f"{flag}: got {value}; must be {parts.described(types_of(kind).get(flag, 'of another type'))}"
        fail(message)
    if unknown:
        what = "flag" if unknown[0].startswith("-") else "argument"
        near = registry.hint(unknown[0].partition("=")[0], types_of(kind))
        fail(f"{unknown[0]}: unknown {what}{near} --help shows what there is")
    return parsed


def spelled(kind: Any, argv: list[str]) -> list[str]:
    """The arguments with ``None``, as tyro reads it, for the ``none`` of files and messages, where that is no name."""
    types, written = types_of(kind), list(argv)
    for place, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        following = place + (not equals)
        value = value if equals else argv[following] if following < len(argv) else ""
        members = typing.get_args(types.get(flag.replace("_", "-")))
        names = [name for one in members for name in typing.get_args(one)]
        if value == parts.NONE and type(None) in members and str not in members and value not in names:
            written[following] = f"{flag}=None" if equals else "None"
    return written


def refuse_repeated(argv: list[str]) -> None:
    """End the command on a flag that is given twice, whether as ``--flag`` or as ``--no-flag``."""
    seen = set()
    for flag in (argument.partition("=")[0] for argument in argv if argument.startswith("--")):
        name = re.sub(r"^(--(?:.*\.)?)no-", r"\1", flag.replace("_", "-"))
        if name in seen:
            fail(f"{flag}: given twice; give it once")
        seen.add(name)


def types_of(kind: Any, prefix: str = "--") -> dict[str, Any]:
    """The flags of a dataclass or function, and of the dataclasses in it, with their types."""
    found: dict[str, Any] = {}
    for name, annotation in typing.get_type_hints(kind, include_extras=True).items():
        if name == "return":
            continue
        plain, *metadata = typing.get_args(annotation) if hasattr(annotation, "__metadata__") else (annotation,)
        name = next((one.name for one in metadata if getattr(one, "name", None) is not None), name).replace("_", "-")
        if dataclasses.is_dataclass(plain):
            found |= types_of(plain, f"{prefix}{name}." if name else prefix)
        else:
            found[prefix + name] = plain
    return found


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
    rest, names = imported(argv), []
    refuse_repeated(rest)
    while rest and not rest[0].startswith("-") and len(names) < 2:
        names.append(rest.pop(0))
    method, family = (*names, None, None)[:2]
    if method is not None:
        registry.check("method", method, registry.methods())
    if family is not None:
        registry.check("family", family, registry.families())
    rest, values = without(rest, "--preset", "--config")
    preset, config = ((*values[flag], None)[0] for flag in ("--preset", "--config"))
    return Names(method, family, preset, Path(config) if config is not None else None, rest)
