"""Outer optimisers: how the slow weights move, given a differentiable objective and a divergence."""

import jax
import jax.numpy as jnp
import optax

from jaxmeta.types import Divergence, Outer, PyTree, Theta


def by_optax(optimizer: optax.GradientTransformation, epochs: int = 1, minibatches: int = 1) -> Outer:
    """``epochs`` passes of an optax optimiser over one batch of lifetimes, with a step on each part of its tasks.

    Args:
      optimizer: any optax transformation.
      epochs: ≥ 1; above 1 the objective must bound the policy's move itself (a clipped ratio).
      minibatches: equal parts that the tasks are cut into, ≥ 1; must divide the meta-batch.

    Raises:
      ValueError: a count below 1.
    """
    for name, value in (("epochs", epochs), ("minibatches", minibatches)):
        if value < 1:
            raise ValueError(f"{name}: got {value}; must be at least 1")

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
