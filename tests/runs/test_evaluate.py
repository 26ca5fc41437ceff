import copy
import functools
import json
import sys

import chex
import jax
import numpy as np
import pytest

import jaxmeta
from jaxmeta import plots
from jaxmeta.runs import evaluate, evaluation as evaluation_of_run
from jaxmeta.runs.loop import evaluation_tasks
from jaxmeta.runs.program import seed_states


def evaluated(navigation, small_maml):
    theta = seed_states(small_maml, [0, 1, 2]).meta.theta
    return evaluate.evaluate_run(small_maml, navigation, theta, seeds=[0, 1, 2], task_count=6, greedy_episodes=2)


@pytest.fixture(scope="module")
def evaluation(navigation, small_maml):
    return evaluated(navigation, small_maml)


def test_evaluation_names_its_axes_and_everything_in_them(evaluation):
    assert evaluation["axes"] == ["seed", "task", "adaptation_step"]
    assert np.shape(evaluation["returns"]) == np.shape(evaluation["returns_deterministic"]) == (3, 6, 2)
    assert np.shape(evaluation["tasks"]["parameters"]["goal"]) == (6, 2)
    tasks = {name: value for name, value in evaluation["tasks"].items() if name != "parameters"}
    assert tasks == {"task_seed": 0, "count": 6, "distinct": 6, "listed": None, "seen_in_training": 0}
    assert evaluation["seeds"] == [0, 1, 2]
    json.dumps(evaluation, allow_nan=False)


def goal_counts(seed, count, **settings):
    tasks = jaxmeta.tasks.make("gridnavi", **settings)
    batch = evaluation_tasks(jax.random.key(seed), tasks, count)
    return np.asarray(batch.goal).tolist(), np.unique(np.asarray(batch.goal), axis=0, return_counts=True)[1].tolist()


def test_a_family_that_lists_its_tasks_is_evaluated_on_each_before_any_comes_again():
    goals, counts = goal_counts(0, 50)
    assert sorted(counts) == [2] * 13 + [3] * 8
    # In whole passes, each in an order of its own that the key draws.
    first, second = ([tuple(goal) for goal in goals[start : start + 21]] for start in (0, 21))
    assert len(set(first)) == len(set(second)) == 21
    assert first != second
    assert goal_counts(0, 50)[0] == goals != goal_counts(1, 50)[0]
    assert goal_counts(0, 5)[1] == [1] * 5
    assert goal_counts(0, 42)[1] == [2] * 21


def test_it_is_counted_how_many_tasks_training_draws_too():
    def taken(name, count, change=lambda tasks: tasks, **settings):
        tasks = change(jaxmeta.tasks.make(name, **settings))
        return tuple(evaluate.tasks_taken(evaluation_tasks(jax.random.key(0), tasks, count), tasks).values())

    assert taken("gridnavi", 30) == (30, 21, 21, 21)
    assert taken("gridnavi", 30, lambda tasks: jaxmeta.tasks.held_out(tasks, 3)) == (30, 3, 3, 0)
    assert taken("navigation", 30) == (30, 30, None, 0)
    # Test corridors of 9 and 10 cells are among those of training, 11 to 13 are not; there are two sides.
    assert taken("t-maze", 30, test_lengths=(9, 13)) == (30, 10, 10, 4)
    count, distinct, listed, seen = taken("frozen-lake", 200, size=3)
    assert (count, listed, seen) == (200, None, None)
    assert distinct < 200


def test_no_policy_beats_the_optimum(evaluation):
    optimum = np.array(evaluation["references"]["optimum"]["returns"])
    for returns in (
        evaluation["returns"],
        evaluation["returns_deterministic"],
        np.array(evaluation["references"]["from_scratch"]["returns"])[None],
    ):
        assert np.all(np.array(returns) <= optimum[None, :, None] + 1e-4)
    assert np.all(np.array(evaluation["references"]["random_policy"]["returns"]) <= optimum + 1e-4)


def test_the_same_call_gives_the_same_numbers(navigation, small_maml, evaluation):
    assert evaluated(navigation, small_maml) == evaluation


def test_the_deterministic_policy_is_the_mode(navigation, small_maml):
    theta = jax.jit(small_maml.init)(jax.random.key(0)).theta
    phi = small_maml.greedy.begin(theta)
    obs = jax.numpy.array([0.1, -0.2])
    actions = [small_maml.greedy.act(jax.random.key(k), theta, phi, obs)[0] for k in (0, 1)]
    np.testing.assert_array_equal(*actions)
    assert not np.allclose(actions[0], small_maml.learner.act(jax.random.key(0), theta, phi, obs)[0])


def test_figures_are_drawn(tmp_path, monkeypatch, evaluation, navigation, adapted):
    rows = [
        {"iteration": i, "seed": s, "env_steps": 10 * i, "return_pre": -i, "return_post": s}
        for i in range(5)
        for s in (0, 1)
    ]
    batch, batches = jax.tree.map(lambda x: np.asarray(x)[:2], (adapted.tasks, adapted.lifetimes.trajectory))
    figures = [
        plots.learning_curve(rows),
        plots.adaptation_curve(evaluation),
        plots.trajectories(navigation, batch, batches),
    ]
    for index, figure in enumerate(figures):
        assert plots.save(figure, tmp_path / f"{index}.png")[0].stat().st_size > 10_000
    told = []
    path = plots.animate(
        navigation, batch, batches, tmp_path / "moving.gif", shown=2, report=lambda *counts: told.append(counts)
    )
    assert path.read_bytes()[:6] == b"GIF89a"
    total = len(told)
    assert told == [(drawn, total) for drawn in range(1, total + 1)]
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ImportError, match=r"is missing, which MP4 needs; pip install imageio-ffmpeg$"):
        plots.animate(navigation, batch, batches, tmp_path / "moving.mp4", shown=2)


def test_animations_are_mp4_where_its_program_is_there(tmp_path, navigation, adapted):
    pytest.importorskip("imageio_ffmpeg")
    batch, batches = jax.tree.map(lambda x: np.asarray(x)[:1], (adapted.tasks, adapted.lifetimes.trajectory))
    path = plots.animate(navigation, batch, batches, tmp_path / "moving.mp4", shown=2)
    assert b"ftyp" in path.read_bytes()[:12]


def test_choices_are_drawn_where_observations_are_flags():
    tasks = jaxmeta.tasks.make("bernoulli-bandit", arms=3, horizon=6)
    algorithm = jaxmeta.maml(tasks, policy=jaxmeta.networks.policy_for(tasks.env, hidden=(4,)), episodes=5)
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, 2)
    _, lifetimes = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))(
        jax.random.split(jax.random.key(2), 2), theta, batch
    )
    figure = plots.trajectories(tasks, batch, jax.tree.map(np.asarray, lifetimes.trajectory))
    shares = figure.axes[0].images[0].get_array()
    assert shares.shape == (3, 6)
    np.testing.assert_allclose(np.asarray(shares).sum(axis=0), 1.0)
    counted = np.asarray(lifetimes.trajectory.action)[0, 0]
    np.testing.assert_allclose(shares[1], (counted == 1).mean(axis=0))


def acted_lifetimes(name, **settings):
    """Three episodes a lifetime in two tasks, by an untrained policy."""
    tasks = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make(name, **settings), 3)
    algorithm = jaxmeta.rl2(
        tasks, policy=jaxmeta.networks.recurrent_policy_for(tasks.env, horizon=tasks.horizon, cell="linear", size=4)
    )
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, 2)
    keys = jax.random.split(jax.random.key(2), 2)
    _, lifetimes = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))(keys, theta, batch)
    return tasks, jax.tree.map(np.asarray, batch), jax.tree.map(np.asarray, lifetimes.trajectory)


def test_lifetimes_fall_into_their_episodes_also_where_those_end_early():
    tasks, _, batches = acted_lifetimes("cartpole", horizon=30)
    episodes = plots.episodes_of_lifetimes(tasks.env, batches)
    assert episodes.mask.shape == (2, 3, 1, 30)
    assert episodes.mask.sum() == batches.mask.sum()
    lengths = episodes.mask.sum(axis=-1)
    assert np.any(lengths != 30)
    returns = jax.vmap(lambda batch: jaxmeta.data.stage_returns(tasks.env, batch))(batches)
    np.testing.assert_allclose(episodes.reward.sum(axis=-1)[..., 0], returns)
    assert np.all(np.abs(episodes.obs[..., 0, :]) <= 0.05)
    twice = jax.tree.map(lambda x: np.concatenate([x, x], axis=1), batches)
    again = plots.episodes_of_lifetimes(tasks.env, twice)
    chex.assert_trees_all_equal(episodes, *(jax.tree.map(lambda x, n=n: x[:, n : n + 3], again) for n in (0, 3)))
    np.testing.assert_array_equal(episodes.final_obs[0, 1, 0], episodes.obs[0, 1, 0, int(lengths[0, 1, 0]) - 1])


def test_a_lifetime_in_the_plane_is_drawn_an_episode_a_column_from_the_start(tmp_path):
    tasks, batch, batches = acted_lifetimes("semicircle-sparse", horizon=4)
    figure = plots.trajectories(tasks, batch, batches)
    assert [ax.get_title() for ax in figure.axes[:3]] == ["episode 1", "episode 2", "episode 3"]
    paths = [ax.lines[0].get_xydata() for ax in figure.axes]
    assert len(paths) == 6
    assert all(np.all(path[0] == 0.0) and path.shape == (5, 2) for path in paths)
    np.testing.assert_allclose(paths[1][:4], batches.obs[0, 0, 0, 4:8, :2])
    assert plots.animate(tasks, batch, batches, tmp_path / "moving.gif").stat().st_size > 1000


def test_runs_are_compared_a_panel_a_task_and_a_curve_a_label(evaluation):
    figure = plots.comparison([("a", "maml", evaluation), ("a", "anil", evaluation), ("b", "maml", evaluation)])
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["a", "b"]
    assert len(figure.axes[0].containers) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()].count("maml") == 1


def test_many_runs_get_a_place_each_and_what_is_far_below_is_marked(evaluation):
    low = copy.deepcopy(evaluation)
    one = low["summary"]["sampled"]
    for name in ("iqm", "low", "high"):
        one[name] = [-1e6, *one[name][1:]]
    figure = plots.adaptation_by_label([("a", "maml", evaluation), ("a", "es", low), ("b", "maml", evaluation)])
    upper, lower = figure.axes
    assert [len(ax.containers) for ax in figure.axes] == [2, 1]
    assert [label.get_text() for label in lower.get_xticklabels()] == ["maml", "es"]
    marked = [line for line in upper.lines if line.get_marker() == "v" and len(line.get_xdata())]
    np.testing.assert_allclose([line.get_xdata() for line in marked], [[0.7]])
    assert upper.get_ylim()[0] > -1e6


def test_sample_efficiency_has_a_panel_a_task_and_all_environment_steps():
    rows = [
        {"seed": seed, "env_steps": 10.0 * step, "return_pre": 0.0, "return_post": float(step + seed)}
        for seed in (0, 1, 2)
        for step in (1, 2)
    ]
    figure = plots.sample_efficiency([("a", "maml", rows), ("a", "pearl", rows[:2]), ("b", "maml", rows)])
    left, right = figure.axes
    assert (left.get_title(), right.get_title(), left.get_xscale()) == ("a", "b", "log")
    np.testing.assert_array_equal(left.lines[0].get_xdata(), [10.0, 20.0])
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [2.0, 3.0])
    np.testing.assert_array_equal(left.lines[1].get_ydata(), [1.0, 2.0])


@pytest.fixture(scope="module")
def constrained():
    """An evaluation of lifetimes with costs."""
    settings = {"family.horizon": 8, "family.outside": 0.25, "policy.size": 4, "lifetime": 2}
    tasks, algorithm = jaxmeta.experiment("rl2-lagrangian", "lane-keeping", preset=None, **settings).build()
    theta = seed_states(algorithm, [0, 1]).meta.theta
    found = evaluate.evaluate_run(algorithm, tasks, theta, seeds=[0, 1], task_count=5, greedy_episodes=2)
    return {"iteration": 0, "protocol": {}, **json.loads(json.dumps(found))}


def test_costs_are_told_beside_returns_with_the_share_of_tasks_over_their_limit(constrained):
    costs = constrained["costs"]
    assert costs["limit"] == [2.0] * 5
    stages = {"sampled": (2, 5, 2), "deterministic": (2, 5, 2), "from_scratch": (1, 5, 2), "random_policy": (1, 5, 1)}
    assert {name: np.shape(values) for name, values in costs["of"].items()} == stages
    for name, values in costs["of"].items():
        assert np.all((np.asarray(values) >= 0.0) & (np.asarray(values) <= 8.0))
        np.testing.assert_allclose(costs["mean"][name], np.mean(values, axis=(0, 1)))
        np.testing.assert_allclose(costs["over_limit"][name], np.mean(np.asarray(values) > 2.0, axis=(0, 1)))
    evaluation_of_run.check_result(constrained)
    text = evaluation_of_run.table(constrained)
    assert "mean cost of an episode (share of tasks over their limit)" in text
    assert f"{costs['mean']['sampled'][1]:.2f} ({costs['over_limit']['sampled'][1]:.0%} over)" in text


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("costs", [], r"^costs\.limit: must be there, and is missing$"),
        ("costs.limit", "2", r"^costs\.limit: must be a list$"),
        ("costs.limit", [None] * 5, r"^costs\.limit: must be numbers, one for each task$"),
        ("costs.mean", {}, r"^costs\.mean\.sampled: must be 2 numbers$"),
        ("costs.mean.random_policy", [1.0, 2.0], r"^costs\.mean\.random_policy: must be 1 number$"),
        ("costs.over_limit.sampled", [0.5], r"^costs\.over_limit\.sampled: must be 2 numbers$"),
        ("costs.over_limit.from_scratch", "x", r"^costs\.over_limit\.from_scratch: must be 2 numbers$"),
        ("controllers", [], "^controllers: must be a table$"),
        ("controllers.PD", 3, r"^controllers\.PD\.iqm: must be a number$"),
        ("controllers.PD", {"iqm": [1.0]}, r"^controllers\.PD\.iqm: must be a number$"),
    ],
)
def test_broken_entries_of_costs_and_controllers_are_named(constrained, path, value, message):
    broken = copy.deepcopy(constrained)
    *parents, last = path.split(".")
    functools.reduce(lambda table, name: table[name], parents, broken)[last] = value
    with pytest.raises(ValueError, match=message):
        evaluation_of_run.check_result(broken)


def test_a_controller_s_name_may_have_dots(constrained):
    named = {**constrained, "controllers": {"gain 0.5": {"iqm": 1.0}}}
    evaluation_of_run.check_result(named)
    assert "gain 0.5" in evaluation_of_run.table(named)


def test_controllers_and_costs_are_drawn(constrained):
    assert list(constrained["controllers"]) == ["PD", "average regulator", "told regulator"]
    assert len(constrained["controllers"]["PD"]["returns"]) == 5
    assert "told regulator" in evaluation_of_run.table(constrained)
    figure = plots.adaptation_curve(constrained)
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert "limit of the costs, mean over tasks" in words
    written = {text.get_text() for text in figure.axes[0].texts}
    assert {"PD", "told regulator"} <= written
    assert len([line for line in figure.axes[1].lines if np.all(np.asarray(line.get_ydata()) == 2.0)]) == 1
