"""Precision of matrix products: a setting of a run, for all that its method computes."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from jaxmeta.types import Learner, MetaAlgorithm

PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "BF16_BF16_F32"}
"""What JAX calls them. Its own ``"bfloat16"`` allows a device's fastest products, which are TF32 on a GPU."""


def with_precision(algorithm: MetaAlgorithm, precision: str) -> MetaAlgorithm:
    """The algorithm, its matrix products at a precision named in ``PRECISIONS`` wherever it is traced.

    Parameters, gradients and the optimiser's state stay in float32. A device that has no such products takes better
    ones: a CPU has float32 alone.
    """

    def at_precision(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            with jax.default_matmul_precision(PRECISIONS[precision]):
                return function(*arguments, **named)

        return call

    def of_learner(learner: Learner) -> Learner:
        return Learner(*map(at_precision, learner))

    return MetaAlgorithm(
        at_precision(algorithm.init),
        at_precision(algorithm.step),
        at_precision(algorithm.adapt),
        of_learner(algorithm.learner),
        of_learner(algorithm.greedy),
        at_precision(algorithm.estimator),
        None if algorithm.gate is None else at_precision(algorithm.gate),
    )
