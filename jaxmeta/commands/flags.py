"""Whether flags can be meant, read from source files alone: a misspelt one is answered before anything is imported."""

import ast
import functools
from pathlib import Path

import jaxmeta
from jaxmeta import registry
from jaxmeta.commands.errors import fail

ROOT = Path(jaxmeta.__file__).parent
OF_A_RUN = ("jaxmeta.runs.experiment:run_settings", "jaxmeta.runs.experiment:wrapped")
CLASSES = ("jaxmeta.commands.train:Where", "jaxmeta.runs.start:Saving", "jaxmeta.runs.hosts:Hosts")
EVALUATION = "jaxmeta.runs.evaluation:Evaluation"


def check_flags(method: str, family: str, argv: list[str]) -> None:
    """End the command on a flag that the method, the family and the command do not have, with the near ones."""
    target = registry.METHODS[method].target
    if not isinstance(target, str) or not target.startswith("jaxmeta."):
        return
    annotations = settings_of(target)
    plain = {name for each in (*OF_A_RUN, *CLASSES) for name in settings_of(each)}
    known = {*annotations, *plain, "lifetime", "family", "eval", "help"}
    for argument in argv:
        flag = argument.partition("=")[0]
        if not flag.startswith("--"):
            continue
        name, _, rest = flag[2:].replace("-", "_").partition(".")
        name = name if name in known else name.removeprefix("no_")
        if name not in known:
            _refuse(flag, name, known, method)
        inner = _inner(name, annotations, family)
        second = rest.partition(".")[0]
        if rest and inner and second not in inner and second.removeprefix("no_") not in inner:
            _refuse(flag, second, inner, f"--{name.replace('_', '-')}")


def _refuse(flag: str, name: str, known: set[str], where: str) -> None:
    spelt = sorted(each.replace("_", "-") for each in known)
    near = registry.hint(name.replace("_", "-"), spelt)
    fail(f"{flag}: unknown flag{near} {where} has {', '.join(spelt)}")


def _inner(name: str, annotations: dict[str, str], family: str) -> set[str] | None:
    """The settings one level down; ``None`` where that cannot be told."""
    if name == "eval":
        return set(settings_of(EVALUATION))
    rows = registry.PARTS.get(annotations.get(name, "").rpartition(".")[2])
    targets = [registry.FAMILIES[family].target] if name == "family" else [row.target for row in (rows or {}).values()]
    if not targets or not all(isinstance(each, str) and each.startswith("jaxmeta.") for each in targets):
        return None
    return {setting for each in targets if isinstance(each, str) for setting in settings_of(each)}


@functools.cache
def settings_of(target: str) -> dict[str, str]:
    """A factory's settings and how their types are written; of a class, its fields."""
    module, _, name = target.partition(":")
    tree = ast.parse(ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
            own = {ast.unparse(one.target): ast.unparse(one.annotation) for one in fields}
            bases = [settings_of(f"{module}:{ast.unparse(base)}") for base in node.bases]
            return {name: annotation for each in (*bases, own) for name, annotation in each.items()}
        if isinstance(node, ast.FunctionDef) and node.name == name:
            own = {one.arg: ast.unparse(one.annotation) if one.annotation else "" for one in node.args.kwonlyargs}
            return {**_inherited(module, tree, node), **own}
    return {}


def _inherited(module: str, tree: ast.Module, node: ast.FunctionDef) -> dict[str, str]:
    """What ``@extends(base, without=(...))`` adds."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "extends":
            base = ast.unparse(decorator.args[0])
            without = {each for one in decorator.keywords for each in ast.literal_eval(one.value)}
            imports = [each for each in tree.body if isinstance(each, ast.ImportFrom)]
            homes = {alias.name: each.module for each in imports for alias in each.names}
            found = settings_of(f"{homes.get(base, module)}:{base}")
            return {name: annotation for name, annotation in found.items() if name not in without}
    return {}
