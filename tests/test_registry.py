"""What there is by name, and how one's own comes in: in a notebook, by a file, and by an installed package."""

import inspect
import json
from importlib import metadata

import jax
import pytest

import jaxmeta
from jaxmeta import parts, registry
from jaxmeta.commands import evaluate, train
from jaxmeta.parts import part
from jaxmeta.registry import RegistryError


@pytest.fixture(autouse=True)
def restored():
    """What a test registers is gone after it."""
    kinds = dict(registry.PARTS)
    before = [(table, dict(table)) for table in (registry.METHODS, *kinds.values())]
    yield
    registry.PARTS.clear()
    registry.PARTS.update(kinds)
    for table, rows in before:
        table.clear()
        table.update(rows)


ROWS = [
    *(("method", name, row) for name, row in registry.METHODS.items()),
    *((kind, name, row) for kind, rows in registry.PARTS.items() for name, row in rows.items()),
]


def target_of(kind, name):
    return registry.builder(name) if kind == "method" else registry.factory(kind, name)


def test_every_row_is_imported_and_has_a_line_of_help():
    for kind, name, row in ROWS:
        target = target_of(kind, name)
        lines = [row.summary, *(inspect.getdoc(target) or "").splitlines()[:1]]
        assert any(lines), (kind, name)
        assert all("\n" not in line and len(line) < 120 for line in lines), (kind, name)
        if kind in ("method", "Family"):
            assert row.summary, name
        assert registry.name_of(target, None if kind == "method" else kind) == name


def test_every_setting_of_every_row_has_a_line_of_help():
    missing = []
    for kind, name, _ in ROWS:
        target = target_of(kind, name)
        said = parts.descriptions(target)
        missing += [f"{kind} {name}: {each}" for each in parts.default_tree(target) if not said.get(each)]
    assert missing == []


# As in the cells of a notebook.


def line(*, horizon: int = 5, length: float = 1.0) -> jaxmeta.TaskDistribution:
    """Point robots with goals on a line.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      length: of the line, > 0.
    """
    if length <= 0:
        raise ValueError(f"length: got {length}; must be positive")
    tasks = jaxmeta.tasks.make("navigation", horizon=horizon)

    def sample(key):
        task = tasks.sample(key)
        return task.replace(goal=task.goal.at[1].set(0.0) * length)

    return tasks._replace(sample=sample)


def small(env, *, width: int = 4) -> jaxmeta.networks.Policy:
    """A policy of one layer.

    Args:
      env: a gymnax environment.
      width: of the layer, ≥ 1.
    """
    return jaxmeta.networks.policy_for(env, hidden=(width,))


def slow(
    tasks: jaxmeta.TaskDistribution, *, slowness: float = 2.0, policy: jaxmeta.networks.Policy = part(small)
) -> jaxmeta.MetaAlgorithm:
    """One policy for all tasks, whose step is divided.

    Args:
      tasks: the family.
      slowness: what the step size is divided by, > 0.
      policy: a network.
    """
    outer = jaxmeta.outer.adam(rate=0.01 / slowness)
    return jaxmeta.multi_task(tasks, outer=outer, policy=parts.built(policy, tasks.env), episodes=2)


def register():
    registry.family("line", line, "goals on a line")
    registry.part_factory("Policy", "small", small)
    registry.method("slow", slow, "divided")


def test_what_a_notebook_registers_is_used_by_python_and_by_the_command_line():
    register()
    chosen = jaxmeta.experiment("slow", "line", slowness=4, policy={"width": 3}, family={"length": 2})
    flags = ["--slowness", "4", "--policy.width", "3", "--family.length", "2"]
    assert train.parse(["slow", "line", *flags]).experiment == chosen
    assert chosen.tree["policy"] == {"use": "small", "width": 3}
    # One's own factory fills a part of a method of the library, and the other way round.
    own = train.parse(["maml", "line", "--policy", "small", "--policy.width", "3"]).experiment
    assert own == jaxmeta.experiment("maml", "line", policy={"use": "small", "width": 3})
    theirs = train.parse(["slow", "pendulum", "--policy", "mlp", "--policy.hidden", "5"]).experiment
    assert theirs.tree["policy"]["hidden"] == (5,)
    assert registry.families()["line"].summary == "goals on a line"


def test_what_a_notebook_registers_is_trained_and_opened_again(tmp_path):
    register()
    directory = tmp_path / "run"
    sizes = ["--iterations", "2", "--meta-batch", "2", "--no-evaluate", "--out", str(directory)]
    assert train.main(["slow", "line", "--policy.width", "3", *sizes]) == 0
    stored = json.loads((directory / "config.json").read_text())["experiment"]
    assert (stored["method"], stored["family"]["use"]) == ("slow", "line")
    assert stored["policy"] == {"use": "small", "width": 3}
    run = jaxmeta.load(directory)
    assert run.iteration == 2
    assert run.tasks.sample(jax.random.key(0)).goal[1] == 0.0


def test_what_is_out_of_range_is_named_by_its_flag(tmp_path, capsys):
    register()
    with pytest.raises(SystemExit):
        train.main(["slow", "line", "--family.length", "0", "--out", str(tmp_path / "run")])
    assert capsys.readouterr().err == "error: --family.length: got 0.0; must be positive\n"


def test_names_that_are_taken_are_refused_and_a_cell_may_be_run_again():
    register()
    register()
    with pytest.raises(RegistryError, match=r"^method 'maml' is registered already; choose another name$"):
        registry.method("maml", slow)
    with pytest.raises(RegistryError, match=r"^family 'line' is registered already"):
        registry.family("line", small)
    with pytest.raises(RegistryError, match=r"^Policy part 'mlp' is registered already"):
        registry.part_factory("Policy", "mlp", small)
    registry.family("one", lambda: None)
    with pytest.raises(RegistryError, match=r"^family 'one' is registered already"):
        registry.family("one", lambda: None)


def test_a_factory_that_is_not_registered_cannot_be_written_down():
    with pytest.raises(RegistryError, match=r"small: not registered as a Policy; call jaxmeta\.registry\.part_factory"):
        jaxmeta.experiment("maml", "navigation", policy=jaxmeta.part(small))


def test_a_method_may_not_have_a_setting_of_every_run():
    def greedy(tasks: jaxmeta.TaskDistribution, *, seeds: int = 3) -> jaxmeta.MetaAlgorithm:
        return jaxmeta.maml(tasks)

    registry.method("greedy", greedy)
    with pytest.raises(RegistryError, match=r"^greedy: seeds names a setting of every run; give it another name$"):
        jaxmeta.experiment("greedy", "navigation")


FILE = """
import jaxmeta

def point(*, horizon: int = 4, reach: float = 1.0) -> jaxmeta.TaskDistribution:
    "Points."
    return jaxmeta.tasks.make("navigation", horizon=horizon)

jaxmeta.registry.family("point", point, "points")
"""


def test_a_file_is_imported_by_every_command(tmp_path, capsys):
    file, run = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(FILE)
    flags = ["--policy.hidden", "4", "--episodes", "2", "--iterations", "1", "--meta-batch", "2", "--no-evaluate"]
    argv = ["multi-task", "point", f"--import={file}", "--family.reach", "2", *flags, "--out", str(run)]
    assert train.main(argv) == 0
    assert json.loads((run / "config.json").read_text())["experiment"]["family"]["reach"] == 2.0
    # The file is run again: the same names, and nothing clashes.
    sizes = ["--tasks", "2", "--steps", "0", "--greedy-episodes", "1"]
    assert evaluate.main([str(run), "--import", str(file), *sizes]) == 0
    assert (run / "evaluation.json").exists()
    del registry.FAMILIES["point"]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        evaluate.main([str(run)])
    err = capsys.readouterr().err
    assert "family: unknown name 'point'" in err
    assert "--import FILE" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("def broken(:", "SyntaxError: invalid syntax"),
        (
            "from jaxmeta import registry\nregistry.family('navigation', print)",
            "RegistryError: family 'navigation' is registered already; choose another name",
        ),
    ],
)
def test_a_file_that_cannot_be_run_is_named_with_its_own_error(tmp_path, capsys, content, message):
    file = tmp_path / "mine.py"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SystemExit) as caught:
        train.main(["maml", "navigation", "--import", str(file), "--out", str(tmp_path / "run")])
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert err.startswith(f"error: --import {file}: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


class Point:
    """An entry point of an installed package."""

    name, value = "mine", "mine:register"

    def __init__(self, function):
        self.load = lambda: function


@pytest.fixture
def installed(monkeypatch):
    """``installed(function)``: as if a package had an entry point that calls it."""

    def call(function):
        monkeypatch.setattr(metadata, "entry_points", lambda group: [Point(function)] if group == "jaxmeta" else [])
        registry._entry_points.cache_clear()

    yield call
    registry._entry_points.cache_clear()


def test_an_installed_package_registers_by_an_entry_point(installed):
    installed(register)
    assert jaxmeta.experiment("slow", "line").method == "slow"
    assert "small" in registry.kinds()["Policy"]


def test_an_entry_point_that_cannot_be_run_is_named(installed, capsys):
    installed(lambda: 1 / 0)
    with pytest.raises(SystemExit):
        train.main(["maml", "navigation"])
    assert capsys.readouterr().err == "error: entry point mine = mine:register: ZeroDivisionError: division by zero\n"


def test_unknown_names_are_told_with_the_near_ones():
    for ask, message in (
        (lambda: registry.builder("mmal"), r"^method: unknown name 'mmal'; did you mean maml or imaml\? Known: anil, "),
        (lambda: registry.family_factory("pendulm"), r"^family: unknown name 'pendulm'; did you mean pendulum\?"),
        (lambda: registry.factory("Outer", "adm"), r"^Outer: unknown name 'adm'; did you mean adam\? Known: adam, sgd"),
    ):
        with pytest.raises(RegistryError, match=message):
            ask()


@pytest.mark.parametrize("name", [["maml"], {"use": "maml"}, 3, None])
@pytest.mark.parametrize("what", ["method", "family"])
def test_what_is_no_name_is_unknown(what, name):
    with pytest.raises(RegistryError, match=f"^{what}: unknown name "):
        registry.check(what, name, ["maml"])
