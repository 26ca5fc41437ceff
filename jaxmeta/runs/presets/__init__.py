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


@functools.cache
def _files() -> dict[str, dict[str, Any]]:
    found = {}
    for path in resources.files("jaxmeta.runs.presets").iterdir():
        if path.name.endswith(".toml"):
            found[path.name] = tomllib.loads(path.read_text(encoding="utf-8"))
    return found


def names() -> list[str]:
    """Presets by name, sorted."""
    return sorted(_files()[NAMED])


def named(name: str) -> dict[str, Any]:
    """A preset by name: a tree of settings with its ``method`` and ``family``.

    Raises:
      RegistryError: an unknown name, with the near ones.
    """
    registry.check("preset", name, names())
    return _files()[NAMED][name]


def names_of(method: str | None, family: str | None, preset: str | None) -> tuple[str, str]:
    """The method and the family that a run is of, where a preset or the defaults name what is left out."""
    base = {} if preset in (None, "pair", "none") else named(preset)
    stored = base.get("family", "navigation")
    stored = stored["use"] if isinstance(stored, Mapping) else stored
    return method or base.get("method", "maml"), family or stored


def of_pair(method: str, family: str, known: Container[str]) -> tuple[str | None, dict[str, Any]]:
    """The preset of a method on a family.

    Args:
      method: a registered name.
      family: likewise.
      known: settings that a run of both has.

    Returns:
      Its name, ``None`` where there is none, and its settings.
    """
    layers: list[tuple[str, Mapping[str, Any]]] = []
    for name, file in sorted(_files().items()):
        if name != NAMED and method in file["methods"]:
            stem = name.removesuffix(".toml")
            layers += [
                (stem, file.get("all", {})),
                (f"{stem}/{family}", file.get("family", {}).get(family, {})),
                (method, file.get("method", {}).get(method, {})),
                (f"{method}/{family}", file.get("pair", {}).get(method, {}).get(family, {})),
            ]
    merged: dict[str, Any] = {}
    layers = [(name, {key: value for key, value in layer.items() if key in known}) for name, layer in layers]
    for _, layer in layers:
        merged = laid_over(merged, layer)
    used = [name for name, layer in layers if layer]
    return (" + ".join(used) or None), merged


def laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of ``over`` before those of ``under``; tables that use the same factory are merged."""
    merged = dict(under)
    for name, value in over.items():
        there = merged.get(name)
        if isinstance(there, Mapping) and isinstance(value, Mapping) and value.get("use") in (None, there.get("use")):
            value = laid_over(there, value)
        merged[name] = value
    return merged
