"""Settings of the wrong kind are one line that names them, whichever family they are given to."""

import importlib
import sys
from collections.abc import Callable

import pytest

import jaxmeta
from jaxmeta import registry, tasks


@pytest.mark.parametrize(
    ("family", "setting", "message"),
    [
        ("navigation", {"horizon": 2.5}, "horizon: got 2.5; must be a whole number"),
        ("navigation", {"horizon": "10"}, "horizon: got '10'; must be a whole number"),
        ("navigation", {"horizon": 0}, "horizon: got 0; must be at least 1"),
        ("navigation", {"horizon": -3}, "horizon: got -3; must be at least 1"),
        ("navigation", {"horizon": 10**12}, "horizon: got 1000000000000; must be at most 2147483647"),
        ("gridnavi", {"size": 10**6}, "size: got 1000000; must be at most 1000"),
        ("bernoulli-bandit", {"arms": 10**9}, "arms: got 1000000000; must be at most 10000"),
        ("navigation", {"horizn": 10}, r"horizn: unknown setting; did you mean horizon\? navigation has horizon"),
        ("navigation-wind", {"wind": "strong"}, "wind: got 'strong'; must be a number"),
        ("gridnavi", {"size": None}, "size: got None; must be a whole number"),
        ("cartpole", {"force": 10.0}, "force: got 10.0; must be 2 numbers"),
        ("cartpole", {"force": (1.0, 2.0, 3.0)}, r"force: got \(1.0, 2.0, 3.0\); must be 2 numbers"),
        ("t-maze", {"lengths": ("a", "b")}, "lengths: got 'a'; must be a whole number"),
        ("frozen-lake", {"slippery": 1}, "slippery: got 1; must be true or false"),
        ("dependent-bandit", {"level": 3}, "level: got 3; must be text"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(family, setting, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        tasks.make(family, **setting)
    assert "\n" not in str(caught.value)


def test_a_whole_number_will_do_for_a_number():
    assert tasks.make("navigation", goal_range=1).horizon == 100


def test_a_family_is_registered_once_and_its_functions_are_handed_on(monkeypatch):
    monkeypatch.setattr(registry, "FAMILIES", dict(registry.FAMILIES))
    made = []

    def family(*, sampler: Callable[[], int] = int, horizon: int = 3):
        made.append((sampler(), horizon))
        return tasks.navigation(horizon=horizon)

    tasks.register("mine", family, "a family of ours")
    assert "mine" in tasks.names()
    assert tasks.make("mine", sampler=lambda: 7).horizon == 3
    assert made == [(7, 3)]
    with pytest.raises(ValueError, match=r"^family 'mine' is registered already"):
        tasks.register("mine", tasks.navigation)
    with pytest.raises(ValueError, match=r"unknown name 'navigatoin'; did you mean navigation"):
        tasks.make("navigatoin")


MISSING = [
    ("xland", "xland", "xminigrid", "xminigrid"),
    ("half-cheetah-velocity", "locomotion", "mujoco.mjx", "mujoco"),
]


@pytest.mark.parametrize(("family", "extra", "package", "top"), MISSING)
def test_a_family_whose_package_is_missing_says_what_to_install(monkeypatch, family, extra, package, top):
    monkeypatch.delitem(registry.FAMILIES, family, raising=False)
    assert family not in tasks.names()
    for name_it in (lambda: tasks.make(family), lambda: jaxmeta.experiment("rl2", family)):
        with pytest.raises(ValueError, match=rf'^family: {family} needs {package}; pip install "jaxmeta\[{extra}\]"$'):
            name_it()
    for name in [each for each in sys.modules if each.split(".")[0] == top]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, top, None)
    for name in ("jaxmeta.tasks.mujoco_models", f"jaxmeta.tasks.{extra}"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError, match=rf'^{extra}: {top}.* is missing; pip install "jaxmeta\[{extra}\]"$'):
        importlib.import_module(f"jaxmeta.tasks.{extra}")


def test_a_part_of_a_package_is_looked_for_without_importing_it(tmp_path, monkeypatch):
    (tmp_path / "whole" / "part").mkdir(parents=True)
    (tmp_path / "whole" / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    row = registry.Row("")
    for package, there in (("whole", True), ("whole.part", True), ("whole.other", False), ("none.part", False)):
        assert registry.Optional(package, "", row).is_there == there
