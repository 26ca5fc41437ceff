"""What benchmarks share: honest timing, counting of matrix-product work, and the machine's own rate."""

from __future__ import annotations

import json
import math
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import jax


def seconds(function: Callable[..., Any], *arguments: Any, repeats: int = 7) -> list[float]:
    """Wall-clock seconds of each of ``repeats`` calls, sorted, after one call that is not counted."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - started)
    return sorted(times)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def matrix_flops(function: Callable[..., Any], *arguments: Any) -> int:
    """Floating-point operations of every matrix product that a call makes; loops of unknown length are refused."""
    return _jaxpr_flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def _jaxpr_flops(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)
            continue
        inner = sum(_jaxpr_flops(sub) for sub in _sub_jaxprs(equation.params))
        if name == "while" and inner:
            raise ValueError("a while loop with matrix products in it: its length is not known")
        total += inner * (equation.params["length"] if name == "scan" else 1)
    return total


def _sub_jaxprs(params: dict[str, Any]) -> list[Any]:
    found = []
    for name, value in params.items():
        # The differentiation rules carried by a call are not run by it.
        if name in ("fwd_jaxpr_thunk", "bwd", "jvp_jaxpr_fun"):
            continue
        for each in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(each, "jaxpr"):
                found.append(each.jaxpr)
            elif hasattr(each, "eqns"):
                found.append(each)
    return found


def matrix_rate(rows: int = 2000, width: int = 100, products: int = 200) -> float:
    """Operations per second of the policy's own hidden layer, ``[rows, width] @ [width, width]``, over and over."""
    weights = jax.random.normal(jax.random.key(0), (width, width)) / math.sqrt(width)
    x = jax.random.normal(jax.random.key(1), (rows, width))
    chain = jax.jit(lambda x, w: jax.lax.fori_loop(0, products, lambda _, x: x @ w, x))
    return products * 2 * rows * width * width / median(seconds(chain, x, weights, repeats=15))


def large_matrix_rate(size: int = 2048) -> float:
    """Operations per second of one large square product."""
    x = jax.random.normal(jax.random.key(0), (size, size))
    return 2 * size**3 / median(seconds(jax.jit(lambda x: x @ x), x, repeats=15))


def compiled(function: Callable[..., Any], *arguments: Any, options: dict[str, Any] | None = None) -> tuple[Any, float]:
    """The compiled program of a function for these arguments, and the seconds that compiling it took."""
    lowered = jax.jit(function).lower(*arguments)
    started = time.perf_counter()
    program = lowered.compile(compiler_options=options)
    return program, time.perf_counter() - started


def profile(program: Callable[..., Any], *arguments: Any, slowest: int = 10) -> dict[str, Any]:
    """What one call keeps the device busy with: kernels, seconds of them, and the names that take longest.

    On a CPU the events of the host's threads are counted instead.
    """
    jax.block_until_ready(program(*arguments))
    with tempfile.TemporaryDirectory() as directory:
        with jax.profiler.trace(directory):
            started = time.perf_counter()
            jax.block_until_ready(program(*arguments))
            wall = time.perf_counter() - started
        planes = list(jax.profiler.ProfileData.from_file(str(next(Path(directory).rglob("*.xplane.pb")))).planes)
        devices = [plane for plane in planes if plane.name.startswith("/device:")]
        times: dict[str, list[float]] = {}
        for plane in devices or [plane for plane in planes if plane.name == "/host:CPU"]:
            for line in plane.lines:
                if not devices or line.name.startswith("Stream"):
                    for event in line.events:
                        times.setdefault(event.name, []).append(event.duration_ns / 1e9)
    order = sorted(times, key=lambda name: -sum(times[name]))
    return {
        "seconds_traced": wall,
        "kernels": sum(len(each) for each in times.values()),
        "busy_seconds": sum(sum(each) for each in times.values()),
        "slowest": [{"name": name, "calls": len(times[name]), "seconds": sum(times[name])} for name in order[:slowest]],
    }


def temporary_bytes(compiled: Any) -> int:
    """Bytes that a compiled program needs beside its arguments and results, by the compiler's own account."""
    return int(compiled.memory_analysis().temp_size_in_bytes)


def tree_bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype"))


def machine() -> dict[str, Any]:
    device = jax.devices()[0]
    return {
        "date": date.today().isoformat(),
        "device": device.device_kind,
        "platform": device.platform,
        "processor": platform.processor() or platform.machine(),
        "cores": len(_affinity()),
        "jax": jax.__version__,
    }


def _affinity() -> set[int]:
    import os

    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def peak_resident_bytes() -> int:
    """The process's largest resident size so far (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write(path: Path | None, result: dict[str, Any], *, announce: bool = True) -> None:
    if path is not None:
        path.write_text(json.dumps(result, indent=1) + "\n")
        if announce:
            print("wrote", path)


def cold_and_cached_compile(make: Callable[[], Any]) -> tuple[float, float]:
    """Seconds to compile what ``make()`` lowers: the first time, and read back from JAX's persistent cache.

    The cache's directory is set once in a process, before anything is compiled: see ``persistent_cache``.
    """
    times = []
    for _ in range(2):
        jax.clear_caches()
        lowered = make()
        started = time.perf_counter()
        lowered.compile()
        times.append(time.perf_counter() - started)
    return times[0], times[1]


def persistent_cache(directory: str) -> None:
    """Keep every compiled program in ``directory``, which should be empty for cold times to be cold."""
    jax.config.update("jax_compilation_cache_dir", directory)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
