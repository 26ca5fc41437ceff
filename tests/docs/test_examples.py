"""What the documentation shows runs: every block of Python, and every command line is understood.

Blocks of a page belong together: they share a namespace. Numbers are made small, so that the suite stays short; nothing
else is changed. Shell blocks that are not meant for this are marked ``sh``, not ``bash``.
"""

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import jax
import pytest

from jaxmeta import registry

ROOT = Path(__file__).parents[2]
# The page of families that need another package has the name of the extra that installs it.
NOT_HERE = {optional.extra for name, optional in registry.OPTIONAL.items() if name not in registry.FAMILIES}
EVERY_PAGE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in EVERY_PAGE if page.stem not in NOT_HERE]
SMALL = {"iterations": 2, "meta_batch": 8, "episodes": 2, "pulls": 20, "tasks": 50}
COMMANDS = ("jaxmeta ", "python scripts/", "python -m jaxmeta ")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def called(path: Path) -> str:
    return str(path.relative_to(ROOT))


WITH_EXAMPLES = [page for page in PAGES if blocks(page, "python")]


def test_there_are_examples():
    assert len(WITH_EXAMPLES) >= 15


@pytest.fixture
def own_registry(monkeypatch):
    """What a page registers is forgotten after it."""
    for name in ("METHODS", "FAMILIES"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    monkeypatch.setattr(registry, "PARTS", {kind: dict(rows) for kind, rows in registry.PARTS.items()})


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=called)
def test_examples_run(page, tmp_path, monkeypatch, own_registry):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for number, code in enumerate(blocks(page, "python"), 1):
        for name, value in SMALL.items():
            code = re.sub(rf"\b{name}=[\d_]+", f"{name}={value}", code)
        exec(compile(code, f"{called(page)}, block {number}", "exec"), namespace)
    # What was only asked for is computed as well, within the time of this page.
    jax.block_until_ready([x for x in jax.tree.leaves(list(namespace.values())) if isinstance(x, jax.Array)])


def command_lines(page: Path) -> list[str]:
    """The commands of a page; a loop's variable is replaced by the first of its values."""
    lines = []
    for block in blocks(page, "bash"):
        text = re.sub(r"\\\n\s*", " ", block)
        for variable, values in re.findall(r"for (\w+) in ([^;\n]+);", text):
            text = text.replace(f"${variable}", values.split()[0])
        for line in re.split(r"\n|;\s*(?:do)?|&&", text):
            line = line.strip().removeprefix("do ").strip()
            if line.startswith(COMMANDS):
                lines.append(line)
    return lines


SHOWN = [(called(page), line) for page in PAGES for line in command_lines(page)]


def test_there_are_command_lines():
    assert len(SHOWN) >= 40


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_command_line_is_understood(page, line):
    words = shlex.split(line, comments=True)
    words = words[2:] if line.startswith("python -m") else words[1:]
    name, arguments = Path(words[0]).stem, words[1:]
    command = importlib.import_module(f"jaxmeta.commands.{name.replace('-', '_')}")
    # What reads a run or a file needs one that is there.
    if hasattr(command, "parse") and not {"--resume", "--import"} & set(arguments):
        command.parse(arguments)
