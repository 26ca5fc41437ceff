"""Outer steps by gradient descent: any optax transformation, over epochs and minibatches of a meta-batch."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import check_least, check_positive
from jaxmeta.parts import extends
from jaxmeta.types import Divergence, Outer, PyTree, Theta


def _descent(
    rule: Callable[..., optax.GradientTransformation],
    updates: int,
    /,
    *,
    rate: float = 0.1,
    rate_end: float | None = None,
    decay: int = 400,
    max_grad_norm: float | None = None,
) -> optax.GradientTransformation:
    """``rule(step size)`` with a falling step size, on gradients of bounded length.

    Args:
      rule: an optax optimiser.
      updates: steps in a meta-iteration, ≥ 1; the step size falls from one step to the next.
      rate: step size at the start, > 0.
      rate_end: step size after ``decay`` meta-iterations, > 0; in between it falls linearly. By default it is constant.
      decay: meta-iterations over which the step size falls, ≥ 1.
      max_grad_norm: gradients with a larger norm are scaled down to it, > 0; by default none are.
    """
    check_positive(rate=rate, rate_end=rate_end, max_grad_norm=max_grad_norm)
    check_least(1, decay=decay)
    optimizer = rule(rate if rate_end is None else optax.linear_schedule(rate, rate_end, decay * updates))
    return optimizer if max_grad_norm is None else optax.chain(optax.clip_by_global_norm(max_grad_norm), optimizer)


@extends(_descent)
def sgd_updates(updates: int = 1, /, **settings) -> optax.GradientTransformation:
    """Plain gradient steps, ``updates`` in each meta-iteration."""
    return _descent(optax.sgd, updates, **settings)


@extends(_descent)
def adam_updates(
    updates: int = 1, /, *, rate: float = 1e-3, eps: float = 1e-8, **settings
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015), ``updates`` steps in each meta-iteration.

    Args:
      eps: added to the root of the second moment, > 0.
    """
    check_positive(eps=eps)
    return _descent(functools.partial(optax.adam, eps=eps), updates, rate=rate, **settings)


@extends(sgd_updates)
def sgd(steps: int = 1, /, *, epochs: int = 1, minibatches: int = 1, **settings) -> Outer:
    """Plain gradient descent on the outer objective; ``steps`` counts the outer steps in a meta-iteration.

    Args:
      epochs: passes over a meta-batch, ≥ 1; above 1 for objectives that bound the policy's move, as clipped ratios do.
      minibatches: equal parts of a meta-batch's tasks, with a step on each, ≥ 1; must divide the number of tasks.
    """
    return by_optax(sgd_updates(steps * epochs * minibatches, **settings), epochs, minibatches)


@extends(adam_updates)
def adam(steps: int = 1, /, *, rate: float = 3e-3, epochs: int = 1, minibatches: int = 1, **settings) -> Outer:
    """Adam (Kingma and Ba 2015) on the outer objective; ``steps`` counts the outer steps in a meta-iteration.

    Args:
      epochs: passes over a meta-batch, ≥ 1; above 1 for objectives that bound the policy's move, as clipped ratios do.
      minibatches: equal parts of a meta-batch's tasks, with a step on each, ≥ 1; must divide the number of tasks.
    """
    return by_optax(adam_updates(steps * epochs * minibatches, rate=rate, **settings), epochs, minibatches)


def no_step() -> Outer:
    """The slow weights stay as they are."""
    return by_optax(optax.set_to_zero())


def by_optax(optimizer: optax.GradientTransformation, epochs: int = 1, minibatches: int = 1) -> Outer:
    """``epochs`` passes of an optax optimiser over one batch of lifetimes, with a step on each part of its tasks.

    Args:
      optimizer: any optax transformation.
      epochs: ≥ 1; above 1 the objective must bound the policy's move itself (a clipped ratio).
      minibatches: equal parts that the tasks are cut into, ≥ 1; must divide the meta-batch.
    """
    check_least(1, epochs=epochs, minibatches=minibatches)
    optimizer = optax.with_extra_args_support(optimizer)

    def update(objective, theta, opt_state):
        (loss, info), gradient = jax.value_and_grad(objective, has_aux=True)(theta)
        # What some optimisers ask for as well, such as those with a line search.
        more = {"value": loss, "grad": gradient, "value_fn": lambda theta: objective(theta)[0]}
        updates, opt_state = optimizer.update(gradient, opt_state, theta, **more)
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


def in_turn(name: str, first: Outer, then: Outer) -> Outer:
    """``first`` moves ``theta[name]`` with all else held fixed, and after it ``then`` moves all else.

    Where a policy ``theta[name]`` acts on what the rest of theta infers, its inputs stay what they were in collection
    for as long as it moves. Neither optimiser gets a divergence of its own part: ``by_optax`` needs none.

    Args:
      name: a part of theta, a dictionary.
      first: moves ``{name: theta[name]}``.
      then: moves the rest; its ``Info`` is reported, but for ``grad_norm``, which is over both gradients.
    """

    def split(theta: dict[str, PyTree]) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
        return {name: theta[name]}, {other: part for other, part in theta.items() if other != name}

    def init_fn(theta: dict[str, PyTree]) -> PyTree:
        part, rest = split(theta)
        return first.init(part), then.init(rest)

    def step_fn(theta: dict[str, PyTree], opt_state: PyTree, objective, divergence: Divergence):
        part, rest = split(theta)
        of_part = lambda moved, *data: objective({**theta, **moved}, *data)  # noqa: E731
        part, part_state, earlier = first.step(part, opt_state[0], of_part, divergence)
        of_rest = lambda moved, *data: objective({**part, **moved}, *data)  # noqa: E731
        rest, rest_state, info = then.step(rest, opt_state[1], of_rest, divergence)
        grad_norm = jnp.sqrt(jnp.square(earlier["grad_norm"]) + jnp.square(info["grad_norm"]))
        return {**part, **rest}, (part_state, rest_state), {**info, "grad_norm": grad_norm}

    return Outer(init_fn, step_fn)
