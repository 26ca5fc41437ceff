"""Presets by method, by family and by name: they fit, they are taken, and what they stand for is built."""

import importlib
import json

import jax
import jax.numpy as jnp
import pytest

import jaxmeta
from jaxmeta import parts, registry
from jaxmeta.commands import train
from jaxmeta.runs import presets
from jaxmeta.runs.logging import read_csv

PLANNING = ("grbal", "rebal")
LATENT = ("hyperx", "pearl", "varibad")
"""Methods whose model of the task holds the policy too."""
DISCRETE = ("maml-q", "mql", "r2d2")
CONSTRAINED = ("maml-lagrangian", "rl2-lagrangian")


@pytest.mark.parametrize("method", registry.METHODS)
def test_every_method_is_built_with_its_preset_and_with_experts(method, monkeypatch):
    """Policies of all but those that plan may be mixtures, whose gate is handed on.

    The contract, which is most of the work of building, is asked of every method in a table of its own.
    """
    for name in ("compose", "model_maml", "mql", "replay"):
        module = importlib.import_module(f"jaxmeta.algorithms.{name}")
        monkeypatch.setattr(module, "check_contract", lambda *parts, **sizes: None)
    family = "gridnavi" if method in DISCRETE else "lane-keeping" if method in CONSTRAINED else "navigation"
    experts = {} if method in PLANNING else {"model.experts" if method in LATENT else "policy.experts": 2}
    tasks, built = jaxmeta.experiment(method, family, **experts, **{"family.horizon": 4}).build()

    def acted(key):
        theta = built.learner.init(key)
        obs, _ = tasks.env.reset_env(key, tasks.sample(key))
        return built.learner.act(key, theta, built.learner.begin(theta), obs)[0]

    action = jax.eval_shape(acted, jax.random.key(0))
    assert action.shape == tasks.env.action_space(tasks.env.default_params).shape
    assert (built.gate is None) == (method in PLANNING)


@pytest.mark.parametrize("method", ["maml", "rl2", "varibad"])
def test_means_are_bounded_where_that_is_asked_for(method):
    """Weights that lead far out: the mode is beyond the actions, or one of them."""
    part = "model" if method in LATENT else "policy"
    for flag in (f"--{part}.no-bounded-mean", f"--{part}.bounded-mean"):
        tasks, built = train.parse([method, "navigation", f"--{part}.hidden", "8", flag]).experiment.build()

        @jax.jit
        def mode(key, built=built, tasks=tasks):
            theta = jax.tree.map(lambda x: jnp.full_like(x, 5.0), built.learner.init(key))
            obs = tasks.env.reset_env(key, tasks.sample(key))[0]
            return built.greedy.act(key, theta, built.greedy.begin(theta), obs)[0]

        action = mode(jax.random.key(0))
        assert bool(jnp.all(jnp.abs(action) <= 1.0)) == (flag == f"--{part}.bounded-mean")


def test_settings_of_the_family_and_of_the_method_are_taken():
    argv = ["imaml", "bernoulli-bandit", "--family.arms", "7", "--pull", "1e30", "--inner-iterations", "3"]
    tasks, built = train.parse(argv).experiment.build()
    assert tasks.env.action_space(tasks.env.default_params).n == 7
    adapt = jax.jit(lambda key: built.adapt(key, built.learner.init(key), tasks.sample(key)))
    phi, _ = adapt(jax.random.key(0))
    # Inner iterations longer than 2 / pull diverge: the pull was taken.
    assert not all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(phi.params))


def test_a_given_setting_replaces_the_preset_s_of_that_name_and_leaves_the_others():
    own = jaxmeta.experiment("maml", "bernoulli-bandit").tree
    assert (own["inner_rate"], own["meta_batch"], own["outer"]["decay"]) == (3.0, 50, 200)
    given = train.parse(["maml", "bernoulli-bandit", "--inner-rate", "2", "--outer.decay", "7"]).experiment.tree
    assert given == {**own, "inner_rate": 2.0, "outer": {**own["outer"], "decay": 7}}
    named = jaxmeta.experiment(preset="rl2-bandit-500", family={"arms": 5}).tree
    assert (named["family"]["horizon"], named["family"]["arms"]) == (500, 5)
    assert named["entropy_weight"] == presets.named("rl2-bandit-500")["entropy_weight"]


def holds(tree, part):
    """Whether a tree has all that a part of one says."""
    for name, value in part.items():
        there = tree[name]
        if isinstance(value, dict):
            assert holds(there, value), name
        elif isinstance(there, dict):
            assert there[parts.USE] == value, name
        else:
            assert there == (tuple(value) if isinstance(value, list) else value), name
    return True


def is_there(preset):
    """Whether the family of a preset is installed."""
    return presets.names_of(None, None, preset)[1] in registry.families()


def test_presets_of_families_that_are_not_there_say_what_to_install(monkeypatch):
    monkeypatch.delitem(registry.FAMILIES, "half-cheetah-velocity", raising=False)
    assert presets.names_of(None, None, "maml-cheetah-velocity-2017") == ("maml", "half-cheetah-velocity")
    with pytest.raises(registry.RegistryError, match=r'needs mujoco.mjx; pip install "jaxmeta\[locomotion\]"$'):
        jaxmeta.experiment(preset="maml-cheetah-velocity-2017")
    families = {presets.names_of(None, None, preset)[1] for preset in presets.names()}
    assert families <= {*registry.families(), *registry.OPTIONAL}


@pytest.mark.parametrize("preset", filter(is_there, presets.names()))
def test_presets_are_taken_by_name_and_other_arguments_override_them(preset):
    stored = presets.named(preset)
    parsed = train.parse(["--preset", preset, "--iterations", "7"]).experiment
    assert parsed.config()["method"] == stored["method"]
    assert holds(parsed.config(), {**stored, "iterations": 7})
    assert parsed == jaxmeta.experiment(preset=preset, iterations=7)


def test_a_preset_of_another_method_or_family_gives_what_fits():
    assert jaxmeta.experiment("maml", preset="maml-2017").tree == jaxmeta.experiment(preset="maml-2017").tree
    moved = jaxmeta.experiment("maml", "pendulum", preset="maml-2017").tree
    assert moved["outer"]["use"] == "trust-region"
    assert moved["family"] == {"use": "pendulum", **parts.default_tree(registry.family_factory("pendulum"))}


@pytest.mark.parametrize("file", [name for name in presets._files() if name != presets.NAMED])
def test_files_of_pairs_speak_of_methods_and_families_that_there_are(file):
    content = presets._files()[file]
    assert set(content) <= {"methods", "all", "family", "method", "pair"}
    assert set(content["methods"]) <= set(registry.METHODS)
    assert set(content.get("method", {})) <= set(content["methods"])
    families = {*registry.FAMILIES, *registry.OPTIONAL}
    assert set(content.get("family", {})) <= families
    assert set(content.get("pair", {})) <= set(content["methods"])
    assert all(set(each) <= families for each in content.get("pair", {}).values())
    # A setting that none of its methods has would be left out without a word.
    known = {name for method in content["methods"] for name in jaxmeta.experiment(method, preset=None).tree}
    layers = [content.get("all", {}), *content.get("family", {}).values(), *content.get("method", {}).values()]
    layers += [layer for each in content.get("pair", {}).values() for layer in each.values()]
    assert {name for layer in layers for name in layer} <= known


def test_every_method_has_a_file_or_none():
    """No method is in two files: which would be laid over which is a matter of names."""
    listed = [method for name, file in presets._files().items() if name != presets.NAMED for method in file["methods"]]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("preset", ["rl2-bandit-500", "tabular-rl2-mdp", "varibad-gridnavi-2020"])
def test_settings_that_take_an_accelerator_run_shortened(tmp_path, preset):
    part = "model" if preset.startswith("varibad") else "policy"
    shorter = ["--iterations", "1", "--meta-batch", "4", "--outer.minibatches", "2", f"--{part}.size", "8"]
    shorter += ["--family.horizon", "20" if preset == "rl2-bandit-500" else "5", "--no-evaluate"]
    assert train.main(["--preset", preset, *shorter, "--out", str(tmp_path / preset)]) == 0
    last = read_csv(tmp_path / preset / "metrics.csv")[-1]
    assert last["skipped"] == 0.0
    assert last["grad_norm"] > 0.0


LOCOMOTION = {
    "maml-cheetah-velocity-2017": ["--episodes", "2", "--policy.hidden", "8"],
    "pearl-cheetah-velocity-2019": ["--updates", "2", "--batch", "8", "--model.hidden", "8", "--model.inference", "8"],
    "promp-cheetah-direction-2019": ["--episodes", "2", "--policy.hidden", "8"],
    "rl2-cheetah-velocity-2020": ["--outer.minibatches", "1", "--policy.size", "8"],
    "varibad-cheetah-velocity-2020": [
        "--outer.minibatches",
        "1",
        "--model-outer.minibatches",
        "1",
        "--model.size",
        "8",
    ],
}


@pytest.mark.parametrize("preset", filter(is_there, LOCOMOTION))
def test_presets_of_locomotion_run_shortened(tmp_path, preset):
    shorter = ["--iterations", "1", "--meta-batch", "2", "--family.horizon", "4", "--no-evaluate"]
    assert train.main(["--preset", preset, *shorter, *LOCOMOTION[preset], "--out", str(tmp_path / preset)]) == 0
    last = read_csv(tmp_path / preset / "metrics.csv")[-1]
    assert last["skipped"] == 0.0
    config = json.loads((tmp_path / preset / "config.json").read_text())
    assert config["experiment"]["family"]["solver"] == "newton-4-8"
    assert {"mujoco", "mujoco-mjx"} <= set(config["versions"])


def test_a_tabular_memory_is_taken():
    argv = ["r2d2", "tabular-mdp", "--lifetime", "2", "--policy", "tabular", "--policy.size", "6"]
    _, built = train.parse([*argv, "--policy.hidden", "5", "--family.horizon", "5"]).experiment.build()
    begun = jax.eval_shape(lambda key: built.learner.begin(built.learner.init(key)), jax.random.key(0))
    assert begun.features.shape == (10, 5, 6)
