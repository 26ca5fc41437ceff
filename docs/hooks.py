"""What the build adds to the pages: tables of results, tables of the registry, the reference of every module, figures.

Nothing here is typed by hand that the code or the results know.
"""

import inspect
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from jaxmeta import parts, registry

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import table_cells  # noqa: E402
import tables  # noqa: E402

LINKS = {"](benchmarks/results/": "](results/data/", "](docs/": "](", "](CONTRIBUTING.md": "](contributing.md"}
"""How links of files in the repository's root are written inside of ``docs``."""


def rooms() -> dict[str, list[str]]:
    """The modules of each room of the package; those at the top are the room ``jaxmeta``."""
    found: dict[str, list[str]] = {"jaxmeta": []}
    for path in sorted((ROOT / "jaxmeta").rglob("*.py")):
        names = path.relative_to(ROOT).with_suffix("").parts
        if path.stem.startswith("_"):
            continue
        found.setdefault(names[1] if len(names) > 2 else "jaxmeta", []).append(".".join(names))
    return found


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The API's entry in the navigation: a page a room."""
    for section in config.nav or []:
        for entry in section.get("Reference", []):
            if "API" in entry:
                entry["API"] = [{room: f"reference/api/{room}.md"} for room in rooms()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages that are generated, and the results' figures and data under ``results/data``."""
    for room, modules in rooms().items():
        text = "\n\n".join([f"# `{room}`", *(f"::: {module}" for module in modules)])
        files.append(File.generated(config, f"reference/api/{room}.md", content=text))
    for path in sorted((ROOT / "benchmarks" / "results").iterdir()):
        files.append(File.generated(config, f"results/data/{path.name}", abs_src_path=str(path)))
    for name, source in (("contributing", "CONTRIBUTING.md"), ("changes", "CHANGELOG.md")):
        text = (ROOT / source).read_text()
        for old, new in LINKS.items():
            text = text.replace(old, new)
        files.append(File.generated(config, f"{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Tables where a page has a marker for one; data and figures where the site has them."""
    for marker, table in (("families", families), ("methods", methods), ("settings", settings)):
        line = f"<!-- registry: {marker} -->"
        if line in markdown:
            markdown = markdown.replace(line, table())
    data = posixpath.relpath("results/data", posixpath.dirname(page.file.src_uri))
    markdown = re.sub(r"\]\((\.\./)+benchmarks/results/", f"]({data}/", markdown)
    return tables.MARKER.sub(
        lambda match: f'<div class="numbers" markdown>\n\n{tables.TABLES[match[1]]()}\n\n</div>', markdown
    )


def families() -> str:
    """Every registered family: its spaces, horizon and optimum, by building it."""
    rows = []
    for name, row in registry.families().items():
        factory = registry.family_factory(name)
        tasks = factory()
        params = tasks.env.default_params
        spaces = [_space(space(params)) for space in (tasks.env.observation_space, tasks.env.action_space)]
        test = "same" if tasks.sample_test is None else "other"
        optimum = "known" if tasks.optimum is not None else ""
        link = f"[`{name}`](api/tasks.md#{factory.__module__}.{factory.__qualname__})"
        rows.append([link, row.summary, *spaces, tasks.horizon, test, optimum])
    heads = ["family", "tasks", "observation", "actions", "horizon", "test tasks", "optimum"]
    return table_cells.markdown(heads, rows)


def _space(space: Any) -> str:
    if hasattr(space, "n"):
        return f"{space.n} choices"
    shape = "×".join(map(str, space.shape)) or "1"
    return f"{shape} numbers" if shape != "1" else "1 number"


def methods() -> str:
    """Every registered method."""
    rows = []
    for name, row in registry.methods().items():
        target = row.target if isinstance(row.target, str) else f"{row.target.__module__}:{row.target.__qualname__}"
        module, _, function = target.partition(":")
        lifetimes = "lifetimes" if takes_lifetimes(registry.builder(name)) else "episodes"
        rows.append([f"[`{name}`](api/algorithms.md#{module}.{function})", row.summary, lifetimes])
    return table_cells.markdown(["method", "what it is", "learns from"], rows)


def takes_lifetimes(builder: Any) -> bool:
    """Whether a method learns by acting, over several episodes of a task; asked of what it extends, too."""
    while builder is not None:
        taken = inspect.signature(builder).parameters.get("tasks")
        if taken is not None and ("Lifetimes" in str(taken.annotation) or "as_lifetime" in str(taken.annotation)):
            return True
        builder = getattr(builder, "extended", None)
    return False


def settings() -> str:
    """Every method's settings, as flags, with their defaults and what the docstrings say of them."""
    texts = []
    for name in registry.methods():
        builder = registry.builder(name)
        rows = list(_flags(builder, parts.default_tree(builder)))
        if rows:
            texts.append(f"## {name}\n\n{table_cells.markdown(['flag', 'default', ''], rows)}")
    return "\n\n".join(texts)


def _flags(factory: Any, tree: dict[str, Any], path: str = "") -> Iterator[list[str]]:
    """A row for each setting of a factory, those of its parts one level down."""
    known, texts = parts.parameters(factory), parts.descriptions(factory)
    for name, value in tree.items():
        if name == parts.USE:
            continue
        flag, text = f"{path}{name.replace('_', '-')}", texts.get(name, "").replace("|", "\\|")
        kind = parts.kind_of(known[name].annotation)
        if isinstance(value, dict) and kind is not None:
            choices = ", ".join(f"`{one}`" for one in registry.kinds()[kind])
            yield [f"`--{flag}`", f"`{value[parts.USE]}`", f"{text} One of {choices}."]
            yield from _flags(registry.factory(kind, value[parts.USE]), value, f"{flag}.")
        else:
            yield [f"`--{flag}`", _default(value), text]


def _default(value: Any) -> str:
    if value is None:
        return ""
    return f"`{' '.join(map(str, value)) if isinstance(value, tuple) else value}`"
