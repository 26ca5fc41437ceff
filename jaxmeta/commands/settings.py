"""A command line for an experiment's settings: flags, types and help all come from signatures and docstrings."""

import dataclasses
import itertools
import json
import tomllib
import typing
from collections.abc import Mapping
from typing import Any

from jaxmeta import parts, registry
from jaxmeta.commands.arguments import Names
from jaxmeta.commands.errors import fail
from jaxmeta.runs.experiment import Experiment, descriptions, experiment, schema, setting_at

KIND = "_kind"
"""What is put behind a part's name for the field that says which factory fills it."""

LONGEST = 10**6
"""Characters that a file of settings has at most."""


def base(names: Names) -> Experiment:
    """The experiment before any flag: presets, then a file."""
    if names.config is None:
        preset = "pair" if names.preset is None else names.preset
        return experiment(names.method, names.family, preset=preset)
    try:
        with names.config.open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            fail(f"--config {names.config}: is longer than {LONGEST} characters: no file of settings")
        content = tomllib.loads(text)
    except OSError as error:
        fail(f"--config {names.config}: cannot be read ({error.strerror})")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fail(f"--config {names.config}: {error}")
    content = parts.nested(content)
    if "preset" in content:
        fail(f"--config {names.config}: preset: name it by --preset")
    family = content.get("family")
    if names.method is not None:
        content["method"] = names.method
    if names.family is not None:
        # Settings of another family that the file names go with it; those without a name are of this one.
        content["family"] = names.family
        if isinstance(family, Mapping) and family.get(parts.USE) in (None, names.family):
            content["family"] = {**family, parts.USE: names.family}
    try:
        return experiment(preset="none" if names.preset is None else names.preset, **content)
    except ValueError as error:
        fail(f"--config {names.config}: {error}")


def with_kinds(start: Experiment, argv: list[str]) -> Experiment:
    """The experiment with the factories that flags such as ``--outer trust-region`` name; their settings come later."""
    found: dict[str, str] = {}
    for flag, following in itertools.pairwise([*argv, ""]):
        name, equals, value = flag.partition("=")
        if name.startswith("--"):
            found[name[2:].replace("-", "_")] = value if equals else following
    # Outer parts first: what they are decides what is inside them.
    for name in sorted(found, key=lambda name: name.count(".")):
        if isinstance(setting_at(start.tree, name), Mapping) and name != "family":
            start = start.replace(**{name: None if found[name] == "None" else found[name]})
    return start


def flags(start: Experiment) -> Any:
    """A dataclass of an experiment's settings for tyro, one level of it for each part, with what they are now."""
    return _fields(schema(start.method, start.family), start.tree, "settings", descriptions(start.method))


def _fields(factory: Any, tree: Mapping[str, Any], name: str, says: Mapping[str, str]) -> Any:
    import tyro

    known = parts.parameters(factory)
    fields: list[Any] = []
    for setting, value in tree.items():
        if setting == parts.USE:
            continue
        annotation, text = known[setting].annotation, says.get(setting)
        kind = parts.kind_of(annotation)
        if kind is None:
            typed = typing.Annotated[parts.plain_type(annotation), tyro.conf.arg(help=text)]
            fields.append((setting, typed, dataclasses.field(default=value)))
            continue
        use = value[parts.USE] if isinstance(value, Mapping) else None
        if setting != "family":
            choices = typing.Literal[tuple(registry.kinds()[kind])]  # pyright: ignore[reportInvalidTypeForm]
            shown = typing.Annotated[choices if use else choices | None, tyro.conf.arg(name=setting, help=text)]
            fields.append((setting + KIND, shown, dataclasses.field(default=use)))
        if isinstance(value, Mapping):
            inner = registry.factory(kind, value[parts.USE])
            each = _fields(inner, value, setting, parts.descriptions(inner))
            if dataclasses.fields(each):
                fields.append((setting, each, dataclasses.field(default=each())))
    made = dataclasses.make_dataclass(name, fields, frozen=True)
    made.__doc__ = (getattr(factory, "__doc__", "") or name).strip().splitlines()[0]
    return made


def given(start: Experiment, parsed: Any) -> Experiment:
    """The experiment that the parsed flags stand for."""
    return start.replace(**_tree(parsed))


def _tree(parsed: Any) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for field in dataclasses.fields(parsed):
        value = getattr(parsed, field.name)
        if field.name.endswith(KIND):
            name = field.name.removesuffix(KIND)
            tree[name] = value if value is None else {parts.USE: value, **tree.get(name, {})}
        elif dataclasses.is_dataclass(value):
            tree[field.name] = {**tree.get(field.name, {}), **_tree(value)}
        else:
            tree[field.name] = value
    return tree


def as_toml(config: Mapping[str, Any], prefix: str = "") -> str:
    """A tree of settings as TOML; settings that are not set are ``"none"``."""
    tables = {f"{prefix}{name}": value for name, value in config.items() if isinstance(value, Mapping)}
    lines = [f"{name} = {_toml(value)}" for name, value in config.items() if not isinstance(value, Mapping)]
    inner = [f"[{name}]\n" + as_toml(table, f"{name}.") for name, table in tables.items()]
    return "\n\n".join(["\n".join(lines), *inner])


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str):
        # A string in JSON is one in TOML too.
        return json.dumps(parts.NONE if value is None else value, ensure_ascii=False)
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)
