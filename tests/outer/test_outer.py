import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta.outer import by_optax, conjugate_gradient, in_turn, trust_region
from jaxmeta.types import Divergence

MATRIX = jnp.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
SLOPE = jnp.array([1.0, -2.0, 0.5])


def linear(theta):
    return jnp.vdot(SLOPE, theta["x"]), {"seen": theta["x"][0]}


def quadratic_divergence(centre):
    """½ (θ − centre)ᵀ M (θ − centre)."""

    def value(theta):
        moved = theta["x"] - centre
        return 0.5 * moved @ MATRIX @ moved

    return Divergence(value, lambda vector, every: {"x": MATRIX @ vector["x"]})


def test_conjugate_gradient_solves_in_as_many_steps_as_there_are_dimensions():
    b = jnp.array([1.0, -1.0, 2.0])
    x, residual = conjugate_gradient(lambda v: MATRIX @ v, b, 3)
    np.testing.assert_allclose(x, jnp.linalg.solve(MATRIX, b), rtol=1e-4)
    np.testing.assert_allclose(residual, b - MATRIX @ x, atol=1e-5)


def test_conjugate_gradient_of_zero_is_zero():
    x, _ = conjugate_gradient(lambda v: MATRIX @ v, jnp.zeros(3), 5)
    np.testing.assert_array_equal(x, 0.0)


def test_trust_region_takes_the_longest_natural_step_that_the_bound_allows():
    start = {"x": jnp.array([0.3, 0.2, -0.1])}
    outer = trust_region(max_divergence=0.02, cg_iterations=3, damping=0.0)
    theta, _, info = outer.step(start, outer.init(start), linear, quadratic_divergence(start["x"]))
    natural = jnp.linalg.solve(MATRIX, SLOPE)
    exact = start["x"] - natural * jnp.sqrt(2 * 0.02 / (SLOPE @ natural))
    # The full step lies on the bound itself; rounding may cost it one backtrack.
    fraction = jnp.linalg.norm(theta["x"] - start["x"]) / jnp.linalg.norm(exact - start["x"])
    assert float(fraction) == pytest.approx(1.0, rel=1e-3) or float(fraction) == pytest.approx(0.8, rel=1e-3)
    np.testing.assert_allclose((theta["x"] - start["x"]) / fraction, exact - start["x"], rtol=1e-3)
    assert float(info["divergence"]) <= 0.02
    assert float(info["improvement"]) > 0
    assert float(info["seen"]) == pytest.approx(0.3)


def test_trust_region_stays_where_no_step_improves():
    start = {"x": jnp.zeros(3)}
    outer = trust_region(max_divergence=0.01, backtracks=4)

    # Its slope promises a gain that no step delivers.
    def deceptive(theta):
        x = theta["x"]
        return jnp.sum(x - jax.lax.stop_gradient(x)) + jnp.sum(jnp.abs(jax.lax.stop_gradient(x))), {}

    theta, _, info = outer.step(start, outer.init(start), deceptive, quadratic_divergence(start["x"]))
    np.testing.assert_array_equal(theta["x"], start["x"])
    assert float(info["accepted"]) == 0.0
    assert float(info["line_search_steps"]) == 4.0


def test_trust_region_rejects_a_nan():
    start = {"x": jnp.zeros(3)}
    outer = trust_region(max_divergence=0.01)
    theta, _, _ = outer.step(
        start, outer.init(start), lambda theta: (jnp.nan * jnp.sum(theta["x"]), {}), quadratic_divergence(start["x"])
    )
    np.testing.assert_array_equal(theta["x"], start["x"])


def test_epochs_are_that_many_steps_of_the_optimiser():
    def objective(theta):
        return 0.5 * jnp.sum(theta["x"] ** 2), {}

    start = {"x": jnp.ones(3)}
    outer = by_optax(optax.sgd(0.1), epochs=3)
    theta, _, info = outer.step(start, outer.init(start), objective, quadratic_divergence(start["x"]))
    np.testing.assert_allclose(theta["x"], 0.9**3, rtol=1e-6)
    assert float(info["loss"]) == pytest.approx(1.5)


def test_in_turn_a_part_moves_with_the_rest_held_and_the_rest_after_it():
    """The gradient of x y is (y, x): x moves twice by y's first value, then y by x's last."""

    def objective(theta, part=(0, 1)):
        return theta["x"] * theta["y"] * (1.0 + part[0]), {"seen": theta["x"]}

    start = {"x": jnp.array(1.0), "y": jnp.array(2.0)}
    outer = in_turn("x", by_optax(optax.sgd(0.1), epochs=2), by_optax(optax.sgd(0.1)))
    theta, _, info = outer.step(start, outer.init(start), objective, quadratic_divergence(0.0))
    assert float(theta["x"]) == pytest.approx(1.0 - 0.2 - 0.2)
    assert float(theta["y"]) == pytest.approx(2.0 - 0.1 * 0.6)
    assert float(info["seen"]) == pytest.approx(0.6)
    assert float(info["grad_norm"]) == pytest.approx((2.0**2 + 0.6**2) ** 0.5)
    # The second minibatch's gradient is twice the first one's.
    in_parts = in_turn("x", by_optax(optax.sgd(0.1), minibatches=2), by_optax(optax.sgd(0.0)))
    theta, _, _ = in_parts.step(start, in_parts.init(start), objective, quadratic_divergence(0.0))
    assert float(theta["x"]) == pytest.approx(1.0 - 0.2 - 0.4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_divergence", 0.0),
        ("cg_iterations", 0),
        ("damping", -1.0),
        ("curvature_every", 0),
        ("backtracks", 0),
        ("backtrack_ratio", 1.0),
    ],
)
def test_bad_settings_are_named(name, value):
    with pytest.raises(ValueError, match=rf"^{name}: got {value}; must"):
        trust_region(**{name: value})


def test_bad_epochs_are_named():
    with pytest.raises(ValueError, match=r"^epochs: got 0; must be at least 1$"):
        by_optax(optax.sgd(0.1), epochs=0)
