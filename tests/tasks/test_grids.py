"""Grids, mazes and tasks of memory: optima by hand, by play, and against independent tables."""

from collections import deque

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.misc import frozen_lake as gymnax_lake

from jaxmeta import tasks
from jaxmeta.references import value_iteration
from jaxmeta.tasks.frozen_lake import FrozenLake


def play(family, task, actions):
    """Observations, the first included, and rewards up to the end."""
    obs, state = family.env.reset_env(jax.random.key(0), task)
    seen, rewards = [np.asarray(obs)], []
    step = jax.jit(family.env.step_env)
    for action in actions:
        obs, state, reward, terminated, _ = step(jax.random.key(0), state, jnp.int32(action), task)
        seen.append(np.asarray(obs))
        rewards.append(float(reward))
        if terminated:
            break
    return np.stack(seen), np.array(rewards)


def test_gridnavi_by_hand():
    family = tasks.make("gridnavi")
    task = family.sample(jax.random.key(0)).replace(goal=jnp.array([2, 1], jnp.int32))
    obs, rewards = play(family, task, [3, 2, 1, 2, 0, 4, 1])
    np.testing.assert_array_equal(obs, [[0, 0], [0, 0], [1, 0], [1, 1], [2, 1], [2, 1], [1, 1], [1, 2]])
    np.testing.assert_allclose(rewards, [-0.1, -0.1, -0.1, 1, 1, -0.1, -0.1], rtol=1e-6)
    assert float(family.optimum(task)) == pytest.approx(-0.2 + 13)


def test_gridnavi_goals_are_the_21_cells_outside_the_corner():
    batch = jax.vmap(tasks.make("gridnavi").sample)(jax.random.split(jax.random.key(0), 4200))
    cells, counts = np.unique(np.asarray(batch.goal), axis=0, return_counts=True)
    assert len(cells) == 21
    assert (cells.max(1) > 1).all()
    assert (abs(counts - 200) < 5 * np.sqrt(200)).all()


def test_t_maze_by_hand():
    family = tasks.make("t-maze", lengths=(3, 3))
    up, right, down, left = range(4)
    for side, cue, wins, loses in ((1, [0, 1, 1], up, down), (-1, [1, 1, 0], down, up)):
        task = family.sample(jax.random.key(0)).replace(side=jnp.int32(side))
        obs, rewards = play(family, task, [right, right, right, wins])
        np.testing.assert_array_equal(obs[:4], [cue, [1, 0, 1], [1, 0, 1], [0, 1, 0]])
        np.testing.assert_allclose(rewards, [0, 0, 0, 4])
        assert rewards.sum() == float(family.optimum(task))
        np.testing.assert_allclose(play(family, task, [right, right, right, loses])[1], [0, 0, 0, -0.1], rtol=1e-6)
        bumps = [left, up, right, left, right, right, right, right, wins]
        np.testing.assert_allclose(play(family, task, bumps)[1], [-0.1, -0.1, 0, 0, 0, 0, 0, -0.1, 4], rtol=1e-6)


def test_t_maze_test_corridors_are_longer():
    family = tasks.make("t-maze")
    keys = jax.random.split(jax.random.key(0), 500)
    for sampler, lengths in ((family.sample, range(5, 11)), (family.sample_test, range(11, 21))):
        batch = jax.vmap(sampler)(keys)
        assert set(np.asarray(batch.length).tolist()) == set(lengths)
        assert set(np.asarray(batch.side).tolist()) == {-1, 1}


@pytest.mark.parametrize(
    ("key_cell", "door_cell"), [((0, 0), (2, 2)), ((1, 1), (1, 1)), ((1, 2), (0, 0)), ((2, 0), (2, 0))]
)
@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 6])
def test_key_to_door_optimum_is_that_of_exhaustive_search(key_cell, door_cell, horizon):
    family = tasks.make("dark-key-to-door", size=3, horizon=horizon)
    task = family.sample(jax.random.key(0))
    task = task.replace(key_cell=jnp.array(key_cell, jnp.int32), door_cell=jnp.array(door_cell, jnp.int32))
    moves = [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)]
    best = {((1, 1), False, False): 0.0}
    for _ in range(horizon):
        following = {}
        for (position, has_key, opened), total in best.items():
            for dx, dy in moves:
                after = (min(max(position[0] + dx, 0), 2), min(max(position[1] + dy, 0), 2))
                reward = (not has_key and after == key_cell) + (has_key and not opened and after == door_cell)
                state = (after, has_key or after == key_cell, opened or (has_key and after == door_cell))
                following[state] = max(following.get(state, 0.0), total + reward)
        best = following
    assert float(family.optimum(task)) == max(best.values())


def test_key_to_door_rewards_each_once():
    family = tasks.make("dark-key-to-door", size=3)
    task = family.sample(jax.random.key(0))
    task = task.replace(key_cell=jnp.array([1, 2], jnp.int32), door_cell=jnp.array([2, 2], jnp.int32))
    stay, up, right, left = 0, 1, 2, 4
    _, rewards = play(family, task, [right, up, left, stay, right, stay, left, right])
    np.testing.assert_array_equal(rewards, [0, 0, 1, 0, 1, 0, 0, 0])


def test_frozen_lake_moves_as_gymnaxs_own_on_its_map():
    ours, theirs = FrozenLake(4), gymnax_lake.FrozenLake()
    params = ours.default_params.replace(tiles=theirs.desc)

    def run(env, params, position_of):
        def step(state, key):
            key_act, key_env = jax.random.split(key)
            action = jax.random.randint(key_act, (), 0, 4)
            obs, state, reward, terminated, truncated, _ = env.step(key_env, state, action, params)
            return state, (position_of(obs), reward, terminated, truncated)

        _, state = env.reset_env(jax.random.key(0), params)
        state = jax.tree.map(jnp.asarray, state)
        return jax.lax.scan(step, state, jax.random.split(jax.random.key(1), 4000))[1]

    mine = run(ours, params, jnp.argmax)
    reference = run(theirs, theirs.default_params, lambda position: position)
    assert np.asarray(reference[1]).sum() > 0
    jax.tree.map(np.testing.assert_array_equal, mine, reference)


@pytest.mark.parametrize("slippery", [True, False])
def test_frozen_lake_optimum_is_that_of_gymnasiums_table(slippery):
    family = tasks.make("frozen-lake", slippery=slippery)
    task = family.sample(jax.random.key(0)).replace(tiles=gymnax_lake.FrozenLake().desc)
    table = gymnasium.make("FrozenLake-v1", is_slippery=slippery).unwrapped.P
    value = np.zeros(16)
    for _ in range(100):
        value = np.array(
            [
                max(sum(p * (r + (not end) * value[after]) for p, after, r, end in table[s][a]) for a in range(4))
                for s in range(16)
            ]
        )
    assert float(family.optimum(task)) == pytest.approx(value[0], abs=1e-5)


def test_frozen_lake_maps_have_a_way_and_differ():
    sampler = jax.jit(jax.vmap(tasks.make("frozen-lake", frozen=0.6).sample))
    batch = sampler(jax.random.split(jax.random.key(0), 200))
    maps = np.asarray(batch.tiles)
    assert len(np.unique(maps.reshape(200, -1), axis=0)) > 100
    assert (maps[:, 0, 0] == 0).all()
    assert (maps[:, -1, -1] == 3).all()
    for tiles in maps:
        reached, waiting = {(0, 0)}, deque([(0, 0)])
        while waiting:
            row, column = waiting.popleft()
            for cell in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if min(cell) >= 0 and max(cell) < 4 and tiles[cell] != 2 and cell not in reached:
                    reached.add(cell)
                    waiting.append(cell)
        assert (3, 3) in reached


def test_four_rooms_optimum_without_failures_is_a_shortest_way():
    family = tasks.make("four-rooms", fail_prob=0.0, horizon=9)
    open_cells = np.asarray(family.env.env.env_map)
    distance, waiting = {(4, 1): 0}, deque([(4, 1)])
    while waiting:
        row, column = waiting.popleft()
        for cell in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            if open_cells[cell] and cell not in distance:
                distance[cell] = distance[row, column] + 1
                waiting.append(cell)
    goals = np.array([cell for cell in distance if cell != (4, 1)])
    assert len(goals) == 103
    task = family.sample(jax.random.key(0))
    optima = jax.jit(jax.vmap(lambda goal: family.optimum(task.replace(goal=goal))))(jnp.asarray(goals, jnp.int32))
    np.testing.assert_array_equal(np.asarray(optima), [float(distance[tuple(goal)] <= 9) for goal in goals.tolist()])


def test_four_rooms_hides_the_goal_and_fails_a_third_of_the_time():
    family = tasks.make("four-rooms", horizon=1)
    task = family.sample(jax.random.key(0)).replace(goal=jnp.array([4, 2], jnp.int32))
    assert float(family.optimum(task)) == pytest.approx(2 / 3, abs=1e-6)
    obs, state = family.env.reset_env(jax.random.key(0), task)
    np.testing.assert_array_equal(obs, [4, 1])
    keys = jax.random.split(jax.random.key(1), 5000)
    _, _, reward, terminated, _ = jax.jit(jax.vmap(lambda key: family.env.step_env(key, state, jnp.int32(1), task)))(
        keys
    )
    assert float(reward.mean()) == pytest.approx(2 / 3, abs=4 * np.sqrt(2 / 9 / 5000))
    np.testing.assert_array_equal(np.asarray(reward) == 1, terminated)


def test_meta_maze_keeps_its_goal_and_its_optimum_is_right_over_two_steps():
    family = tasks.make("meta-maze", horizon=2)
    goal = np.array([5, 6])  # one to the right of the centre, (5, 5)
    task = family.sample(jax.random.key(0)).replace(goal=jnp.asarray(goal, jnp.int32))
    obs, state = family.env.reset_env(jax.random.key(1), task)
    np.testing.assert_array_equal(state.goal, goal)
    np.testing.assert_array_equal(obs[9:13], 0)
    obs, state, reward, terminated, _ = family.env.step_env(jax.random.key(2), state, jnp.int32(1), task)
    assert float(reward) == 10
    assert not terminated
    assert float(obs[13]) == 10
    np.testing.assert_array_equal(obs[9:13], [0, 1, 0, 0])
    np.testing.assert_array_equal(state.goal, goal)
    # After the first reward the agent is in any of the open cells, and rewarded again from a neighbour of the goal, or
    # from the goal itself where it can push against a wall: (4, 6) and (6, 6) are walls.
    cells = np.asarray(family.env.env.coords)
    near = np.abs(cells - goal).sum(1) == 1
    assert near.sum() == 2
    assert float(family.optimum(task)) == pytest.approx(10 + 10 * (near.sum() + 1) / len(cells), rel=1e-5)
    far = task.replace(goal=jnp.array([1, 1], jnp.int32))
    assert float(family.optimum(far)) == 0


def test_value_iteration_of_a_two_state_process():
    """State 0: stay for 1, or go to state 1, for 0, where staying pays 3."""
    transition = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    reward = jnp.array([[1.0, 0.0], [3.0, 3.0]])
    for horizon, expected in ((1, [1, 3]), (2, [3, 6]), (3, [6, 9])):
        np.testing.assert_allclose(value_iteration(transition, reward, horizon)[1][0], expected)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("gridnavi", {"size": 2}),
        ("gridnavi", {"horizon": 0}),
        ("t-maze", {"lengths": (5, 50)}),
        ("dark-key-to-door", {"size": 4}),
        ("meta-maze", {"maze_size": 8}),
        ("four-rooms", {"fail_prob": 0.8}),
        ("frozen-lake", {"frozen": 0.2}),
        ("frozen-lake", {"size": 1}),
    ],
)
def test_settings_out_of_range_are_refused(name, setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}: got"):
        tasks.make(name, **setting)
