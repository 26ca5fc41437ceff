"""The gradient of an inner loss, made to be differentiated again, and linear functions that name their transpose."""

import functools
from collections.abc import Callable

import jax
import jax.core
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxmeta.types import Array, PyTree


def inner_gradient(loss: Callable[..., Array]) -> Callable[..., PyTree]:
    """``∇_w loss(w, *others)``, whose own derivative is taken by mixed modes (MixFlow-MG, arXiv 2505.00793).

    A meta-gradient asks for ``∇²_w loss · v`` and ``∇_others ⟨∇_w loss, v⟩``. ``jax.grad`` would differentiate its
    backward pass in reverse, and keep all that this pass computed. Second derivatives are symmetric, so the first is
    the derivative of ``∇_w loss`` in the direction ``v``, and the second is the gradient of the loss's derivative in
    that direction: the same to rounding, with nothing kept but the arguments.

    Args:
      loss: ``loss(w, *others) -> scalar``; whatever it is differentiated by is an argument of it, not closed over.

    Returns:
      ``gradient(w, *others) -> pytree like w``, differentiable in both modes and as often as ``loss``.
    """

    @jax.custom_jvp
    def gradient(weights: PyTree, *others: PyTree) -> PyTree:
        return jax.grad(loss)(weights, *others)

    def derivative(primals, tangents):
        leaves, tree = jax.tree.flatten(primals)
        directions = tree.flatten_up_to(tangents)
        count = jax.tree.structure(primals[0]).num_leaves
        still = [type(direction) is SymbolicZero for direction in directions]
        moving = [place for place in range(count, len(leaves)) if not still[place]]
        # What the loss closes over, such as settings that are traced, becomes an argument too.
        traced = jax.make_jaxpr(lambda *leaves: loss(*tree.unflatten(leaves)))(*leaves)

        def value(residuals: list[Array], weights: list[Array], others: list[Array]) -> Array:
            whole = [*weights, *residuals[count : len(leaves)]]
            for place, leaf in zip(moving, others, strict=True):
                whole[place] = leaf
            return jax.core.eval_jaxpr(traced.jaxpr, residuals[len(leaves) :], *whole)[0]

        def along(residuals: list[Array], vector: list[Array]) -> list[Array]:
            at = (residuals[:count], [residuals[place] for place in moving])
            slope = jax.grad(functools.partial(value, residuals))
            moved = jax.jvp(slope, at, (vector[:count], vector[count:]))[1]
            return [*moved, *map(jnp.zeros_like, at[1])]

        def transposed(residuals: list[Array], vector: list[Array]) -> list[Array]:
            weights, others = residuals[:count], [residuals[place] for place in moving]
            by_weights = lambda others: lambda weights: value(residuals, weights, others)  # noqa: E731
            directional = lambda others: jax.jvp(by_weights(others), (weights,), (vector[:count],))[1]  # noqa: E731
            twice = jax.jvp(jax.grad(by_weights(others)), (weights,), (vector[:count],))[1]
            return [*twice, *jax.grad(directional)(others)]

        places = (*range(count), *moving)
        vector = [jnp.zeros_like(leaves[place]) if still[place] else directions[place] for place in places]
        moved = linear([*leaves, *traced.consts], vector, along, transposed)
        return gradient(*primals), jax.tree.structure(primals[0]).unflatten(moved[:count])

    gradient.defjvp(derivative, symbolic_zeros=True)
    return gradient


Linear = Callable[[list[Array], list[Array]], list[Array]]
"""``function(residuals, vector)``, linear in the vector; the result has the vector's shapes."""


def linear(residuals: list[Array], vector: list[Array], function: Linear, transposed: Linear) -> list[Array]:
    """``function(residuals, vector)``, which reverse mode transposes by calling ``transposed``.

    Neither may close over what is traced. Unlike ``jax.custom_derivatives.linear_call`` it is batched, and
    differentiated by the residuals as well.
    """
    return _linear.bind(*residuals, *vector, count=len(residuals), function=function, transposed=transposed)


_linear = Primitive("linear")
_linear.multiple_results = True


def _apply(*operands, count, function, transposed):
    return function(list(operands[:count]), list(operands[count:]))


def _differentiate(primals, tangents, *, count, function, transposed):
    apply = functools.partial(_linear.bind, count=count, function=function, transposed=transposed)
    results = apply(*primals)
    moved = [jnp.zeros_like(leaf) for leaf in results]
    if any(type(tangent) is not ad.Zero for tangent in tangents[count:]):
        moved = apply(*primals[:count], *map(ad.instantiate_zeros, tangents[count:]))
    places = [place for place in range(count) if type(tangents[place]) is not ad.Zero]
    if places:

        def by_residuals(*some: Array) -> list[Array]:
            residuals = list(primals[:count])
            for place, leaf in zip(places, some, strict=True):
                residuals[place] = leaf
            return function(residuals, list(primals[count:]))

        at, directions = [[leaves[place] for place in places] for leaves in (primals, tangents)]
        moved = map(jnp.add, moved, jax.jvp(by_residuals, at, directions)[1])
    return results, list(moved)


def _transpose(cotangents, *operands, count, function, transposed):
    vector = map(ad.instantiate_zeros, cotangents)
    swapped = {"count": count, "function": transposed, "transposed": function}
    return [None] * count + _linear.bind(*operands[:count], *vector, **swapped)


def _batch(operands, axes, *, count, function, transposed):
    size = next(leaf.shape[axis] for leaf, axis in zip(operands, axes, strict=True) if axis is not None)
    # The vector, and so the result of both functions, is batched throughout, and in front.
    front = [
        leaf if axis is None and place < count else batching.bdim_at_front(leaf, axis, size)
        for place, (leaf, axis) in enumerate(zip(operands, axes, strict=True))
    ]
    within = [None if axis is None else 0 for axis in axes[:count]]
    each = {name: jax.vmap(one, (within, 0)) for name, one in (("function", function), ("transposed", transposed))}
    results = _linear.bind(*front, count=count, **each)
    return results, [0] * len(results)


_linear.def_impl(_apply)
_linear.def_abstract_eval(lambda *operands, count, **functions: operands[count:])
ad.primitive_jvps[_linear] = _differentiate
ad.primitive_transposes[_linear] = _transpose
batching.primitive_batchers[_linear] = _batch
mlir.register_lowering(_linear, mlir.lower_fun(_apply, multiple_results=True))
