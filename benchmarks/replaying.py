"""Time of a whole meta-step of the algorithms that keep a replay buffer, each with the defaults of its builder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tyro

METHODS = {
    "pearl": ("pendulum", 0),
    "mb_mpo": ("pendulum", 0),
    "model_maml": ("pendulum", 0),
    "grbal": ("pendulum", 1),
    "rebal": ("pendulum", 1),
    "maml_q": ("cartpole", 0),
    "r2d2": ("cartpole", 1),
    "mql": ("cartpole", 1),
}
"""Each with a family, and the episodes of a lifetime if it takes such."""


@dataclasses.dataclass(frozen=True)
class Replaying:
    """Time whole compiled meta-steps, with all their updates; print a table and write JSON."""

    json: Path | None = None
    """Write the results to this file."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Methods, by the names of their builders."""
    horizon: int = 200
    """Steps of an episode."""
    tasks: int = 10
    """Tasks in a meta-batch."""
    repeats: int = 3
    """Timed meta-steps of each, after a first one that fills the buffer; the median is reported."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Replaying, args=argv)
    if min(arguments.horizon, arguments.tasks, arguments.repeats) < 1:
        raise SystemExit("error: every count must be at least 1")
    for name in arguments.methods:
        if name not in METHODS:
            raise SystemExit(f"error: unknown method {name!r}. Known: {', '.join(METHODS)}")

    import measure

    settings = {**dataclasses.asdict(arguments), "json": None}
    result: dict[str, Any] = {"machine": measure.machine(), "settings": settings}
    print(result["machine"])
    result["methods"] = list(_methods(arguments))
    measure.write(arguments.json, result)


def _methods(arguments: Replaying):
    """A row a method."""
    import jax
    import measure

    import jaxmeta

    print(f"\nwhole meta-step, {arguments.tasks} tasks, episodes of {arguments.horizon} steps")
    heads = f"{'method':12s}{'family':>10s}{'compile':>10s}{'s/iteration':>13s}"
    print(heads + f"{'real steps':>12s}{'steps/s':>10s}{'MB':>7s}")
    for name in arguments.methods:
        family, episodes = METHODS[name]
        tasks = jaxmeta.tasks.make(family, horizon=arguments.horizon)
        tasks = jaxmeta.tasks.as_lifetime(tasks, episodes) if episodes else tasks
        batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, arguments.tasks)
        algorithm = getattr(jaxmeta, name)(tasks)
        start = jax.jit(algorithm.init)(jax.random.key(0))
        compiled, compile_seconds = measure.compiled(algorithm.step, jax.random.key(3), start, batch)
        state, info = compiled(jax.random.key(3), start, batch)
        times = measure.seconds(compiled, jax.random.key(4), state, batch, repeats=arguments.repeats)
        row = {
            "method": name,
            "family": family,
            "compile_seconds": compile_seconds,
            "seconds": times,
            "env_steps": float(info["env_steps"]),
            "temporary_bytes": measure.temporary_bytes(compiled),
        }
        yield row
        print(
            f"{name:12s}{family:>10s}{compile_seconds:8.1f} s{measure.median(times):13.3f}{row['env_steps']:12.0f}"
            f"{row['env_steps'] / measure.median(times):10.0f}{row['temporary_bytes'] / 1e6:7.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
