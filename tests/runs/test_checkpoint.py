import random
import shutil

import chex
import jax
import jax.numpy as jnp
import pytest

from jaxmeta.runs import checkpoint, hosts
from jaxmeta.runs.checkpoint import CheckpointError, Checkpoints, digest


def state(value):
    return {"key": jax.random.key(value), "x": jnp.full((2, 3), float(value)), "count": jnp.int32(value)}


@pytest.fixture
def directory(tmp_path):
    with Checkpoints(tmp_path / "checkpoints", keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, state(step), {"iteration": step})
    return tmp_path / "checkpoints"


def restore(directory, **arguments):
    with Checkpoints(directory) as checkpoints:
        return checkpoints.restore(state(0), **arguments)


def test_the_newest_is_restored_whole_and_the_oldest_is_gone(directory):
    restored, meta = restore(directory)
    chex.assert_trees_all_equal(jax.random.key_data(restored["key"]), jax.random.key_data(jax.random.key(3)))
    chex.assert_trees_all_equal({k: restored[k] for k in ("x", "count")}, {k: state(3)[k] for k in ("x", "count")})
    assert meta["iteration"] == 3
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.steps() == [2, 3]


def test_a_named_checkpoint_is_restored(directory):
    assert restore(directory, iteration=2)[1]["iteration"] == 2
    with pytest.raises(CheckpointError, match="has no checkpoint 1; it has"):
        restore(directory, iteration=1)


@pytest.mark.parametrize("part", ["state", "meta"])
def test_a_damaged_checkpoint_is_passed_over(directory, part, caplog):
    for path in (directory / "3" / part).rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    restored, meta = restore(directory)
    assert meta["iteration"] == 2
    assert float(restored["x"][0, 0]) == 2.0
    assert "checkpoint 3 is damaged" in caplog.text


def raising(message):
    def function(*arguments, **named):
        raise ValueError(message)

    return function


def test_where_others_may_have_read_it_a_damaged_checkpoint_is_not_passed_over(directory, monkeypatch):
    monkeypatch.setattr(hosts, "several", lambda: True)
    with monkeypatch.context() as one:
        one.setattr(Checkpoints, "_compare", raising("cut short"))
        with pytest.raises(CheckpointError, match=r"/3 cannot be read \(cut short\); a process that trains alone"):
            restore(directory)
        one.setattr(Checkpoints, "_compare", raising("UNKNOWN: Gloo AllGather failed"))
        with pytest.raises(hosts.HostsError, match=hosts.DIED):
            restore(directory)
    # What is not what was saved is so in all processes: here the first leaf that is read.
    real, wrong = checkpoint.digest, ["other"]
    monkeypatch.setattr(checkpoint, "digest", lambda x: wrong.pop() if wrong and not isinstance(x, dict) else real(x))
    assert restore(directory)[1]["iteration"] == 2


def test_a_flipped_bit_is_found_or_without_effect(tmp_path):
    """Of the parameters' files and of all files beside them."""
    saved = {"key": jax.random.key(3), "x": jax.random.normal(jax.random.key(0), (40, 40))}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, saved, {"iteration": 3})
    chance = random.Random(0)
    files = [path for path in sorted((tmp_path / "3").rglob("*")) if path.is_file() and path.stat().st_size]
    largest = max(files, key=lambda path: path.stat().st_size)
    assert largest.stat().st_size > 3 * 40 * 40  # the numbers themselves, hardly compressed
    found = dict.fromkeys(files, 0)
    with Checkpoints(tmp_path) as checkpoints:
        right = checkpoints.restore(saved)[1]
        for path in [*files * 3, *[largest] * 20]:
            whole = path.read_bytes()
            flipped = bytearray(whole)
            flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
            path.write_bytes(flipped)
            try:
                restored, meta = checkpoints.restore(saved)
            except CheckpointError:
                found[path] += 1
            else:
                assert meta == right, path
                assert [digest(leaf) for leaf in restored.values()] == [digest(leaf) for leaf in saved.values()], path
            path.write_bytes(whole)
    assert found[largest] > 0


def test_thousands_of_checkpoints_of_somebody_else_are_refused_at_once(directory):
    for step in range(10, 1010):
        shutil.copytree(directory / "3", directory / str(step))
    message = "1009 is of another run: run is None there, and 'mine' in config"
    with Checkpoints(directory, identity={"run": "mine"}) as checkpoints, pytest.raises(CheckpointError, match=message):
        checkpoints.restore(state(0))
    assert len(list(directory.iterdir())) == 1002


def test_nothing_readable_is_one_line(directory):
    for step in ("2", "3"):
        shutil.rmtree(directory / step / "state")
    with pytest.raises(CheckpointError, match=r"none of the checkpoints \[2, 3\] can be read") as caught:
        restore(directory)
    assert "\n" not in str(caught.value)


def test_an_empty_directory_is_one_line(tmp_path):
    with pytest.raises(CheckpointError, match="holds no complete checkpoint"):
        restore(tmp_path / "nothing")


def test_another_format_is_named(directory, monkeypatch):
    monkeypatch.setattr("jaxmeta.runs.checkpoint.FORMAT", 99)
    with pytest.raises(CheckpointError, match="has format 3, this version reads 99"):
        restore(directory)


def test_another_shape_is_refused(directory):
    other = state(0) | {"x": jnp.zeros((4, 4))}
    with Checkpoints(directory) as checkpoints, pytest.raises(CheckpointError, match="of another configuration"):
        checkpoints.restore(other)


def test_keep_below_one_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^keep: got 0; must be at least 1$"):
        Checkpoints(tmp_path, keep=0)
