"""Two outer optimisers, one after the other, each on its own part of the slow weights."""

import jax.numpy as jnp

from jaxmeta.types import Divergence, Outer, PyTree


def in_turn(name: str, first: Outer, then: Outer) -> Outer:
    """``first`` moves ``theta[name]`` with all else held, and after it ``then`` moves all else.

    Where ``theta[name]`` acts on what the rest infers, what it acted on stays as it was when it acted, for as long as
    it moves. Neither gets the divergence of all of theta in terms of its own part: ``by_optax`` needs none.

    Args:
      name: a part of theta, a dictionary.
      first: moves ``{name: theta[name]}``.
      then: moves the rest; its ``Info`` is what is reported, with the gradients of both in ``grad_norm``.
    """

    def split(theta: dict[str, PyTree]) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
        return {name: theta[name]}, {other: part for other, part in theta.items() if other != name}

    def init_fn(theta: dict[str, PyTree]) -> PyTree:
        part, rest = split(theta)
        return first.init(part), then.init(rest)

    def step_fn(theta: dict[str, PyTree], opt_state: PyTree, objective, divergence: Divergence):
        part, rest = split(theta)
        of_part, of_rest = opt_state
        part, of_part, earlier = first.step(
            part, of_part, lambda moved, *data: objective({**theta, **moved}, *data), divergence
        )
        rest, of_rest, info = then.step(
            rest, of_rest, lambda moved, *data: objective({**part, **moved}, *data), divergence
        )
        grad_norm = jnp.sqrt(jnp.square(earlier["grad_norm"]) + jnp.square(info["grad_norm"]))
        return {**part, **rest}, (of_part, of_rest), {**info, "grad_norm": grad_norm}

    return Outer(init_fn, step_fn)
