"""Faults of real machines, made to happen to a small run: is it right afterwards, and is nothing lost?

A case is right where the run ends as one that nothing happened to: the same metrics, whatever they took in seconds, and
the same weights, bit for bit; or, where it cannot go on, where it says so in one line and a failing status.
"""

from __future__ import annotations

import dataclasses
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from measure import machine, write

SIZE = ["--iterations", "40", "--meta-batch", "2", "--episodes", "2", "--policy.hidden", "4", "--family.horizon", "5"]
EVERY, SEEDS = 5, 2
TRAIN = ["train", "maml", "navigation", *SIZE, "--seeds", str(SEEDS), "--checkpoint-every", str(EVERY)]


@dataclasses.dataclass(frozen=True)
class Faults:
    """Kill, flip, fill and disturb a small training run, and see what becomes of it."""

    kills: int = 40
    """Moments at which a run is killed, and gone on with."""
    signals: int = 15
    """Moments at which a run gets SIGINT, SIGTERM or SIGHUP."""
    flips: int = 600
    """Bits flipped in checkpoints, one at a time: in the parameters' files and in those beside them."""
    pairs: int = 5
    """Pairs of processes that start in one directory at once."""
    quick: bool = False
    """A tenth of all of it."""
    seed: int = 0
    """Of the moments and the bits."""
    json: Path | None = None
    """Write the results to this file."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Faults, args=argv)
    share = 0.1 if arguments.quick else 1.0
    counts = {name: max(2, round(share * getattr(arguments, name))) for name in ("kills", "signals", "flips", "pairs")}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        bench = Bench(Path(folder), random.Random(arguments.seed))
        print(f"a run that nothing happens to: {bench.seconds:.1f} s", flush=True)
        for case, tries in (
            (bench.killed, counts["kills"]),
            (bench.signalled, counts["signals"]),
            (bench.flipped, counts["flips"]),
            (bench.started_twice, counts["pairs"]),
            (bench.full_disk, counts["pairs"]),
            (bench.without_its_directory, 2),
            (bench.without_a_reader, 2),
            (bench.in_ascii, 1),
        ):
            result = tried(case, tries)
            results.append(result)
            print(f"{result['case']}: {result['right']} of {result['tries']} right", flush=True)
            for message in result["wrong"][:5]:
                print(f"  wrong: {message}", flush=True)
        print(f"{time.perf_counter() - started:.0f} s")
    write(arguments.json, {**machine(), "cases": results}, announce=False)
    return 1 if any(result["wrong"] for result in results) else 0


def tried(case: Callable[[], str | None], tries: int) -> dict[str, Any]:
    """What came of a case: each try gives ``None``, or what is wrong."""
    wrong = [message for message in (case() for _ in range(tries)) if message is not None]
    name = (case.__doc__ or "").partition("\n")[0].rstrip(".")
    return {"case": name, "tries": tries, "right": tries - len(wrong), "wrong": wrong}


class Bench:
    """A run that nothing happens to, and cases that are compared with it."""

    def __init__(self, folder: Path, chance: random.Random):
        self.folder, self.chance, self.count = folder, chance, 0
        self.whole = folder / "whole"
        started = time.perf_counter()
        done = run([*TRAIN, "--out", str(self.whole), "--no-evaluate"])
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
        done = run([*TRAIN, "--out", str(directory), "--auto-resume", "--no-evaluate"])
        if done.returncode:
            return f"cannot be gone on with: {last_line(done.stderr)}"
        return different(directory, self.whole)

    def killed(self) -> str | None:
        """Killed at any moment, then gone on with."""
        directory = self.new()
        process = begin([*TRAIN, "--out", str(directory), "--no-evaluate"])
        time.sleep(self.moment())
        process.kill()
        process.wait()
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
        equal = meta == right_meta and all(np.array_equal(a, b) for a, b in zip(state, right, strict=True))
        return None if equal else f"{path.relative_to(directory)}: read as if nothing were wrong"

    def restored(self, directory: Path) -> tuple[list[np.ndarray], dict[str, Any]]:
        import jax

        from jaxmeta.runs.checkpoint import Checkpoints

        if not hasattr(self, "like"):
            from jaxmeta.runs.directory import seed_states
            from jaxmeta.runs.run import read_config

            _, algorithm = read_config(self.whole).build()
            self.like = jax.eval_shape(lambda: seed_states(algorithm, list(range(SEEDS))))
            self.right = self.restored(self.whole / "checkpoints")
        with Checkpoints(directory) as checkpoints:
            state, meta = checkpoints.restore(self.like)
        is_key = lambda x: jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
        return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in jax.tree.leaves(state)], meta

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
        return different(directory, self.whole)

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
        return different(directory, self.whole)

    def in_ascii(self) -> str | None:
        """A terminal that knows ASCII alone: it trains on and saves."""
        directory = self.new()
        plain = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
        done = run([*TRAIN, "--out", str(directory), "--no-evaluate"], env=plain)
        if done.returncode:
            return f"status {done.returncode}: {last_line(done.stderr)}"
        return different(directory, self.whole)


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


def different(directory: Path, whole: Path) -> str | None:
    """How a finished run differs from the one that nothing happened to: in its metrics, or in its weights."""
    import jax

    import jaxmeta
    from jaxmeta.runs.logging import read_csv

    rows, right = (
        [{name: x for name, x in row.items() if name != "seconds"} for row in read_csv(each / "metrics.csv")]
        for each in (directory, whole)
    )
    if rows != right:
        return (
            f"metrics.csv: {len(rows)} rows, of which {sum(row in right for row in rows)} are right, not {len(right)}"
        )
    thetas = [jax.tree.leaves(jaxmeta.load(each).thetas) for each in (directory, whole)]
    if not all(np.array_equal(a, b) for a, b in zip(*thetas, strict=True)):
        return "the weights differ"
    return None


if __name__ == "__main__":
    raise SystemExit(main())
