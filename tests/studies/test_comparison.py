"""What compared runs are called, and which of them share a panel."""

import json
from pathlib import Path

import numpy as np
import pytest

import jaxmeta
from jaxmeta.studies import comparison

PROTOCOL = {"steps": 2, "episodes": 20, "rate_decay": 0.5, "greedy_episodes": 10, "tasks": 30, "task_seed": 0}
PROTOCOL |= {"in_distribution": False}


def run(place, method="maml", family="navigation", protocol=None, **settings):
    axes = ["seed", "task", "adaptation_step"]
    evaluation = {"axes": axes, "protocol": {**PROTOCOL, **(protocol or {})}, "references": {"random_policy": {}}}
    return place, jaxmeta.experiment(method, family, **settings), evaluation


def named(*runs):
    beside, warnings = comparison.side_by_side(runs)
    return [(one.panel, one.label) for one in beside], warnings


def test_runs_of_different_methods_are_named_by_them():
    assert named(run("a"), run("b", "anil"), run("c", seed=7, seeds=3)[:1] + run("c", "promp", seed=7)[1:]) == (
        [("navigation", "maml"), ("navigation", "anil"), ("navigation", "promp")],
        [],
    )


def test_runs_of_one_method_are_named_by_what_differs():
    got, warnings = named(
        run("a"), run("b", inner_rate=0.3), run("c", outer="trust-region"), run("d", **{"policy.hidden": (8,)})
    )
    assert warnings == []
    assert {panel for panel, _ in got} == {"navigation"}
    first, second, third, fourth = (label for _, label in got)
    assert "inner rate 0.3" in second
    assert "outer trust-region" in third
    assert "max divergence" not in third
    assert "policy.hidden 8" in fourth
    assert len({first, second, third, fourth}) == 4


def test_runs_that_differ_in_nothing_or_in_much_are_named_by_their_directories():
    assert [label for _, label in named(run("runs/a"), run("runs/b"))[0]] == ["maml, runs/a", "maml, runs/b"]
    much = {"inner_rate": 0.3, "episodes": 5, "adaptation_steps": 2, "iterations": 3}
    assert [label for _, label in named(run("a"), run("b", **much))[0]] == ["maml, a", "maml, b"]


def test_labels_may_be_given():
    beside, _ = comparison.side_by_side([run("a"), run("b")], ["one", "other"])
    assert [one.label for one in beside] == ["one", "other"]


def test_what_was_published_stands_beside_runs_on_the_same_tasks():
    def references(*one, **more):
        (beside,), _ = comparison.side_by_side([run("a", *one, **more)])
        return beside.evaluation["references"]

    for same in (references(), references("anil"), references(inner_rate=0.3)):
        assert same == {"random_policy": {}, "published": comparison.PUBLISHED["navigation"]}
    others = ({"family.horizon": 50}, {"repeat": 2}, {"scaled": True}, {"observed": [0]})
    assert all("published" not in references(**other) for other in others)
    assert "published" not in references("maml", "navigation-wind")


def test_published_numbers_are_those_of_the_results():
    (returns,) = comparison.PUBLISHED["navigation"].values()
    path = Path(__file__).parents[2] / "benchmarks" / "results" / "published.json"
    assert returns == json.loads(path.read_text())["navigation"]["maml"]


def test_a_task_with_other_settings_has_a_panel_of_its_own():
    bandits = [run(str(arms), "rl2", "bernoulli-bandit", **{"family.arms": arms}) for arms in (2, 5)]
    assert named(*bandits) == ([("bernoulli-bandit, arms 2", "rl2"), ("bernoulli-bandit, arms 5", "rl2")], [])
    assert [panel for panel, _ in named(run("a"), run("b", repeat=2))[0]] == [
        "navigation, repeat 1",
        "navigation, repeat 2",
    ]
    # The same task, seen otherwise.
    seen = named(run("a"), run("b", scaled=True))
    assert seen == ([("navigation", "maml, scaled False"), ("navigation", "maml, scaled True")], [])
    assert [panel for panel, _ in named(run("a"), run("b", observed=[0, 1]))[0]] == [
        "navigation, all observed",
        "navigation, observed 0 1",
    ]


def test_other_tasks_held_out_or_tasks_taken_otherwise_have_a_panel_of_their_own():
    held = [run(str(count), "rl2", "gridnavi", held_out=count) for count in (0, 4)]
    assert named(*held) == ([("gridnavi, held out 0", "rl2"), ("gridnavi, held out 4", "rl2")], [])
    # Evaluations of before drew the tasks of finite families.
    drawn, listed = run("a", "rl2", "gridnavi"), run("b", "rl2", "gridnavi")
    drawn[2]["tasks"], listed[2]["tasks"] = {"count": 30}, {"count": 30, "listed": 21}
    assert [panel for panel, _ in named(drawn, listed)[0]] == ["gridnavi, listed False", "gridnavi, listed True"]


@pytest.mark.parametrize(
    ("protocol", "title"),
    [
        ({"tasks": 400}, "tasks 400"),
        ({"task_seed": 1}, "task seed 1"),
        ({"steps": 3}, "steps 3"),
        ({"episodes": 40}, "episodes 40"),
        ({"in_distribution": True}, "in distribution True"),
    ],
)
def test_what_was_evaluated_otherwise_is_shown_apart_with_a_warning(protocol, title):
    got, warnings = named(run("a"), run("b", "anil", protocol=protocol))
    assert got[1][0] == f"navigation, {title}"
    assert warnings == [f"evaluated in different ways, and shown apart: {'; '.join(sorted(p for p, _ in got))}"]


def test_a_method_without_a_use_for_a_setting_shares_the_panel_of_those_that_have_one():
    memory = run("b", "rl2", lifetime=3)
    for name in ("steps", "episodes", "rate_decay"):
        del memory[2]["protocol"][name]
    for runs in ((run("a"), memory), (memory, run("a"))):
        got, warnings = named(*runs)
        assert {panel for panel, _ in got} == {"navigation"}
        assert warnings == []


def test_a_return_is_reached_where_the_mean_over_seeds_is():
    rows = [
        {"seed": seed, "env_steps": 100.0 * (i + 1), "seconds": i + 1.0, "return_post": value}
        for i, values in enumerate(((0.0, 0.0), (4.0, 1.0), (4.0, 2.0)))
        for seed, value in enumerate(values)
    ]
    assert comparison.reached(rows, 2.5) == {"env_steps": 200.0, "seconds": 2.0, "seeds": 1}
    assert comparison.reached(rows, 3.5) == {"seeds": 1}
    assert comparison.reached(rows, 9.0) == {"seeds": 0}
    assert np.isclose(comparison.reached(rows, 0.0)["env_steps"], 100.0)
