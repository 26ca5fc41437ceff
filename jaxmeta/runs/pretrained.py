"""Meta-parameters that one command makes, and that are opened by their name."""

import functools
import os
import shlex
import tomllib
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from jaxmeta import registry
from jaxmeta.runs.run import CONFIG, Run, RunError, load

HOME = "JAXMETA_PRETRAINED"
"""The environment variable that names the folder in which they lie."""


class Recipe(NamedTuple):
    """How meta-parameters are made.

    Attributes:
      train: arguments of ``jaxmeta train``, without the directory.
      minutes: what that takes on two CPU cores, about, evaluation included.
    """

    train: str
    minutes: float

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.train)


@functools.cache
def recipes() -> dict[str, Recipe]:
    """All that there are, by name."""
    content = (resources.files("jaxmeta.runs") / "pretrained.toml").read_text(encoding="utf-8")
    return {name: Recipe(**entry) for name, entry in tomllib.loads(content).items()}


def home() -> Path:
    """The folder in which they lie: what ``JAXMETA_PRETRAINED`` says, or ``~/.cache/jaxmeta``."""
    return Path(os.environ.get(HOME) or Path.home() / ".cache" / "jaxmeta")


def pretrained(name: str, directory: str | Path | None = None) -> Run:
    """Open pretrained meta-parameters: a run, as ``load`` gives it. Beside it lies a card of what it reaches.

    Args:
      name: such as ``"rl2-gridnavi"``.
      directory: the folder in which they lie; by default ``home()``.

    Raises:
      RegistryError: a name that is not known.
      RunError: not made yet, or not to its end; the message says by which command.
    """
    registry.check("pretrained", name, recipes())
    there = Path(home() if directory is None else directory) / name
    made = f"jaxmeta pretrain {name}{'' if directory is None else f' --out {directory}'}"
    if not (there / CONFIG).is_file():
        raise RunError(f"{there}: not here yet; {made} makes it in about {recipes()[name].minutes:g} minutes")
    run = load(there)
    if run.iteration < run.config.tree["iterations"]:
        raise RunError(f"{there}: trained for {run.iteration} meta-iterations only; {made} goes on with it")
    return run
