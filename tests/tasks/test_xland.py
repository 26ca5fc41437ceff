from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("xminigrid")

from xminigrid.benchmarks import Benchmark, save_bz2_pickle
from xminigrid.core.constants import Colors, Tiles
from xminigrid.core.goals import AgentHoldGoal, AgentNearGoal
from xminigrid.core.rules import AgentHoldRule, EmptyRule
from xminigrid.envs.xland import XLandMiniGrid
from xminigrid.types import RuleSet

from jaxmeta import tasks
from jaxmeta.tasks.xland import XLand, XLandParams, from_xminigrid

FORWARD, RIGHT, LEFT, PICK_UP, PUT_DOWN, TOGGLE = range(6)
BALL = jnp.array([Tiles.BALL, Colors.RED], jnp.uint8)
STAR = jnp.array([Tiles.STAR, Colors.BLUE], jnp.uint8)
NOTHING = EmptyRule().encode()


def task_of(goal, *rules, horizon=10):
    rows = jnp.stack([*rules] or [NOTHING])
    return XLandParams(
        goal=goal.encode(), rules=rows, init_tiles=jnp.stack([BALL, STAR]), max_steps_in_episode=jnp.int32(horizon)
    )


def below_the_ball(env, task):
    """A state where the agent looks at the ball from two cells below it, with the star out of the way."""
    _, state = env.reset_env(jax.random.key(0), task)
    floor = jnp.array([Tiles.FLOOR, Colors.BLACK], jnp.uint8)
    grid = state.grid.at[1:-1, 1:-1].set(floor).at[1, 1].set(BALL).at[4, 4].set(STAR)
    return state.replace(grid=grid, position=jnp.array([3, 1]), direction=jnp.int32(0))


def rewards_of(task, actions):
    """The rewards and ends of actions that begin below the ball."""
    env = XLand(size=6, view=3)
    state = below_the_ball(env, task)
    step = jax.jit(env.step_env)
    found = []
    for action in actions:
        _, state, reward, terminated, _ = step(jax.random.key(1), state, jnp.int32(action), task)
        found.append((round(float(reward), 4), bool(terminated)))
    return found


def test_known_actions_solve_hand_made_tasks():
    no = (0.0, False)
    near, hold = task_of(AgentNearGoal(tile=BALL)), task_of(AgentHoldGoal(tile=BALL))
    assert rewards_of(near, [LEFT, RIGHT, FORWARD]) == [no, no, (0.73, True)]
    assert rewards_of(hold, [FORWARD, TOGGLE, PICK_UP]) == [no, no, (0.73, True)]
    # The star is out of reach, but the ball becomes one when it is picked up.
    star, becomes = AgentHoldGoal(tile=STAR), AgentHoldRule(tile=BALL, prod_tile=STAR).encode()
    assert rewards_of(task_of(star), [FORWARD, PICK_UP]) == [no, no]
    assert rewards_of(task_of(star, becomes), [FORWARD, PICK_UP]) == [no, (0.82, True)]


@pytest.mark.parametrize("goal", [AgentNearGoal(tile=BALL), AgentHoldGoal(tile=STAR)])
def test_steps_are_those_of_xminigrid(goal):
    task = task_of(goal, AgentHoldRule(tile=BALL, prod_tile=STAR).encode(), horizon=20)
    env, other = XLand(size=6, view=5), XLandMiniGrid()
    ruleset = RuleSet(goal=task.goal, rules=task.rules, init_tiles=task.init_tiles)
    params = other.default_params(ruleset=ruleset, height=6, width=6, view_size=5, grid_type="R1", max_steps=20)
    reset, step = jax.jit(env.reset_env), jax.jit(env.step_env)
    their_reset, their_step = jax.jit(other.reset), jax.jit(other.step)
    actions = np.random.default_rng(0).integers(6, size=200)

    def check_seen(obs, timestep):
        cells = np.asarray(obs[:-4]).reshape(5, 5, 25)
        seen = np.stack([cells[..., :13].argmax(-1), cells[..., 13:].argmax(-1)], axis=-1)
        np.testing.assert_array_equal(seen, timestep.observation)
        assert cells.sum() == 2 * 25
        np.testing.assert_array_equal(obs[-4:], np.eye(4)[timestep.state.agent.direction])

    ends = {"terminated": 0, "truncated": 0}
    obs, state = reset(jax.random.key(0), task)
    timestep = their_reset(params, jax.random.key(0))
    check_seen(obs, timestep)
    for number, action in enumerate(actions):
        obs, state, reward, terminated, _ = step(jax.random.key(number), state, jnp.int32(action), task)
        timestep = their_step(params, timestep, jnp.int32(action))
        check_seen(obs, timestep)
        assert float(reward) == pytest.approx(float(timestep.reward), rel=1e-6)
        assert bool(terminated) == (float(timestep.discount) == 0.0)
        ended = bool(terminated) or bool(env.is_truncated(state, task))
        assert ended == bool(timestep.last())
        if ended:
            ends["terminated" if terminated else "truncated"] += 1
            obs, state = reset(jax.random.key(number), task)
            timestep = their_reset(params, jax.random.key(number))
    assert min(ends.values()) > 0


def test_tasks_of_a_batch_have_goals_of_their_own():
    near, hold = task_of(AgentNearGoal(tile=BALL)), task_of(AgentHoldGoal(tile=BALL))
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), near, hold)
    env = XLand(size=6, view=3)
    step = jax.vmap(env.step_env, in_axes=(None, None, None, 0))
    _, _, reward, terminated, _ = step(jax.random.key(0), below_the_ball(env, near), jnp.int32(FORWARD), batch)
    np.testing.assert_allclose(reward, [0.91, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(terminated, [True, False])


@pytest.mark.parametrize("rules", [0, 1, 3])
def test_random_tasks_can_be_solved_and_goals_of_test_tasks_are_new(rules):
    family = tasks.make("xland", rules=rules)
    about = {}
    for name, sampler in {"training": family.sample, "test": family.sample_test}.items():
        batch = jax.tree.map(np.asarray, jax.jit(jax.vmap(sampler))(jax.random.split(jax.random.key(0), 500)))
        about[name] = {tuple(row) for row in batch.goal[:, 1:3].tolist()}
        assert set(batch.goal[:, 0]) == {1, 3, 4}
        for goal, rows, lying in zip(batch.goal, batch.rules, batch.init_tiles, strict=True):
            there = {tuple(tile) for tile in lying.tolist()}
            assert len(there) == len(lying) == rules + 2
            for kind, *tiles in rows[:rules].tolist():
                things = [tuple(tiles[at : at + 2]) for at in (0, 2, 4)]
                needed, product = (set(things[:2]), things[2]) if kind == 3 else ({things[0]}, things[1])
                assert needed <= there
                assert product not in there
                there = (there - needed) | {product}
            needed = {tuple(goal[1:3].tolist())} | ({tuple(goal[3:5].tolist())} if goal[0] == 4 else set())
            assert needed <= there
    assert len(about["training"]) == 48
    assert len(about["test"]) == 12
    assert not about["training"] & about["test"]


def benchmark_of(number):
    goals = (
        jnp.zeros((number, 5), jnp.uint8)
        .at[:, 0]
        .set(1)
        .at[:, 1:3]
        .set(BALL)
        .at[:, 4]
        .set(jnp.arange(number, dtype=jnp.uint8))
    )
    rows = jnp.tile(NOTHING, (number, 1, 1))
    tiles = jnp.tile(BALL, (number, 1, 1))
    return Benchmark(goals=goals, rules=rows, init_tiles=tiles, num_rules=jnp.zeros(number, jnp.uint8))


def test_a_benchmark_is_split_by_its_share():
    family = from_xminigrid(benchmark_of(10), train_share=0.7, size=5, view=3, horizon=5)
    keys = jax.random.split(jax.random.key(0), 200)
    assert set(np.asarray(jax.vmap(family.sample)(keys).goal[:, 4])) == set(range(7))
    assert set(np.asarray(jax.vmap(family.sample_test)(keys).goal[:, 4])) == {7, 8, 9}
    assert family.horizon == 5
    whole = from_xminigrid(benchmark_of(10), train_share=1.0)
    assert whole.sample_test is None
    assert set(np.asarray(jax.vmap(whole.sample)(keys).goal[:, 4])) == set(range(10))
    with pytest.raises(ValueError, match=r"train_share: got 0.9; of 2 rulesets 2 would be for training"):
        from_xminigrid(benchmark_of(2), train_share=0.9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"view": 4}, "view: got 4; must be odd and at least 3"),
        ({"size": 4}, "size: got 4; must be at least 5"),
        ({"size": 5, "rules": 7}, "size: got 5; has no room for 9 things and the agent"),
        ({"rules": -1}, "rules: got -1; must be at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        tasks.make("xland", **settings)


def stored(path, **changes):
    """Ten rulesets without rules, as xminigrid stores them."""
    content = {
        "goals": np.tile(np.array([1, 3, 1, 0, 0], np.uint8), (10, 1)),
        "rules": np.zeros((10, 1, 7), np.uint8),
        "init_tiles": np.tile(np.array([3, 1], np.uint8), (10, 1, 1)),
        "num_rules": np.zeros(10, np.uint8),
    }
    content["goals"][:, 4] = np.arange(10)
    save_bz2_pickle({**content, **changes}, str(path))
    return str(path)


def test_rulesets_come_from_a_file(tmp_path):
    family = tasks.make("xland", file=stored(tmp_path / "some"), train_share=0.5, size=5)
    trained, tested = (
        {int(goal[4]) for goal in jax.vmap(sample)(jax.random.split(jax.random.key(0), 60)).goal}
        for sample in (family.sample, family.sample_test)
    )
    assert (trained, tested) == (set(range(5)), set(range(5, 10)))


def test_a_file_that_holds_no_rulesets_is_refused_in_one_line(tmp_path):
    def refused(file, message):
        with pytest.raises(ValueError, match=message) as caught:
            tasks.make("xland", file=str(file))
        assert "\n" not in str(caught.value)

    refused(tmp_path / "none", "none; there is no such file$")
    (tmp_path / "text").write_text("no pickle")
    refused(tmp_path / "text", r"text holds no rulesets of XLand-MiniGrid \(OSError: ")
    whole = Path(stored(tmp_path / "whole")).read_bytes()
    (tmp_path / "cut").write_bytes(whole[:60])
    refused(tmp_path / "cut", "cut holds no rulesets")
    save_bz2_pickle({"goals": 1}, str(tmp_path / "other"))
    refused(tmp_path / "other", r"other holds no rulesets of XLand-MiniGrid \(KeyError: ")
    refused(stored(tmp_path / "shapes", goals=np.zeros((3, 5))), r"shapes has goals, rules and tiles of shapes ")
