"""The pages hold together: tables are up to date, figures and links exist, none is too long to be read."""

import json
import re
from pathlib import Path

import pytest
import tables

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *(ROOT / "docs").rglob("*.md")]
GENERATED = ("contributing.md", "changes.md", "reference/api/")


@pytest.mark.parametrize("name", tables.TABLES)
def test_table_is_made(name):
    lines = tables.TABLES[name]().splitlines()
    assert len(lines) > 2
    assert len({line.count(" | ") for line in lines}) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_up_to_date(page):
    text = page.read_text()
    assert tables.filled(text) == text, f"run python benchmarks/tables.py --write {page.relative_to(ROOT)}"


def test_every_table_is_shown():
    shown = {name for page in PAGES for name in re.findall(r"<!-- table: ([\w-]+) -->", page.read_text())}
    assert shown == set(tables.TABLES)


def test_every_file_of_results_says_what_made_it():
    """With what, where and when: in the file itself, or beside it in sources.json."""
    folder = ROOT / "benchmarks" / "results"
    sources = json.loads((folder / "sources.json").read_text())
    for path in sorted(folder.glob("*.json")):
        # What others published has its own sources.
        if path.name not in ("sources.json", "published.json"):
            content = json.loads(path.read_text())
            itself = isinstance(content, dict) and {"machine", "device"} & set(content)
            assert bool(itself) != (path.name in sources), path.name
    for name, entries in sources.items():
        assert (folder / name).is_file(), name
        for entry in entries:
            assert {"commands", "version", "revision", "device", "date"} <= set(entry), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_is_short_and_its_links_lead_somewhere(page):
    text = page.read_text()
    assert len(text.splitlines()) <= (150 if page.name != "CONTRIBUTING.md" else 210)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" in target or any(part in target for part in GENERATED):
            continue
        assert (page.parent / target).exists(), target
