"""The exact belief of a linear bandit, against Bayes' rule by Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import references

FEATURES = np.array([[0.6, 0.8, 0.0], [1.0, 0.0, 0.0], [0.0, -0.6, 0.8], [0.0, 0.0, 1.0]], np.float32)
RATINGS = np.array([0.8, -0.3, 1.1, 0.2])


def posterior_after(features, rewards, noise):
    belief = references.linear_prior(features.shape[1])
    for x, reward in zip(jnp.asarray(features), jnp.asarray(rewards), strict=True):
        belief = references.linear_posterior(belief, x, reward, noise)
    return belief


def test_the_belief_is_that_of_weighted_draws_from_the_prior():
    """Bayes' rule by Monte Carlo: draws from the prior, weighted by how likely they make the ratings."""
    rng = np.random.default_rng(0)
    features, rewards = FEATURES[:, :2], RATINGS
    belief = posterior_after(features, rewards, 0.7)
    drawn = rng.standard_normal((400_000, 2))
    weight = np.exp(-0.5 * np.sum((rewards - drawn @ features.T) ** 2, axis=1) / 0.7**2)
    weight /= weight.sum()
    mean = weight @ drawn
    np.testing.assert_allclose(belief.mean, mean, atol=0.01)
    covariance = (drawn - mean).T @ (weight[:, None] * (drawn - mean))
    np.testing.assert_allclose(belief.factor @ belief.factor.T, covariance, atol=0.01)


def test_draws_have_the_belief_s_mean_and_covariance():
    belief = posterior_after(FEATURES, RATINGS, 0.7)
    draw = jax.jit(jax.vmap(lambda key: references.drawn_preference(key, belief)))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 40_000)))
    np.testing.assert_allclose(drawn.mean(axis=0), belief.mean, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), belief.factor @ belief.factor.T, atol=0.02)


def test_many_ratings_leave_the_belief_of_the_formula():
    """Bishop 2006, equations 3.50 and 3.51, in double precision."""
    rng = np.random.default_rng(1)
    features = rng.standard_normal((300, 4)).astype(np.float32)
    ratings = rng.standard_normal(300).astype(np.float32)
    belief = posterior_after(features, ratings, 0.3)
    covariance = np.linalg.inv(np.eye(4) + features.T.astype(float) @ features / 0.09)
    np.testing.assert_allclose(belief.mean, covariance @ features.T @ ratings / 0.09, atol=1e-5)
    np.testing.assert_allclose(belief.factor @ belief.factor.T, covariance, rtol=1e-3, atol=1e-7)
