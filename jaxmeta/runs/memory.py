"""What a program takes of memory, before it runs: from its arrays' shapes, and from the compiler's own analysis."""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

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


class Needs(NamedTuple):
    """Bytes that a compiled program takes on each of its devices while training repeats it.

    Attributes:
      state: the state of all seeds, which it takes and returns in the same place.
      copy: of the state, to be saved while the next chunk runs.
      results: what it returns beside the state.
      temporaries: all intermediate values that are there at the same time.
      code: instructions and constants.
    """

    state: int
    copy: int
    results: int
    temporaries: int
    code: int

    @property
    def total(self) -> int:
        return sum(self)


def needs(compiled: jax.stages.Compiled) -> Needs:
    """What a compiled program of training takes; nothing is run."""
    found: Any = compiled.memory_analysis()
    state = found.argument_size_in_bytes
    results = found.output_size_in_bytes - found.alias_size_in_bytes
    return Needs(state, state, results, found.temp_size_in_bytes, found.generated_code_size_in_bytes)


def memory_of_each(devices: int) -> int | None:
    """Bytes of memory for each of so many devices; those CPUs of them that are this process's share the machine's."""
    memory, local = memory_there(), jax.local_device_count()
    if memory is None:
        return None
    return memory // (min(devices, local) if jax.default_backend() == "cpu" else local)


def fitting_chunk(needs: Needs, memory: int | None, chunk: int, count: int) -> int:
    """Of ``count`` things, of which ``chunk`` > 1 at a time do not fit, how many at a time should, in equal rounds.

    Temporaries are taken to grow with the chunk; a tenth of the memory that is left for them is kept free.
    """
    left = 0.9 * max(0, (memory or 0) - needs.total + needs.temporaries)
    chunk = max(1, min(chunk - 1, int(left / max(1, needs.temporaries) * chunk)))
    return math.ceil(count / math.ceil(count / chunk))


def in_bytes(size: float) -> str:
    """A number of bytes in words, such as ``"12.3 MB"``."""
    unit, name = next((one for one in ((1e9, "GB"), (1e6, "MB")) if size >= one[0]), (1e3, "kB"))
    number = size / unit
    return f"{number:,.{0 if number >= 100 or not size else 1 if number >= 10 else 2}f} {name}"


LESS = "take fewer seeds or a smaller --seed-chunk, --task-chunk or --segment; jaxmeta plan says what training takes"
EXHAUSTED = re.compile(r"(?:allocat\w*|request for) ([\d.]+) ?([KMGT]?)i?(?:B|bytes)")
"""How XLA says how much more it asked for than there was, on any device."""


def exhausted(error: Exception) -> str:
    """One line for an error by which XLA or numpy says that memory is used up."""
    asked, memory = EXHAUSTED.search(str(error)), memory_there()
    size = float(asked[1]) * 1024 ** " KMGT".index(asked[2] or " ") if asked else None
    wanted = f"{in_bytes(size)} more were asked for" if size else str(error) or type(error).__name__
    there = f", and there are {in_bytes(memory)} in all" if memory else ""
    return f"out of memory: {wanted}{there}; {LESS}"


LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much memory a container may use; beyond it, processes are killed."""


def memory_there() -> int | None:
    """Bytes of memory of all devices, or of the machine or container where they are CPUs; ``None`` if nobody says."""
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        limits = [(one.memory_stats() or {}).get("bytes_limit", 0) for one in devices]
        return sum(limits) if all(limits) else None
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return min([machine, *(int(path.read_text()) for path in LIMITS if _is_number(path))])


def _is_number(path: Path) -> bool:
    try:
        return path.read_text().strip().isdecimal()
    except OSError:
        return False


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
