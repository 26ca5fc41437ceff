"""A grid of inner step sizes and seeds as one compiled program, beside the same runs one after another."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import tyro


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Time a sweep of whole training runs; print a table and write JSON."""

    json: Path | None = None
    """Write the results to this file."""
    task: str = "navigation"
    """Task family."""
    rates: int = 8
    """Inner step sizes, from 0.05 to 2."""
    seeds: int = 8
    """Seeds."""
    iterations: int = 10
    """Meta-iterations of each run."""
    meta_batch: int = 10
    """Tasks in a meta-batch."""
    episodes: int = 10
    """Episodes in each task before and after adaptation."""
    horizon: int = 50
    """Steps in an episode at most."""
    separate: int = 3
    """Runs that are compiled anew, each a program of its own, as separate command lines are; their mean is reported."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Sweep, args=argv)
    counts = {name: value for name, value in dataclasses.asdict(arguments).items() if isinstance(value, int)}
    for name, value in counts.items():
        if value < 1:
            raise SystemExit(f"error: --{name.replace('_', '-')}: got {value}; must be at least 1")

    import jax
    import jax.numpy as jnp
    import measure
    import numpy as np

    import jaxmeta

    tasks = jaxmeta.tasks.make(arguments.task, horizon=arguments.horizon)
    rates = jnp.geomspace(0.05, 2.0, arguments.rates)
    keys = jax.random.split(jax.random.key(0), arguments.seeds)

    def run(key, rate):
        algorithm = jaxmeta.maml(tasks, inner_rate=rate, episodes=arguments.episodes)
        sizes: dict[str, Any] = {"iterations": arguments.iterations, "meta_batch": arguments.meta_batch}
        return jaxmeta.meta_train(key, algorithm, tasks, **sizes)[1]["return_post"]

    result: dict[str, Any] = {
        "machine": measure.machine(),
        "settings": {**dataclasses.asdict(arguments), "json": None},
        "runs": arguments.rates * arguments.seeds,
    }
    print(result["machine"])

    def timed(name: str, work) -> Any:
        started = time.perf_counter()
        value = jax.block_until_ready(work())
        result[name] = time.perf_counter() - started
        return value

    grid = jax.vmap(jax.vmap(run, (None, 0)), (0, None))
    compiled, result["one_program_compile_seconds"] = measure.compiled(grid, keys, rates)
    together = timed("one_program_seconds", lambda: compiled(keys, rates))

    # On a CPU a sequential map inside one program keeps a run's data in cache.
    flat = (jnp.repeat(keys, arguments.rates, axis=0), jnp.tile(rates, arguments.seeds))
    mapped, result["one_program_map_compile_seconds"] = measure.compiled(
        lambda keys, rates: jax.lax.map(lambda each: run(*each), (keys, rates)), *flat
    )
    timed("one_program_map_seconds", lambda: mapped(*flat))

    single, result["reused_program_compile_seconds"] = measure.compiled(run, keys[0], rates[0])
    apart = timed("reused_program_seconds", lambda: [single(key, rate) for key in keys for rate in rates])

    def anew() -> list[Any]:
        runs = []
        for index in range(arguments.separate):
            jax.clear_caches()
            runs.append(jax.block_until_ready(jax.jit(run)(keys[0], rates[index % arguments.rates])))
        return runs

    timed("separate_seconds", anew)
    result["separate_seconds_each"] = result.pop("separate_seconds") / arguments.separate
    difference = np.abs(np.asarray(together).reshape(result["runs"], -1) - np.stack(apart))
    result["largest_difference_first_iteration"] = float(difference[:, 0].max())

    print(
        f"\n{result['runs']} runs of {arguments.iterations} meta-iterations{'compile':>28s}{'run':>10s}{'in all':>10s}"
    )
    separate = result["separate_seconds_each"] * result["runs"]
    for label, name in (
        ("one program, vmap over seeds and rates", "one_program"),
        ("one program, one run after another", "one_program_map"),
        ("one compiled run, called for each", "reused_program"),
    ):
        compile_seconds, seconds = result[f"{name}_compile_seconds"], result[f"{name}_seconds"]
        print(f"{label:50s}{compile_seconds:8.1f} s{seconds:8.1f} s{compile_seconds + seconds:8.1f} s")
    print(f"{'a program for each (from ' + str(arguments.separate) + ' of them)':50s}{'':20s}{separate:8.1f} s")
    measure.write(arguments.json, result)


if __name__ == "__main__":
    main()
