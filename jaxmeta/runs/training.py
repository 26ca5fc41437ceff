"""Training into a run's directory: what is logged, saved and told there, and how a run is taken up again."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmeta.checks import check_least
from jaxmeta.runs import hosts
from jaxmeta.runs.checkpoint import Checkpoints
from jaxmeta.runs.logging import CsvLog, columns, tidy_rows
from jaxmeta.runs.loop import Chunk, TrainState, mesh_for, train_in_chunks
from jaxmeta.runs.program import Program, prepared, seed_states
from jaxmeta.runs.run import RunError
from jaxmeta.runs.trackers import Tracker
from jaxmeta.types import MetaAlgorithm, TaskDistribution

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends training with its state saved."""


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
    last, tally = seed_states(algorithm, seeds, mesh), Tally(seeds)
    # What fails because others died is known as such where the checkpoints, which would wait for them, are left.
    with (
        Checkpoints(directory / "checkpoints", keep, {"run": identity, "seeds": seeds}) as checkpoints,
        hosts.while_all_live(),
        stop_signals() as came,
    ):
        saved = resume and bool(checkpoints.steps())
        if saved:
            last, noted = checkpoints.restore(last)
            tally.take_up(noted)
        tally.done = int(hosts.whole(last.iteration)[0])
        shape = {"seeds": seeds, "meta_batch": meta_batch, "devices": devices, "seed_chunk": seed_chunk}
        program = prepared(algorithm, tasks, **shape, announce=announce) if program is None else program
        announce(f"compiled in {program.seconds:.1f} s")
        logs: list[Tracker] = []
        if hosts.first():
            logs = [CsvLog(metrics, columns(program.compiled.out_info[1]), seeds, tally.done)]
            logs += trackers(dict(zip(seeds, tally.steps.tolist(), strict=True)))
            begun(tally.done)

        def stop(done: int) -> int:
            came.extend(filter(None, [hosts.preempted(done)]))
            return max([0, len(tally.ruined(max_skipped)), *came])

        chunks = train_in_chunks(program.compiled, last, iterations, boundary=checkpoint_every, stop=stop)

        def save(state: TrainState) -> None:
            for log in logs:
                log.sync()
            checkpoints.save(tally.done, state, tally.noted())

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
                    if tally.sound(max_skipped):
                        saved = True
                        save(last)
                report(tally.progress(chunk, iterations))
            if not saved and not tally.ruined(max_skipped):
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

    def noted(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"iteration": self.done, "env_steps": self.steps.tolist(), "seconds": self.seconds}

    def take_up(self, noted: dict[str, Any]):
        """Go on from what a checkpoint has kept."""
        self.steps, self.seconds = np.array(noted["env_steps"], np.int64), float(noted["seconds"])

    def sound(self, max_skipped: int) -> bool:
        """Whether the state is one to keep: of a row of updates without effect, that before them is."""
        return not max_skipped or bool(2 * np.max(self.in_a_row) < max_skipped)

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
