"""Rings of items: what is written where, and how often it is drawn."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.data import append, draw, empty_buffer, importance_weights, places_at, reprioritise


def filled(capacity, *batches):
    buffer = empty_buffer({"x": jnp.zeros((), jnp.int32), "y": jnp.zeros(2)}, capacity)
    for batch in batches:
        x = jnp.array(batch, jnp.int32)
        buffer = jax.jit(append)(buffer, {"x": x, "y": jnp.stack([x, -x], axis=1)}, x.astype(float))
    return buffer


def test_the_oldest_round_is_written_over():
    """Two rounds of three items fit; the items of one place in a round stand side by side."""
    buffer = filled(7, [1, 2, 3], [4, 5, 6])
    np.testing.assert_array_equal(buffer.data["x"], [1, 4, 2, 5, 3, 6, 0])
    np.testing.assert_array_equal(buffer.priority, [1, 4, 2, 5, 3, 6, 0])
    assert int(buffer.round) == 0
    later = filled(7, [1, 2, 3], [4, 5, 6], [7, 8, 9])
    np.testing.assert_array_equal(later.data["x"], [7, 4, 8, 5, 9, 6, 0])
    np.testing.assert_array_equal(later.data["y"][:, 1], [-7, -4, -8, -5, -9, -6, 0])
    assert int(later.round) == 1
    np.testing.assert_array_equal(filled(5, [1, 2, 3], [4, 5, 6]).data["x"], [4, 5, 0, 6, 0])


def test_a_ring_that_rounds_do_not_fill_has_the_same_places_on_two_devices():
    """Of ten places two rounds of four take eight; a run that goes on with one device writes over what two wrote."""
    whole = filled(10, [1, 2, 3, 4], [5, 6, 7, 8])
    np.testing.assert_array_equal(whole.data["x"], [1, 5, 2, 6, 0, 3, 7, 4, 8, 0])
    parts = [filled(5, [1, 2], [5, 6]), filled(5, [3, 4], [7, 8])]
    np.testing.assert_array_equal(whole.data["x"], np.concatenate([part.data["x"] for part in parts]))


def test_items_are_drawn_by_priority_and_never_where_there_are_none():
    buffer = filled(6, [1, 2, 5])
    items, places, probability = jax.jit(draw, static_argnums=2)(jax.random.key(0), buffer, 8_000)
    shares = np.bincount(places, minlength=6) / 8_000
    np.testing.assert_allclose(shares, [1 / 8, 0, 2 / 8, 0, 5 / 8, 0], atol=1e-3)
    np.testing.assert_array_equal(items["x"], buffer.data["x"][places])
    np.testing.assert_allclose(probability, buffer.priority[places] / 8)
    changed = reprioritise(buffer, jnp.array([4]), jnp.array([1.0]))
    shares = np.bincount(draw(jax.random.key(0), changed, 8_000)[1], minlength=6) / 8_000
    np.testing.assert_allclose(shares, [1 / 4, 0, 2 / 4, 0, 1 / 4, 0], atol=1e-3)


ON_DEVICES = """
import json, jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
from jaxmeta.data import append, draw, empty_buffer
from jaxmeta.over_tasks import task_mesh


def drawn(mesh, priority, count):
    def run(key):
        buffer = empty_buffer(jnp.zeros((), jnp.int32), 24)
        for first in range(0, 32, 8):
            items = first + jnp.arange(8)
            buffer = append(buffer, items, 1.0 + priority * items)
        return draw(key, buffer, count)

    with jax.set_mesh(mesh):
        return jax.jit(run)(jax.random.key(0))


for priority, count in ((0.0, 16), (1.0, 40_000)):
    one, four = (drawn(task_mesh(devices), priority, count) for devices in (1, 4))
    print(json.dumps([[x.tolist() for x in (each[0], each[2])] for each in (one, four)]))
"""


def test_four_devices_draw_the_same_items_and_by_priority_each_from_its_own():
    """Four rounds of eight items, of which the last three stay. Uniform draws, and draws by the number of the item."""
    found = subprocess.run([sys.executable, "-c", ON_DEVICES], check=True, capture_output=True, text=True).stdout
    (one, four), (by_priority, parted) = (json.loads(line) for line in found.splitlines())
    assert one == four
    for (items, probability), devices in ((by_priority, 1), (parted, 4)):
        items, kept = np.array(items), np.arange(8, 32)
        assert set(items) == set(kept)
        # A device has the tasks 2 d and 2 d + 1 of each round of eight.
        part = kept % 8 * devices // 8
        weight = 1.0 + kept
        expected = weight / np.array([weight[part == each].sum() for each in range(devices)])[part] / devices
        shares = np.bincount(items, minlength=32)[8:] / len(items)
        np.testing.assert_allclose(shares, expected, atol=3e-4)
        np.testing.assert_allclose(probability, expected[items - 8], rtol=1e-5)


def test_importance_weights_by_hand():
    """Three items of priorities 1, 2 and 5: M p is 3/8, 6/8 and 15/8."""
    buffer = filled(6, [1, 2, 5])
    probability = jnp.array([1.0, 2.0, 5.0]) / 8
    np.testing.assert_allclose(importance_weights(buffer, probability, 1.0), [1.0, 0.5, 0.2], rtol=1e-6)
    np.testing.assert_allclose(importance_weights(buffer, probability, 0.5), np.sqrt([1.0, 0.5, 0.2]), rtol=1e-6)
    np.testing.assert_allclose(importance_weights(buffer, probability[1:], 0.0), [1.0, 1.0])


def test_the_last_place_is_drawn_to_its_very_end():
    buffer = filled(3, [1, 1, 1])
    places = draw(jax.random.key(0), buffer, 3)[1]
    np.testing.assert_array_equal(places, [0, 1, 2])


def test_shares_are_found_among_cumulative_weights_by_hand_on_every_device(gpu):
    cumulative = jnp.array([0.0, 1.0, 1.0, 4.0, 4.0])
    shares = jnp.array([0.0, 0.24, 0.25, 0.9, 1.0])
    for device in (jax.sharding.get_abstract_mesh(), gpu):
        with jax.sharding.use_abstract_mesh(device):
            np.testing.assert_array_equal(places_at(shares, cumulative), [1, 1, 3, 3, 3])
            np.testing.assert_array_equal(places_at(shares, 0 * cumulative), 0)


def test_more_than_fits_is_refused():
    with pytest.raises(ValueError, match="capacity: got 2; must be at least the 3 items"):
        filled(2, [1, 2, 3])
    with pytest.raises(ValueError, match="capacity: got 0; must be at least 1"):
        empty_buffer(jnp.zeros(()), 0)
