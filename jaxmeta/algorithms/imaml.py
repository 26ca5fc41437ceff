"""iMAML: the meta-gradient by the implicit function theorem (Rajeswaran et al. 2019)."""

import functools

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from jaxmeta.algorithms.maml import maml
from jaxmeta.checks import check_least, check_positive, check_weights
from jaxmeta.learners import Adaptation, FastWeights
from jaxmeta.networks import Policy
from jaxmeta.objectives import score_surrogate
from jaxmeta.outer import conjugate_gradient
from jaxmeta.parts import extends, part
from jaxmeta.types import Array, MetaAlgorithm, PyTree, Surrogate, TaskDistribution, Theta, Trajectory


@extends(maml, without=("adaptation",))
def imaml(
    tasks: TaskDistribution,
    *,
    pull: float = 2.0,
    inner_iterations: int = 1,
    solver_iterations: int = 5,
    damping: float = 2.0,
    inner_loss: Surrogate = part(score_surrogate),
    **settings,
) -> MetaAlgorithm:
    """``φ* = argmin_w L(w) + λ/2 ‖w − θ‖²``, whose derivative is ``(I + ∇²L(φ*)/λ)⁻¹`` (their equation 6), damped.

    The minimum is a local one, near θ, and it is there only if the pull outweighs the curvature of L along the way.
    No path through the inner iterations is kept, however many there are. The inverse is applied by conjugate gradient.
    It is the derivative of the solution, not of the iterations, and does not see where these stop short of it or go
    past it: with three of them, four seeds of five on navigation adapted worse and worse after 20 meta-iterations. The
    default of one, a plain gradient step, was stable. The state of ``inner_optimizer`` is not kept from one inner
    iteration to the next: momentum has no effect.

    Args:
      pull: λ > 0, strength of the pull towards θ. The inner loss is that of one batch, which says little far from the
        policy that acted: with a weak pull the iterations go there.
      inner_iterations: steps of the inner optimiser on each batch, ≥ 1; with ``inner_rate`` below ``1 / pull``.
      solver_iterations: conjugate-gradient iterations, ≥ 1.
      damping: d ≥ 0, divides the curvature: ``(I + ∇²L / (1 + d) λ)⁻¹``. At 0 the derivative is exact, but one batch's
        curvature is noisy and need not be positive; a large d gives the first-order gradient.
      inner_loss: surrogate that adaptation descends. With standardised advantages the score function has a local
        minimum near θ unless the pull is too weak; no minimum is promised farther away, where log-probabilities of
        actions with a negative advantage fall without bound. A likelihood ratio has hardly any, as it grows without
        bound.
    """
    check_positive(pull=pull)
    check_weights(damping=damping)
    check_least(1, inner_iterations=inner_iterations, solver_iterations=solver_iterations)
    iterations = {"inner_iterations": inner_iterations, "solver_iterations": solver_iterations}
    adaptation = functools.partial(proximal, pull=pull, damping=damping, **iterations)
    return maml(tasks, adaptation=adaptation, inner_loss=inner_loss, **settings)


def proximal(
    policy: Policy,
    inner_loss: Surrogate,
    inner_optimizer: optax.GradientTransformation,
    pull: float,
    inner_iterations: int,
    solver_iterations: int,
    damping: float = 0.0,
) -> Adaptation:
    """Each batch's regularised problem, solved from where the last one ended, and differentiated implicitly.

    The derivative is that of the solution, which does not depend on where the iterations start.
    """

    def begin_fn(theta: Theta) -> FastWeights:
        return FastWeights(theta, inner_optimizer.init(theta))

    def gradient(weights: PyTree, trajectory: Trajectory) -> PyTree:
        def loss(weights: PyTree) -> Array:
            return inner_loss(policy.apply(weights, trajectory.obs).log_prob(trajectory.action), trajectory)

        return jax.grad(loss)(weights)

    # All that the solution depends on is an argument: a custom derivative must not close over what is differentiated.
    @jax.custom_jvp
    def solution(theta: Theta, phi: FastWeights, trajectory: Trajectory) -> PyTree:
        def iterate(weights, _):
            pulled_back = lambda g, w, slow: g + pull * (w - slow)  # noqa: E731
            pulled = jax.tree.map(pulled_back, gradient(weights, trajectory), weights, theta)
            # A schedule counts adaptation steps, not the iterations inside one: its state stays.
            updates, _ = inner_optimizer.update(pulled, phi.inner_state, weights)
            return optax.apply_updates(weights, updates), None

        return jax.lax.scan(iterate, phi.params, length=inner_iterations)[0]

    def solution_jvp(primals, tangents):
        weights, trajectory = solution(*primals), primals[2]
        right, unravel = ravel_pytree(tangents[0])

        def matvec(vector: Array) -> Array:
            product = jax.jvp(lambda w: gradient(w, trajectory), (weights,), (unravel(vector),))[1]
            return ravel_pytree(product)[0] / (pull * (1.0 + damping)) + vector

        # Symmetric, so that the same solver serves reverse mode, where the equation is transposed.
        solve = lambda product, b: conjugate_gradient(product, b, solver_iterations)[0]  # noqa: E731
        return weights, unravel(jax.lax.custom_linear_solve(matvec, right, solve, symmetric=True))

    solution.defjvp(solution_jvp)

    def absorb_fn(theta: Theta, phi: FastWeights, trajectory: Trajectory) -> FastWeights:
        phi = jax.lax.stop_gradient(phi)
        _, inner_state = inner_optimizer.update(jax.tree.map(jnp.zeros_like, phi.params), phi.inner_state, phi.params)
        return FastWeights(solution(theta, phi, trajectory), inner_state)

    return Adaptation(policy.init, begin_fn, lambda theta, phi, obs: policy.apply(phi.params, obs), absorb_fn)
