import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.objectives import surrogates as losses
from jaxmeta.types import Trajectory

SURROGATES = {
    "score": losses.score_function,
    "ratio": losses.likelihood_ratio,
    "clipped": losses.clipped(0.2),
    "dice": losses.dice(),
}


def trajectory(log_prob, advantage, mask):
    zeros = jnp.zeros_like(advantage)
    return Trajectory(zeros, zeros, log_prob, zeros, zeros, zeros, zeros, mask, zeros, advantage, zeros)


def example():
    rng = np.random.default_rng(0)
    log_prob, advantage = jnp.array(rng.normal(size=(2, 3, 5)), jnp.float32)
    mask = jnp.ones((3, 5)).at[1, 3:].set(0.0)
    return log_prob, trajectory(log_prob, advantage * mask, mask)


@pytest.mark.parametrize("name", SURROGATES)
def test_gradient_where_the_data_was_collected_is_the_policy_gradient(name):
    log_prob, data = example()
    gradient = jax.grad(SURROGATES[name])(log_prob, data)
    np.testing.assert_allclose(gradient, -data.advantage * data.mask / data.mask.sum(), atol=1e-6)


@pytest.mark.parametrize("name", SURROGATES)
def test_padding_has_no_influence_even_when_its_log_probabilities_are_wild(name):
    log_prob, data = example()
    wild = jnp.where(data.mask > 0, log_prob, 1e4)
    value, gradient = jax.value_and_grad(SURROGATES[name])(wild, data)
    np.testing.assert_allclose(value, SURROGATES[name](log_prob, data), atol=1e-6)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(gradient[1, 3:], 0.0)


def test_standardised_advantages_do_not_depend_on_the_rewards_scale():
    log_prob, data = example()
    scaled = data._replace(advantage=3.0 + 100.0 * data.advantage)
    surrogate = losses.standardised(losses.likelihood_ratio)
    np.testing.assert_allclose(
        jax.grad(surrogate)(log_prob, scaled), jax.grad(surrogate)(log_prob, data), rtol=1e-3, atol=1e-5
    )
    plain = jax.grad(losses.likelihood_ratio)
    assert not np.allclose(plain(log_prob, scaled), plain(log_prob, data))


def test_second_derivatives_differ_as_the_theory_says():
    # One episode of two steps, log-probabilities x₀ and x₁, advantages a₀ and a₁, mean over two steps.
    advantage = jnp.array([[2.0, 3.0]])
    x = jnp.array([[-0.3, -0.7]])
    data = trajectory(x, advantage, jnp.ones((1, 2)))

    def hessian(surrogate):
        return jax.hessian(lambda x: surrogate(x, data))(x)[0, :, 0, :]

    np.testing.assert_allclose(hessian(losses.score_function), np.zeros((2, 2)), atol=1e-6)
    np.testing.assert_allclose(hessian(losses.likelihood_ratio), -np.diag([1.0, 1.5]), atol=1e-6)
    np.testing.assert_allclose(hessian(losses.dice(0.0)), -np.diag([1.0, 1.5]), atol=1e-6)
    # DiCE: the later advantage also depends on the earlier action, with weight λ.
    np.testing.assert_allclose(hessian(losses.dice(1.0)), -np.array([[1.0, 1.5], [1.5, 1.5]]), atol=1e-6)
    np.testing.assert_allclose(hessian(losses.dice(0.5)), -np.array([[1.0, 0.75], [0.75, 1.5]]), atol=1e-6)


def test_clipping_stops_the_gradient_beyond_the_bound_only_where_it_would_help():
    data = trajectory(jnp.zeros((1, 2)), jnp.array([[1.0, -1.0]]), jnp.ones((1, 2)))
    far = jnp.log(jnp.array([[1.5, 1.5]]))
    gradient = jax.grad(losses.clipped(0.2))(far, data)
    np.testing.assert_allclose(gradient, [[0.0, 0.75]])


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda: losses.clipped(0.0), "epsilon: got 0.0"), (lambda: losses.dice(1.5), "trace_decay: got 1.5")],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
