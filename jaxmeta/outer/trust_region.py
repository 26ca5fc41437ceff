"""TRPO's step: conjugate gradient on the divergence's Hessian, then a line search."""

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from jaxmeta.checks import check_least, check_positive, check_weights
from jaxmeta.types import Array, Divergence, Outer, Theta


def trust_region(
    *,
    max_divergence: float = 0.01,
    cg_iterations: int = 10,
    damping: float = 1e-5,
    curvature_every: int = 5,
    backtracks: int = 15,
    backtrack_ratio: float = 0.8,
) -> Outer:
    """TRPO's step (Schulman et al. 2015, appendix C): conjugate gradient on the divergence's Hessian, then line search.

    Args:
      max_divergence: bound on the mean divergence of the post-adaptation policies, in nats, > 0.
      cg_iterations: conjugate-gradient iterations, ≥ 1.
      damping: added to the Hessian's diagonal, ≥ 0.
      curvature_every: the Hessian is that of the mean over every n-th time step, ≥ 1; the line search uses all of them.
      backtracks: step sizes that the line search tries at most, ≥ 1.
      backtrack_ratio: factor from one tried step size to the next, in (0, 1).
    """
    check_least(1, cg_iterations=cg_iterations, curvature_every=curvature_every, backtracks=backtracks)
    check_positive(max_divergence=max_divergence)
    check_weights(damping=damping)
    if isinstance(backtrack_ratio, (int, float)) and not 0.0 < backtrack_ratio < 1.0:
        raise ValueError(f"backtrack_ratio: got {backtrack_ratio}; must be in (0, 1)")

    def step_fn(theta: Theta, opt_state: tuple[()], objective, divergence: Divergence):
        (loss, info), gradient = jax.value_and_grad(objective, has_aux=True)(theta)
        raw_theta, unravel_raw = ravel_pytree(theta)
        # Parameters of few bits are searched in float32, and rounded where they are used.
        flat_theta, flat_gradient = (
            each.astype(jnp.promote_types(raw_theta.dtype, jnp.float32))
            for each in (raw_theta, ravel_pytree(gradient)[0])
        )
        unravel = lambda vector: unravel_raw(vector.astype(raw_theta.dtype))  # noqa: E731

        def curvature(vector: Array) -> Array:
            product = ravel_pytree(divergence.curvature(unravel(vector), curvature_every))[0]
            return product.astype(vector.dtype) + damping * vector

        direction, cg_residual = conjugate_gradient(curvature, -flat_gradient, cg_iterations)
        # s'Hs from the last residual: H s = b − r, so one product fewer.
        quadratic = jnp.vdot(direction, -flat_gradient - cg_residual)
        full_step = direction * jnp.sqrt(2.0 * max_divergence / jnp.maximum(quadratic, 1e-12))

        def try_step(carry):
            index = carry[0]
            candidate = flat_theta + backtrack_ratio**index * full_step
            new_loss, _ = objective(unravel(candidate))
            moved = divergence.value(unravel(candidate))
            # A NaN fails both comparisons, so a broken candidate is never accepted.
            accepted = (new_loss < loss) & (moved <= max_divergence)
            return index + 1, candidate, new_loss, moved, accepted

        def keep_trying(carry):
            return (carry[0] < backtracks) & ~carry[-1]

        start = (jnp.int32(0), flat_theta, loss, jnp.zeros_like(loss), jnp.bool_(False))
        tried, candidate, new_loss, moved, accepted = jax.lax.while_loop(keep_trying, try_step, start)
        flat_theta = jnp.where(accepted, candidate, flat_theta)
        info = {
            **info,
            "loss": loss,
            "grad_norm": optax.global_norm(gradient),
            "divergence": jnp.where(accepted, moved, 0.0),
            "improvement": jnp.where(accepted, loss - new_loss, 0.0),
            "line_search_steps": tried.astype(jnp.float32),
            "accepted": accepted.astype(jnp.float32),
        }
        return unravel(flat_theta), opt_state, info

    return Outer(lambda theta: (), step_fn)


def conjugate_gradient(matvec, b: Array, iterations: int, tolerance: float = 1e-10) -> tuple[Array, Array]:
    """Solve ``H x = b`` for a positive-definite ``H`` given by its product.

    Args:
      matvec: ``v -> H v``, ``[P] -> [P]``.
      b: ``[P]``.
      iterations: at most this many products.
      tolerance: stops when ‖r‖² falls below this.

    Returns:
      ``x`` and the residual ``b − H x``, both ``[P]``.
    """

    def body(carry):
        count, x, residual, search, energy = carry
        product = matvec(search)
        step = energy / jnp.vdot(search, product)
        x, residual = x + step * search, residual - step * product
        new_energy = jnp.vdot(residual, residual)
        return count + 1, x, residual, residual + new_energy / energy * search, new_energy

    start = (jnp.int32(0), jnp.zeros_like(b), b, b, jnp.vdot(b, b))
    unfinished = lambda carry: (carry[0] < iterations) & (carry[-1] > tolerance)  # noqa: E731
    return jax.lax.while_loop(unfinished, body, start)[1:3]
