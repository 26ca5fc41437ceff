"""Outer steps by gradient descent: any optax transformation, over epochs and minibatches of a meta-batch."""

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import check_least, check_positive
from jaxmeta.types import Divergence, Outer, PyTree, Theta


def adam(
    steps: int = 1,
    /,
    *,
    rate: float = 3e-3,
    rate_end: float | None = None,
    decay: int = 400,
    epochs: int = 1,
    minibatches: int = 1,
    max_grad_norm: float | None = None,
    eps: float = 1e-8,
) -> Outer:
    """Adam (Kingma and Ba 2015) on the outer objective.

    Args:
      steps: outer steps in a meta-iteration, ≥ 1: the step size falls from one to the next.
      rate: step size at the start, > 0.
      rate_end: step size after ``decay`` meta-iterations, > 0; in between it falls linearly. Constant if not given.
      decay: meta-iterations over which the step size falls, ≥ 1.
      epochs: passes over a meta-batch, ≥ 1; above 1 for objectives that bound the move, as clipped ratios do.
      minibatches: parts of a meta-batch with a step on each, ≥ 1; must divide it.
      max_grad_norm: longer gradients are shortened to this norm, > 0; left as they are if not given.
      eps: added to the root of the second moment, > 0.
    """
    updates = adam_updates(
        steps * epochs * minibatches, rate=rate, rate_end=rate_end, decay=decay, max_grad_norm=max_grad_norm, eps=eps
    )
    return by_optax(updates, epochs, minibatches)


def sgd(
    steps: int = 1,
    /,
    *,
    rate: float = 0.1,
    rate_end: float | None = None,
    decay: int = 400,
    epochs: int = 1,
    minibatches: int = 1,
    max_grad_norm: float | None = None,
) -> Outer:
    """Plain gradient steps on the outer objective.

    Args:
      steps: outer steps in a meta-iteration, ≥ 1: the step size falls from one to the next.
      rate: step size at the start, > 0.
      rate_end: step size after ``decay`` meta-iterations, > 0; in between it falls linearly. Constant if not given.
      decay: meta-iterations over which the step size falls, ≥ 1.
      epochs: passes over a meta-batch, ≥ 1.
      minibatches: parts of a meta-batch with a step on each, ≥ 1; must divide it.
      max_grad_norm: longer gradients are shortened to this norm, > 0; left as they are if not given.
    """
    updates = sgd_updates(
        steps * epochs * minibatches, rate=rate, rate_end=rate_end, decay=decay, max_grad_norm=max_grad_norm
    )
    return by_optax(updates, epochs, minibatches)


def no_step() -> Outer:
    """The slow weights stay as they are."""
    return by_optax(optax.set_to_zero())


def adam_updates(
    updates: int = 1,
    /,
    *,
    rate: float = 1e-3,
    rate_end: float | None = None,
    decay: int = 400,
    max_grad_norm: float | None = None,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015).

    Args:
      updates: steps in a meta-iteration, ≥ 1: the step size falls from one step to the next.
      rate: step size at the start, > 0.
      rate_end: step size after ``decay`` meta-iterations, > 0; in between it falls linearly. Constant if not given.
      decay: meta-iterations over which the step size falls, ≥ 1.
      max_grad_norm: longer gradients are shortened to this norm, > 0; left as they are if not given.
      eps: added to the root of the second moment, > 0.
    """
    check_positive(eps=eps)
    return _shortened(optax.adam(_schedule(rate, rate_end, decay, updates), eps=eps), max_grad_norm)


def sgd_updates(
    updates: int = 1,
    /,
    *,
    rate: float = 0.1,
    rate_end: float | None = None,
    decay: int = 400,
    max_grad_norm: float | None = None,
) -> optax.GradientTransformation:
    """Plain gradient steps.

    Args:
      updates: steps in a meta-iteration, ≥ 1: the step size falls from one step to the next.
      rate: step size at the start, > 0.
      rate_end: step size after ``decay`` meta-iterations, > 0; in between it falls linearly. Constant if not given.
      decay: meta-iterations over which the step size falls, ≥ 1.
      max_grad_norm: longer gradients are shortened to this norm, > 0; left as they are if not given.
    """
    return _shortened(optax.sgd(_schedule(rate, rate_end, decay, updates)), max_grad_norm)


def _schedule(rate: float, rate_end: float | None, decay: int, updates: int) -> optax.ScalarOrSchedule:
    check_positive(rate=rate, rate_end=rate_end)
    check_least(1, decay=decay)
    return rate if rate_end is None else optax.linear_schedule(rate, rate_end, decay * updates)


def _shortened(optimizer: optax.GradientTransformation, norm: float | None) -> optax.GradientTransformation:
    check_positive(max_grad_norm=norm)
    return optimizer if norm is None else optax.chain(optax.clip_by_global_norm(norm), optimizer)


def by_optax(optimizer: optax.GradientTransformation, epochs: int = 1, minibatches: int = 1) -> Outer:
    """``epochs`` passes of an optax optimiser over one batch of lifetimes, with a step on each part of its tasks.

    Args:
      optimizer: any optax transformation.
      epochs: ≥ 1; above 1 the objective must bound the policy's move itself (a clipped ratio).
      minibatches: equal parts that the tasks are cut into, ≥ 1; must divide the meta-batch.

    Raises:
      ValueError: a count below 1.
    """
    check_least(1, epochs=epochs, minibatches=minibatches)

    def update(objective, theta, opt_state):
        (loss, info), gradient = jax.value_and_grad(objective, has_aux=True)(theta)
        updates, opt_state = optimizer.update(gradient, opt_state, theta)
        info = {**info, "loss": loss, "grad_norm": optax.global_norm(gradient)}
        return optax.apply_updates(theta, updates), opt_state, info

    def step_fn(theta: Theta, opt_state: PyTree, objective, divergence: Divergence):
        if epochs == minibatches == 1:
            return update(objective, theta, opt_state)

        def body(carry, index):
            part = objective if minibatches == 1 else lambda theta: objective(theta, (index, minibatches))
            theta, opt_state, info = update(part, *carry)
            return (theta, opt_state), info

        order = jnp.tile(jnp.arange(minibatches), epochs)
        (theta, opt_state), infos = jax.lax.scan(body, (theta, opt_state), order)
        return theta, opt_state, jax.tree.map(lambda x: jnp.mean(x[:minibatches], axis=0), infos)

    return Outer(optimizer.init, step_fn)
