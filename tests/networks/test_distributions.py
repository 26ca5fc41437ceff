import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxmeta.networks import Categorical, Gaussian, SquashedGaussian

GAUSSIAN = Gaussian(jnp.array([[0.3, -1.0]]), jnp.array([-0.5, 0.2]))
OTHER = Gaussian(jnp.array([[0.0, -0.4]]), jnp.array([0.1, 0.0]))
CATEGORICAL = Categorical(jnp.array([[1.0, 0.0, -2.0]]))


def test_gaussian_log_prob_and_entropy_agree_with_scipy():
    action = jnp.array([[0.1, 0.7]])
    expected = stats.norm(GAUSSIAN.mean, np.exp(GAUSSIAN.log_std))
    np.testing.assert_allclose(GAUSSIAN.log_prob(action), expected.logpdf(action).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(GAUSSIAN.entropy(), expected.entropy().sum(-1), rtol=1e-5)


def test_categorical_log_prob_and_entropy_agree_with_scipy():
    p = np.asarray(jax.nn.softmax(CATEGORICAL.logits))[0]
    np.testing.assert_allclose(CATEGORICAL.log_prob(jnp.array([2])), np.log(p[2]), rtol=1e-5)
    np.testing.assert_allclose(CATEGORICAL.entropy(), stats.entropy(p), rtol=1e-5)


@pytest.mark.parametrize(("p", "q"), [(GAUSSIAN, OTHER), (CATEGORICAL, Categorical(jnp.array([[0.0, 0.5, 0.1]])))])
def test_kl_is_the_mean_log_ratio_of_samples(p, q):
    actions = jax.vmap(p.sample)(jax.random.split(jax.random.key(0), 200_000))
    ratios = np.asarray(jax.vmap(lambda action: p.log_prob(action) - q.log_prob(action))(actions))
    error = 4 * ratios.std() / np.sqrt(ratios.size)
    np.testing.assert_allclose(p.kl(q), ratios.mean(), atol=error)
    np.testing.assert_allclose(p.kl(p), 0.0, atol=1e-6)


def test_modes():
    np.testing.assert_array_equal(GAUSSIAN.mode(), GAUSSIAN.mean)
    np.testing.assert_array_equal(CATEGORICAL.mode(), [0])
    assert CATEGORICAL.mode().dtype == CATEGORICAL.sample(jax.random.key(0)).dtype == jnp.int32


def test_a_squashed_gaussian_is_a_density_on_its_box():
    squashed = SquashedGaussian(Gaussian(jnp.array([0.4]), jnp.array([-0.5])), jnp.array([-1.0]), jnp.array([3.0]))
    x = jnp.linspace(-1.0 + 1e-4, 3.0 - 1e-4, 20_001)[:, None]
    density = jnp.exp(squashed.log_prob(x))
    np.testing.assert_allclose(jnp.trapezoid(density, x[:, 0]), 1.0, rtol=1e-3)
    action, log_prob = squashed.sample_with_log_prob(jax.random.key(0))
    np.testing.assert_allclose(squashed.log_prob(action), log_prob, rtol=1e-4)
    np.testing.assert_array_equal(squashed.sample(jax.random.key(0)), action)
    np.testing.assert_allclose(squashed.mode(), 1.0 + 2.0 * jnp.tanh(0.4), rtol=1e-6)
    # An action on the edge has a finite density.
    assert jnp.isfinite(squashed.log_prob(jnp.array([3.0])))
