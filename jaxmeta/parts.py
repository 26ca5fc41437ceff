"""Parts: a factory and settings for it, not yet built. A factory's signature is the only list of its settings.

A run is a tree of parts. A factory's keyword-only parameters are its settings, with their types and defaults; its
docstring is their help; its positional parameters are what the caller knows, such as the environment. A parameter whose
type is a *kind* that the registry knows (``Outer``, ``Policy``, ...) is filled by one of the factories registered for
that kind, whose own parameters are settings one level down.
"""

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from jaxmeta import registry
from jaxmeta.checks import MOST

USE = "use"
"""The key of a part's tree that names its factory."""
LARGEST = (2.0 - 2.0**-23) * 2.0**127
"""The largest finite number in single precision, which programs compute in."""
NONE = "none"
"""How a value that is not set is written in TOML, which has no null."""


class SettingError(ValueError):
    """A setting that is not known, or whose value does not fit; the message begins with its full path."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A factory and settings for it, not yet built.

    Attributes:
      factory: its keyword-only parameters are the settings.
      settings: by name; those that are left out have the factory's own defaults.
      path: where the part stands in a tree of settings, for error messages.
    """

    factory: Callable[..., Any]
    settings: Mapping[str, Any]
    path: str = ""


def part(factory: Callable[..., Any], **settings: Any) -> Any:
    """A factory and settings for it, to be built later by ``built``.

    Settings are some of the factory's keyword-only parameters; traced numbers are passed on as they are. What is made
    is a ``Part``, typed ``Any`` so that it can be the default of a parameter of the built type.

    Raises:
      SettingError: a setting that the factory does not have.
    """
    for name in settings:
        check_name(name, parameters(factory), registry.name_of(factory))
    return Part(factory, settings)


def built(value: Any, *context: Any) -> Any:
    """``value`` itself if it is built already, else what its part makes.

    Args:
      value: a part, or anything else.
      *context: positional arguments, of which the factory gets as many as it takes.

    Raises:
      SettingError: the factory refuses a setting; the message begins with the setting's full path.
    """
    if not isinstance(value, Part):
        _refuse_modules(value)
        return value
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(one.kind in positional for one in inspect.signature(value.factory).parameters.values())
    try:
        return value.factory(*context[:count], **value.settings)
    except ValueError as error:
        if not value.path or isinstance(error, SettingError):
            raise
        # What is said of the context, such as the environment, is said of the part as a whole.
        own = str(error).partition(":")[0] in parameters(value.factory)
        raise SettingError(f"{value.path}{'.' if own else ': '}{error}") from error


def _refuse_modules(value: Any) -> None:
    """Networks of other libraries, which say nothing of their weights' start or of what they return."""
    ways = {
        "flax.linen": "from_module(module, observation_shape)",
        "flax.nnx": "from_nnx(make)",
        "equinox": "from_equinox(make)",
    }
    for base in type(value).__mro__:
        for library, way in ways.items():
            if base.__module__.startswith(library):
                raise TypeError(f"policy: got the module {type(value).__name__}; wrap it: jaxmeta.networks.{way}")


def extends(base: Callable[..., Any], *, without: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Any]:
    """Mark a factory whose ``**settings`` are those of ``base``, but for its own and those that it decides itself.

    Args:
      base: the factory that ``**settings`` are handed to.
      without: settings of ``base`` that the new factory gives itself.
    """

    def mark(factory: Callable[..., Any]) -> Callable[..., Any]:
        own = {name: one for name, one in _resolved(factory).items() if one.kind is not one.VAR_KEYWORD}
        inherited = [one for name, one in parameters(base).items() if name not in (*own, *without)]
        signature = inspect.signature(factory).replace(parameters=[*own.values(), *inherited])
        factory.__dict__.update(__signature__=signature, extended=base)
        return factory

    return mark


def parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """A factory's settings: its keyword-only parameters, their annotations resolved."""
    return {name: one for name, one in _resolved(factory).items() if one.kind is one.KEYWORD_ONLY}


def _resolved(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    found, types_of = inspect.signature(factory).parameters, hints(factory)
    return {name: one.replace(annotation=types_of.get(name, one.annotation)) for name, one in found.items()}


def hints(factory: Callable[..., Any]) -> dict[str, Any]:
    """The types of a factory's parameters, resolved."""
    target = factory if inspect.isroutine(factory) else type(factory).__call__
    return typing.get_type_hints(target, include_extras=True)


def descriptions(factory: Callable[..., Any]) -> dict[str, str]:
    """What a factory's docstring, and those of the factories that it extends, say of each argument."""
    import docstring_parser

    found: dict[str, str] = {}
    each: Any = factory
    while each is not None:
        for one in docstring_parser.parse(inspect.getdoc(each) or "").params:
            found.setdefault(one.arg_name, " ".join((one.description or "").split()))
        each = getattr(each, "extended", None)
    return found


def check_name(name: str, known: typing.Iterable[str], where: str) -> None:
    """Refuse a setting, with or without a path before it, that is not among the ``known`` ones of ``where``."""
    known = tuple(one for one in known if one != USE)
    leaf = name.rpartition(".")[2]
    if leaf not in known:
        has = f"{where} has {', '.join(known)}" if known else f"{where} has no settings"
        raise SettingError(f"{name}: unknown setting{registry.hint(leaf, known)} {has}")


def kind_of(annotation: Any) -> str | None:
    """The registered kind that a parameter's type names, if any."""
    names = (getattr(one, "__name__", None) for one in _members(annotation) if one is not Part)
    return next((name for name in names if name in registry.kinds()), None)


def plain_type(annotation: Any) -> Any:
    """The part of a parameter's type that can be written down: numbers, text, truth values, tuples, choices, ``None``.

    ``None`` where there is no such part: the setting can be given in Python only.
    """
    plain = tuple(one for one in _members(annotation) if _is_plain(one))
    return typing.Union[plain] if set(plain) - {type(None)} else None  # noqa: UP007  (built at run time)


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types that a union joins; any other type is the only one."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def _is_plain(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin is tuple:
        return all(one is Ellipsis or _is_plain(one) for one in typing.get_args(annotation))
    return annotation in (int, float, bool, str, type(None)) or origin is typing.Literal


def checked(path: str, value: Any, annotation: Any) -> Any:
    """A setting's value as its type has it: a list becomes a tuple, a whole number a ``float`` where that is asked for.

    Raises:
      SettingError: a value of another type.
    """
    for one in _members(annotation):
        origin, arguments = typing.get_origin(one), typing.get_args(one)
        if origin is typing.Literal and value in arguments:
            return value
        if origin is tuple and isinstance(value, (tuple, list)):
            each = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
            if len(each) == len(value):
                return tuple(checked(path, x, kind) for x, kind in zip(value, each, strict=True))
        if one is type(None) and value in (None, NONE):
            return None
        if one is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            if not abs(value) < math.inf:
                raise SettingError(f"{path}: got {value}; must be finite")
            if abs(value) > LARGEST:
                raise SettingError(f"{path}: got {value}; must be at most {LARGEST:.2g} in size")
            return float(value)
        if one in (int, bool, str) and type(value) is one:
            if one is int and isinstance(value, int) and abs(value) > MOST:
                raise SettingError(f"{path}: got {value}; must be at most {MOST} in size")
            return value
    raise SettingError(f"{path}: got {value!r}; must be {described(annotation)}")


def described(annotation: Any) -> str:
    """A type in words: "a number", "a whole number or none"."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
    found = []
    for one in _members(annotation):
        arguments = typing.get_args(one)
        if typing.get_origin(one) is typing.Literal:
            found.append(f"one of {', '.join(map(str, arguments))}")
        elif typing.get_origin(one) is tuple:
            inner = words.get(arguments[0], "values").removeprefix("a ")
            found.append(f"a list of {inner}s" if arguments[-1] is Ellipsis else f"{len(arguments)} {inner}s")
        else:
            found.append(words.get(one, str(one)))
    return " or ".join(found)


def default_tree(factory: Callable[..., Any]) -> dict[str, Any]:
    """All settings of a factory that can be written down, at their defaults; parts as tables with ``use``.

    Raises:
      SettingError: a setting without a default.
    """
    tree: dict[str, Any] = {}
    for name, one in parameters(factory).items():
        if one.default is one.empty:
            raise SettingError(f"{name}: {registry.name_of(factory)} gives it no default, and every setting needs one")
        if kind_of(one.annotation) is not None:
            # What is built already can be replaced in Python only.
            if one.default is None or isinstance(one.default, Part):
                tree[name] = _default_of_part(one)
        elif plain_type(one.annotation) is not None:
            tree[name] = one.default
    return tree


def _default_of_part(parameter: inspect.Parameter, use: str | None = None) -> Any:
    """The tree of a part: the parameter's default, or where another factory is used that factory's defaults."""
    kind, default = kind_of(parameter.annotation), parameter.default
    assert kind is not None
    own = registry.name_of(default.factory, kind) if isinstance(default, Part) else None
    chosen = use or own
    if chosen is None:
        return None
    factory = registry.factory(kind, chosen)
    tree = {USE: chosen, **default_tree(factory)}
    return overlay(factory, tree, default.settings) if chosen == own else tree


def overlay(factory: Callable[..., Any], tree: Mapping[str, Any], given: Mapping[str, Any], path: str = "") -> Any:
    """A complete tree with some settings replaced by those that are given, checked against the signatures.

    Args:
      factory: whose settings they are.
      tree: complete, from ``default_tree``.
      given: settings by name. A part is a table of its settings, with ``use`` where another factory fills it; or the
        name of a factory alone; or a ``Part``.
      path: of the tree in a larger one, for messages.

    Raises:
      SettingError: a setting that is not known, or whose value does not fit.
    """
    known, tree = parameters(factory), dict(tree)
    for name, value in given.items():
        if name == USE:
            continue
        full = f"{path}.{name}" if path else name
        check_name(full, tree, registry.name_of(factory))
        kind = kind_of(known[name].annotation)
        if kind is None:
            tree[name] = checked(full, value, plain_type(known[name].annotation))
        else:
            tree[name] = _part_tree(full, tree[name], value, kind, known[name])
    return tree


def _part_tree(path: str, start: Any, value: Any, kind: str, parameter: inspect.Parameter) -> Any:
    """The complete tree of a part, from the one before and what is given of it."""
    choices = registry.kinds()[kind]
    listed = ", ".join(choices)
    optional = type(None) in typing.get_args(parameter.annotation)
    if optional and (value is None or (value == NONE and NONE not in choices)):
        return None
    if isinstance(value, Part):
        value = {USE: registry.name_of(value.factory, kind), **value.settings}
    elif isinstance(value, str):
        value = {USE: value}
    if not isinstance(value, Mapping):
        raise SettingError(f"{path}: got {value!r}; must be one of {listed}, or a table of its settings")
    use = value.get(USE)
    # A table without the key keeps the factory that is there; a key that names none must not.
    if USE in value and not (isinstance(use, str) and use in choices):
        raise SettingError(f"{path}: got {use!r}{registry.hint(str(use), choices)} Known: {listed}")
    if start is None or (use is not None and use != start[USE]):
        start = _default_of_part(parameter, use)
    if start is None:
        raise SettingError(f"{path}.{USE}: not given; must be one of {listed}")
    return overlay(registry.factory(kind, start[USE]), start, value, path)


def as_part(factory: Callable[..., Any], tree: Mapping[str, Any], path: str = "") -> Any:
    """The part that a complete tree stands for; its own parts are parts too, each knowing its path."""
    known, settings = parameters(factory), {name: value for name, value in tree.items() if name != USE}
    for name, value in settings.items():
        kind = kind_of(known[name].annotation)
        if kind is not None and value is not None:
            settings[name] = as_part(registry.factory(kind, value[USE]), value, f"{path}.{name}" if path else name)
    return Part(factory, settings, path)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with dotted names as nested tables: ``{"outer.rate": 1}`` as ``{"outer": {"rate": 1}}``."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        first, _, rest = name.partition(".")
        value = nested(value) if isinstance(value, Mapping) else value
        value = nested({rest: value}) if rest else value
        there = tree.get(first)
        if isinstance(there, str) and isinstance(value, Mapping):
            there = {USE: there}
        if isinstance(value, str) and isinstance(there, Mapping):
            value = {USE: value}
        tree[first] = _merged(there, value)
    return tree


def _merged(first: Any, second: Any) -> Any:
    """Two tables as one, the second before the first; of anything else the second."""
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return second
    return {**first, **{name: _merged(first.get(name), value) for name, value in second.items()}}
