"""Runs with a memory: set beside other methods on the same tasks, and drawn."""

import json

import jax
import numpy as np
import pytest

import jaxmeta
from jaxmeta.commands import regret, render, train
from jaxmeta.references import bandit_returns, bandits, bernoulli_value, gridnavi
from jaxmeta.studies import regret as studies_regret
from jaxmeta.tasks import common_bandits

SMALL = ["--iterations", "1", "--meta-batch", "8", "--outer.minibatches", "1", "--outer.epochs", "1", "--no-evaluate"]
BANDIT = ("bernoulli-bandit", "rl2", "--policy.size 4 --policy.cell gru --family.arms 3 --family.horizon 6 --seeds 2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Directories of small runs, by family and method."""
    made = {}

    def run(family, method, flags):
        if (family, method) not in made:
            directory = tmp_path_factory.mktemp("runs") / method
            assert train.main([method, family, *SMALL, "--out", str(directory), *flags.split()]) == 0
            made[family, method] = directory
        return made[family, method]

    return run


def rows_of(tmp_path, *arguments):
    path = tmp_path / "rows.json"
    assert regret.main([*map(str, arguments), "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_a_bandit_learner_and_the_simulated_methods_meet_the_same_tasks(trained, tmp_path, capsys):
    rows = rows_of(tmp_path, trained(*BANDIT), "--tasks", 300, "--out", tmp_path / "regret.png")
    assert (tmp_path / "regret.png").stat().st_size > 5_000
    assert [(row["method"], row.get("seed")) for row in rows[:3]] == [("rl2", None), ("rl2", 0), ("rl2", 1)]
    assert [row["method"] for row in rows[3:]] == ["bayes-optimal, exact", "gittins", "ucb1", "thompson", "greedy"]
    np.testing.assert_allclose([rows[3]["mean"], rows[3]["mean_stderr"]], [bernoulli_value(3, 6), 0.0], atol=1e-6)
    # The same optimum for all, and the mean of the seeds is what all are compared with.
    np.testing.assert_allclose([row["mean"] + row["regret"] for row in rows], rows[0]["mean"] + rows[0]["regret"])
    np.testing.assert_allclose([row["mean"] + row["behind"] for row in rows], rows[0]["mean"], rtol=1e-6)
    np.testing.assert_allclose(rows[0]["mean"], np.mean([rows[1]["mean"], rows[2]["mean"]]), rtol=1e-6)
    key = jax.random.key(0)
    greedy = bandit_returns(key, bandits.greedy(), arms=3, pulls=6, tasks=300)
    np.testing.assert_allclose(rows[-1]["mean"], greedy.mean(), rtol=1e-6)
    # The optimum is that of the tasks which the methods were simulated on.
    best = common_bandits(key, arms=3, pulls=6, tasks=300).probability.max(axis=1)
    np.testing.assert_allclose(rows[0]["mean"] + rows[0]["regret"], 6 * best.mean(), rtol=1e-5)
    # Six pulls by a policy that has learned nothing yet are worth about three.
    assert abs(rows[0]["mean"] - 3.0) < 0.3
    out = capsys.readouterr().out
    assert "bayes-optimal, exact" in out
    assert "standard error over tasks and, in means of seeds, over seeds" in out
    # What an average over two seeds is uncertain by: half their difference, and what tasks add.
    apart = abs(rows[1]["mean"] - rows[2]["mean"]) / 2
    for name in ("mean", "regret"):
        assert rows[0][f"{name}_stderr"] > apart > 0
    assert all(row["behind_stderr"] > apart for row in rows[3:])
    of_tasks = rows[0]["mean_stderr"] ** 2 - apart**2
    assert 0.5 * rows[1]["mean_stderr"] ** 2 < of_tasks < 1.01 * max(row["mean_stderr"] ** 2 for row in rows[1:3])


def test_lifetimes_in_mdps_are_worth_what_their_actions_pay_on_average(trained, tmp_path):
    family = "--family.states 3 --family.actions 2 --family.horizon 4"
    run = trained("tabular-mdp", "rl2", f"--policy.size 4 --policy.cell gru --lifetime 2 {family}")
    rows = rows_of(tmp_path, run, "--tasks", 200)
    assert [row["method"] for row in rows if "seed" not in row] == ["rl2", "mean-plus-bonus", "optimistic-psrl", "psrl"]
    for row in rows:
        assert len(row["by_episode"]) == 2
        np.testing.assert_allclose(sum(row["by_episode"]), row["mean"], rtol=1e-5)
        assert row["regret"] > 0
    # Mean rewards are N(1, 1): eight random actions are worth eight.
    assert abs(rows[0]["mean"] - 8.0) < 1.0


def test_beliefs_and_regrets_in_gridnavi(trained, tmp_path):
    sizes = "--model.size 4 --model.cell gru --model-outer.minibatches 1 --model-outer.epochs 1"
    run = trained("gridnavi", "varibad", f"--lifetime 2 {sizes}")
    rows = rows_of(tmp_path, run, "--tasks", 100)
    assert [row["method"] for row in rows[2:]] == ["bayes-optimal, exact", "posterior-sampling"]
    np.testing.assert_allclose(rows[2]["by_episode"], gridnavi.bayes_optimal(episodes=2).returns, rtol=1e-6)
    assert render.main([str(run), "--tasks", "1", "--no-gif"]) == 0
    assert (run / "beliefs.png").stat().st_size > 5_000


def test_goals_held_out_are_what_regrets_are_of_and_the_others_begin_with_all_goals():
    tasks = jaxmeta.experiment("rl2", "gridnavi", lifetime=2, held_out=4).build_tasks()
    problem = studies_regret.gridnavi(jax.random.key(0), tasks, 200)
    assert problem.setting["held_out"] == 4
    assert problem.setting["prior"] == "all 21 goals"
    tested = np.asarray(tasks.every_test.goal)
    np.testing.assert_array_equal(np.unique(problem.batch.goal, axis=0), np.unique(tested, axis=0))
    # With 200 draws of four goals the mean is near that of the four.
    of_goals = gridnavi.plan_returns(gridnavi.bayes_optimal(episodes=2), tested)
    np.testing.assert_allclose(problem.exact["bayes-optimal"], of_goals.mean(axis=0), atol=1.0)
    assert np.all(np.sum(problem.exact["bayes-optimal"]) <= problem.optimum.mean())


def test_arm_pulls_are_drawn(trained):
    run = trained(*BANDIT)
    assert render.main([str(run), "--tasks", "1", "--no-gif"]) == 0
    assert (run / "arm_pulls.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "RUNS: name the directory of at least one run"),
        (("nowhere",), "nowhere holds no run: there is no config.json"),
        (("nowhere", "--tasks", "1"), "--tasks: got 1; must be at least 2"),
        (("nowhere", "--task-seed", "-1"), "--task-seed: got -1; must be at least 0"),
        (("nowhere", "--json", "none/x.json"), "--json: none is not a directory"),
    ],
)
def test_bad_arguments_are_one_line(refused, argv, message):
    assert refused(regret.main, *argv) == f"error: {message}"


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (("maml", "gridnavi"), {}, "a method with a memory on bernoulli-bandit or gridnavi or tabular-mdp"),
        (("rl2", "cartpole"), {}, "a method with a memory on bernoulli-bandit or gridnavi or tabular-mdp"),
        (("rl2", "gridnavi"), {"observed": [0]}, "observed of the run"),
        (("rl2", "gridnavi"), {"repeat": 2}, "repeat of the run"),
        (("rl2", "bernoulli-bandit"), {"scaled": True}, "scaled of the run"),
    ],
)
def test_runs_of_other_kinds_are_refused(refused, described, names, settings, message):
    assert message in refused(regret.main, described(*names, **settings))


def test_flags_that_a_memory_has_no_use_for_are_refused(refused, described):
    run = described("rl2", "gridnavi")
    assert refused(render.main, run, "--steps", "2") == "error: --steps: rl2 has no use for it; leave it out"
