"""Runs that are opened again."""

import functools
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxmeta
from jaxmeta.runs.checkpoint import CheckpointError
from jaxmeta.runs.directory import StartError
from jaxmeta.runs.experiment import from_config
from jaxmeta.runs.run import RunError
from jaxmeta.runs.start import Saving

TINY = {"iterations": 2, "meta_batch": 2, "seed": 3, "seeds": 2, "episodes": 2, "policy": {"hidden": [4]}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    chosen = jaxmeta.experiment("fomaml", "navigation", family={"horizon": 5}, **TINY)
    return chosen.train(directory, saving=Saving(checkpoint_every=1))


def same(first, second):
    return all(map(np.array_equal, jax.tree.leaves(first), jax.tree.leaves(second)))


def test_training_gives_the_run_that_loading_gives(trained):
    for path in (trained.directory, str(trained.directory)):
        run = jaxmeta.load(path)
        assert (run.iteration, run.seed, run.config) == (2, 3, trained.config)
        assert same(run.thetas, trained.thetas)
        assert same(run.theta, trained.theta)


def test_a_seed_and_a_checkpoint_are_chosen(trained):
    other, earlier = jaxmeta.load(trained.directory, seed=4), jaxmeta.load(trained.directory, checkpoint=1)
    assert same(other.theta, jax.tree.map(lambda x: x[1], trained.thetas))
    assert not same(other.theta, trained.theta)
    assert earlier.iteration == 1
    assert not same(earlier.theta, trained.theta)
    with pytest.raises(RunError, match=r"^seed: got 7; .* has 3, 4$"):
        jaxmeta.load(trained.directory, seed=7)
    with pytest.raises(CheckpointError, match=r"has no checkpoint 9; it has \[1, 2\]"):
        jaxmeta.load(trained.directory, checkpoint=9)


def test_a_run_adapts_and_acts(trained):
    task = trained.tasks.sample(jax.random.key(0))
    phi, lifetime = trained.adapt(jax.random.key(1), task)
    assert lifetime.trajectory.reward.shape == (2, 2, 5)
    action, after = trained.act(jax.random.key(2), phi, np.zeros(2, np.float32))
    assert action.shape == (2,)
    assert same(after, phi)
    again, _ = trained.act(jax.random.key(3), phi, np.zeros(2, np.float32))
    np.testing.assert_array_equal(action, again)


def test_a_run_is_evaluated_and_written_where_that_is_asked_for(trained):
    result = trained.evaluate(tasks=2, steps=1, episodes=2, greedy_episodes=1)
    assert np.shape(result["returns"]) == (2, 2, 2)
    assert not (trained.directory / "evaluation.json").exists()
    with pytest.raises(ValueError, match=r"^tasks: got 0; must be at least 1$"):
        trained.evaluate(tasks=0)


def test_the_configuration_is_complete_readable_and_read_back(trained):
    stored = json.loads((trained.directory / "config.json").read_text())
    found = from_config(stored["experiment"])
    assert found.tree == trained.config.tree
    assert found.method == stored["experiment"]["method"] == "fomaml"
    assert stored["preset"] == trained.config.preset
    assert json.loads(json.dumps(found.config())) == stored["experiment"]


def changed(trained, directory, change):
    """A copy of a run whose configuration is another."""
    shutil.copytree(trained.directory, directory)
    content = json.loads((directory / "config.json").read_text())
    change(content["experiment"])
    (directory / "config.json").write_text(json.dumps(content))
    return directory


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree["policy"].update(hidden=[5]), "Dense_0.bias of shape [2, 4], not [2, 5]"),
        (lambda tree: tree["policy"].update(hidden=[4, 2]), "has no meta.theta.params.MLP_0.Dense_2.bias"),
    ],
)
def test_weights_of_another_configuration_are_refused_by_the_first_leaf_that_differs(
    trained, tmp_path, change, message
):
    with pytest.raises(CheckpointError) as caught:
        jaxmeta.load(changed(trained, tmp_path / "run", change))
    assert message in str(caught.value)
    assert str(caught.value).endswith("it is of another configuration")
    assert "\n" not in str(caught.value)


def test_checkpoints_of_another_run_are_refused_and_not_relabelled(trained, tmp_path):
    fewer = changed(trained, tmp_path / "fewer", lambda tree: tree.update(seeds=1))
    with pytest.raises(CheckpointError, match=r"is of another run: seeds is \[3, 4\] there, and \[3\] in config"):
        jaxmeta.load(fewer)
    other = changed(trained, tmp_path / "other", lambda tree: None)
    content = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**content, "run": "0123"}))
    with pytest.raises(CheckpointError, match=r"is of another run: run is '[0-9a-f]{32}' there, and '0123' in config"):
        jaxmeta.load(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.update(inner_rat=1.0), "inner_rat: unknown setting; did you mean inner_rate"),
        (lambda tree: tree["outer"].update(rate="fast"), "outer.rate: got 'fast'; must be a number"),
        (lambda tree: tree["outer"].update(use="adm"), "outer: got 'adm'; did you mean adam"),
        (lambda tree: tree.update(method="mine"), "method: unknown name 'mine'"),
        (lambda tree: tree.update(family="os:system"), "family: unknown name 'os:system'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line_with_the_full_path(trained, tmp_path, change, message):
    with pytest.raises(RunError) as caught:
        jaxmeta.load(changed(trained, tmp_path / "run", change))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"arguments": {"task": "navigation"}, "versions": {"jaxmeta": "0.1.0"}}, "was written by jaxmeta 0.1.0"),
        ({"format": 99, "experiment": {}}, "has format 99, and this version reads 3"),
        ({"format": 3}, "experiment: got None; must be a table"),
        ([], "not a table"),
    ],
)
def test_files_of_other_versions_and_kinds_are_one_line(tmp_path, content, message):
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(RunError) as caught:
        jaxmeta.load(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_directory_without_a_run_or_without_checkpoints_is_one_line(trained, tmp_path):
    with pytest.raises(RunError, match=r"holds no run: there is no config\.json$"):
        jaxmeta.load(tmp_path)
    shutil.copy(trained.directory / "config.json", tmp_path)
    with pytest.raises(RunError, match=r"has no checkpoints; train first$"):
        jaxmeta.load(Path(tmp_path))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("experiment.outer.use", None, "outer: got None"),
        ("experiment.outer.use", ["adam"], r"outer: got \['adam'\]"),
        ("experiment.outer.use", "newton", "outer: got 'newton'"),
        ("experiment.method", [], r"experiment\.method: got \[\]; must be text"),
        ("experiment.family", None, r"experiment\.family: got None; must be a table or text"),
        ("experiment.episodes", True, "episodes: got True; must be a whole number"),
        ("experiment.seeds", 10**9, "seeds: got 1000000000; must be at most 100000"),
        ("experiment.policy.activation", "rely", r"policy\.activation: unknown name 'rely'"),
        ("history", [5], "history: got 5; must be a table"),
        ("preset", 5, "preset: got 5; must be text or null"),
    ],
)
def test_an_entry_that_was_edited_is_named_with_its_file(trained, tmp_path, path, value, message):
    stored = json.loads((trained.directory / "config.json").read_text())
    *outer, name = path.split(".")
    functools.reduce(dict.__getitem__, outer, stored)[name] = value
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(RunError, match=rf"config\.json: {message}"):
        jaxmeta.load(tmp_path)


@pytest.mark.parametrize("name", ["checkpoints", ".overwritten"])
def test_a_run_is_not_gone_on_with_through_a_link(trained, tmp_path, name):
    shutil.copy(trained.directory / "config.json", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match=rf"{name}: is a link, and nothing is written through one"):
        trained.config.train(tmp_path, resume=True)
    assert not list((tmp_path / "elsewhere").iterdir())
