import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.data.least_squares import fit_linear, linear_features


@pytest.fixture(scope="module")
def walk():
    """Observations of ten random walks, what is to be fitted, and the mask: one is cut, one has a single step."""
    rng = np.random.default_rng(0)
    obs = np.cumsum(0.1 * rng.normal(size=(10, 60, 2)), axis=1)
    target = -np.cumsum(np.linalg.norm(obs - 1.0, axis=-1)[:, ::-1], axis=1)[:, ::-1]
    mask = np.ones((10, 60))
    mask[3, 40:], mask[5, 1:] = 0.0, 0.0
    return obs, target, mask


def fitted(obs, target, mask):
    obs, target, mask = (jnp.asarray(x, jnp.float32) for x in (obs, target, mask))
    return np.asarray(fit_linear(linear_features(obs, mask), target, mask))


def test_a_linear_function_is_recovered_and_padding_ignored():
    rng = np.random.default_rng(1)
    features = jnp.array(rng.normal(size=(3, 50, 4)), jnp.float32)
    target = features @ jnp.array([1.0, -2.0, 0.5, 3.0]) + 7.0
    mask = jnp.ones((3, 50)).at[:, 40:].set(0.0)
    spoiled = jnp.where(mask > 0, target, 1e6)
    np.testing.assert_allclose(fit_linear(features, spoiled, mask) * mask, target * mask, atol=1e-3)


def test_the_fit_is_that_of_least_squares_in_float64(walk):
    obs, target, mask = walk
    t = np.broadcast_to(np.arange(60)[:, None] / 100.0, (10, 60, 1))
    features = np.concatenate([obs, obs**2, t, t**2, t**3, np.ones_like(t)], axis=-1)[mask > 0]
    exact = features @ np.linalg.lstsq(features, target[mask > 0], rcond=None)[0]
    np.testing.assert_allclose(fitted(*walk)[mask > 0], exact, atol=2e-3 * np.std(target))


@pytest.mark.parametrize(
    "change",
    [
        lambda obs: 1e-3 * obs,
        lambda obs: 1e5 * obs,
        lambda obs: obs + 100.0,
        lambda obs: np.concatenate([obs, np.full_like(obs[..., :1], 10.0)], axis=-1),
        lambda obs: np.concatenate([obs, np.full_like(obs[..., :1], 1e6)], axis=-1),
        lambda obs: np.concatenate([obs, obs, 3.0 * obs - 1.0], axis=-1),
    ],
    ids=["small", "large", "far", "constant", "constant and large", "collinear"],
)
def test_the_fit_does_not_depend_on_how_observations_are_written(walk, change):
    obs, target, mask = walk
    changed = fitted(change(obs), target, mask)
    np.testing.assert_allclose(changed * mask, fitted(*walk) * mask, atol=5e-3 * np.std(target))


def test_pixels_are_fitted_as_well_as_in_float64(walk):
    _, target, mask = walk
    pixels = 255.0 * (np.random.default_rng(2).random((10, 60, 8, 8, 1)) > 0.5)
    columns = np.concatenate([pixels.reshape(10, 60, -1), np.ones((10, 60, 1))], axis=-1)
    t = np.broadcast_to(np.arange(60)[:, None] / 100.0, (10, 60, 1))
    features = np.concatenate([columns, t, t**2, t**3], axis=-1)[mask > 0]
    exact = target[mask > 0] - features @ np.linalg.lstsq(features, target[mask > 0], rcond=None)[0]
    error = (target - fitted(pixels, target, mask))[mask > 0]
    np.testing.assert_allclose(np.sqrt(np.mean(error**2)), np.sqrt(np.mean(exact**2)), rtol=1e-3)


def test_episodes_of_one_step_and_batches_without_any(walk):
    target = np.arange(4.0)[:, None]
    one = np.ones((4, 1))
    np.testing.assert_allclose(fitted(np.ones((4, 1, 3)), target, one), 1.5, rtol=1e-6)
    np.testing.assert_array_equal(fitted(np.ones((4, 1, 3)), target, 0.0 * one), 0.0)
