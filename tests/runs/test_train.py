import itertools
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.runs import loop as train
from jaxmeta.runs.logging import read_csv
from jaxmeta.runs.program import seed_states
from jaxmeta.runs.trackers import TensorBoardLog
from jaxmeta.runs.training import train_run


@pytest.fixture(scope="module")
def tiny(navigation, policy):
    return jaxmeta.maml(navigation, policy=policy, episodes=2, inner_rate=0.1)


def states_of(tiny, seeds=(0,)):
    return seed_states(tiny, list(seeds))


def test_chunks_of_any_length_go_through_the_same_numbers(navigation, tiny):
    run = train.compiled_chunk(tiny, navigation, meta_batch=3, longest=4)
    whole = list(train.train_in_chunks(run, states_of(tiny), 7, longest=4, seconds_per_chunk=0.0))
    chopped = list(train.train_in_chunks(run, states_of(tiny), 7, longest=4, boundary=3, seconds_per_chunk=1e9))
    assert [chunk.first for chunk in whole] == list(range(7))
    assert [chunk.first + len(chunk.info["loss"]) for chunk in chopped if chunk.state is not None] == [3, 6, 7]
    for name in whole[0].info:
        one, other = (np.concatenate([chunk.info[name] for chunk in chunks]) for chunks in (whole, chopped))
        np.testing.assert_array_equal(one, other, err_msg=name)
    chex.assert_trees_all_equal(whole[-1].state, chopped[-1].state)
    assert run._cache_size() == 1


def test_a_chunk_is_at_most_twice_as_long_as_the_one_before(navigation, tiny):
    """One that seems to take no time, since the device was waited for before, must not be followed by a long one."""
    run = train.compiled_chunk(tiny, navigation, meta_batch=3, longest=4)
    chunks = train.train_in_chunks(run, states_of(tiny), 9, longest=4, seconds_per_chunk=1e9)
    lengths = [len(chunk.info["skipped"]) for chunk in chunks]
    assert sum(lengths) == 9
    assert lengths[:4] == [1, 1, 2, 4]


def test_stopping_and_going_on_changes_no_bit(navigation, tiny):
    run = train.compiled_chunk(tiny, navigation, meta_batch=3)
    through = list(train.train_in_chunks(run, states_of(tiny), 6))[-1].state
    seen = []
    first = []
    for chunk in train.train_in_chunks(
        run, states_of(tiny), 6, seconds_per_chunk=0.0, stop=lambda done: len(seen) >= 2
    ):
        seen.append(chunk)
        first.append(chunk)
    assert first[-1].state is not None
    assert 0 < int(first[-1].state.iteration[0]) < 6
    resumed = list(train.train_in_chunks(run, jax.tree.map(jnp.copy, first[-1].state), 6))[-1].state
    chex.assert_trees_all_equal(through, resumed)


def test_seeds_side_by_side_equal_seeds_alone(navigation, tiny):
    run = train.compiled_chunk(tiny, navigation, meta_batch=3)
    together = list(train.train_in_chunks(run, states_of(tiny, (0, 7)), 3))[-1]
    alone = list(train.train_in_chunks(run, states_of(tiny, (7,)), 3))[-1]
    np.testing.assert_allclose(together.info["return_post"][:, 1], alone.info["return_post"][:, 0], rtol=1e-3)
    assert not np.allclose(together.info["return_post"][:, 0], together.info["return_post"][:, 1])


@pytest.mark.parametrize("seed_chunk", [2, 3])
def test_how_many_seeds_step_side_by_side_moves_the_last_bits_alone(navigation, tiny, seed_chunk):
    one, other = (
        list(train.train_in_chunks(run, states_of(tiny, (0, 7, 8)), 3))[-1].state
        for run in (
            train.compiled_chunk(tiny, navigation, meta_batch=3, seed_chunk=size, longest=4) for size in (1, seed_chunk)
        )
    )
    chex.assert_trees_all_close(one.meta, other.meta, rtol=1e-3, atol=1e-5)


def test_the_pure_loop_and_the_hosts_loop_agree(navigation, tiny):
    run = train.compiled_chunk(tiny, navigation, meta_batch=3)
    hosts = list(train.train_in_chunks(run, states_of(tiny), 3))
    state, info = jax.jit(lambda key: jaxmeta.meta_train(key, tiny, navigation, iterations=3, meta_batch=3))(
        jax.random.key(0)
    )
    np.testing.assert_allclose(info["loss"], np.concatenate([chunk.info["loss"][:, 0] for chunk in hosts]), atol=1e-5)
    assert int(state.iteration) == 3


def test_a_run_directory_holds_every_step_of_every_seed(tmp_path, navigation, tiny):
    reports = []
    outcome = train_run(
        tmp_path,
        tiny,
        navigation,
        seeds=[3, 4],
        meta_batch=3,
        iterations=5,
        checkpoint_every=2,
        keep=2,
        trackers=lambda steps: [TensorBoardLog(tmp_path / "tensorboard", {}, steps)],
        report=reports.append,
    )
    rows = read_csv(tmp_path / "metrics.csv")
    assert [(row["iteration"], row["seed"]) for row in rows] == [(i, s) for i in range(1, 6) for s in (3, 4)]
    assert list(rows[0])[:6] == ["iteration", "seed", "env_steps", "seconds", "return_pre", "return_post"]
    per_iteration = 3 * 2 * 2 * 12
    assert rows[-1]["env_steps"] <= 5 * per_iteration
    assert rows[-1]["env_steps"] > 4 * per_iteration * 0.5
    assert all(b["env_steps"] > a["env_steps"] for a, b in zip(rows[:-2:2], rows[2::2], strict=True))
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()) == [4, 5]
    assert outcome.iteration == reports[-1].iteration == 5
    assert list((tmp_path / "tensorboard").glob("seed_*/events*"))


def test_rows_beyond_the_checkpoint_and_torn_lines_are_dropped_on_resume(tmp_path, navigation, tiny):
    settings = {"seeds": [0], "meta_batch": 3, "checkpoint_every": 2}
    train_run(tmp_path, tiny, navigation, iterations=4, **settings)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("5,0,999,1.0,0.0,0.0,0.0,0.0,0.0\n6,0,99")
    outcome = train_run(tmp_path, tiny, navigation, iterations=6, resume=True, **settings)
    rows = read_csv(tmp_path / "metrics.csv")
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(b["env_steps"] > a["env_steps"] for a, b in itertools.pairwise(rows))
    straight = train_run(_made(tmp_path / "other"), tiny, navigation, iterations=6, **settings)
    chex.assert_trees_all_equal(outcome.state, straight.state)


def _made(path):
    path.mkdir()
    return path


@pytest.mark.parametrize(("name", "value"), [("iterations", 0), ("meta_batch", 0)])
def test_counts_below_one_are_named(navigation, tiny, name, value):
    sizes = {"iterations": 1, "meta_batch": 1, name: value}
    with pytest.raises(ValueError, match=f"^{name}: got 0; must be at least 1$"):
        jaxmeta.meta_train(jax.random.key(0), tiny, navigation, **sizes)


@pytest.mark.parametrize(
    ("there", "meta_batch", "devices", "seeds", "grid"),
    [
        (4, 20, None, 1, {"tasks": 4}),
        (8, 20, None, 1, {"tasks": 5}),
        (8, 20, None, 5, {"seeds": 5, "tasks": 1}),
        (8, 20, None, 2, {"seeds": 2, "tasks": 4}),
        (8, 20, 4, 2, {"seeds": 2, "tasks": 2}),
        (8, 7, None, 3, {"tasks": 7}),
        (8, 7, 1, 3, None),
        (8, 7, 6, 3, "devices: got 6; must divide the 7 tasks of the meta-batch, or be a divisor of the 3 seeds times"),
        (8, 20, 8, 1, "devices: got 8; must divide the 20 tasks of the meta-batch$"),
        (8, 20, 9, 1, "devices: got 9; there are 8"),
    ],
)
def test_seeds_are_shared_out_first_and_then_tasks(monkeypatch, there, meta_batch, devices, seeds, grid):
    monkeypatch.setattr(jax, "device_count", lambda: there)
    monkeypatch.setattr(jax, "make_mesh", lambda shape, names, axis_types: dict(zip(names, shape, strict=True)))
    if isinstance(grid, str):
        with pytest.raises(ValueError, match=grid):
            train.mesh_for(meta_batch, devices, seeds)
    else:
        assert train.mesh_for(meta_batch, devices, seeds) == grid


def test_devices_are_as_many_as_there_are_and_divide_the_meta_batch(navigation, tiny):
    assert train.mesh_for(20) is None
    with pytest.raises(ValueError, match="devices: got 2; there are 1"):
        train.mesh_for(20, 2)
    with pytest.raises(ValueError, match="devices: got 0"):
        train.mesh_for(20, 0)
    with pytest.raises(ValueError, match="meta_batch: got 20; must be a multiple of the mesh's 3 devices"):
        jaxmeta.meta_train(jax.random.key(0), tiny, navigation, iterations=1, mesh=types.SimpleNamespace(size=3))
