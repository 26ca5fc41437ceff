"""A run's directory: what is written there, in which order, and how a run is taken up again."""

import importlib.metadata
import json
import platform
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmeta
from jaxmeta.runs import evaluate
from jaxmeta.runs.checkpoint import Checkpoints
from jaxmeta.runs.logging import CsvLog, TensorBoardLog, tidy_rows
from jaxmeta.runs.loop import TrainState, compiled_chunk, held_out_tasks, init_state, train_in_chunks
from jaxmeta.tasks import LifetimeEnv
from jaxmeta.types import MetaAlgorithm, TaskDistribution

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax", "chex", "orbax-checkpoint", "numpy")
TEST_KEY = 2**31 - 1  # seeds the tasks of evaluation; meta-training draws its own from the run's seeds


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
    """How training ended.

    Attributes:
      state: the last state, leaves ``[S, ...]``.
      iteration: meta-iterations done.
      signal: the signal that stopped it, or ``None``.
      skipped: updates that were not finite and therefore left out, since this process began.
    """

    state: TrainState
    iteration: int
    signal: int | None
    skipped: int


def write_json(path: Path, content: Any) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(path)


def describe() -> dict[str, Any]:
    """What a run was made with and ran on: versions, device, revision."""
    device = jax.devices()[0]
    return {
        "versions": {"python": platform.python_version(), "jaxmeta": jaxmeta.__version__}
        | {name: _version(name) for name in PACKAGES},
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "git_revision": _git_revision(),
    }


def _version(package: str) -> str | None:
    """A package's version; ``None`` where it runs from a folder that was never installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def seed_states(algorithm: MetaAlgorithm, seeds: list[int]) -> TrainState:
    """States before the first iteration, one for each seed, leaves ``[S, ...]``."""
    return jax.jit(jax.vmap(lambda seed: init_state(jax.random.key(seed), algorithm)))(jnp.array(seeds))


def traced(algorithm: MetaAlgorithm, tasks: TaskDistribution, *, seeds: list[int], meta_batch: int) -> Any:
    """The program of ``train_run``, traced: what no program can be made of fails here, and nothing is written yet."""
    states = jax.eval_shape(lambda: seed_states(algorithm, seeds))
    return compiled_chunk(algorithm, tasks, meta_batch=meta_batch).trace(states, jnp.int32(1))


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
    resume: bool = False,
    tensorboard: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda line: None,
    program: Any = None,
) -> Outcome:
    """Train every seed up to meta-iteration ``iterations``; log and checkpoint into ``directory``.

    SIGINT and SIGTERM end training after the chunk in progress (about a second) with a checkpoint.

    Args:
      directory: the run's directory; it exists.
      algorithm: what learns.
      tasks: the family.
      seeds: names and keys of the seeds, which run under one ``vmap``.
      meta_batch: tasks in each meta-iteration.
      iterations: counted from the beginning of the run, resumed or not.
      checkpoint_every: meta-iterations between checkpoints, ≥ 1; the last one is always saved.
      keep: how many of the newest checkpoints are kept.
      resume: go on from the newest checkpoint in ``directory``.
      tensorboard: write TensorBoard scalars beside the CSV.
      report: called after each chunk.
      announce: called with lines worth telling once.
      program: from ``traced``, of the same algorithm, tasks, seeds and meta-batch, if it was traced before.

    Raises:
      CheckpointError: a checkpoint could not be written or read; those that were complete are intact.
      OSError: the metrics could not be written.
    """
    if checkpoint_every < 1:
        raise ValueError(f"checkpoint_every: got {checkpoint_every}; must be at least 1")
    states = seed_states(algorithm, seeds)
    steps, clock, skipped = np.zeros(len(seeds), np.int64), 0.0, 0
    with Checkpoints(directory / "checkpoints", keep) as checkpoints, StopSignals() as stop:
        if resume:
            states, meta = checkpoints.restore(states)
            steps, clock = np.array(meta["env_steps"], np.int64), float(meta["seconds"])
        done = int(states.iteration[0])
        saved = done if resume else None
        started = time.perf_counter()
        program = traced(algorithm, tasks, seeds=seeds, meta_batch=meta_batch) if program is None else program
        compiled = program.lower().compile()
        announce(f"compiled in {time.perf_counter() - started:.1f} s")
        logs: list[CsvLog | TensorBoardLog] = [CsvLog(directory / "metrics.csv", done)]
        if tensorboard:
            logs.append(TensorBoardLog(directory / "tensorboard"))
        last = states

        def save(state: TrainState) -> None:
            meta = {"iteration": done, "env_steps": steps.tolist(), "seconds": clock, "seeds": seeds}
            checkpoints.save(done, state, meta)

        try:
            for chunk in train_in_chunks(compiled, states, iterations, boundary=checkpoint_every, stop=stop.requested):
                count = chunk.info["skipped"].shape[0]
                totals = steps + np.cumsum(chunk.info["env_steps"].astype(np.int64), axis=0)
                times = clock + chunk.seconds * np.arange(1, count + 1) / count
                rows = tidy_rows(chunk.first, chunk.info, seeds, totals, times)
                for log in logs:
                    log.write(rows)
                rate = float(np.sum(totals[-1] - steps)) / max(chunk.seconds, 1e-9)
                steps, clock, done = totals[-1], float(times[-1]), chunk.first + count
                skipped += int(np.sum(chunk.info["skipped"]))
                if chunk.state is not None:
                    last, saved = chunk.state, done
                    save(last)
                report(
                    Progress(
                        iteration=done,
                        iterations=iterations,
                        seconds=clock,
                        steps_per_second=rate,
                        seconds_left=(iterations - done) * clock / done,
                        return_pre=float(np.mean(chunk.info["return_pre"][-1])),
                        return_post=float(np.mean(chunk.info["return_post"][-1])),
                        skipped=skipped,
                    )
                )
            if saved is None:
                # Stopped before the first chunk: the initial state makes the directory one that can be resumed.
                save(last)
        finally:
            for log in logs:
                log.close()
        return Outcome(last, done, stop.signal, skipped)


class StopSignals:
    """Inside the ``with`` block the first SIGINT or SIGTERM asks for a clean end; a second one ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def requested(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> "StopSignals":
        # Python allows handlers in the main thread only; elsewhere (a notebook's worker) the caller's own stay.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


def evaluate_run(
    algorithm: MetaAlgorithm,
    tasks: TaskDistribution,
    theta: Any,
    *,
    seeds: list[int],
    task_count: int = 400,
    task_seed: int = 0,
    greedy_episodes: int = 10,
) -> dict[str, Any]:
    """Evaluate every seed on the same freshly drawn tasks: the content of ``evaluation.json``.

    Args:
      algorithm: built for evaluation: its adaptation steps and episodes are those measured.
      tasks: the family.
      theta: slow weights, leaves ``[S, ...]``.
      seeds: names of the seeds.
      task_count: held-out tasks, ≥ 1.
      task_seed: draws them; never the seed of a training run.
      greedy_episodes: episodes of the deterministic policy at each step.
    """
    if task_count < 1:
        raise ValueError(f"tasks: got {task_count}; must be at least 1")
    key = jax.random.fold_in(jax.random.key(TEST_KEY), task_seed)
    key_tasks, key_adapt, key_scratch, key_random = jax.random.split(key, 4)
    batch = held_out_tasks(key_tasks, tasks, task_count)

    def adapt(key, theta, task):
        return evaluate.adaptation_returns(key, algorithm, tasks, theta, task, greedy_episodes=greedy_episodes)

    trained = evaluate.in_tasks(adapt, key_adapt, batch)
    each = [trained(jax.tree.map(lambda x, s=s: x[s], theta)) for s in range(len(seeds))]
    returns = {name: np.stack([np.asarray(one[name], np.float64) for one in each]) for name in each[0]}

    # "From scratch": a fresh initialisation with the same learner, episodes and steps; another one for each task.
    def from_scratch(key, _, task):
        key_init, key_adapt = jax.random.split(key)
        return adapt(key_adapt, algorithm.learner.init(key_init), task)

    scratch = evaluate.in_tasks(from_scratch, key_scratch, batch)(None)["sampled"]
    uniform = evaluate.in_tasks(lambda key, _, task: evaluate.random_return(key, tasks, task), key_random, batch)(None)
    by_episode = isinstance(tasks.env, LifetimeEnv)
    references = {
        "random_policy": _reference(np.asarray(uniform, np.float64)),
        "from_scratch": _reference(np.asarray(scratch, np.float64)),
    }
    if tasks.optimum is not None:
        # A lifetime's optimum is that of all its episodes.
        episodes = tasks.env.episodes if isinstance(tasks.env, LifetimeEnv) else 1
        references["optimum"] = _reference(np.asarray(jax.vmap(tasks.optimum)(batch), np.float64) / episodes)
    leaves = jax.tree_util.tree_flatten_with_path(batch)[0]
    return {
        "axes": ["seed", "task", "episode" if by_episode else "adaptation_step"],
        "seeds": seeds,
        "tasks": {
            "task_seed": task_seed,
            "count": task_count,
            "parameters": {jax.tree_util.keystr(path).lstrip("."): np.asarray(leaf).tolist() for path, leaf in leaves},
        },
        "returns": returns["sampled"].tolist(),
        "returns_deterministic": returns["deterministic"].tolist(),
        "references": references,
        "interval": evaluate.INTERVAL,
        "summary": {name: evaluate.summary(values) for name, values in returns.items()},
    }


def _reference(returns: np.ndarray) -> dict[str, Any]:
    return {"returns": returns.tolist(), **evaluate.summary(returns[None])}


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
