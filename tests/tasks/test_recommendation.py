"""Recommendation: what a rating is, and those who act by the exact belief."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.tasks import controller_returns
from jaxmeta.tasks.recommendation import TasteParams, greedy, item_features, thompson, told_taste


def test_a_rating_is_the_product_of_features_and_preference_and_noise():
    env = tasks.recommendation(items=4, dimension=3).env
    task = TasteParams(preference=jnp.array([1.0, -2.0, 0.5]), noise=0.5)
    _, state = env.reset_env(jax.random.key(0), task)
    rate = jax.jit(jax.vmap(lambda key: env.step_env(key, state, 2, task)[2]))
    ratings = np.asarray(rate(jax.random.split(jax.random.key(1), 20_000)))
    expected = item_features(4, 3)[2] @ np.array([1.0, -2.0, 0.5])
    assert ratings.mean() == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(20_000))
    assert ratings.std() == pytest.approx(0.5, rel=0.03)


def test_items_are_the_same_always_and_of_length_one():
    features = item_features(20, 5)
    np.testing.assert_array_equal(features, item_features(20, 5))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, rtol=1e-6)
    # The first numbers of NumPy's generator with seed 0, which are in its own documentation.
    first = np.array([1.76405235, 0.40015721, 0.97873798, 2.2408932, 1.86755799])
    np.testing.assert_allclose(features[0], first / np.linalg.norm(first), rtol=1e-6)


def test_who_is_told_reaches_the_optimum_and_beliefs_do_better_than_chance():
    family = tasks.recommendation()
    batch = jax.vmap(family.sample)(jax.random.split(jax.random.key(0), 2_000))
    optimum = np.asarray(jax.vmap(family.optimum)(batch))
    best = np.max(np.asarray(batch.preference) @ item_features(20, 5).T, axis=1)
    np.testing.assert_allclose(optimum, 50 * best, rtol=1e-5)
    controllers = (told_taste(), greedy(), thompson())
    told, by_mean, by_draw = (
        np.asarray(controller_returns(jax.random.key(1), family, one, batch)) for one in controllers
    )
    # Fifty ratings of standard deviation 1 a user, 2,000 users.
    assert abs((told - optimum).mean()) < 4 * np.sqrt(50 / 2_000)
    for learned in (by_mean, by_draw):
        assert learned.mean() > 0.5 * optimum.mean()
        assert (told - learned).mean() > 8 * (told - learned).std() / np.sqrt(2_000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"items": 1}, "items: got 1; must be at least 2"),
        ({"dimension": 0}, "dimension: got 0; must be at least 1"),
        ({"noise": 0.0}, "noise: got 0.0; must be positive"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        tasks.make("recommendation", **settings)
