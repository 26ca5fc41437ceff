"""A trained run, opened: its configuration, slow weights, and what they do in a task."""

import contextlib
import dataclasses
import json
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from jaxmeta import parts
from jaxmeta.data import absorbs, adapt_on, check_recorded
from jaxmeta.registry import RegistryError
from jaxmeta.runs.checkpoint import Checkpoints
from jaxmeta.runs.evaluation import Evaluation, evaluate
from jaxmeta.runs.experiment import Experiment, from_config
from jaxmeta.runs.logging import write_json
from jaxmeta.types import Array, Key, Lifetime, MetaAlgorithm, Phi, Task, TaskDistribution, Theta, Trajectory

CONFIG = "config.json"
FORMAT = 3


class RunError(RuntimeError):
    """A run that cannot be started, read or gone on with; the message is one line that says what to do."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained run.

    Attributes:
      directory: where it is.
      config: its experiment: method, family, and all settings.
      iteration: meta-iterations after which the weights are.
      seed: the seed whose weights ``theta`` are.
      thetas: slow weights of all seeds, leaves ``[S, ...]``.
    """

    directory: Path
    config: Experiment
    iteration: int
    seed: int
    thetas: Theta

    @property
    def theta(self) -> Theta:
        """Slow weights of the run's seed."""
        place = self.config.seeds.index(self.seed)
        return jax.tree.map(lambda x: x[place], self.thetas)

    @property
    def tasks(self) -> TaskDistribution:
        """The family of tasks, inside its wrappers."""
        return self.config.build()[0]

    @property
    def algorithm(self) -> MetaAlgorithm:
        """The method, as it was trained."""
        return self.config.build()[1]

    def adapt(self, key: Key, task: Task) -> tuple[Phi, Lifetime]:
        """Adapt to a task: the fast state, and the lifetime that was collected for it."""
        return jax.jit(self.algorithm.adapt)(key, self.theta, task)

    def act(self, key: Key, phi: Phi, obs: Array) -> tuple[Array, Phi]:
        """An action at an observation by the mode of the policy, and the fast state after it.

        The fast state before it is from ``adapt``, or ``algorithm.learner.begin(theta)``.
        """
        action, _, _, phi = self.algorithm.greedy.act(key, self.theta, phi, obs)
        return action, phi

    def adapt_on(self, trajectory: Trajectory, phi: Phi | None = None) -> Phi:
        """The fast state after episodes that you recorded, from ``jaxmeta.data.recorded``.

        Args:
          trajectory: leaves ``[E, T, ...]``.
          phi: the fast state that they were acted with, if not that before any adaptation.

        Raises:
          ValueError: a method that adapts by acting and learns nothing from whole episodes; observations or actions of
            other shapes than the family's, or numbers that are not finite.
        """
        key = jax.random.key(0)
        lifetime = jax.eval_shape(self.algorithm.adapt, key, self.theta, jax.eval_shape(self.tasks.sample, key))[1]
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), lifetime.trajectory)
        if not absorbs(self.algorithm, self.theta, like):
            raise ValueError(
                f"adapt_on: {self.config.method} adapts while it acts: give the observations to act, one by one"
            )
        check_recorded(trajectory, like)
        phi = self.algorithm.learner.begin(self.theta) if phi is None else phi
        return jax.jit(adapt_on, static_argnums=0)(self.algorithm, self.theta, phi, trajectory)

    def export(self, path: str | Path, *, platforms: tuple[str, ...] = ("cpu", "cuda", "tpu")) -> Path:
        """Write weights and compiled functions into a new folder that needs no jaxmeta: see ``runs.export``."""
        from jaxmeta.runs.export import export

        return export(self, path, platforms=platforms)

    def evaluate(
        self, *, write: bool = False, report: Callable[[int, int], None] = lambda done, total: None, **protocol: Any
    ) -> dict[str, Any]:
        """Returns of all seeds on test tasks, as ``evaluation.json`` has them.

        Args:
          write: whether to write them into the run's directory.
          report: told how many tasks are done, of how many, all seeds and references counted.
          **protocol: settings of ``Evaluation``: ``steps``, ``episodes``, ``tasks``, ...
        """
        result = evaluate(self.config, self.thetas, self.iteration, Evaluation(**protocol), report)
        if write:
            write_json(self.directory / "evaluation.json", result)
        return result


def read_config(directory: str | Path) -> Experiment:
    """The experiment of a run, from its ``config.json``.

    Raises:
      RunError: no run, one of another version, or one that the registry and the signatures do not fit.
    """
    return _read(directory)[0]


def read_evaluation(directory: str | Path) -> Evaluation:
    """How a run is evaluated after training, from its ``config.json``; the default where nothing is said of it."""
    return _read(directory)[1]


def _read(directory: str | Path) -> tuple[Experiment, Evaluation]:
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise RunError(f"{Path(directory)} holds no run: there is no {CONFIG}")
    try:
        stored = json.loads(path.read_text())
        if not isinstance(stored, dict):
            raise ValueError("not a table")
        if "arguments" in stored and "experiment" not in stored:
            version = stored.get("versions", {}).get("jaxmeta", "0.1.0")
            raise RunError(f"{path} was written by jaxmeta {version}, and that version reads it: use a checkout of it")
        if stored.get("format") != FORMAT:
            raise RunError(f"{path} has format {stored.get('format')!r}, and this version reads {FORMAT}")
        _check_kinds(stored)
        found = dataclasses.replace(from_config(stored["experiment"]), preset=stored.get("preset"))
        types, settings = typing.get_type_hints(Evaluation), stored.get("evaluation", {})
        for name in settings:
            parts.check_name(f"evaluation.{name}", types, "an evaluation")
        protocol = {name: parts.checked(f"evaluation.{name}", value, types[name]) for name, value in settings.items()}
        return found, Evaluation(**protocol)
    except RunError:
        raise
    except (
        OSError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        UnicodeDecodeError,
        json.JSONDecodeError,
    ) as error:
        raise RunError(f"{path} cannot be read ({type(error).__name__}); restore it, or start the run anew") from error
    except RegistryError as error:
        raise RunError(f"{path}: one of your own comes in by --import FILE, or by importing it; {error}") from error
    except ValueError as error:
        raise RunError(f"{path}: {error}") from error


def _check_kinds(stored: dict[str, Any]) -> None:
    """Refuse entries of a ``config.json`` that are not of the kind that we write: a ``ValueError`` names the entry."""
    words = {dict: "a table", list: "a list", str: "text", type(None): "null"}

    def check(name: str, value: Any, *kinds: type) -> None:
        if not isinstance(value, kinds):
            raise ValueError(f"{name}: got {value!r}; must be {' or '.join(words[one] for one in kinds)}")

    check("experiment", stored.get("experiment"), dict)
    check("experiment.method", stored["experiment"].get("method"), str)
    check("experiment.family", stored["experiment"].get("family"), dict, str)
    check("evaluation", stored.get("evaluation", {}), dict)
    check("preset", stored.get("preset"), str, type(None))
    check("run", stored.get("run"), str, type(None))
    check("history", stored.get("history", []), list)
    for entry in stored.get("history", []):
        check("history", entry, dict)
        check("history.versions", entry.get("versions"), dict)


@contextlib.contextmanager
def of_config(directory: str | Path) -> Iterator[None]:
    """Inside the ``with`` block an error of a setting names the run's ``config.json``, which the setting is from."""
    try:
        yield
    except parts.SettingError as error:
        raise RunError(f"{Path(directory) / CONFIG}: {error}") from error


def load(directory: str | Path, *, seed: int | None = None, checkpoint: int | None = None) -> Run:
    """Open a run: its configuration and its slow weights. The optimiser's state is not read.

    Args:
      directory: the run's.
      seed: whose weights ``theta`` are; by default the first.
      checkpoint: meta-iteration of a kept checkpoint; by default the newest that can be read.

    Raises:
      RunError: no run, or no such seed.
      CheckpointError: no checkpoint that can be read, or one of other weights: the first that differs is named.
    """
    directory = Path(directory)
    config = read_config(directory)
    with of_config(directory):
        seeds = config.seeds
        _, algorithm = config.build()
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise RunError(f"seed: got {seed}; {directory} has {', '.join(map(str, seeds))}")
    if not (directory / "checkpoints").is_dir():
        raise RunError(f"{directory} has no checkpoints; train first")
    count = len(seeds)
    one = jax.eval_shape(algorithm.init, jax.random.key(0)).theta
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), one)
    identity = {"run": json.loads((directory / CONFIG).read_text()).get("run"), "seeds": seeds}
    with Checkpoints(directory / "checkpoints", identity=identity) as checkpoints:
        thetas, iteration = checkpoints.restore_theta(like, checkpoint)
    return Run(directory, config, iteration, seed, thetas)
