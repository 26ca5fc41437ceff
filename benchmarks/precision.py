"""What the precision of matrix products costs in exactness of a meta-gradient, beside double precision and sampling.

A CPU computes in float32 alone. The factors of every matrix product are therefore rounded as TF32 or bfloat16 would
round them, in derivatives too; products and sums are those of float32. TF32 itself, on an H200: ``accelerator.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

BITS = {"float32": None, "tf32": 10, "bfloat16": 7}
"""Bits of the fraction that are kept of a product's factors; ``None``: all."""


@dataclasses.dataclass(frozen=True)
class Precision:
    """MAML's meta-gradient on stored lifetimes of navigation, by precision; print rows and write JSON."""

    json: Path | None = None
    """Write the rows to this file."""
    tasks: int = 40
    """Tasks in the meta-batch, ≥ 2."""
    episodes: int = 20
    """Episodes in each, before adaptation and after it."""
    steps: tuple[int, ...] = (1, 3)
    """Adaptation steps."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Precision, args=argv)
    if min(arguments.tasks - 1, arguments.episodes, *arguments.steps) < 1:
        raise SystemExit("error: tasks must be at least 2, episodes and steps at least 1")

    import measure

    result = {"machine": measure.machine(), "settings": {**dataclasses.asdict(arguments), "json": None}, "rows": []}
    for steps in arguments.steps:
        for row in _rows(arguments, steps):
            print(row, flush=True)
            result["rows"].append(row)
    measure.write(arguments.json, result)


def _rows(arguments: Precision, steps: int) -> Iterator[dict[str, Any]]:
    """The error of each precision, and the standard error of sampling tasks and episodes, of the gradient's norm."""
    import jax
    import numpy as np

    import jaxmeta
    from jaxmeta.references import in_float64

    tasks = jaxmeta.tasks.make("navigation")
    maml = jaxmeta.maml(tasks, episodes=arguments.episodes, adaptation_steps=steps)
    objective = jaxmeta.objectives.post_adaptation(maml.learner, jaxmeta.objectives.likelihood_ratio)
    theta = jax.jit(maml.init)(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, arguments.tasks)
    keys = jax.random.split(jax.random.key(2), arguments.tasks)
    lifetimes = jax.jit(jax.vmap(maml.adapt, (0, None, 0)))(keys, theta, batch)[1]

    def gradients(theta: Any, lifetimes: Any) -> Any:
        one = jax.grad(lambda theta, lifetime: objective(theta, lifetime)[0])
        return jax.lax.map(lambda lifetime: one(theta, lifetime), lifetimes)

    def flat(tree: Any) -> np.ndarray:
        leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
        return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)

    exact = flat(in_float64(gradients, theta, lifetimes))
    norm = np.linalg.norm(exact.mean(axis=0))
    sampling = float(np.sqrt(np.sum(exact.var(axis=0, ddof=1)) / len(exact)) / norm)
    for precision, bits in BITS.items():
        with rounded_factors(bits):
            found = flat(jax.jit(lambda *inputs: gradients(*inputs))(theta, lifetimes))
        error = float(np.linalg.norm((found - exact).mean(axis=0)) / norm)
        yield {"adaptation_steps": steps, "precision": precision, "relative_error": error, "sampling": sampling}


@contextlib.contextmanager
def rounded_factors(bits: int | None) -> Iterator[None]:
    """Inside the ``with`` block programs are compiled with factors of so many bits in all products of float32."""
    import jax
    import jax.numpy as jnp
    from jax._src.interpreters import mlir
    from jax._src.lax import lax
    from jax._src.lib.mlir.dialects import hlo

    before = mlir._platform_specific_lowerings["cpu"][lax.dot_general_p].rule

    def lowering(context: Any, *factors: Any, **settings: Any) -> Any:
        single = all(aval.dtype == jnp.float32 for aval in context.avals_in)
        if bits is not None and single:
            return before(context, *(hlo.reduce_precision(each, 8, bits) for each in factors), **settings)
        return before(context, *factors, **settings)

    mlir.register_lowering(lax.dot_general_p, lowering, platform="cpu")
    jax.clear_caches()
    try:
        yield
    finally:
        mlir.register_lowering(lax.dot_general_p, before, platform="cpu")
        jax.clear_caches()


if __name__ == "__main__":
    main()
