"""Whether a program can fit into memory, from its arrays' shapes: said before it is compiled, in one line."""

import math
import os
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import jaxprs_in_params


def check_memory(program: Any) -> None:
    """Refuse a traced program that has an array larger than all memory there is: a ``ValueError`` of one line.

    Args:
      program: a ``ClosedJaxpr``, as ``jax.make_jaxpr(function)(...)`` or ``jax.jit(function).trace(...).jaxpr`` gives.
    """
    memory = memory_there()
    if memory is None:
        return
    size, shape = max(((_bytes(one), one.shape) for one in _arrays(program.jaxpr)), default=(0, ()))
    if size > memory:
        raise ValueError(
            f"out of memory: the program would have an array of shape {list(shape)}, {size / 1e9:,.0f} GB, and there "
            f"are {memory / 1e9:,.0f} GB; take fewer seeds, tasks, episodes or units"
        )


def memory_there() -> int | None:
    """Bytes of memory of all devices, or of the machine where they are CPUs; ``None`` where nobody says."""
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        limits = [(one.memory_stats() or {}).get("bytes_limit", 0) for one in devices]
        return sum(limits) if all(limits) else None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _arrays(jaxpr: Any) -> Iterator[Any]:
    """The types of all arrays in a program and in those inside it."""
    seen, left = set(), [jaxpr]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield from (variable.aval for variable in one.invars)
        for equation in one.eqns:
            yield from (variable.aval for variable in equation.outvars)
            left += jaxprs_in_params(equation.params)


def _bytes(aval: Any) -> int:
    shape, dtype = getattr(aval, "shape", ()), getattr(aval, "dtype", None)
    if not all(isinstance(size, int) for size in shape):
        return 0
    return math.prod(shape) * (getattr(dtype, "itemsize", None) or 0)
