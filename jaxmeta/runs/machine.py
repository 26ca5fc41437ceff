"""What a run is made with and runs on: versions, devices, the revision; and what of it may move a result's bits."""

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import jax

import jaxmeta

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "chex", "orbax-checkpoint", "numpy")

ENGINES = ("mujoco", "mujoco-mjx")
"""Packages whose version tells results of some families apart, where they are installed."""


def describe() -> dict[str, Any]:
    """What a run was made with and ran on: versions, device, revision."""
    device = jax.devices()[0]
    return {
        "versions": versions(),
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "processes": jax.process_count(),
        # Sums are split over the cores that a process may use: their order, and the last bits, depend on how many.
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "deterministic_ops": _deterministic_ops(),
        "git_revision": _git_revision(),
    }


def versions() -> dict[str, str | None]:
    """Of Python, of this package, of those that it is built on, and of the engines that are there."""
    ours = {"python": platform.python_version(), "jaxmeta": jaxmeta.__version__}
    engines = {name: version for name in ENGINES if (version := _version(name)) is not None}
    return ours | {name: _version(name) for name in PACKAGES} | engines


def _deterministic_ops() -> bool:
    """Whether XLA is told to take no operation whose bits differ from one run to the next."""
    told = re.findall(r"--xla_gpu_deterministic_ops(?:=(\w+))?", os.environ.get("XLA_FLAGS", ""))
    return bool(told) and told[-1].lower() in ("", "1", "true")


def _version(package: str) -> str | None:
    """A package's version; ``None`` where it runs from a folder that was never installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """Of this package, where it runs from its repository; installed into a folder of another one it has none."""
    git = functools.partial(
        subprocess.run, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=5, check=True
    )
    try:
        git(["git", "ls-files", "--error-unmatch", Path(__file__).name])
        return git(["git", "describe", "--always", "--dirty", "--abbrev=40"]).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def changed(history: list[dict[str, Any]], here: dict[str, Any]) -> list[str]:
    """What differs from the machine and the packages that a run was last trained with, if that may move its bits."""
    if not history:
        return []
    last, lines = history[-1], []
    # By what older versions did, where they did not write it; what nobody knows of them is not told.
    older = {"cores": None, "device": None, "devices": 1, "processes": 1}
    older |= {name: here[name] for name in ("seed_chunk", "deterministic_ops")}
    for name, default in older.items():
        was = last.get(name, default)
        if was != here[name]:
            lines.append(f"{name} were {was} and are {here[name]} now: the last bits may differ")
    moved = [name for name in ("jax", "jaxlib", "jaxmeta") if last["versions"].get(name) != here["versions"][name]]
    # An engine that was not there, or is not any more, has stepped none of the run.
    engines = [name for name in ENGINES if name in last["versions"] and name in here["versions"]]
    moved += [name for name in engines if last["versions"][name] != here["versions"][name]]
    return [*lines, *(f"{name} is another version now: the last bits may differ" for name in moved)]
