"""The gradient of an inner loss, made to be differentiated again, and linear functions that name their transpose."""

import functools
import os
from collections.abc import Callable

import jax
import jax.core
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Jaxpr, Primitive, jaxprs_in_params
from jax.interpreters import ad, batching, mlir

from jaxmeta.types import Array, PyTree


def inner_gradient(loss: Callable[..., Array]) -> Callable[..., PyTree]:
    """``∇_w loss(w, *others)``, whose own derivative is taken by mixed modes (MixFlow-MG, arXiv 2505.00793).

    A meta-gradient asks for ``∇²_w loss · v`` and ``∇_others ⟨∇_w loss, v⟩``. ``jax.grad`` would differentiate its
    backward pass in reverse, and keep all that this pass computed. Second derivatives are symmetric, so the first is
    the derivative of ``∇_w loss`` in the direction ``v``, and the second is the gradient of the loss's derivative in
    that direction: the same to rounding, with nothing kept but the arguments.

    Where the loss has derivatives of its own, such as a clipped gradient, they need not be: ``jax.grad`` takes it.

    Args:
      loss: ``loss(w, *others) -> scalar``.

    Returns:
      ``gradient(w, *others) -> pytree like w``, differentiable in both modes and as often as ``loss``.
    """

    def gradient(weights: PyTree, *others: PyTree) -> PyTree:
        leaves, tree = jax.tree.flatten((weights, *others))
        traced = jax.make_jaxpr(lambda *leaves: loss(*tree.unflatten(leaves)))(*leaves)
        # jax.grad also refuses a loss that is not one number, in its own words.
        if len(traced.jaxpr.outvars) != 1 or _has_own_derivatives(traced.jaxpr):
            return jax.grad(loss)(weights, *others)
        fast = jax.tree.structure(weights)
        count, inputs = fast.num_leaves, len(leaves)

        def value(weights: list[Array], others: list[Array]) -> Array:
            # What the loss closes over is an argument too.
            (result,) = jax.core.eval_jaxpr(traced.jaxpr, others[inputs - count :], *weights, *others[: inputs - count])
            return result

        return fast.unflatten(_mixed(value)(leaves[:count], [*leaves[count:], *traced.consts]))

    return gradient


def _has_own_derivatives(jaxpr: Jaxpr) -> bool:
    """Whether a program has rules of differentiation that neither JAX nor this package wrote."""
    for equation in jaxpr.eqns:
        if equation.primitive.name.startswith("custom_vjp_call"):
            return True
        if equation.primitive.name == "custom_jvp_call":
            source = equation.params["call_jaxpr"].jaxpr.debug_info.func_src_info or ""
            if not any(f" at {folder}{os.sep}" in source for folder in _TRUSTED):
                return True
        if any(map(_has_own_derivatives, jaxprs_in_params(equation.params))):
            return True
    return False


_TRUSTED = tuple(os.path.dirname(file) for file in (jax.__file__, __file__))
"""Folders of the code whose rules of differentiation are those of analysis."""


def _mixed(value: Callable[[list[Array], list[Array]], Array]) -> Callable[[list[Array], list[Array]], list[Array]]:
    """``∇_w value(w, others)`` with the derivative of ``inner_gradient``; ``value`` closes over nothing traced."""

    @jax.custom_jvp
    def gradient(weights: list[Array], others: list[Array]) -> list[Array]:
        return jax.grad(value)(weights, others)

    def derivative(primals, tangents):
        (weights, others), (first, second) = primals, tangents
        count = len(weights)
        moving = [place for place, direction in enumerate(second) if type(direction) is not SymbolicZero]

        def along(residuals: list[Array], vector: list[Array]) -> list[Array]:
            at, slope = _split(residuals, count, moving, value)
            moved = jax.jvp(jax.grad(slope), at, (vector[:count], vector[count:]))[1]
            return [*moved, *map(jnp.zeros_like, at[1])]

        def transposed(residuals: list[Array], vector: list[Array]) -> list[Array]:
            (weights, others), slope = _split(residuals, count, moving, value)
            by_weights = lambda others: lambda weights: slope(weights, others)  # noqa: E731
            directional = lambda others: jax.jvp(by_weights(others), (weights,), (vector[:count],))[1]  # noqa: E731
            twice = jax.jvp(jax.grad(by_weights(others)), (weights,), (vector[:count],))[1]
            return [*twice, *jax.grad(directional)(others)]

        start = [jnp.zeros_like(x) if type(v) is SymbolicZero else v for x, v in zip(weights, first, strict=True)]
        vector = [*start, *(second[place] for place in moving)]
        return gradient(weights, others), linear([*weights, *others], vector, along, transposed)[:count]

    gradient.defjvp(derivative, symbolic_zeros=True)
    return gradient


def _split(residuals, count, moving, value):
    """Weights and those of the others that move, and ``value`` as a function of them."""

    def moved(weights: list[Array], some: list[Array]) -> Array:
        others = residuals[count:]
        for place, leaf in zip(moving, some, strict=True):
            others[place] = leaf
        return value(weights, others)

    return (residuals[:count], [residuals[count + place] for place in moving]), moved


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


def _batch(axis_data, operands, axes, *, count, function, transposed):
    # The vector, and so the result of both functions, is batched throughout, and in front.
    front = [
        leaf
        if axis is None and place < count
        else batching.bdim_at_front(leaf, axis, axis_data.size, axis_data.explicit_mesh_axis)
        for place, (leaf, axis) in enumerate(zip(operands, axes, strict=True))
    ]
    within = [None if axis is None else 0 for axis in axes[:count]]
    batched = functools.partial(
        jax.vmap, in_axes=(within, 0), axis_name=axis_data.name, spmd_axis_name=axis_data.spmd_name
    )
    each = {name: batched(one) for name, one in (("function", function), ("transposed", transposed))}
    results = _linear.bind(*front, count=count, **each)
    return results, [0] * len(results)


_linear.def_impl(_apply)
_linear.def_abstract_eval(lambda *operands, count, **functions: operands[count:])
ad.primitive_jvps[_linear] = _differentiate
ad.primitive_transposes[_linear] = _transpose
batching.fancy_primitive_batchers[_linear] = _batch
mlir.register_lowering(_linear, mlir.lower_fun(_apply, multiple_results=True))
