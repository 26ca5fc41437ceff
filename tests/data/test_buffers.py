"""Rings of items: what is written where, and how often it is drawn."""

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


def test_the_oldest_items_are_written_over():
    buffer = filled(5, [1, 2, 3], [4, 5, 6])
    np.testing.assert_array_equal(buffer.data["x"], [6, 2, 3, 4, 5])
    np.testing.assert_array_equal(buffer.data["y"][:, 1], [-6, -2, -3, -4, -5])
    np.testing.assert_array_equal(buffer.priority, [6, 2, 3, 4, 5])
    assert int(buffer.cursor) == 1
    whole = filled(5, [1, 2, 3], [4, 5, 6, 7, 8])
    np.testing.assert_array_equal(whole.data["x"], [6, 7, 8, 4, 5])
    assert int(whole.cursor) == 3


def test_items_are_drawn_by_priority_and_never_where_there_are_none():
    buffer = filled(6, [1, 2, 5])
    items, places, probability = jax.jit(draw, static_argnums=2)(jax.random.key(0), buffer, 8_000)
    shares = np.bincount(places, minlength=6) / 8_000
    np.testing.assert_allclose(shares, [1 / 8, 2 / 8, 5 / 8, 0, 0, 0], atol=1e-3)
    np.testing.assert_array_equal(items["x"], buffer.data["x"][places])
    np.testing.assert_allclose(probability, buffer.priority[places] / 8)
    changed = reprioritise(buffer, jnp.array([2]), jnp.array([1.0]))
    shares = np.bincount(draw(jax.random.key(0), changed, 8_000)[1], minlength=6) / 8_000
    np.testing.assert_allclose(shares, [1 / 4, 2 / 4, 1 / 4, 0, 0, 0], atol=1e-3)


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
