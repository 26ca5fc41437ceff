"""Speed of RL² as a fraction of the machine's matrix-product rate, and its memory by length of a lifetime."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tyro


@dataclasses.dataclass(frozen=True)
class Recurrent:
    """Time whole compiled meta-steps of RL² on five-armed bandits; print tables and write JSON."""

    json: Path | None = None
    """Write the results to this file."""
    cells: tuple[str, ...] = ("gru", "lstm", "linear", "transformer")
    """Recurrent layers, by name, timed at the first of the sizes; the first cell is timed at all of them."""
    sizes: tuple[int, ...] = (256, 1024)
    """Features of the recurrent layer."""
    lifetimes: int = 256
    """Tasks in a meta-batch, a lifetime in each."""
    steps: int = 100
    """Steps of a lifetime."""
    lengths: tuple[int, ...] = (100, 400, 1600)
    """Lifetimes of the second table: memory of the gradient, whole and in segments."""
    segment: int = 100
    """Steps of a segment; must divide each of the lengths."""
    repeats: int = 3
    """Timed calls of each; the median is reported."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Recurrent, args=argv)
    counts = {name: value for name, value in dataclasses.asdict(arguments).items() if name not in ("json", "cells")}
    for name, value in counts.items():
        if min(value if isinstance(value, tuple) else (value,)) < 1:
            raise SystemExit(f"error: --{name}: got {value}; must be at least 1")
    for length in arguments.lengths:
        if length % arguments.segment:
            raise SystemExit(f"error: --segment: got {arguments.segment}; must divide the lifetime's {length} steps")

    import measure

    result: dict[str, Any] = {"machine": measure.machine(), "settings": {**dataclasses.asdict(arguments), "json": None}}
    print(result["machine"])
    result["steps"] = list(_steps(arguments))
    result["memory"] = list(_memory(arguments))
    measure.write(arguments.json, result)


def _algorithm(steps: int, cell: str, size: int, **settings: Any):
    import optax

    import jaxmeta

    tasks = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("bernoulli-bandit", horizon=steps), 1)
    policy = jaxmeta.networks.recurrent_policy_for(tasks.env, tasks.horizon, cell=cell, size=size)
    return tasks, jaxmeta.rl2(tasks, policy=policy, outer=jaxmeta.outer.by_optax(optax.adam(1e-3)), **settings)


def _steps(arguments: Recurrent):
    """A row a cell and size: acting alone, and a meta-step with one pass over the data."""
    import jax
    import measure

    import jaxmeta

    print(f"\n{arguments.lifetimes} lifetimes of {arguments.steps} steps, one epoch, one minibatch")
    heads = f"{'compile':>10s}{'k steps/s':>11s}{'acting':>9s}{'GFLOP/s':>9s}{'of its products':>17s}{'MB':>7s}"
    print(f"{'cell':12s}{'size':>6s}{heads}")
    first, *others = arguments.cells
    grid = [(first, size) for size in arguments.sizes] + [(cell, arguments.sizes[0]) for cell in others]
    for cell, size in grid:
        tasks, algorithm = _algorithm(arguments.steps, cell=cell, size=size, task_chunk=arguments.lifetimes)
        batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, arguments.lifetimes)
        state = algorithm.init(jax.random.key(0))
        inputs = (jax.random.key(3), state, batch)
        program, compile_seconds = measure.compiled(algorithm.step, *inputs)
        times = measure.seconds(program, *inputs, repeats=arguments.repeats)
        keys = jax.random.split(jax.random.key(3), arguments.lifetimes)
        acting = measure.seconds(
            jax.jit(jax.vmap(algorithm.adapt, (0, None, 0))), keys, state.theta, batch, repeats=arguments.repeats
        )
        # The recurrent product itself: as many rows as lifetimes, as wide as the memory.
        rate = measure.matrix_rate(arguments.lifetimes, size)
        achieved = measure.matrix_flops(algorithm.step, *inputs) / measure.median(times)
        count = arguments.lifetimes * arguments.steps
        row = {
            "cell": cell,
            "size": size,
            "compile_seconds": compile_seconds,
            "seconds": times,
            "acting_seconds": acting,
            "env_steps_per_second": count / measure.median(times),
            "acting_env_steps_per_second": count / measure.median(acting),
            "matrix_flops_per_second": achieved,
            "recurrent_product_flops_per_second": rate,
            "fraction_of_matrix_product": achieved / rate,
            "temporary_bytes": measure.temporary_bytes(program),
        }
        yield row
        print(
            f"{cell:12s}{size:6d}{compile_seconds:8.1f} s{row['env_steps_per_second'] / 1e3:11.1f}"
            f"{row['acting_env_steps_per_second'] / 1e3:9.1f}{achieved / 1e9:9.1f}{achieved / rate:17.0%}"
            f"{row['temporary_bytes'] / 1e6:7.0f}",
            flush=True,
        )


def _memory(arguments: Recurrent):
    """A row a length: temporary memory of the meta-step, differentiated whole and in segments."""
    import jax
    import measure

    import jaxmeta

    size, count = arguments.sizes[0], 16
    print(f"\nmemory of a meta-step, {count} lifetimes, {arguments.cells[0]} of {size}")
    print(f"{'steps':>8s}{'whole':>11s}{f'segments of {arguments.segment}':>18s}")
    for length in arguments.lengths:
        row: dict[str, Any] = {"steps": length}
        for name, segment in (("whole_bytes", None), ("segments_bytes", arguments.segment)):
            tasks, algorithm = _algorithm(length, cell=arguments.cells[0], size=size, segment=segment, task_chunk=count)
            batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, count)
            program, _ = measure.compiled(algorithm.step, jax.random.key(3), algorithm.init(jax.random.key(0)), batch)
            row[name] = measure.temporary_bytes(program)
        yield row
        print(f"{length:8d}{row['whole_bytes'] / 1e6:8.0f} MB{row['segments_bytes'] / 1e6:15.0f} MB", flush=True)


if __name__ == "__main__":
    main()
