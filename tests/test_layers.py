"""Who may import whom: downward only, by the floors of the house."""

import ast
from pathlib import Path

import jaxmeta

ROOT = Path(jaxmeta.__file__).parent
FLOORS = {
    **dict.fromkeys(("types", "parts", "registry", "checks", "elimination", "over_tasks", "mixed_mode", "put_off"), 0),
    "references": 1,
    "tasks": 2,
    **dict.fromkeys(("networks", "data", "outer"), 3),
    **dict.fromkeys(("objectives", "models"), 4),
    "learners": 5,
    "algorithms": 6,
    "runs": 7,
    **dict.fromkeys(("studies", "plots"), 8),
    "commands": 9,
    "__main__": 10,
}


def room(module: str) -> str:
    return module.removeprefix("jaxmeta.").split(".")[0]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "jaxmeta":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("jaxmeta."):
            found.add(room(node.module))
        elif isinstance(node, ast.Import):
            found |= {room(alias.name) for alias in node.names if alias.name.startswith("jaxmeta.")}
    return found


def test_every_module_has_a_floor_and_imports_downward_only():
    violations = []
    for path in ROOT.rglob("*.py"):
        if path == ROOT / "__init__.py":
            continue
        here = path.relative_to(ROOT).with_suffix("").parts[0]
        violations += [f"{path.name}: {here} imports {there}" for there in imports(path) if not below(there, here)]
    assert violations == []


def below(there: str, here: str) -> bool:
    """Whether a room is on a lower floor, or is the same; on the lowest each file is a room, and they may meet."""
    return there == here or FLOORS[there] < FLOORS[here] or FLOORS[there] == FLOORS[here] == 0


def test_a_room_is_imported_from_as_a_whole():
    """What a room's ``__init__`` lists is all that others use of it."""
    whole = {path.parent.name for path in ROOT.glob("*/__init__.py") if "import" in path.read_text()} - {
        "runs",
        "studies",
    }
    inside = []
    for path in ROOT.rglob("*.py"):
        here = path.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.count(".") == 2:
                there = room(node.module)
                if there in whole and there != here:
                    inside.append(f"{path.name}: {node.module}")
    assert len(whole) == 10
    assert inside == []


def test_the_public_names_are_sorted_and_exist():
    names = jaxmeta.__all__
    assert len(names) == len(set(names))
    assert all(hasattr(jaxmeta, name) for name in names)
