import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.elimination import solve


def test_solutions_are_those_of_numpy():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 7))
    positive = rows.T @ rows / 40
    dominant = np.eye(7) - 0.9 * rng.dirichlet(np.ones(7), size=7)
    right = rng.normal(size=7)
    for matrix in (positive, dominant, np.array([[2.0]])):
        b = right[: len(matrix)]
        got = solve(jnp.asarray(matrix, jnp.float32), jnp.asarray(b, jnp.float32))
        np.testing.assert_allclose(got, np.linalg.solve(matrix, b), rtol=1e-4, atol=1e-5)


def test_the_derivative_is_that_of_the_inverse():
    matrix, right = jnp.array([[2.0, 0.5], [0.5, 1.0]]), jnp.array([1.0, -1.0])
    tangent = jnp.array([[0.1, 0.2], [0.2, -0.3]])
    moved = jax.jvp(lambda a: solve(a, right), (matrix,), (tangent,))[1]
    inverse = np.linalg.inv(matrix)
    np.testing.assert_allclose(moved, -inverse @ tangent @ inverse @ right, rtol=1e-5)


def test_a_program_has_no_call_that_could_wait_for_another():
    batch = jnp.stack([jnp.eye(3)] * 5), jnp.ones((5, 3))
    assert "custom_call" not in jax.jit(jax.vmap(solve)).lower(*batch).as_text()
