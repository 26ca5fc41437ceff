"""A run's directory: what is written there, in which order, and how a run is taken up again."""

import contextlib
import importlib.metadata
import os
import platform
import re
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
from jaxmeta.runs import hosts
from jaxmeta.runs.checkpoint import Checkpoints
from jaxmeta.runs.logging import CsvLog, columns, tidy_rows
from jaxmeta.runs.loop import (
    Chunk,
    TrainState,
    compiled_chunk,
    default_seed_chunk,
    init_state,
    mesh_for,
    state_shardings,
    train_in_chunks,
)
from jaxmeta.runs.memory import Needs, check_memory, fitting_chunk, in_bytes, memory_of_each, needs
from jaxmeta.runs.trackers import Tracker
from jaxmeta.types import MetaAlgorithm, TaskDistribution

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends training with its state saved."""
COMPILER_OPTIONS = {"gpu": {"xla_gpu_enable_while_loop_double_buffering": True}}
"""By platform. On a GPU the host starts each kernel of a loop; two turns at a time are up to 2.6 times as fast."""

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "chex", "orbax-checkpoint", "numpy")
ENGINES = ("mujoco", "mujoco-mjx")
"""Packages whose version tells results of some families apart, where they are installed."""


class RunError(RuntimeError):
    """A run that cannot be started, read or gone on with; the message is one line that says what to do."""


class Progress(NamedTuple):
    """What a progress display is told after each chunk; returns are means over seeds of the chunk's last iteration.

    ``over_limit`` is the share of tasks over their limit of costs after adaptation, if there is one.
    """

    iteration: int
    iterations: int
    seconds: float
    steps_per_second: float
    seconds_left: float
    return_pre: float
    return_post: float
    skipped: int
    over_limit: float | None = None


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
    return {
        "versions": versions(),
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "processes": jax.process_count(),
        # Sums are split over the cores that a process may use: their order, and the last bits, depend on how many.
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "deterministic_ops": _deterministic_ops(),
        "git_revision": _git_revision(),
    }


def versions() -> dict[str, str | None]:
    """Of Python, of this package, of those that it is built on, and of the engines that are there."""
    ours = {"python": platform.python_version(), "jaxmeta": jaxmeta.__version__}
    engines = {name: version for name in ENGINES if (version := _version(name)) is not None}
    return ours | {name: _version(name) for name in PACKAGES} | engines


def _deterministic_ops() -> bool:
    """Whether XLA is told to take no operation whose bits differ from one run to the next."""
    told = re.findall(r"--xla_gpu_deterministic_ops(?:=(\w+))?", os.environ.get("XLA_FLAGS", ""))
    return bool(told) and told[-1].lower() in ("", "1", "true")


def _version(package: str) -> str | None:
    """A package's version; ``None`` where it runs from a folder that was never installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def seed_states(algorithm: MetaAlgorithm, seeds: list[int], mesh: Mesh | None = None) -> TrainState:
    """States before the first iteration, one for each seed, leaves ``[S, ...]``, where they lie on a mesh."""
    init = jax.vmap(lambda seed: init_state(jax.random.key(seed), algorithm))
    return jax.jit(init, out_shardings=mesh and state_shardings(algorithm, mesh))(np.asarray(seeds))


class Program(NamedTuple):
    """The program of ``train_run``, compiled, before it runs.

    Attributes:
      compiled: from ``compiled_chunk``.
      seed_chunk: seeds that step side by side.
      devices: that seeds and the tasks of a meta-batch are shared out over.
      needs: bytes that it takes on each of them.
      memory: bytes that each of them has; ``None`` where nobody says.
      seconds: that tracing and compiling took.
    """

    compiled: jax.stages.Compiled
    seed_chunk: int
    devices: int
    needs: Needs
    memory: int | None
    seconds: float

    @property
    def fits(self) -> bool:
        """Whether there is as much memory as it takes, as far as anybody knows."""
        return self.memory is None or self.needs.total <= self.memory


def traced(
    algorithm: MetaAlgorithm,
    tasks: TaskDistribution,
    *,
    seeds: list[int],
    meta_batch: int,
    devices: int | None = None,
    seed_chunk: int | None = None,
) -> Any:
    """The program of ``train_run``, traced: what no program can be made of fails here, and nothing is written yet."""
    states = jax.eval_shape(lambda: seed_states(algorithm, seeds))
    sizes = {"meta_batch": meta_batch, "mesh": mesh_for(meta_batch, devices, len(seeds)), "seed_chunk": seed_chunk}
    return compiled_chunk(algorithm, tasks, **sizes).trace(states, jnp.int32(1))


def prepared(
    algorithm: MetaAlgorithm,
    tasks: TaskDistribution,
    *,
    seeds: list[int],
    meta_batch: int,
    devices: int | None = None,
    seed_chunk: int | None = None,
    announce: Callable[[str], None] = lambda line: None,
    check: Callable[[Any], None] = check_memory,
) -> Program:
    """The program of ``train_run``, compiled: nothing is run, and nothing is written.

    Where all seeds side by side, as an accelerator has them by default, take more memory than there is, fewer of them
    are tried, twice at most. What is not described here is as of ``Saving``.

    Args:
      announce: called with a line where another ``seed_chunk`` than the default is taken.
      check: refuses what was traced before it is compiled.

    Raises:
      ValueError: an array that is larger than all memory there is, or a program that cannot be traced.
    """
    started, chunk = time.perf_counter(), min(len(seeds), seed_chunk or default_seed_chunk(len(seeds)))
    mesh, options = mesh_for(meta_batch, devices, len(seeds)), COMPILER_OPTIONS.get(target_platform())
    count = 1 if mesh is None else mesh.size
    # By it chunks are chosen, which must be the same in all processes.
    memory = hosts.least_memory(memory_of_each(count))

    def with_chunk(chunk: int) -> Program:
        shape = {"seeds": seeds, "meta_batch": meta_batch, "devices": devices, "seed_chunk": chunk}
        program = traced(algorithm, tasks, **shape)
        if seed_chunk is not None or chunk == 1:
            check(program.jaxpr)
        compiled = program.lower().compile(compiler_options=options)
        return Program(compiled, chunk, count, needs(compiled), memory, time.perf_counter() - started)

    program = with_chunk(chunk)
    for _ in range(2):
        if seed_chunk is not None or program.fits or program.seed_chunk == 1:
            break
        smaller = fitting_chunk(program.needs, memory, program.seed_chunk, len(seeds))
        takes = f"{program.seed_chunk} seeds at a time would take {in_bytes(program.needs.total)}"
        announce(f"{takes}, and there are {in_bytes(memory or 0)}: {smaller} at a time")
        program = with_chunk(smaller)
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
    seed_chunk: int | None = None,
    resume: bool = False,
    trackers: Callable[[dict[int, int]], list[Tracker]] = lambda steps: [],
    identity: str | None = None,
    begun: Callable[[int], None] = lambda iteration: None,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda line: None,
    program: Program | None = None,
) -> Outcome:
    """Train every seed up to meta-iteration ``iterations``, resumed or not; log and checkpoint into ``directory``.

    SIGINT, SIGTERM and SIGHUP end training after the chunk in progress (about a second) with a checkpoint; where
    several processes train together, a signal to any of them ends it in all, and the first alone logs. The last state
    is always saved, unless updates that are not finite ended training. What is not described here is as of
    ``Saving`` and ``start``.

    Args:
      seeds: names and keys of the seeds.
      trackers: makes what is told of each row too, from the environment steps that each seed has done.
      identity: of the run, the same when it is resumed.
      begun: called with the iterations that are done, once all is restored and compiled, before anything is written.
      program: from ``prepared``, of the same algorithm, tasks, seeds, meta-batch and devices, if it was made before.
    """
    check_least(1, checkpoint_every=checkpoint_every)
    mesh, metrics = mesh_for(meta_batch, devices, len(seeds)), directory / "metrics.csv"
    states = seed_states(algorithm, seeds, mesh)
    tally = Tally(seeds)
    ours = {"run": identity, "seeds": seeds}
    # What fails because others died is known as such where the checkpoints, which would wait for them, are left.
    with (
        Checkpoints(directory / "checkpoints", keep, ours) as checkpoints,
        hosts.while_all_live(),
        stop_signals() as came,
    ):
        resume = resume and bool(checkpoints.steps())
        if resume:
            states, meta = checkpoints.restore(states)
            tally.steps, tally.seconds = np.array(meta["env_steps"], np.int64), float(meta["seconds"])
        tally.done = int(hosts.whole(states.iteration)[0])
        saved = tally.done if resume else None
        shape = {"seeds": seeds, "meta_batch": meta_batch, "devices": devices, "seed_chunk": seed_chunk}
        program = prepared(algorithm, tasks, **shape, announce=announce) if program is None else program
        compiled = program.compiled
        announce(f"compiled in {program.seconds:.1f} s")
        logs: list[Tracker] = []
        if hosts.first():
            logs = [CsvLog(metrics, columns(compiled.out_info[1]), seeds, tally.done)]
            logs += trackers(dict(zip(seeds, tally.steps.tolist(), strict=True)))
            begun(tally.done)
        last = states

        def stop(done: int) -> int:
            came.extend(filter(None, [hosts.preempted(done)]))
            return max([0, len(tally.ruined(max_skipped)), *came])

        chunks = train_in_chunks(compiled, states, iterations, boundary=checkpoint_every, stop=stop)

        def save(state: TrainState) -> None:
            for log in logs:
                log.sync()
            meta = {"iteration": tally.done, "env_steps": tally.steps.tolist(), "seconds": tally.seconds}
            checkpoints.save(tally.done, state, meta)

        try:
            for chunk in chunks:
                # The device has the next chunk already. A save that is complete before the next one begins costs a kill
                # one interval at most.
                checkpoints.wait()
                rows = tally.take(chunk)
                for log in logs:
                    log.write(rows)
                if logs and not metrics.exists():
                    raise RunError(f"{directory}: metrics.csv was removed while the run wrote to it; it ends here")
                if chunk.state is not None:
                    last = chunk.state
                    # Of a row of updates without effect, the state before them is the one to keep.
                    if not max_skipped or 2 * np.max(tally.in_a_row) < max_skipped:
                        saved = tally.done
                        save(last)
                report(tally.progress(chunk, iterations))
            if saved is None and not tally.ruined(max_skipped):
                # Stopped before the first chunk: the initial state makes the directory one that can be resumed.
                save(last)
        finally:
            for log in logs:
                log.close()
        signalled = hosts.largest(next(iter(came), 0))[0] or None
        return Outcome(last, tally.done, signalled, tally.skipped, tally.ruined(max_skipped))


class Tally:
    """What the seeds of a run have done so far.

    Attributes:
      done: meta-iterations.
      steps: environment steps of each seed, adaptation included, ``[S]``.
      seconds: of training, without compilation.
      skipped: updates that were not finite, since the run was begun or gone on with.
      in_a_row: how many of the last updates of each seed were such, ``[S]``.
    """

    def __init__(self, seeds: list[int]):
        self.seeds, self.done, self.seconds, self.skipped, self.rate = seeds, 0, 0.0, 0, 0.0
        self.steps, self.in_a_row = np.zeros(len(seeds), np.int64), np.zeros(len(seeds), np.int64)

    def take(self, chunk: Chunk) -> list[dict[str, float]]:
        """Count a chunk; its rows."""
        count = chunk.info["skipped"].shape[0]
        totals = self.steps + np.cumsum(chunk.info["env_steps"].astype(np.int64), axis=0)
        times = self.seconds + chunk.seconds * np.arange(1, count + 1) / count
        self.rate = float(np.sum(totals[-1] - self.steps)) / max(chunk.seconds, 1e-9)
        self.steps, self.seconds, self.done = totals[-1], float(times[-1]), chunk.first + count
        for now in chunk.info["skipped"]:
            self.skipped += int(np.sum(now))
            self.in_a_row = np.where(now > 0, self.in_a_row + 1, 0)
        return tidy_rows(chunk.first, chunk.info, self.seeds, totals, times)

    def ruined(self, max_skipped: int) -> list[int]:
        """Seeds that left out so many updates in a row; none where it is 0."""
        return [seed for seed, row in zip(self.seeds, self.in_a_row, strict=True) if 0 < max_skipped <= row]

    def progress(self, chunk: Chunk, iterations: int) -> Progress:
        """What is said after the chunk that was counted last, of so many iterations in all."""
        before, after = (float(np.mean(chunk.info[name][-1])) for name in ("return_pre", "return_post"))
        left = (iterations - self.done) * self.seconds / self.done
        over = chunk.info.get("over_limit_post")
        share = None if over is None else float(np.mean(over[-1]))
        return Progress(self.done, iterations, self.seconds, self.rate, left, before, after, self.skipped, share)


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
