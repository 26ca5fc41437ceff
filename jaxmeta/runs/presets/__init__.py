"""Presets: trees of settings that differ from the signatures', as TOML files beside this one.

A file of pairs says for which methods it is. Its tables are laid over each other: ``[all]``, then ``[family.F]``, then
``[method.M]``, then ``[pair.M.F]``; settings in it that only others of its methods have are left out. ``named.toml``
holds experiments by name, each with its ``method`` and ``family``.
"""

import functools
import tomllib
from collections.abc import Container, Mapping
from importlib import resources
from typing import Any

from jaxmeta import registry

NAMED = "named.toml"
PAIR = "pair"
"""The preset of a method on a family, whatever its parts are called."""
NONE = "none"
"""No preset: the signatures' own defaults."""


@functools.cache
def _files() -> dict[str, dict[str, Any]]:
    found = {}
    for path in resources.files(__name__).iterdir():
        if path.name.endswith(".toml"):
            found[path.name] = tomllib.loads(path.read_text(encoding="utf-8"))
    return found


def names() -> list[str]:
    """Presets by name, sorted."""
    return sorted(_files()[NAMED])


def named(name: str) -> dict[str, Any]:
    """A preset by name, which must be known: a tree of settings with its ``method`` and ``family``."""
    registry.check("preset", name, [*names(), PAIR, NONE])
    return _files()[NAMED][name]


def names_of(method: str | None, family: str | None, preset: str | None) -> tuple[str, str]:
    """The method and the family that a run is of, where a preset or the defaults name what is left out."""
    base = {} if preset in (None, PAIR, NONE) else named(preset)
    stored = base.get("family", "navigation")
    stored = stored["use"] if isinstance(stored, Mapping) else stored
    return method or base.get("method", "maml"), family or stored


def chosen(preset: str | None, method: str, family: str, known: Container[str]) -> tuple[str | None, dict[str, Any]]:
    """What a preset is called in full, and what it says of a method on a family; a run of both has ``known`` settings.

    ``"pair"`` is the preset of the two; ``None`` and ``"none"`` are no preset.
    """
    if preset in (None, NONE):
        return None, {}
    if preset != PAIR:
        # Settings of another family are of no use.
        left_out = ("method",) if names_of(None, None, preset)[1] == family else ("method", "family")
        return preset, {name: value for name, value in named(preset).items() if name not in left_out}
    merged: dict[str, Any] = {}
    used = []
    for file_name, file in sorted(_files().items()):
        if file_name != NAMED and method in file["methods"]:
            stem = file_name.removesuffix(".toml")
            for name, layer in (
                (stem, file.get("all", {})),
                (f"{stem}/{family}", file.get("family", {}).get(family, {})),
                (method, file.get("method", {}).get(method, {})),
                (f"{method}/{family}", file.get("pair", {}).get(method, {}).get(family, {})),
            ):
                fitting = {setting: value for setting, value in layer.items() if setting in known}
                merged = laid_over(merged, fitting)
                used += [name] if fitting else []
    return (f"{PAIR} ({' + '.join(used)})" if used else None), merged


def laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of ``over`` before those of ``under``; tables that use the same factory are merged."""
    merged = dict(under)
    for name, value in over.items():
        there = merged.get(name)
        merged[name] = value
        if isinstance(there, Mapping) and isinstance(value, Mapping) and value.get("use") in (None, there.get("use")):
            merged[name] = laid_over(there, value)
    return merged
