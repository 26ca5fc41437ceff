"""Odds and effective sample sizes by hand, and the regression at its optimum."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.objectives import effective_sample_size, new_task_odds
from jaxmeta.objectives.propensity import logistic_regression


def test_effective_sample_size_by_hand():
    ones = jnp.ones(4)
    np.testing.assert_allclose(effective_sample_size(ones, ones), 1.0)
    np.testing.assert_allclose(effective_sample_size(jnp.array([5.0, 0.0, 0.0, 0.0]), ones), 0.25)
    # (1 + 3)² / (2 · (1 + 9)), whatever stands where nothing is stored.
    weight, stored = jnp.array([1.0, 3.0, 7.0]), jnp.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(effective_sample_size(weight, stored), 0.8)
    np.testing.assert_array_equal(effective_sample_size(weight, jnp.zeros(3)), 0.0)


def test_without_features_the_intercept_is_the_log_odds_of_the_labels():
    coefficients, intercept = logistic_regression(jnp.zeros((4, 2)), jnp.array([1.0, 1.0, 1.0, 0.0]), jnp.ones(4))
    np.testing.assert_allclose(coefficients, 0.0)
    np.testing.assert_allclose(intercept, np.log(3.0), rtol=1e-4)
    # A row that does not count, and one that counts twice.
    _, intercept = logistic_regression(
        jnp.zeros((3, 1)), jnp.array([1.0, 0.0, 0.0]), jnp.array([2.0, 1.0, 0.0]), ridge=0.1
    )
    np.testing.assert_allclose(intercept, np.log(2.0), rtol=1e-4)


def test_one_feature_by_hand():
    """x = ±1 with labels 1 and 0: the optimum is b with 2 σ(−b) = ridge · b, and no intercept."""
    for b in (0.5, 1.5):
        ridge = 2.0 / (1.0 + np.exp(b)) / b
        found, intercept = logistic_regression(
            jnp.array([[1.0], [-1.0]]), jnp.array([1.0, 0.0]), jnp.ones(2), ridge=ridge
        )
        np.testing.assert_allclose(found, [b], rtol=1e-4)
        np.testing.assert_allclose(intercept, 0.0, atol=1e-5)


def test_newton_ends_where_the_gradient_is_zero():
    key_x, key_y = jax.random.split(jax.random.key(0))
    features = jax.random.normal(key_x, (40, 6))
    label = (jax.random.uniform(key_y, 40) < jax.nn.sigmoid(2.0 * features[:, 0])).astype(jnp.float32)
    weight = jnp.linspace(0.1, 2.0, 40)

    def objective(solution):
        logits = features @ solution[:-1] + solution[-1]
        log_loss = jnp.logaddexp(0.0, logits) - label * logits
        return jnp.sum(weight * log_loss) + 0.5 * 0.7 * jnp.sum(jnp.square(solution[:-1]))

    solution = jnp.append(*logistic_regression(features, label, weight, ridge=0.7))
    np.testing.assert_allclose(jax.grad(objective)(solution), 0.0, atol=1e-4)


def test_odds_are_one_where_nothing_tells_the_tasks_apart_and_larger_where_something_does():
    old = jnp.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [9.0, 9.0]])
    stored = jnp.array([1.0, 1.0, 1.0, 0.0])
    same = new_task_odds(old[:3], old, jnp.ones(3), stored)
    np.testing.assert_allclose(same, [1.0, 1.0, 1.0, 0.0], atol=1e-4)
    # A third of the old rows, seen once or five times, are those of the new task: how many there are does not matter.
    once = new_task_odds(jnp.array([[2.0, 5.0]]), old, jnp.ones(1), stored)
    often = new_task_odds(jnp.full((5, 2), jnp.array([2.0, 5.0])), old, jnp.ones(5), stored)
    for odds in (once, often):
        assert odds[2] > 1.0 > odds[1] > odds[0]
    far = new_task_odds(jnp.full((3, 1), 100.0), jnp.array([[0.0], [100.0]]), jnp.ones(3), jnp.ones(2), limit=1.2)
    np.testing.assert_allclose(far[1], 1.2, rtol=1e-5)
