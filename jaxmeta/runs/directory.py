"""A run's directory: what is written there, in which order, and how a run is taken up again."""

import contextlib
import importlib.metadata
import os
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import jaxmeta
from jaxmeta.checks import check_least
from jaxmeta.over_tasks import target_platform
from jaxmeta.runs.checkpoint import Checkpoints
from jaxmeta.runs.logging import CsvLog, TensorBoardLog, columns, tidy_rows
from jaxmeta.runs.loop import TrainState, compiled_chunk, init_state, mesh_for, state_shardings, train_in_chunks
from jaxmeta.runs.memory import check_memory
from jaxmeta.types import MetaAlgorithm, TaskDistribution

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends training with its state saved."""
COMPILER_OPTIONS = {"gpu": {"xla_gpu_enable_while_loop_double_buffering": True}}
"""By platform. On a GPU the host starts each kernel of a loop; two turns at a time are up to 2.6 times as fast."""

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "chex", "orbax-checkpoint", "numpy")


class RunError(RuntimeError):
    """A run that cannot be started, read or gone on with; the message is one line that says what to do."""


class Progress(NamedTuple):
    """What a progress display is told after each chunk; returns are means over seeds of the chunk's last iteration."""

    iteration: int
    iterations: int
    seconds: float
    steps_per_second: float
    seconds_left: float
    return_pre: float
    return_post: float
    skipped: int


class Outcome(NamedTuple):
    """How training ended: after which iteration, by which signal if by any, and the last state, leaves ``[S, ...]``.

    ``skipped`` are the updates that were not finite and therefore left out, since this process began; ``ruined`` the
    seeds that had too many of them in a row, which ended training.
    """

    state: TrainState
    iteration: int
    signal: int | None
    skipped: int
    ruined: list[int]


def describe() -> dict[str, Any]:
    """What a run was made with and ran on: versions, device, revision."""
    device = jax.devices()[0]
    ours = {"python": platform.python_version(), "jaxmeta": jaxmeta.__version__}
    return {
        "versions": ours | {name: _version(name) for name in PACKAGES},
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        # Sums are split over the cores that a process may use: their order, and the last bits, depend on how many.
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "git_revision": _git_revision(),
    }


def _version(package: str) -> str | None:
    """A package's version; ``None`` where it runs from a folder that was never installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def seed_states(algorithm: MetaAlgorithm, seeds: list[int], mesh: Mesh | None = None) -> TrainState:
    """States before the first iteration, one for each seed, leaves ``[S, ...]``, where they lie on a mesh."""
    init = jax.vmap(lambda seed: init_state(jax.random.key(seed), algorithm))
    return jax.jit(init, out_shardings=mesh and state_shardings(algorithm, mesh))(jnp.array(seeds))


def traced(
    algorithm: MetaAlgorithm, tasks: TaskDistribution, *, seeds: list[int], meta_batch: int, devices: int | None = None
) -> Any:
    """The program of ``train_run``, traced: what no program can be made of fails here, and nothing is written yet."""
    states = jax.eval_shape(lambda: seed_states(algorithm, seeds))
    mesh = mesh_for(meta_batch, devices)
    program = compiled_chunk(algorithm, tasks, meta_batch=meta_batch, mesh=mesh).trace(states, jnp.int32(1))
    check_memory(program.jaxpr)
    return program


def train_run(
    directory: Path,
    algorithm: MetaAlgorithm,
    tasks: TaskDistribution,
    *,
    seeds: list[int],
    meta_batch: int,
    iterations: int,
    checkpoint_every: int = 50,
    keep: int = 3,
    max_skipped: int = 20,
    devices: int | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    identity: str | None = None,
    begun: Callable[[int], None] = lambda iteration: None,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda line: None,
    program: Any = None,
) -> Outcome:
    """Train every seed up to meta-iteration ``iterations``, resumed or not; log and checkpoint into ``directory``.

    SIGINT, SIGTERM and SIGHUP end training after the chunk in progress (about a second) with a checkpoint. The last
    state is always saved, unless updates that are not finite ended training. What is not described here is as of
    ``Saving`` and ``start``.

    Args:
      seeds: names and keys of the seeds.
      identity: of the run, the same when it is resumed.
      begun: called with the iterations that are done, once all is restored and compiled, before anything is written.
      program: from ``traced``, of the same algorithm, tasks, seeds, meta-batch and devices, if it was traced before.
    """
    check_least(1, checkpoint_every=checkpoint_every)
    mesh = mesh_for(meta_batch, devices)
    states, metrics = seed_states(algorithm, seeds, mesh), directory / "metrics.csv"
    steps, clock, skipped, in_a_row = np.zeros(len(seeds), np.int64), 0.0, 0, np.zeros(len(seeds), np.int64)
    ours = {"run": identity, "seeds": seeds}
    with Checkpoints(directory / "checkpoints", keep, ours) as checkpoints, stop_signals() as came:
        resume = resume and bool(checkpoints.steps())
        if resume:
            states, meta = checkpoints.restore(states)
            steps, clock = np.array(meta["env_steps"], np.int64), float(meta["seconds"])
        done = int(states.iteration[0])
        saved = done if resume else None
        started = time.perf_counter()
        shape = {"seeds": seeds, "meta_batch": meta_batch, "devices": devices}
        program = traced(algorithm, tasks, **shape) if program is None else program
        compiled = program.lower().compile(compiler_options=COMPILER_OPTIONS.get(target_platform()))
        states = jax.device_put(states, compiled.input_shardings[0][0])
        announce(f"compiled in {time.perf_counter() - started:.1f} s")
        table = CsvLog(metrics, columns(program.out_info[1]), seeds, done)
        begun(done)
        logs: list[CsvLog | TensorBoardLog] = [table]
        logs += [TensorBoardLog(directory / "tensorboard")] if tensorboard else []
        last, ruined = states, []
        stop = {"boundary": checkpoint_every, "stop": lambda: bool(came or ruined)}
        chunks = train_in_chunks(compiled, states, iterations, **stop)

        def save(state: TrainState) -> None:
            table.sync()
            checkpoints.save(done, state, {"iteration": done, "env_steps": steps.tolist(), "seconds": clock})

        try:
            for chunk in chunks:
                # The device has the next chunk already. A save that is complete before the next one begins costs a kill
                # one interval at most.
                checkpoints.wait()
                count = chunk.info["skipped"].shape[0]
                totals = steps + np.cumsum(chunk.info["env_steps"].astype(np.int64), axis=0)
                times = clock + chunk.seconds * np.arange(1, count + 1) / count
                rows = tidy_rows(chunk.first, chunk.info, seeds, totals, times)
                for log in logs:
                    log.write(rows)
                if not metrics.exists():
                    raise RunError(f"{directory}: metrics.csv was removed while the run wrote to it; it ends here")
                rate = float(np.sum(totals[-1] - steps)) / max(chunk.seconds, 1e-9)
                steps, clock, done = totals[-1], float(times[-1]), chunk.first + count
                skipped += int(np.sum(chunk.info["skipped"]))
                in_a_row = _in_a_row(in_a_row, chunk.info["skipped"])
                ruined = [seed for seed, row in zip(seeds, in_a_row, strict=True) if 0 < max_skipped <= row]
                if chunk.state is not None:
                    last = chunk.state
                    # Of a row of updates without effect, the state before them is the one to keep.
                    if not max_skipped or 2 * np.max(in_a_row) < max_skipped:
                        saved = done
                        save(last)
                before, after = (float(np.mean(chunk.info[name][-1])) for name in ("return_pre", "return_post"))
                left = (iterations - done) * clock / done
                report(Progress(done, iterations, clock, rate, left, before, after, skipped))
            if saved is None and not ruined:
                # Stopped before the first chunk: the initial state makes the directory one that can be resumed.
                save(last)
        finally:
            for log in logs:
                log.close()
        return Outcome(last, done, next(iter(came), None), skipped, ruined)


def _in_a_row(counts: np.ndarray, skipped: np.ndarray) -> np.ndarray:
    """How many updates each seed has left out in a row, after further ones ``[I, S]``."""
    for now in skipped:
        counts = np.where(now > 0, counts + 1, 0)
    return counts


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Inside the ``with`` block the first of ``SIGNALS`` is put on the list; a second one does what it did before."""
    came: list[int] = []

    def handle(number: int, frame: Any) -> None:
        handler = previous[number]
        if came and callable(handler):
            handler(number, frame)
        elif came:
            raise KeyboardInterrupt
        came.append(number)

    # Python allows handlers in the main thread only; elsewhere (a notebook's worker) the caller's own stay. So does a
    # signal that is ignored, as SIGHUP is under nohup.
    main = threading.current_thread() is threading.main_thread()
    heard = [number for number in SIGNALS if main and signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handle) for number in heard}
    try:
        yield came
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _git_revision() -> str | None:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
