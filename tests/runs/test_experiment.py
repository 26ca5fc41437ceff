"""Experiments: one tree of settings in Python, on the command line, in files, and in what a notebook builds."""

import re

import jax
import pytest

import jaxmeta
from jaxmeta import parts, registry
from jaxmeta.commands import settings, train
from jaxmeta.commands.arguments import Names
from jaxmeta.parts import SettingError
from jaxmeta.runs.experiment import from_config
from jaxmeta.runs.precision import with_precision

METHODS = list(registry.METHODS)
FAMILIES = list(registry.FAMILIES)
DISCRETE = ("maml-q", "mql", "r2d2")


def fitting(method):
    """A family that a method can be built on."""
    return "gridnavi" if method in DISCRETE else "navigation"


@pytest.mark.parametrize("method", METHODS)
def test_the_command_line_and_python_mean_the_same_experiment_on_every_family(method):
    for family in FAMILIES:
        for preset in (None, "none"):
            command = settings.base(Names(method, family, preset, None, []))
            python = jaxmeta.experiment(method, family, **({} if preset is None else {"preset": None}))
            assert command == python, family
            assert from_config(python.config()).tree == python.tree, family
    parsed = train.parse([method, fitting(method)]).experiment
    assert parsed == jaxmeta.experiment(method, fitting(method))


@pytest.mark.parametrize("method", METHODS)
def test_without_a_preset_settings_are_those_of_the_signatures(method):
    builder, family = registry.builder(method), fitting(method)
    tree = train.parse([method, family, "--preset", "none"]).experiment.tree
    assert {name: tree[name] for name in parts.default_tree(builder)} == parts.default_tree(builder)
    assert tree["family"] == {"use": family, **parts.default_tree(registry.family_factory(family))}


@pytest.mark.parametrize("method", ["e-maml", "rl2", "r2d2"])
def test_what_a_notebook_builds_computes_what_the_command_line_builds(method):
    """The same program, operation by operation, at the precision that runs have by default; nothing is compiled."""
    tasks = jaxmeta.tasks.make(fitting(method))
    builder = registry.builder(method)
    if method in ("rl2", "r2d2"):
        tasks = jaxmeta.tasks.as_lifetime(tasks, 1)
    programs = []
    for family, algorithm in (
        (tasks, with_precision(builder(tasks), "tf32")),
        train.parse([method, fitting(method), "--preset", "none"]).experiment.build(),
    ):
        state = jax.eval_shape(lambda algorithm=algorithm: jaxmeta.runs.init_state(jax.random.key(0), algorithm))
        traced = jax.make_jaxpr(jaxmeta.runs.meta_iteration(algorithm, family, 4))(state)
        programs.append(re.sub("0x[0-9a-f]+", "", str(traced)))
    assert programs[0] == programs[1]


def test_settings_are_given_as_tables_names_dotted_names_and_parts():
    ways = (
        {"outer": {"use": "trust-region", "max_divergence": 0.02}},
        {"outer": "trust-region", "outer.max_divergence": 0.02},
        {"outer": jaxmeta.part(jaxmeta.outer.trust_region, max_divergence=0.02)},
    )
    trees = [jaxmeta.experiment("maml", "pendulum", **way).tree for way in ways]
    trees.append(train.parse(["maml", "pendulum", "--outer", "trust-region", "--outer.max-divergence=0.02"])[0].tree)
    trees.append(jaxmeta.experiment("maml", "pendulum").replace(**ways[0]).tree)
    assert all(tree == trees[0] for tree in trees)
    assert trees[0]["outer"]["max_divergence"] == 0.02
    # Those of Adam, in the pair's preset, are gone.
    assert "decay" not in trees[0]["outer"]
    assert trees[0]["episodes"] == 10


def test_the_family_and_its_settings_are_given_in_either_place():
    first = jaxmeta.experiment("maml", "bernoulli-bandit", family={"arms": 3})
    second = jaxmeta.experiment("maml", family={"use": "bernoulli-bandit", "arms": 3})
    assert first == second
    assert first.family == "bernoulli-bandit"
    assert first.build_tasks().env.action_space(None).n == 3
    with pytest.raises(SettingError, match=r"^family: got 'navigation' and 'pendulum'; name one"):
        jaxmeta.experiment("maml", "navigation", family="pendulum")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inner_rat": 1.0}, r"^inner_rat: unknown setting; did you mean inner_rate"),
        ({"outer": {"rat": 1.0}}, r"^outer\.rat: unknown setting; did you mean rate"),
        ({"outer.rate": "fast"}, r"^outer\.rate: got 'fast'; must be a number$"),
        ({"outer.rate": float("nan")}, r"^outer\.rate: got nan; must be finite$"),
        ({"outer": 3}, r"^outer: got 3; must be one of adam, sgd, trust-region, none, or a table"),
        ({"outer": "adm"}, r"^outer: got 'adm'; did you mean adam\?"),
        ({"iterations": 1.5}, r"^iterations: got 1\.5; must be a whole number$"),
        ({"seeds": True}, r"^seeds: got True; must be a whole number$"),
        ({"scaled": 1}, r"^scaled: got 1; must be true or false$"),
        ({"family.arms": 2}, r"^family\.arms: unknown setting"),
        ({"lifetime": 2}, r"^lifetime: unknown setting"),
    ],
)
def test_what_does_not_fit_is_named_by_its_full_path(given, message):
    with pytest.raises(SettingError, match=message):
        jaxmeta.experiment("maml", "navigation", **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"iterations": 0}, r"^iterations: got 0; must be at least 1$"),
        ({"inner_rate": 0}, r"^inner_rate: got 0\.0; must be positive$"),
        ({"outer.rate": -1.0}, r"^outer\.rate: got -1\.0; must be positive$"),
        ({"policy.hidden": [0]}, r"^policy\.hidden: got \(0,\); every width must be at least 1$"),
        ({"family.horizon": 0}, r"^family\.horizon: got 0; must be at least 1$"),
        ({"observed": [5]}, r"^observed: got \(5,\); must be some of the entries 0 to 1$"),
    ],
)
def test_what_is_out_of_range_is_named_by_its_full_path_when_it_is_built(given, message):
    with pytest.raises(SettingError, match=message):
        jaxmeta.experiment("maml", "navigation", **given).build()


def test_tasks_are_held_out_of_training_where_that_is_said():
    whole, split = (jaxmeta.experiment("rl2", "gridnavi", held_out=count).build_tasks() for count in (0, 4))
    counts = [each and len(each.goal) for each in (whole.every, whole.every_test, split.every, split.every_test)]
    assert counts == [21, None, 17, 4]
    assert split.horizon == whole.horizon
    # A configuration of before has no such setting.
    config = jaxmeta.experiment("rl2", "gridnavi", held_out=4).config()
    assert from_config(config).tree["held_out"] == config.pop("held_out") == 4
    assert from_config(config).tree["held_out"] == 0
    assert settings.base(Names("rl2", "gridnavi", None, None, [])).tree["held_out"] == 0
    assert train.parse(["rl2", "gridnavi", "--held-out", "3"]).experiment.tree["held_out"] == 3


@pytest.mark.parametrize(
    ("family", "count", "message"),
    [
        ("gridnavi", 21, r"^held_out: got 21; must be from 1 to 20: the family has 21 tasks$"),
        ("gridnavi", -1, r"^held_out: got -1; must be at least 0$"),
        ("navigation", 1, r"^held_out: got 1; the family has no list of its tasks"),
    ],
)
def test_tasks_that_cannot_be_held_out_are_refused_by_name(family, count, message):
    with pytest.raises(SettingError, match=message):
        jaxmeta.experiment("rl2", family, held_out=count).build()


def test_an_experiment_is_built_once():
    chosen = jaxmeta.experiment("es-maml", "navigation")
    assert chosen.build() is chosen.build()
    assert chosen.build(adaptation_steps=2) is not chosen.build()


def test_numbers_that_are_traced_or_functions_are_given_when_it_is_built():
    chosen = jaxmeta.experiment("maml", "navigation", policy={"hidden": [4]})
    tasks, algorithm = chosen.build(inner_rate=lambda step: 0.1 / (1 + step))
    assert tasks.horizon == 100
    assert algorithm.step is not None
