"""What a few minutes on an accelerator should measure, most important first; a row is on disk as soon as it is known.

Run on one device: ``python benchmarks/accelerator.py --json FILE``. Parts that no longer fit in ``--seconds`` are left
out and named.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tyro

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """Time whole compiled meta-steps on an accelerator; print a line and write JSON for each."""

    json: Path | None = None
    """Write the results to this file, anew after each row."""
    keep: bool = False
    """Keep the rows that this file has, and measure only the others."""
    seconds: float = 420.0
    """No row is begun after this many seconds."""
    parts: tuple[str, ...] | None = None
    """Parts to measure, in this order; by default all."""
    repeats: int = 5
    """Timed calls of each; the median is reported."""
    quick: bool = False
    """Small sizes, to see that all parts run."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Accelerator, args=argv)
    parts = arguments.parts or tuple(PARTS)
    for name in parts:
        if name not in PARTS:
            raise SystemExit(f"error: --parts: unknown part {name!r}. Known: {', '.join(PARTS)}")
    if arguments.repeats < 1:
        raise SystemExit(f"error: --repeats: got {arguments.repeats}; must be at least 1")
    if arguments.keep and (arguments.json is None or not arguments.json.is_file()):
        raise SystemExit("error: --keep: --json names no file of results")

    import measure

    started = time.perf_counter()
    settings = {**dataclasses.asdict(arguments), "json": None}
    result: Row = {"machine": measure.machine(), "settings": settings, "left_out": []}
    before: Row = {}
    if arguments.keep and arguments.json is not None:
        before = json.loads(arguments.json.read_text())
        if (device := before["machine"]["device"]) != result["machine"]["device"]:
            raise SystemExit(f"error: --keep: {arguments.json} was measured on {device}")
        result |= {name: rows for name, rows in before.items() if name in PARTS}
    print(result["machine"], flush=True)
    for name in parts:
        result[name] = []
        for what, run in PARTS[name](arguments):
            found = [row for row in before.get(name, []) if what.items() <= row.items() and "error" not in row]
            if found:
                result[name] += found
                continue
            if time.perf_counter() - started > arguments.seconds:
                result["left_out"].append({"part": name, **what})
                continue
            try:
                row = what | run()
            except Exception as error:  # One row that runs out of memory must not cost the others.
                row = what | {"error": f"{type(error).__name__}: {str(error)[:300]}"}
            result[name].append(row)
            shown = ", ".join(f"{key} {_short(value)}" for key, value in row.items())
            print(f"{time.perf_counter() - started:6.0f} s  {name}: {shown}", flush=True)
            if arguments.json is not None:
                measure.write(arguments.json, result, announce=False)
    if arguments.json is not None:
        measure.write(arguments.json, result)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


Rows = Iterator[tuple[Row, Callable[[], Row]]]
"""What a row is about, and the function that measures it."""


def _device(arguments: Accelerator) -> Rows:
    """Rates of matrix products in float32 by precision, and the time of one step of a scan of small operations."""
    import jax
    import measure

    def product(rows: int, width: int, precision: str) -> Row:
        with jax.default_matmul_precision(precision):
            return {"flops_per_second": measure.matrix_rate(rows, width)}

    def sequential() -> Row:
        length = 1000
        x = jax.random.normal(jax.random.key(0), (20, 100))
        weights = jax.random.normal(jax.random.key(1), (100, 100)) / 10
        scan = jax.jit(lambda x: jax.lax.scan(lambda x, _: (jax.numpy.tanh(x @ weights), None), x, length=length)[0])
        return {"seconds_per_step": measure.median(measure.seconds(scan, x, repeats=arguments.repeats)) / length}

    shapes = ((2000, 100),) if arguments.quick else ((2000, 100), (2048, 256), (8192, 1024))
    for rows, width in shapes:
        for precision in ("highest", "default"):
            what = {"product": f"{rows}x{width}x{width}", "precision": precision}
            yield what, lambda rows=rows, width=width, precision=precision: product(rows, width, precision)
    yield {"product": "one product and one tanh in a scan"}, sequential


def _timed_step(arguments: Accelerator, algorithm: Any, tasks: Any, count: int, *, seeds: int | None = None) -> Row:
    """Time of a whole meta-step, under a ``vmap`` over seeds if there are several."""
    import jax
    import measure

    import jaxmeta

    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, count)
    if seeds is None:
        inputs = (jax.random.key(3), jax.jit(algorithm.init)(jax.random.key(0)), batch)
        step = algorithm.step
    else:
        states = jax.jit(jax.vmap(algorithm.init))(jax.random.split(jax.random.key(0), seeds))
        inputs = (jax.random.split(jax.random.key(3), seeds), states, batch)
        step = jax.vmap(algorithm.step, (0, 0, None))
    program, compile_seconds = measure.compiled(step, *inputs)
    times = measure.seconds(program, *inputs, repeats=arguments.repeats)
    env_steps = float(program(*inputs)[1]["env_steps"].sum())
    return {
        "compile_seconds": compile_seconds,
        "seconds": measure.median(times),
        "seconds_all": times,
        "env_steps_per_second": env_steps / measure.median(times),
        "temporary_bytes": measure.temporary_bytes(program),
    }


def _flops(algorithm: Any, tasks: Any, count: int) -> int:
    import jax
    import measure

    import jaxmeta

    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, count)
    return measure.matrix_flops(algorithm.step, jax.random.key(3), algorithm.init(jax.random.key(0)), batch)


def _maml(arguments: Accelerator) -> Rows:
    """MAML on navigation, one inner step, 20 episodes of 100 steps before and after it, Adam."""
    import jaxmeta
    from jaxmeta.over_tasks import default_task_chunk

    tasks = jaxmeta.tasks.make("navigation")
    default = default_task_chunk(20, tasks.horizon)()
    grid = [(20, 20), (20, 1), (1000, default), (5000, default), (1000, 1000), (1000, 130), (20, 5)]
    for count, chunk in [(4, 4), (4, 1)] if arguments.quick else grid:

        def run(count=count, chunk=chunk) -> Row:
            algorithm = jaxmeta.maml(tasks, episodes=2 if arguments.quick else 20, task_chunk=chunk)
            row = _timed_step(arguments, algorithm, tasks, count)
            flops = _flops(algorithm, tasks, count)
            return row | {"matrix_flops": flops, "matrix_flops_per_second": flops / row["seconds"]}

        yield {"tasks": count, "task_chunk": chunk}, run


def _precision(arguments: Accelerator) -> Rows:
    """MAML's meta-gradient on stored lifetimes by precision of the products, beside float32 throughout."""
    import jax
    import measure
    import numpy as np

    import jaxmeta

    tasks = jaxmeta.tasks.make("navigation")
    count, episodes = (2, 2) if arguments.quick else (40, 20)
    algorithm = jaxmeta.maml(tasks, episodes=episodes, task_chunk=count)
    theta = algorithm.init(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, count)
    objective = jaxmeta.objectives.post_adaptation(algorithm.learner, jaxmeta.objectives.likelihood_ratio)
    kept: dict[str, Any] = {}

    def flat(tree: Any) -> np.ndarray:
        return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])

    def run(precision: str) -> Row:
        with jax.default_matmul_precision(precision):
            if "lifetimes" not in kept:
                keys = jax.random.split(jax.random.key(2), count)
                kept["lifetimes"] = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))(keys, theta, batch)[1]
            mean = jaxmeta.over_tasks.mean_over_tasks(objective, count)
            program, _ = measure.compiled(jax.grad(lambda theta, x: mean(theta, x)[0]), theta, kept["lifetimes"])
            times = measure.seconds(program, theta, kept["lifetimes"], repeats=arguments.repeats)
            gradient = flat(program(theta, kept["lifetimes"]))
        exact = kept.setdefault("exact", gradient)
        error = float(np.linalg.norm(gradient - exact) / np.linalg.norm(exact))
        return {"seconds": measure.median(times), "relative_error": error}

    # The first is what the others are held against.
    for precision in ("highest", "tensorfloat32", "BF16_BF16_F32", "bfloat16", "default"):
        yield {"precision": precision}, lambda precision=precision: run(precision)


def _bandits(arguments: Accelerator) -> Any:
    import jaxmeta

    family = jaxmeta.tasks.make("bernoulli-bandit", horizon=10 if arguments.quick else 100)
    return jaxmeta.tasks.as_lifetime(family, 1)


def _rl2_learner(tasks: Any, chunk: int, cell: str, size: int) -> Any:
    import optax

    import jaxmeta

    policy = jaxmeta.networks.recurrent_policy_for(tasks.env, tasks.horizon, cell=cell, size=size)
    return jaxmeta.rl2(tasks, policy=policy, task_chunk=chunk, outer=jaxmeta.outer.by_optax(optax.adam(1e-3)))


def _rl2_row(arguments: Accelerator, count: int, chunk: int, cell: str, size: int) -> Callable[[], Row]:
    def run() -> Row:
        tasks = _bandits(arguments)
        algorithm = _rl2_learner(tasks, chunk, cell, size)
        row = _timed_step(arguments, algorithm, tasks, count)
        flops = _flops(algorithm, tasks, count)
        return row | {"matrix_flops": flops, "matrix_flops_per_second": flops / row["seconds"]}

    return run


def _rl2(arguments: Accelerator) -> Rows:
    """RL² with GRUs on five-armed bandits of 100 pulls, one pass over the data."""
    from jaxmeta.over_tasks import default_task_chunk

    default = default_task_chunk(1, 100)()
    grid = [(2048, 2048, 256), (2048, 327, 256), (16384, 16384, 256), (2048, 2048, 1024), (65536, default, 256)]
    for count, chunk, size in [(8, 8, 16)] if arguments.quick else grid:
        what = {"lifetimes": count, "task_chunk": chunk, "cell": "gru", "size": size}
        yield what, _rl2_row(arguments, count, chunk, "gru", size)


def _whole_step(arguments: Accelerator, name: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A method's meta-step at the size of the other parts, and its arguments."""
    import jax

    import jaxmeta

    if name == "maml":
        tasks, count = jaxmeta.tasks.make("navigation"), 20
        algorithm = jaxmeta.maml(tasks, episodes=2 if arguments.quick else 20, task_chunk=count)
    elif name == "rl2":
        tasks, count = _bandits(arguments), 8 if arguments.quick else 2048
        algorithm = _rl2_learner(tasks, count, "gru", 256)
    else:
        tasks, count = jaxmeta.tasks.make("pendulum", horizon=200), 10
        algorithm = getattr(jaxmeta, name)(tasks)
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, count)
    return algorithm.step, (jax.random.key(3), jax.jit(algorithm.init)(jax.random.key(0)), batch)


def _profile(arguments: Accelerator) -> Rows:
    """Kernels of one meta-step by the device's own clock: how many, how long it is busy, and which take longest."""
    import measure

    def run(name: str) -> Row:
        step, inputs = _whole_step(arguments, name)
        return measure.profile(measure.compiled(step, *inputs)[0], *inputs)

    for name in ("maml",) if arguments.quick else ("maml", "pearl", "mb_mpo"):
        yield {"method": name}, lambda name=name: run(name)


_GRAPHS = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,DYNAMIC_SLICE_FUSION,WHILE,CONDITIONAL"
OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "loops in CUDA graphs": {"xla_gpu_enable_command_buffer": _GRAPHS},
    "double-buffered loops": {"xla_gpu_enable_while_loop_double_buffering": True},
    "deterministic": {"xla_gpu_deterministic_ops": True},
}


def _options(arguments: Accelerator) -> Rows:
    """The same meta-steps under options of the compiler."""
    import measure

    def run(name: str, option: str) -> Row:
        step, inputs = _whole_step(arguments, name)
        program, compile_seconds = measure.compiled(step, *inputs, options=OPTIONS[option])
        times = measure.seconds(program, *inputs, repeats=arguments.repeats)
        return {"compile_seconds": compile_seconds, "seconds": measure.median(times), "seconds_all": times}

    for name in ("maml",) if arguments.quick else ("maml", "rl2", "pearl", "mb_mpo"):
        for option in OPTIONS:
            yield {"method": name, "option": option}, lambda name=name, option=option: run(name, option)


def _cells(arguments: Accelerator) -> Rows:
    """The other recurrent layers, likewise."""
    for cell in ("linear", "transformer", "lstm"):
        count, size = (8, 16) if arguments.quick else (2048, 256)
        what = {"lifetimes": count, "task_chunk": count, "cell": cell, "size": size}
        yield what, _rl2_row(arguments, count, count, cell, size)


def _seeds(arguments: Accelerator) -> Rows:
    """MAML on navigation, 20 tasks, with seeds under one ``vmap``."""
    import jaxmeta

    tasks = jaxmeta.tasks.make("navigation")
    for seeds in (2,) if arguments.quick else (1, 16, 64):
        algorithm = jaxmeta.maml(tasks, episodes=2 if arguments.quick else 20, task_chunk=20)
        yield (
            {"seeds": seeds, "tasks": 20},
            lambda seeds=seeds, each=algorithm: _timed_step(arguments, each, tasks, 20, seeds=seeds),
        )


def _replaying(arguments: Accelerator) -> Rows:
    """Methods with a replay buffer, with the defaults of their builders: 10 tasks, episodes of 200 steps."""
    from replaying import METHODS

    import jaxmeta

    horizon = 20 if arguments.quick else 200
    for name in ("r2d2",) if arguments.quick else ("r2d2", "mql", "maml_q", "pearl", "grbal", "mb_mpo"):
        family, episodes = METHODS[name]

        def run(name=name, family=family, episodes=episodes) -> Row:
            tasks = jaxmeta.tasks.make(family, horizon=horizon)
            tasks = jaxmeta.tasks.as_lifetime(tasks, episodes) if episodes else tasks
            return _timed_step(arguments, getattr(jaxmeta, name)(tasks), tasks, 10)

        yield {"method": name, "family": family}, run


def _methods(arguments: Accelerator) -> Rows:
    """The other gradient methods on navigation, 20 tasks together."""
    import jaxmeta

    tasks = jaxmeta.tasks.make("navigation")
    names = ("trpo_maml", "promp", "fomaml", "anil", "cavia", "imaml", "e_maml", "maml_ppo", "reptile", "learned_rule")
    for name in ("fomaml",) if arguments.quick else names:
        episodes = 2 if arguments.quick else 20

        def run(name=name, episodes=episodes) -> Row:
            return _timed_step(arguments, getattr(jaxmeta, name)(tasks, episodes=episodes, task_chunk=20), tasks, 20)

        yield {"method": name, "tasks": 20, "task_chunk": 20}, run


PARTS: dict[str, Callable[[Accelerator], Rows]] = {
    "device": _device,
    "maml": _maml,
    "precision": _precision,
    "rl2": _rl2,
    "seeds": _seeds,
    "replaying": _replaying,
    "profile": _profile,
    "options": _options,
    "cells": _cells,
    "methods": _methods,
}


if __name__ == "__main__":
    main()
