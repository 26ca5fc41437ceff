"""What a person waits for besides the steps: start-up, saving and logging of the default run.

Start-up is from the command to its first report: with nothing compiled before, and with the programs that an earlier
start left in ``JAX_COMPILATION_CACHE_DIR``. Saving and logging are taken from whole runs, in turn in one process.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
import tyro


@dataclasses.dataclass(frozen=True)
class Overhead:
    """Measure start-up, saving and logging; print them and write JSON."""

    json: Path | None = None
    """Write the results to this file."""
    iterations: int = 100
    """Meta-iterations of each run."""
    checkpoint_every: int = 50
    """Meta-iterations between checkpoints."""
    rounds: int = 3
    """Times that each is measured; the least counts."""
    quick: bool = False
    """Small sizes, to see that all parts run."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Overhead, args=argv)
    if arguments.quick:
        arguments = dataclasses.replace(arguments, iterations=4, checkpoint_every=2, rounds=1)
    result: dict[str, Any] = {**measure.machine(), "iterations": arguments.iterations, "rows": []}
    for name, seconds in (*start_up(arguments.rounds), *runs(arguments)):
        result["rows"].append({"name": name, "seconds": round(min(seconds), 3), "all": [round(x, 3) for x in seconds]})
        print(f"{name}: {min(seconds):.2f} s", flush=True)
    measure.write(arguments.json, result)


def start_up(rounds: int) -> Iterator[tuple[str, list[float]]]:
    """Seconds to the first report."""
    with tempfile.TemporaryDirectory() as folder:
        kept = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/cache"}
        first_report(folder, kept)
        for name, environment in (
            ("start, nothing compiled before", dict(os.environ)),
            ("start, compiled before", kept),
        ):
            yield name, [first_report(folder, environment) for _ in range(rounds)]


def first_report(folder: str, environment: dict[str, str]) -> float:
    command = [sys.executable, "-m", "jaxmeta", "train", "--overwrite", "--no-evaluate", "--out", f"{folder}/run"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("iteration "):
            if process.poll() is not None:
                raise SystemExit("error: the run ended before its first report")
        seconds = time.perf_counter() - started
        process.kill()
    return seconds


def runs(arguments: Overhead) -> list[tuple[str, list[float]]]:
    """Seconds of a whole run after compilation: the steps alone, with logging, and with saving too."""
    import jaxmeta
    from jaxmeta.runs import loop
    from jaxmeta.runs.program import prepared, seed_states
    from jaxmeta.runs.training import train_run

    tasks, algorithm = (experiment := jaxmeta.experiment("maml", "navigation")).build()
    shape: dict[str, Any] = {"seeds": [0], "meta_batch": experiment.tree["meta_batch"]}
    program = prepared(algorithm, tasks, **shape)

    def steps_alone(folder: Path) -> float:
        states = seed_states(algorithm, [0])
        started = time.perf_counter()
        for _ in loop.train_in_chunks(program.compiled, states, arguments.iterations):
            pass
        return time.perf_counter() - started

    def whole(folder: Path, every: int) -> float:
        begun: list[float] = []
        limits: dict[str, Any] = {"iterations": arguments.iterations, "checkpoint_every": every}
        say = lambda line: begun.append(time.perf_counter())  # noqa: E731
        train_run(folder, algorithm, tasks, **shape, **limits, announce=say, program=program)
        return time.perf_counter() - begun[0]

    cases = {
        "steps alone": steps_alone,
        "with logging, and saved at the end": lambda folder: whole(folder, 10**9),
        f"saved every {arguments.checkpoint_every} iterations too": lambda folder: whole(
            folder, arguments.checkpoint_every
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(arguments.rounds):
        for name, case in cases.items():
            with tempfile.TemporaryDirectory() as folder:
                found[name].append(case(Path(folder)))
    return list(found.items())


if __name__ == "__main__":
    main()
