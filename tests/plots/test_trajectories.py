"""Trajectories: where a family's paths, starts and goals are drawn, through wrappers too; and every family's figure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta import plots, registry, tasks
from jaxmeta.tasks import EpisodeView, figures_of
from jaxmeta.types import Trajectory


def random_episodes(family, episodes=2, count=2):
    """Tasks, and what random actions do in them: leaves ``[N, 2, E, T, ...]``."""
    learner = jaxmeta.learners.uniform_learner(family.env)
    batch = jaxmeta.sample_tasks(jax.random.key(0), family, count)
    sizes = {"episodes": episodes, "horizon": family.horizon}

    def act(key, task):
        return jaxmeta.data.collect_episodes(key, family.env, task, learner, (), (), **sizes)[0]

    acted = jax.jit(jax.vmap(act))(jax.random.split(jax.random.key(1), count), batch)
    batch, acted = jax.tree.map(np.asarray, (batch, acted))
    return batch, jax.tree.map(lambda leaf: np.stack([leaf, leaf], axis=1), acted)


def along(obs):
    """One episode of one task that meets some observations ``[T + 1, O]``: leaves ``[1, 1, 1, T, ...]``."""
    obs = np.asarray(obs, np.float32)
    ones = np.ones((1, 1, 1, len(obs) - 1), np.float32)
    leaves = dict.fromkeys(Trajectory._fields, ones)
    return Trajectory(**{**leaves, "obs": obs[None, None, None, :-1], "final_obs": obs[None, None, None, -1]})


def marks(ax):
    """The paths, goals and start that are drawn."""
    drawn = {
        marker: [line.get_xydata() for line in ax.lines if line.get_marker() == marker] for marker in ("None", "*", "+")
    }
    return drawn["None"], drawn["*"][0], drawn["+"][0]


def one_task(family, **fields):
    task = family.sample(jax.random.key(0)).replace(**fields)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[None], task)


def test_four_rooms_starts_at_its_start_and_rows_go_down():
    family = tasks.make("four-rooms")
    batch = one_task(family, goal=jnp.array([1, 2], jnp.int32))
    figure = plots.trajectories(family, batch, along([[4, 1], [3, 1], [3, 2]]))
    paths, goals, start = marks(figure.axes[0])
    # Cell (row, column) of 13 rows is at x = column, y = 12 − row.
    np.testing.assert_array_equal(start, [[1, 8]])
    np.testing.assert_array_equal(goals, [[2, 11]])
    np.testing.assert_array_equal(paths, [[[1, 8], [1, 9], [2, 9]]])


def test_a_key_and_a_door_are_both_drawn_and_the_start_is_the_centre():
    family = tasks.make("dark-key-to-door", size=5)
    batch = one_task(family, key_cell=jnp.array([0, 1], jnp.int32), door_cell=jnp.array([4, 3], jnp.int32))
    _, goals, start = marks(plots.trajectories(family, batch, along([[2, 2], [2, 3]])).axes[0])
    np.testing.assert_array_equal(goals, [[0, 1], [4, 3]])
    np.testing.assert_array_equal(start, [[2, 2]])


@pytest.mark.parametrize(
    "wrapper", [jaxmeta.tasks.scale_observations, jaxmeta.tasks.reveal_task, lambda family: family]
)
def test_a_plane_is_the_same_however_it_is_observed(wrapper):
    family = wrapper(tasks.make("semicircle-dense", horizon=3))
    batch, batches = random_episodes(family)
    figure = plots.trajectories(family, batch, batches)
    paths, goals, start = marks(figure.axes[0])
    raw = random_episodes(tasks.make("semicircle-dense", horizon=3))[1]
    np.testing.assert_allclose(paths[0][:3], raw.obs[0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(goals, batch.goal[:1])
    np.testing.assert_array_equal(start, [[0, 0]])


def test_a_panel_has_its_task_its_axes_its_mean_return_and_where_paths_end():
    family = tasks.make("navigation", horizon=3)
    batch, batches = random_episodes(family, episodes=2)
    figure = plots.trajectories(family, batch, batches, shown=1)
    first = figure.axes[0]
    assert (first.get_xlabel(), first.get_ylabel(), figure.axes[2].get_ylabel()) == ("x", "task 1\ny", "task 2\ny")
    # Of both episodes, though one is drawn.
    mean = float(np.mean(np.sum(batches.reward[0, 0] * batches.mask[0, 0], axis=-1)))
    assert first.texts[0].get_text() == f"return {mean:.3g}".replace("-", "−")
    (end,) = [line.get_xydata() for line in first.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(end, batches.final_obs[0, 0, :1], rtol=1e-6)
    assert figure.get_supxlabel().startswith("+ start, ★ goal, ● where an episode ended")


def test_a_part_of_the_position_is_drawn_against_time():
    family = jaxmeta.tasks.observe_only(tasks.make("navigation", horizon=3), (0,))
    assert figures_of(family.env).episode_view is EpisodeView.OBSERVATIONS
    batch, batches = random_episodes(family)
    assert plots.trajectories(family, batch, batches).axes[0].get_xlabel() == "time step"


VIEWS = {
    EpisodeView.PATH: {"dark-key-to-door", "dorfman-semicircle", "four-rooms", "gridnavi", "navigation"}
    | {"navigation-rotated", "navigation-wind", "semicircle-dense", "semicircle-sparse"}
    | {"ant-goal"},
    EpisodeView.ACTIONS: {"bernoulli-bandit", "contextual-bandit", "dependent-bandit", "frozen-lake"}
    | {
        "gaussian-bandit",
        "informative-bandit",
        "matrix-game",
        "meta-maze",
        "recommendation",
        "t-maze",
        "tabular-mdp",
        "tutoring",
        "xland",
    },
    EpisodeView.OBSERVATIONS: {"acrobot", "cartpole", "mountain-car", "mountain-car-continuous", "pendulum"}
    | {"glucose", "lane-keeping", "order-execution", "robot-arm"}
    | {"ant-direction", "half-cheetah-direction", "half-cheetah-velocity", "half-cheetah-velocity-3"}
    | {"hopper-physics", "humanoid-direction", "walker-physics"},
}
ARMS = {"bernoulli-bandit", "dependent-bandit", "gaussian-bandit", "informative-bandit", "recommendation"}


@pytest.mark.parametrize("name", tasks.names())
def test_every_family_has_its_figure(name):
    engine = registry.OPTIONAL[name].extra if name in registry.OPTIONAL else None
    if engine == "locomotion" and name not in ("half-cheetah-velocity", "ant-goal"):
        # One body of each view is drawn: the others would take minutes to compile.
        assert name in VIEWS[figures_of(tasks.make(name).env).episode_view]
        return
    family = jaxmeta.tasks.as_lifetime(tasks.make(name, horizon=21 if name == "t-maze" else 4), 2)
    batch, batches = random_episodes(family, episodes=1)
    env = figures_of(family.env)
    assert name in VIEWS[env.episode_view]
    figure = plots.trajectories(family, batch, batches)
    assert [ax.get_title() for ax in figure.axes[:4]] == ["episode 1", "episode 2", "episode 3", "episode 4"]
    figure.canvas.draw()
    rewards = env.arm_rewards(jax.tree.map(lambda leaf: leaf[0], batch))
    assert (rewards is not None) == (name in ARMS)
    assert rewards is None or rewards.shape == (family.env.num_actions,)
    assert env.has_goal_belief == (name == "gridnavi")
