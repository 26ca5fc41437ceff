"""Settings by algorithm, by task and by name: they are taken, and what they stand for is built."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxmeta.runs.logging import read_csv

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import building
import names
import published
import train


@pytest.mark.parametrize("algorithm", names.ALGORITHMS)
def test_every_algorithm_is_built_with_its_own_defaults(algorithm):
    flags = ["--task", "gridnavi" if algorithm in ("maml-q", "mql", "r2d2") else "navigation"]
    flags += [] if algorithm in (*names.RECURRENT, "pearl") else ["--episodes", "2"]
    arguments = train.parse(["--algorithm", algorithm, "--horizon", "4", "--hidden", "8", *flags]).experiment
    tasks, built = building.build(arguments)
    task = tasks.sample(jax.random.key(0))
    theta = built.learner.init(jax.random.key(1))
    assert (
        built.learner.act(
            jax.random.key(2), theta, built.learner.begin(theta), tasks.env.reset_env(jax.random.key(3), task)[0]
        )[0].shape
        == tasks.env.action_space(tasks.env.default_params).shape
    )


@pytest.mark.parametrize("algorithm", ["maml", "rl2", "varibad"])
def test_means_are_bounded_where_that_is_asked_for(algorithm):
    """Weights that lead far out: the mode is beyond the actions, or one of them."""
    for flag in ("--no-bounded-mean", "--bounded-mean"):
        arguments = train.parse(["--algorithm", algorithm, "--task", "navigation", "--hidden", "8", flag]).experiment
        tasks, built = building.build(arguments)
        theta = jax.tree.map(lambda x: jnp.full_like(x, 5.0), built.learner.init(jax.random.key(0)))
        obs = tasks.env.reset_env(jax.random.key(1), tasks.sample(jax.random.key(2)))[0]
        action = built.greedy.act(jax.random.key(3), theta, built.greedy.begin(theta), obs)[0]
        assert bool(jnp.all(jnp.abs(action) <= 1.0)) == (flag == "--bounded-mean")


@pytest.mark.parametrize("algorithm", [name for name in names.ALGORITHMS if name not in names.PLANNING])
def test_every_policy_takes_experts_and_those_that_balance_them_a_weight(algorithm):
    discrete = algorithm in ("maml-q", "mql", "r2d2")
    flags = ["--experts", "2", "--task", "gridnavi" if discrete else "navigation"]
    flags += [] if algorithm in names.UNBALANCED else ["--balance-weight", "0.1"]
    arguments = train.parse(["--algorithm", algorithm, "--horizon", "4", "--hidden", "8", *flags]).experiment
    assert building.build(arguments)[1].gate is not None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--algorithm imaml --algorithm-settings pull", "--algorithm-settings pull: give it as NAME=VALUE"),
        (
            "--algorithm imaml --algorithm-settings puls=2",
            "--algorithm-settings puls: imaml has pull, inner_iterations, cg_iterations, damping",
        ),
        (
            "--algorithm imaml --algorithm-settings inner_iterations=1.5",
            "--algorithm-settings inner_iterations: got 1.5; must be a whole number, and is 1 by default",
        ),
        ("--algorithm-settings clip=1", "--algorithm-settings clip: maml has no settings of its own"),
        (
            "--algorithm pearl --algorithm-settings updates=abc",
            "--algorithm-settings updates: got abc; must be a whole number, and is 100 by default",
        ),
        (
            "--algorithm pearl --algorithm-settings temperature=warm",
            "--algorithm-settings temperature: got warm; must be a number, and is None by default",
        ),
    ],
)
def test_bad_settings_of_an_algorithm_are_one_line(capsys, argv, message):
    with pytest.raises(SystemExit):
        building.build(train.parse(argv.split()).experiment)
    assert capsys.readouterr().err == f"error: {message}\n"


def test_settings_of_the_family_and_of_the_algorithm_are_taken():
    argv = ["--task", "bernoulli-bandit", "--algorithm", "imaml", "--task-settings", "arms=7"]
    tasks, built = building.build(
        train.parse([*argv, "--algorithm-settings", "pull=1e30", "inner_iterations=3"]).experiment
    )
    assert tasks.env.action_space(tasks.env.default_params).n == 7
    theta = built.learner.init(jax.random.key(0))
    phi, _ = jax.jit(built.adapt)(jax.random.key(1), theta, tasks.sample(jax.random.key(2)))
    # Inner iterations longer than 2 / pull diverge: the pull was taken.
    assert not all(jax.numpy.isfinite(leaf).all() for leaf in jax.tree.leaves(phi.params))


def test_a_given_setting_replaces_the_preset_s_of_that_name_and_leaves_the_others():
    argv = ["--algorithm", "mql", "--task", "cartpole"]
    own = train.parse(argv).experiment.algorithm_settings
    assert "updates=64" in own
    given = train.parse([*argv, "--algorithm-settings", "updates=3", "n_step=2"]).experiment.algorithm_settings
    assert set(given) == set(own) - {"updates=64"} | {"updates=3", "n_step=2"}
    named = train.parse(["--preset", "rl2-bandit-500", "--task-settings", "arms=5"]).experiment
    assert named.task_settings == ("horizon=500", "arms=5")
    assert named.algorithm_settings == published.PUBLISHED["rl2-bandit-500"]["algorithm_settings"] != ()


@pytest.mark.parametrize("preset", published.PUBLISHED)
def test_published_settings_are_taken_by_name_and_other_arguments_go_before_them(preset):
    arguments = train.parse(["--preset", preset, "--iterations", "7"]).experiment
    expected = published.PUBLISHED[preset] | {"iterations": 7}
    assert {name: getattr(arguments, name) for name in expected} == expected


@pytest.mark.parametrize("preset", ["rl2-bandit-500", "rl2-tabular-mdp", "tabular-rl2-mdp", "varibad-gridnavi-2020"])
def test_settings_that_take_an_accelerator_run_shortened(tmp_path, preset):
    shorter = ["--iterations", "1", "--meta-batch", "4", "--minibatches", "2", "--size", "8", "--no-evaluate"]
    shorter += ["--task-settings", "horizon=20"] if preset == "rl2-bandit-500" else ["--horizon", "5"]
    assert train.main(["--preset", preset, *shorter, "--out", str(tmp_path / preset)]) == 0
    last = read_csv(tmp_path / preset / "metrics.csv")[-1]
    assert last["skipped"] == 0.0
    assert last["grad_norm"] > 0.0


def test_a_tabular_memory_is_taken_and_refused_where_nothing_is_tabular(capsys):
    argv = ["--algorithm", "r2d2", "--tabular-memory", "--size", "6", "--hidden", "5", "--horizon", "5"]
    _, built = building.build(train.parse([*argv, "--task", "tabular-mdp", "--lifetime", "2"]).experiment)
    theta = built.learner.init(jax.random.key(0))
    assert built.learner.begin(theta).features.shape == (10, 5, 6)
    with pytest.raises(SystemExit):
        building.build(train.parse([*argv, "--task", "gridnavi"]).experiment)
    assert capsys.readouterr().err.startswith("error: --tabular-memory: env: its first observation is not one-hot; ")
