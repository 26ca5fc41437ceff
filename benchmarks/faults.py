"""Faults of real machines, made to happen to a small run: is it right afterwards, and is nothing lost?

A case is right where the run ends as one that nothing happened to: the same metrics, whatever they took in seconds, and
the same state of training, bit for bit; or, where it cannot go on, where it says so in one line and a failing status.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro
from measure import machine, write

if TYPE_CHECKING:
    from jaxmeta.runs.loop import TrainState

EVERY, SEEDS = 5, 2
SMALL = ["--iterations", "40", "--meta-batch", "2", "--seeds", str(SEEDS), "--checkpoint-every", str(EVERY)]
MAML = ["maml", "navigation", "--episodes", "2", "--policy.hidden", "4", "--family.horizon", "5"]
EVALUATED = ["--eval.tasks", "2", "--eval.episodes", "2"]
TRAIN = ["train", *MAML, *SMALL, *EVALUATED]
BANDIT = ["bernoulli-bandit", "--lifetime", "1", "--family.horizon", "5"]
OTHERS = {
    "trust region": ["trpo-maml", *MAML[1:]],
    "memory": ["rl2", *BANDIT, "--outer.minibatches", "1"],
    "beliefs": ["varibad", *BANDIT, "--outer.minibatches", "1", "--model-outer.minibatches", "1"],
    "replay": ["pearl", "pendulum", "--family.horizon", "5", "--updates", "2", "--batch-tasks", "2", "--capacity", "8"],
    "sequences": ["r2d2", *BANDIT, "--updates", "2", "--batch", "2"],
    "models": ["mb-mpo", "pendulum", "--family.horizon", "5", "--episodes", "2", "--epochs", "2", "--capacity", "8"],
}
"""Small runs with other kinds of state than MAML's."""
JUMPING = """
import random, time
true, jump = time.time, [0.0, 0.0]
def jumped():
    if true() > jump[0]:
        jump[:] = true() + 0.5, random.uniform(-1e6, 1e6)
    return true() + jump[1]
time.time, time.time_ns = jumped, lambda: int(1e9 * jumped())
"""
"""A clock that jumps by up to twelve days, forth and back, twice a second: put where Python reads it when it starts."""


@dataclasses.dataclass(frozen=True)
class Faults:
    """Kill, flip, fill and disturb a small training run, and see what becomes of it."""

    kills: int = 30
    """Moments at which a run is killed, and gone on with."""
    signals: int = 15
    """Moments at which a run gets SIGINT, SIGTERM or SIGHUP."""
    flips: int = 600
    """Bits flipped in checkpoints, one at a time: in the parameters' files and in those beside them."""
    others: int = 5
    """Moments at which runs with other kinds of state are killed, of each kind."""
    pairs: int = 5
    """Pairs of processes that start in one directory at once; full disks, and clocks that jump."""
    peers: int = 10
    """Pairs of processes that train together, one of which is killed."""
    quick: bool = False
    """A thirtieth of all of it, of runs whose programs were compiled before."""
    seed: int = 0
    """Of the moments and the bits."""
    json: Path | None = None
    """Write the results to this file."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Faults, args=argv)
    share = 1 / 30 if arguments.quick else 1.0
    names = ("kills", "signals", "flips", "others", "pairs", "peers")
    counts = {name: max(1, round(share * getattr(arguments, name))) for name in names}
    results: list[dict[str, Any]] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            os.environ.update(kept_in(Path(folder)))
        for case, name, tries in cases(Path(folder), arguments, counts):
            wrong = [message for message in (case() for _ in range(tries)) if message is not None]
            results.append({"case": name, "tries": tries, "right": tries - len(wrong), "wrong": wrong})
            print(f"{name}: {tries - len(wrong)} of {tries} right", *wrong[:5], sep="\n  wrong: ", flush=True)
            write(arguments.json, {**machine(), "cases": results}, announce=False)
    print(f"{time.perf_counter() - started:.0f} s")
    return 1 if any(result["wrong"] for result in results) else 0


def cases(
    folder: Path, arguments: Faults, counts: dict[str, int]
) -> Iterator[tuple[Callable[[], str | None], str, int]]:
    """Each case, which gives ``None`` or what is wrong, with what it does and how often it is tried."""
    bench = Bench(folder, random.Random(arguments.seed))
    print(f"a run that nothing happens to: {bench.seconds:.1f} s", flush=True)
    for case, tries in (
        (bench.killed, counts["kills"]),
        (bench.signalled, counts["signals"]),
        (bench.flipped, counts["flips"]),
        (bench.started_twice, counts["pairs"]),
        (bench.peer_killed, counts["peers"]),
        (bench.clock_jumped, counts["pairs"]),
        (bench.full_disk, counts["pairs"]),
        (bench.without_its_directory, min(2, counts["kills"])),
        (bench.without_a_reader, min(2, counts["kills"])),
        (bench.in_ascii, 1),
    ):
        yield case, (case.__doc__ or "").partition("\n")[0].rstrip("."), tries
    for kind in () if arguments.quick else OTHERS:
        other = Bench(folder / kind.replace(" ", "_"), random.Random(arguments.seed), OTHERS[kind])
        yield other.killed, f"The first of them with a run of {OTHERS[kind][0]}: {kind}", counts["others"]


class Bench:
    """A run that nothing happens to, and cases that are compared with it."""

    def __init__(self, folder: Path, chance: random.Random, method: list[str] | None = None):
        self.folder, self.chance, self.count = folder, chance, 0
        self.train = ["train", *method, *SMALL, "--no-evaluate"] if method else TRAIN
        # For what is gone on with: what it compiles was compiled before.
        self.cached = {**os.environ, **kept_in(folder)}
        self.whole = folder / "whole"
        if "JAX_COMPILATION_CACHE_DIR" in os.environ:
            # Moments are those of a run that finds its programs compiled.
            run([*self.train, "--out", str(folder / "first")])
        started = time.perf_counter()
        done = run([*self.train, "--out", str(self.whole)])
        self.seconds = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"error: the run that nothing happens to failed: {done.stderr}")

    def new(self) -> Path:
        self.count += 1
        return self.folder / str(self.count)

    def moment(self) -> float:
        return self.chance.uniform(0.0, self.seconds)

    def ended(self, directory: Path) -> str | None:
        """Go on until the run ends by itself; whether it then is as the one that nothing happened to."""
        done = run([*self.train, "--out", str(directory), "--auto-resume"], env=self.cached)
        if done.returncode:
            return f"cannot be gone on with: {last_line(done.stderr)}"
        if self.train == TRAIN and returns_of(directory) != returns_of(self.whole):
            return "its evaluation differs"
        return self.different(directory)

    def killed(self) -> str | None:
        """Killed at any moment, and half of them once more: one interval lost at most, then gone on with."""
        directory = self.new()
        for flags in [[], ["--auto-resume"]][: self.chance.choice([1, 2])]:
            process = begin([*self.train, "--out", str(directory), *flags])
            time.sleep(self.moment())
            process.kill()
            process.wait()
            if lost(directory) > EVERY:
                return f"{lost(directory)} iterations were lost"
        return self.ended(directory)

    def peer_killed(self) -> str | None:
        """One of two processes that train together killed: the other ends by itself, and one goes on alone."""
        directory, port = self.new(), str(self.chance.randrange(20_000, 30_000))
        together = [*TRAIN, "--out", str(directory), "--coordinator", f"localhost:{port}", "--processes", "2"]
        both = [begin([*together, "--process", str(i)]) for i in range(2)]
        time.sleep(self.chance.uniform(5.0, 3.0 * self.seconds))
        self.chance.choice(both).kill()
        killed = time.perf_counter()
        said = [process.communicate(timeout=300)[1] for process in both]
        if time.perf_counter() - killed > 120:
            return f"the other took {time.perf_counter() - killed:.0f} s to end: {last_line(said[0])}"
        done = run([*TRAIN, "--out", str(directory), "--auto-resume", "--no-evaluate"], env=self.cached)
        if done.returncode:
            return f"cannot be gone on with: {last_line(done.stderr)}"
        # Sums over two devices have another order: the bits differ.
        return self.different(directory, tolerance=0.2)

    def clock_jumped(self) -> str | None:
        """A clock that jumps by days, killed at any moment, gone on with or one line, then gone on with."""
        (self.folder / "clock").mkdir(exist_ok=True)
        (self.folder / "clock" / "sitecustomize.py").write_text(JUMPING)
        jumping = {**os.environ, "PYTHONPATH": f"{self.folder / 'clock'}:{os.environ.get('PYTHONPATH', '')}"}
        directory = self.new()
        process = begin([*TRAIN, "--out", str(directory)], env=jumping)
        time.sleep(self.moment())
        process.kill()
        process.wait()
        done = run([*TRAIN, "--out", str(directory), "--auto-resume"], env=jumping)
        if done.returncode and len(done.stderr.strip().splitlines()) != 1:
            return f"more than one line: {last_line(done.stderr)}"
        return self.ended(directory)

    def signalled(self) -> str | None:
        """SIGINT, SIGTERM or SIGHUP at any moment: one line, 128 + its number, then gone on with."""
        directory = self.new()
        process = begin([*TRAIN, "--out", str(directory), "--no-evaluate"])
        time.sleep(self.moment())
        number = self.chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        process.send_signal(number)
        _, stderr = process.communicate(timeout=120)
        if process.returncode not in (0, 128 + number, -number):
            return f"{number.name}: status {process.returncode}: {last_line(stderr)}"
        if "Traceback" in stderr or len(stderr.strip().splitlines()) > 1:
            return f"{number.name}: more than one line: {last_line(stderr)}"
        return self.ended(directory)

    def flipped(self) -> str | None:
        """A bit of a checkpoint flipped: refused, or without any effect on what is read."""
        from jaxmeta.runs.checkpoint import CheckpointError

        directory = self.folder / "flipped"
        shutil.rmtree(directory, ignore_errors=True)
        newest = max(
            (self.whole / "checkpoints").iterdir(), key=lambda path: int(path.name) if path.name.isdigit() else -1
        )
        shutil.copytree(newest, directory / newest.name)
        files = [path for path in sorted(directory.rglob("*")) if path.is_file() and path.stat().st_size]
        path = self.chance.choice(files)
        content = bytearray(path.read_bytes())
        content[self.chance.randrange(len(content))] ^= 1 << self.chance.randrange(8)
        path.write_bytes(bytes(content))
        try:
            state, meta = self.restored(directory)
        except CheckpointError:
            return None
        right, right_meta = self.right
        return (
            None
            if meta == right_meta and not unequal(state, right)
            else f"{path.relative_to(directory)}: read as if nothing were wrong"
        )

    def restored(self, directory: Path) -> tuple[TrainState, dict[str, Any]]:
        """The state in the newest checkpoint there, and what is stored beside it."""
        import jax

        from jaxmeta.runs.checkpoint import Checkpoints

        if not hasattr(self, "like"):
            from jaxmeta.runs.program import seed_states
            from jaxmeta.runs.run import read_config

            _, algorithm = read_config(self.whole).build()
            self.like = jax.eval_shape(lambda: seed_states(algorithm, list(range(SEEDS))))
            self.right = self.restored(self.whole / "checkpoints")
        with Checkpoints(directory) as checkpoints:
            return checkpoints.restore(self.like)

    def different(self, directory: Path, tolerance: float = 0.0) -> str | None:
        """How a finished run differs from the one that nothing happened to: in its metrics, or in its last state.

        With a tolerance, only the metrics' iterations and the weights are compared.
        """
        from jaxmeta.runs.logging import read_csv

        rows, right = (
            [{name: x for name, x in row.items() if name != "seconds"} for row in read_csv(each / "metrics.csv")]
            for each in (directory, self.whole)
        )
        if tolerance:
            rows, right = ([(row["iteration"], row["seed"]) for row in each] for each in (rows, right))
        if rows != right:
            return (
                f"metrics.csv: {len(rows)} rows, of which {sum(row in right for row in rows)} are right, "
                f"not {len(right)}"
            )
        state, _ = self.restored(directory / "checkpoints")
        if tolerance:
            weights = zip(numbers(state.meta.theta), numbers(self.right[0].meta.theta), strict=True)
            alike = all(np.allclose(a, b, rtol=0.0, atol=tolerance) for a, b in weights)
            return None if alike else "the weights differ"
        wrong = unequal(state, self.right[0])
        return f"the state differs: {', '.join(wrong)}" if wrong else None

    def started_twice(self) -> str | None:
        """Two processes started in one directory at once: one trains, the other says so in one line."""
        directory = self.new()
        both = [begin([*TRAIN, "--out", str(directory), "--no-evaluate"]) for _ in range(2)]
        said = [process.communicate(timeout=300)[1] for process in both]
        statuses = sorted(process.returncode for process in both)
        if statuses[0] != 0 or statuses[1] == 0:
            return f"ended with {statuses}"
        refusal = next(text for text, process in zip(said, both, strict=True) if process.returncode)
        if len(refusal.strip().splitlines()) != 1:
            return f"more than one line: {last_line(refusal)}"
        return self.different(directory)

    def full_disk(self) -> str | None:
        """A file system that takes no more: one line; with room again, gone on with."""
        directory = self.new()
        limit = self.chance.choice([2_000, 4_000, 8_000])
        done = run([*TRAIN, "--out", str(directory), "--no-evaluate"], preexec_fn=lambda: limit_files(limit))
        if done.returncode == 0:
            return "ended well, though nothing above the limit was written"
        if len(done.stderr.strip().splitlines()) != 1:
            return f"more than one line: {last_line(done.stderr)}"
        return self.ended(directory)

    def without_its_directory(self) -> str | None:
        """The directory removed while it trains: one line and a failing status."""
        directory = self.new()
        process = begin([*TRAIN, "--iterations", "1000000", "--out", str(directory), "--no-evaluate"])
        while not (directory / "checkpoints" / str(EVERY)).exists() and process.poll() is None:
            time.sleep(0.05)
        shutil.rmtree(directory, ignore_errors=True)
        try:
            _, stderr = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            return "trains on"
        one = process.returncode != 0 and len(stderr.strip().splitlines()) == 1
        return None if one else f"status {process.returncode}: {last_line(stderr)}"

    def without_a_reader(self) -> str | None:
        """Nobody reads what it prints: it trains on and saves."""
        directory = self.new()
        process = begin([*TRAIN, "--out", str(directory), "--no-evaluate"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        stderr = process.stderr.read()
        if process.wait():
            return f"status {process.returncode}: {last_line(stderr)}"
        return self.different(directory)

    def in_ascii(self) -> str | None:
        """A terminal that knows ASCII alone: it trains on and saves."""
        directory = self.new()
        plain = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
        done = run([*TRAIN, "--out", str(directory), "--no-evaluate"], env=plain)
        if done.returncode:
            return f"status {done.returncode}: {last_line(done.stderr)}"
        return self.different(directory)


def kept_in(folder: Path) -> dict[str, str]:
    """The environment of processes that keep what they compile."""
    return {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def begin(arguments: list[str], **how: Any) -> subprocess.Popen[str]:
    how = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, **how}
    return subprocess.Popen([sys.executable, "-m", "jaxmeta", *arguments], **how)


def run(arguments: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jaxmeta", *arguments]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, **how)


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "nothing said"


def lost(directory: Path) -> int:
    """Iterations that a run's table has and none of its complete checkpoints."""
    from jaxmeta.runs.logging import read_csv

    if not (directory / "metrics.csv").exists():
        return 0
    saved = [int(path.name) for path in (directory / "checkpoints").glob("*") if path.name.isdigit()]
    return int(max([row["iteration"] for row in read_csv(directory / "metrics.csv")], default=0)) - max(
        saved, default=0
    )


def returns_of(directory: Path) -> Any:
    """What an evaluation found."""
    return json.loads((directory / "evaluation.json").read_text())["returns"]


def numbers(state: Any) -> list[np.ndarray]:
    """The leaves of a state, keys as their numbers."""
    import jax

    is_key = lambda x: jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in jax.tree.leaves(state)]


def unequal(state: Any, right: Any) -> list[str]:
    """The leaves of a state that are not, bit for bit, those of another."""
    import jax

    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(state)[0]]
    each = zip(names, numbers(state), numbers(right), strict=True)
    return [name for name, one, other in each if one.tobytes() != other.tobytes()]


if __name__ == "__main__":
    raise SystemExit(main())
