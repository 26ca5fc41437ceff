"""Statistics of returns, beside values that are known."""

import numpy as np
import pytest
from scipy import stats

from jaxmeta.runs import statistics


def test_interquartile_mean_is_the_trimmed_mean():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 40, 3))
    expected = stats.trim_mean(x.reshape(200, 3), 0.25, axis=0)
    np.testing.assert_allclose(statistics.interquartile_mean(x, axis=(0, 1)), expected)
    assert statistics.interquartile_mean(np.array([1.0, 2.0, 3.0, 100.0])) == 2.5


def test_what_is_not_a_number_is_not_dropped_as_the_best():
    x = np.array([[1.0, 2.0, 3.0, np.nan], [1.0, 2.0, 3.0, 100.0]])
    np.testing.assert_array_equal(statistics.interquartile_mean(x, axis=1), [np.nan, 2.5])
    np.testing.assert_array_equal(statistics.profile(x[:1], np.array([0.0, 2.0])), [0.75, 0.25])


def test_interval_covers_the_true_value_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(100):
        returns = rng.normal(size=(8, 1)) + rng.normal(size=(8, 30))
        low, high = statistics.bootstrap_interval(returns, resamples=200, seed=trial)
        covered += low <= 0.0 <= high
    # Percentile intervals of eight seeds are known to be a little short; half that would be a bug.
    assert 80 <= covered <= 100


def test_one_seed_still_has_an_interval_over_tasks():
    low, high = statistics.bootstrap_interval(np.random.default_rng(0).normal(size=(1, 50)))
    assert low < high


def test_the_probability_of_improvement_counts_pairs_of_seeds_in_each_task():
    first, second = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[2.0, 5.0]])
    # In the first task one of two seeds is above, in the second both are equal.
    assert statistics.probability_of_improvement(first, second)[0] == 0.5
    assert statistics.probability_of_improvement(second + 10, first) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="second: has 3 tasks; must have the 2 of the other"):
        statistics.probability_of_improvement(first, np.zeros((1, 3)))


def test_the_probability_of_improvement_is_that_of_shifted_normals():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.5, 1.0, size=(40, 300)), rng.normal(0.0, 1.0, size=(40, 300))
    value, low, high = statistics.probability_of_improvement(first, second, resamples=200)
    expected = stats.norm.cdf(0.5 / np.sqrt(2.0))
    assert low < expected < high
    assert abs(value - expected) < 0.02


def test_a_profile_is_the_share_above_each_level():
    shares = statistics.profile(np.array([[1.0, 2.0], [2.0, 4.0]]), np.array([0.0, 1.0, 2.0, 4.0]))
    np.testing.assert_array_equal(shares, [1.0, 0.75, 0.25, 0.0])
