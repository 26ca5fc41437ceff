"""An experiment: a tree of settings, and the family of tasks and the method that it stands for.

The tree's settings are those of the run (``iterations``, ``seeds``, ...), of the wrappers around the family, of the
family (``family``, a part) and of the method, all from signatures. ``config.json``, TOML files, presets, the command
line and ``experiment(...)`` in Python speak of the same tree.
"""

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxmeta import parts, registry
from jaxmeta.checks import check_least
from jaxmeta.parts import Part, SettingError
from jaxmeta.runs import presets
from jaxmeta.types import MetaAlgorithm, TaskDistribution

METHOD = "method"


def run_settings(*, iterations: int = 400, meta_batch: int = 20, seed: int = 0, seeds: int = 1) -> None:
    """What a run is, whatever the method.

    Args:
      iterations: meta-iterations, ≥ 1.
      meta_batch: tasks in each meta-iteration, ≥ 1.
      seed: the first seed, ≥ 0.
      seeds: number of seeds, trained side by side in one program, ≥ 1.
    """
    check_least(1, iterations=iterations, meta_batch=meta_batch, seeds=seeds)
    check_least(0, seed=seed)


def wrapped(
    tasks: TaskDistribution, *, observed: tuple[int, ...] = (), repeat: int = 1, scaled: bool = False
) -> TaskDistribution:
    """A family of tasks inside the wrappers that a run asks for.

    Args:
      tasks: the family.
      observed: entries of the observation that are seen, such as 0 2 (cartpole without velocities); all if empty.
      repeat: steps of the environment that an action is taken for, ≥ 1; returns stay those of all steps.
      scaled: entries of the observation that have bounds are seen in [-1, 1].
    """
    from jaxmeta.tasks import wrappers

    if observed:
        tasks = wrappers.observe_only(tasks, observed)
    check_least(1, repeat=repeat)
    if repeat > 1:
        tasks = wrappers.repeat_actions(tasks, repeat)
    return wrappers.scale_observations(tasks) if scaled else tasks


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
    """A factory whose settings are all that a run of a method on a family has.

    Raises:
      RegistryError: a name that nobody registered.
    """
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
    sources = (registry.builder(method), run_settings, wrapped, lifetimes)
    found: dict[str, str] = {"family": "the family of tasks"}
    for each in sources:
        found = {**parts.descriptions(each), **found}
    return found


def _takes_lifetimes(builder: Any) -> bool:
    from jaxmeta.tasks import as_lifetime

    return as_lifetime in _metadata(builder)


def _metadata(builder: Any) -> tuple[Any, ...]:
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
        """The seeds of the run."""
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
        factory = schema(self.method, self.family)
        return dataclasses.replace(self, tree=parts.overlay(factory, self.tree, given))

    def part(self, setting: str) -> Part:
        """The part that fills a setting, to be built by ``jaxmeta.built``."""
        return parts.as_part(schema(self.method, self.family), self.tree).settings[setting]

    def build_tasks(self) -> TaskDistribution:
        """The family of tasks, inside its wrappers."""
        builder, tree = registry.builder(self.method), self.tree
        part = parts.as_part(schema(self.method, self.family), tree)
        with self.located():
            tasks = parts.built(part.settings["family"])
            tasks = wrapped(tasks, **{name: tree[name] for name in parts.parameters(wrapped)})
            for wrapper in _metadata(builder):
                tasks = lifetimes(tasks, lifetime=tree["lifetime"]) if _takes_lifetimes(builder) else wrapper(tasks)
        return tasks

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
        with self.located():
            run_settings(**{name: self.tree[name] for name in parts.parameters(run_settings)})
        tasks = self.build_tasks()
        builder = registry.builder(self.method)
        known = parts.parameters(builder)
        part = parts.as_part(schema(self.method, self.family), self.tree)
        settings = {name: value for name, value in part.settings.items() if name in known}
        with self.located():
            return tasks, builder(tasks, **{**settings, **overrides})

    @contextlib.contextmanager
    def located(self) -> Iterator[None]:
        """Inside the ``with`` block, errors that begin with a setting's name begin with its full path."""
        try:
            yield
        except SettingError:
            raise
        except ValueError as error:
            name = str(error).partition(":")[0]
            inside = [path for path in settings_paths(self.tree) if path.endswith(f".{name}")]
            paths = [name] if name in self.tree else inside
            # A name that several parts have says nothing of which is meant.
            if len(paths) != 1:
                raise
            raise SettingError(f"{paths[0]}{str(error).removeprefix(name)}") from error

    def train(self, directory: str | Path, **how: Any) -> Any:
        """Train, log and save into a directory; ``how`` is handed on to ``start``.

        Returns:
          The run, as ``jaxmeta.load(directory)`` gives it.
        """
        from jaxmeta.runs.start import start

        return start(self, Path(directory), **how)


def settings_paths(tree: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The full paths of all settings in a tree."""
    for name, value in tree.items():
        full = f"{path}.{name}" if path else name
        yield full
        if isinstance(value, Mapping):
            yield from settings_paths(value, full)


PAIR = "pair"
"""The preset of a method on a family, whatever its parts are called."""


def experiment(
    method: str | None = None, family: str | None = None, /, *, preset: str | None = PAIR, **settings: Any
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
    base = {} if preset in (None, PAIR, "none") else presets.named(preset)
    settings = parts.nested(settings)
    own = settings.get("family")
    own = own.get(parts.USE) if isinstance(own, Mapping) else own
    for what, first, second in (("family", family, own), (METHOD, method, settings.get(METHOD))):
        if None not in (first, second) and first != second:
            raise SettingError(f"{what}: got {first!r} and {second!r}; name one")
    method, name = presets.names_of(method or settings.get(METHOD), family or own, preset)
    settings = _without_method(settings)
    given = _without_method(base)
    stored = given.pop("family", {})
    stored = {parts.USE: stored} if isinstance(stored, str) else stored
    if stored.get(parts.USE) == name:
        given["family"] = stored
    label = None if preset in (None, "none") else preset
    factory = schema(method, name)
    tree = parts.default_tree(factory)
    if preset == PAIR:
        label, given = presets.of_pair(method, name, tree)
    tree = parts.overlay(factory, tree, given)
    return Experiment(method, parts.overlay(factory, tree, settings), label)


def _without_method(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parts.nested(config).items() if name != METHOD}


def from_config(config: Mapping[str, Any]) -> Experiment:
    """An experiment from a tree that ``Experiment.config`` made, or a part of one; what is missing is as in signatures.

    Raises:
      SettingError: something that does not fit a signature.
      RegistryError: a name that the registry does not know.
    """
    given = _without_method(config)
    method = config.get(METHOD, "maml")
    family = given.get("family", "navigation")
    name = family.get(parts.USE, "navigation") if isinstance(family, Mapping) else family
    for path, value in ((METHOD, method), ("family", name)):
        if not isinstance(value, str):
            raise SettingError(f"{path}: got {value!r}; must be a name")
    factory = schema(method, name)
    return Experiment(method, parts.overlay(factory, parts.default_tree(factory), given))
