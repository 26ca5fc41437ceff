"""An experiment: a tree of settings, and the family of tasks and the method that it stands for.

The tree's settings are those of the run (``iterations``, ``seeds``, ...), of the wrappers around the family, of the
family (``family``, a part) and of the method, all from signatures. ``config.json``, TOML files, presets, the command
line and ``experiment(...)`` in Python speak of the same tree.
"""

import contextlib
import dataclasses
import functools
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from jaxmeta import parts, registry
from jaxmeta.checks import MOST, check_between, check_family_sizes, check_least
from jaxmeta.parts import Part, SettingError
from jaxmeta.runs import presets
from jaxmeta.runs.precision import with_precision
from jaxmeta.types import MetaAlgorithm, TaskDistribution

METHOD = "method"


def run_settings(
    *,
    iterations: int = 400,
    meta_batch: int = 20,
    seed: int = 0,
    seeds: int = 1,
    held_out: int = 0,
    precision: Literal["float32", "tf32", "bfloat16"] = "tf32",
) -> None:
    """What a run is, whatever the method.

    Args:
      iterations: meta-iterations, ≥ 1.
      meta_batch: tasks in each meta-iteration, ≥ 1.
      seed: the first seed, ≥ 0; the last one must have 32 bits at most.
      seeds: number of seeds, trained side by side in one program, from 1 to 100,000.
      held_out: tasks of a finite family that are kept out of training, and evaluated on, ≥ 0; with 0 it is trained and
        evaluated on all of them, as the papers do that these families come from.
      precision: of the factors in matrix products: 24, 11 or 8 bits. Products are summed and all else is computed in
        float32, whose precision a CPU uses throughout.
    """
    check_least(1, iterations=iterations, meta_batch=meta_batch)
    check_between(1, 100_000, seeds=seeds)
    check_between(0, MOST - seeds + 1, seed=seed)
    check_least(0, held_out=held_out)


def wrapped(
    tasks: TaskDistribution, *, observed: tuple[int, ...] = (), repeat: int = 1, scaled: bool = False
) -> TaskDistribution:
    """A family of tasks inside the wrappers that a run asks for.

    Args:
      tasks: the family.
      observed: entries of the observation that are seen, such as 0 2 (cartpole without velocities); all if empty.
      repeat: steps of the environment that an action is taken for, from 1 to 1,000; returns stay those of all steps.
      scaled: entries of the observation that have bounds are seen in [-1, 1].
    """
    from jaxmeta.tasks import observations, wrappers

    if observed:
        tasks = observations.observe_only(tasks, observed)
    # The program has a part for each of them.
    check_between(1, 1000, repeat=repeat)
    if repeat > 1:
        tasks = wrappers.repeat_actions(tasks, repeat)
    return observations.scale_observations(tasks) if scaled else tasks


def lifetimes(tasks: TaskDistribution, *, lifetime: int = 1) -> TaskDistribution:
    """Lifetimes of a family's episodes.

    Args:
      tasks: the family.
      lifetime: episodes in a lifetime, ≥ 1; the learner remembers from one to the next.
    """
    from jaxmeta.tasks import as_lifetime

    check_least(1, lifetime=lifetime)
    return as_lifetime(tasks, lifetime)


def schema(method: str, family: str) -> Any:
    """A factory whose settings are all that a run of a method on a family has."""
    builder = registry.builder(method)
    registry.check("family", family, registry.families())
    settings = {**parts.parameters(run_settings), **parts.parameters(wrapped)}
    if _takes_lifetimes(builder):
        settings |= parts.parameters(lifetimes)
    clash = sorted(set(settings) & set(parts.parameters(builder)))
    if clash:
        raise registry.RegistryError(f"{method}: {', '.join(clash)} names a setting of every run; give it another name")
    default = Part(registry.family_factory(family), {})
    each = inspect.Parameter("family", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Family)
    settings = {"family": each, **settings, **parts.parameters(builder)}

    def factory(**values: Any) -> None: ...

    factory.__dict__["__signature__"] = inspect.Signature(list(settings.values()))
    factory.__name__ = method
    return factory


class Family:
    """The kind of part that a family of tasks is."""


def descriptions(method: str) -> dict[str, str]:
    """What the docstrings say of each setting of a run."""
    found = {"family": "the family of tasks"}
    for each in (registry.builder(method), run_settings, wrapped, lifetimes):
        found = {**parts.descriptions(each), **found}
    return found


def _takes_lifetimes(builder: Any) -> bool:
    from jaxmeta.tasks import as_lifetime

    return as_lifetime in _wrappers(builder)


def _wrappers(builder: Any) -> tuple[Any, ...]:
    """What the type of a builder's ``tasks`` says is done to the family first."""
    first = next(iter(inspect.signature(builder).parameters.values()))
    annotation = parts.hints(builder).get(first.name)
    return getattr(annotation, "__metadata__", ())


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A method on a family of tasks, with all settings.

    Attributes:
      method: its registered name.
      tree: all settings by name, plain values only; parts are tables with ``use``.
      preset: the name of the preset that was used, for those who read it.
    """

    method: str
    tree: Mapping[str, Any]
    preset: str | None = None

    @property
    def family(self) -> str:
        """The family's registered name."""
        return self.tree["family"][parts.USE]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the run; a ``SettingError`` where there are none, or too many."""
        self._check_run()
        return list(range(self.tree["seed"], self.tree["seed"] + self.tree["seeds"]))

    @property
    def title(self) -> str:
        return f"{self.method} on {self.family}"

    def config(self) -> dict[str, Any]:
        """The complete tree with the method's name: what ``config.json`` holds."""
        return {METHOD: self.method, **self.tree}

    def has(self, setting: str) -> bool:
        """Whether the method, or every run, has a setting of this name."""
        return setting in self.tree

    def replace(self, **settings: Any) -> "Experiment":
        """The same with other settings; dotted names and tables as in ``experiment``.

        Raises:
          SettingError: a setting that is not known, or whose value does not fit.
        """
        given = parts.nested({name.replace("__", "."): value for name, value in settings.items()})
        return dataclasses.replace(self, tree=parts.overlay(schema(self.method, self.family), self.tree, given))

    def _settings(self) -> Mapping[str, Any]:
        """All settings, parts as they are to be built."""
        return parts.as_part(schema(self.method, self.family), self.tree).settings

    def part(self, setting: str) -> Part:
        """The part that fills a setting, to be built by ``jaxmeta.built``."""
        return self._settings()[setting]

    def build_tasks(self) -> TaskDistribution:
        """The family of tasks, inside its wrappers, without the tasks held out of training."""
        from jaxmeta.tasks import held_out

        tree = self.tree
        with self.located():
            try:
                check_family_sizes(**tree["family"])
            except ValueError as error:
                raise SettingError(f"family.{error}") from error
            tasks = parts.built(self.part("family"))
            tasks = wrapped(tasks, **{name: tree[name] for name in parts.parameters(wrapped)})
            builder = registry.builder(self.method)
            for wrapper in _wrappers(builder):
                tasks = lifetimes(tasks, lifetime=tree["lifetime"]) if _takes_lifetimes(builder) else wrapper(tasks)
            # Last, so that an oracle is shown the same features of a task whatever is held out.
            return held_out(tasks, tree["held_out"]) if tree["held_out"] else tasks

    @functools.cached_property
    def _built(self) -> tuple[TaskDistribution, MetaAlgorithm]:
        return self._build()

    def build(self, **overrides: Any) -> tuple[TaskDistribution, MetaAlgorithm]:
        """The family of tasks and the method; without overrides the same ones each time.

        Args:
          **overrides: settings of the method that cannot be written down, such as a schedule of ``inner_rate``.

        Raises:
          SettingError: a setting out of its range; the message begins with its path.
          ValueError: a method that does not fit the family.
        """
        return self._build(**overrides) if overrides else self._built

    def _build(self, **overrides: Any) -> tuple[TaskDistribution, MetaAlgorithm]:
        self._check_run()
        tasks, builder = self.build_tasks(), registry.builder(self.method)
        known = parts.parameters(builder)
        settings = {name: value for name, value in self._settings().items() if name in known}
        with self.located():
            return tasks, with_precision(builder(tasks, **{**settings, **overrides}), self.tree["precision"])

    def _check_run(self) -> None:
        with self.located():
            run_settings(**{name: self.tree[name] for name in parts.parameters(run_settings)})

    @contextlib.contextmanager
    def located(self) -> Iterator[None]:
        """Inside the ``with`` block, errors that begin with a setting's name begin with its full path.

        They say as well where the value is the preset's, and not one that somebody gave.
        """
        try:
            yield
        except OverflowError as error:
            found = re.search(r"(?:with value|Python integer) (-?\d+)", str(error))
            raise ValueError(
                f"too large: a product of settings{f' is {found[1]}' if found else ''}, and must be at most {MOST}"
            ) from error
        except ValueError as error:
            name, colon, rest = str(error).partition(":")
            paths = [name]
            if not isinstance(error, SettingError) and name not in self.tree:
                paths = [path for path in settings_paths(self.tree) if path.endswith(f".{name}")]
            # A name that several parts have says nothing of which is meant.
            if len(paths) != 1 or not colon:
                raise
            raise SettingError(f"{paths[0]}:{rest}{self._origin(paths[0])}") from error

    def _origin(self, path: str) -> str:
        """Words for an error where the value of a setting is that of the experiment's preset."""
        preset = self.preset if self.preset in (None, *presets.names()) else presets.PAIR
        _, stored = presets.chosen(preset, self.method, self.family, self.tree)
        here, there = setting_at(self.tree, path), setting_at(stored, path)
        same = there is not None and here == (tuple(there) if isinstance(there, list) else there)
        return f"; this value is from the preset {self.preset}" if same else ""

    def train(self, directory: str | Path, **how: Any) -> Any:
        """Train, log and save into a directory; ``how`` is handed on to ``start``.

        Returns:
          The run, as ``jaxmeta.load(directory)`` gives it.
        """
        from jaxmeta.runs.start import start

        return start(self, Path(directory), **how)


def setting_at(tree: Any, path: str) -> Any:
    """What stands at a setting's full path; ``None`` where there is nothing."""
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def settings_paths(tree: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The full paths of all settings in a tree."""
    for name, value in tree.items():
        full = f"{path}.{name}" if path else name
        yield full
        if isinstance(value, Mapping):
            yield from settings_paths(value, full)


def experiment(
    method: str | None = None, family: str | None = None, /, *, preset: str | None = presets.PAIR, **settings: Any
) -> Experiment:
    """An experiment by names and settings: what ``jaxmeta train METHOD FAMILY`` builds.

    Args:
      method: a registered name; by default the preset's, or ``"maml"``.
      family: a registered name; by default the preset's, or ``"navigation"``.
      preset: ``"pair"`` for the preset of this method on this family, a preset's name, or ``None`` for the signatures'
        own defaults.
      **settings: of the run, the wrappers, the family (``family={"arms": 10}``) and the method. Parts are tables
        (``outer={"use": "trust-region", "max_divergence": 0.02}``), names of factories (``outer="trust-region"``) or
        ``jaxmeta.part(...)``; ``**{"outer.rate": 1e-3}`` is ``outer={"rate": 1e-3}``.

    Raises:
      RegistryError: a name that nobody registered.
      SettingError: a setting that is not known, or whose value does not fit.
    """
    settings = parts.nested(settings)
    named, own = settings.pop(METHOD, None), settings.get("family")
    if named is not None:
        registry.check(METHOD, named, registry.methods())
    own = own.get(parts.USE) if isinstance(own, Mapping) else own
    for what, first, second in (("family", family, own), (METHOD, method, named)):
        if None not in (first, second) and first != second:
            raise SettingError(f"{what}: got {first!r} and {second!r}; name one")
    method, family = presets.names_of(method or named, family or own, preset)
    factory = schema(method, family)
    tree = parts.default_tree(factory)
    label, given = presets.chosen(preset, method, family, tree)
    try:
        tree = parts.overlay(factory, tree, given)
    except SettingError as error:
        raise SettingError(f"preset {label}, for {method} on {family}: {error}") from error
    return Experiment(method, parts.overlay(factory, tree, settings), label)


def from_config(config: Mapping[str, Any]) -> Experiment:
    """An experiment from what ``Experiment.config`` made, or a part of it; the rest is as in the signatures."""
    return experiment(preset=None, **config)
