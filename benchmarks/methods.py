"""Time and memory of the meta-step of every gradient method, by tasks differentiated together and by inner steps."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import tyro

METHODS = (
    "maml",
    "fomaml",
    "anil",
    "meta_sgd",
    "cavia",
    "e_maml",
    "promp",
    "maml_ppo",
    "trpo_maml",
    "reptile",
    "imaml",
    "learned_rule",
    "es_maml",
)


@dataclasses.dataclass(frozen=True)
class Methods:
    """Time whole compiled meta-steps; print tables and write JSON."""

    json: Path | None = None
    """Write the results to this file."""
    task: str = "navigation"
    """Task family."""
    methods: tuple[str, ...] = METHODS
    """Methods, by the names of their builders."""
    tasks: int = 20
    """Tasks in a meta-batch."""
    episodes: int = 20
    """Episodes in each task before and after adaptation."""
    chunks: tuple[int, ...] = (1, 5, 20)
    """Tasks differentiated together."""
    steps: tuple[int, ...] = (1, 2, 4, 8)
    """Inner steps of the second table: MAML's meta-gradient, its activations kept or computed again."""
    repeats: int = 3
    """Timed calls of each; the median is reported."""
    quick: bool = False
    """Two methods, one chunk, two inner steps."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Methods, args=argv)
    if arguments.quick:
        arguments = dataclasses.replace(arguments, methods=("maml", "anil"), chunks=(1,), steps=(1, 2))
    counts = (arguments.tasks, arguments.episodes, arguments.repeats, *arguments.chunks, *arguments.steps)
    if min(counts) < 1:
        raise SystemExit("error: every count must be at least 1")
    for name in arguments.methods:
        if name not in METHODS:
            raise SystemExit(f"error: unknown method {name!r}. Known: {', '.join(METHODS)}")

    import measure

    settings = {**dataclasses.asdict(arguments), "json": None}
    result: dict[str, Any] = {"machine": measure.machine(), "settings": settings}
    print(result["machine"])
    result["methods"] = list(_methods(arguments))
    result["inner_steps"] = list(_inner_steps(arguments))
    measure.write(arguments.json, result)


def _methods(arguments: Methods):
    """A row a method and chunk: the whole step."""
    import jax
    import measure

    import jaxmeta

    tasks = jaxmeta.tasks.make(arguments.task)
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, arguments.tasks)
    print(f"\nwhole meta-step, {arguments.tasks} tasks x {arguments.episodes} episodes x {tasks.horizon} steps")
    print(f"{'method':16s}{'chunk':>6s}{'compile':>10s}{'s/iteration':>13s}{'k steps/s':>11s}{'MB':>8s}")
    for name in arguments.methods:
        # Evolution strategies differentiate no chunk of tasks.
        for chunk in arguments.chunks if name != "es_maml" else (None,):
            chunked = {} if chunk is None else {"task_chunk": chunk}
            algorithm = getattr(jaxmeta, name)(tasks, episodes=arguments.episodes, **chunked)
            inputs = (jax.random.key(3), algorithm.init(jax.random.key(0)), batch)
            compiled, compile_seconds = measure.compiled(algorithm.step, *inputs)
            times = measure.seconds(compiled, *inputs, repeats=arguments.repeats)
            row = {
                "method": name,
                "task_chunk": chunk,
                "compile_seconds": compile_seconds,
                "seconds": times,
                "env_steps_per_second": float(compiled(*inputs)[1]["env_steps"]) / measure.median(times),
                "temporary_bytes": measure.temporary_bytes(compiled),
            }
            yield row
            print(
                f"{name:16s}{chunk or '':>6}{compile_seconds:8.1f} s{measure.median(times):13.3f}"
                f"{row['env_steps_per_second'] / 1e3:11.0f}{row['temporary_bytes'] / 1e6:8.0f}",
                flush=True,
            )


def _inner_steps(arguments: Methods):
    """A row a number of inner steps, and a way to keep or not to keep their activations: the meta-gradient alone."""
    import jax
    import measure
    import optax

    import jaxmeta

    tasks = jaxmeta.tasks.make(arguments.task)
    policy = jaxmeta.networks.policy_for(tasks.env)
    kept = jaxmeta.learners.whole_network(policy, jaxmeta.objectives.likelihood_ratio, optax.sgd(0.1))
    count = min(arguments.tasks, 5)
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, count)
    keys = jax.random.split(jax.random.key(2), count)
    theta = policy.init(jax.random.key(0))
    print(f"\nmeta-gradient on stored data, {count} tasks, one at a time")
    print(f"{'inner steps':>12s}{'activations':>15s}{'compile':>10s}{'s':>9s}{'MB temporary':>14s}{'MB data':>9s}")
    for steps in arguments.steps:
        sizes = {"adaptation_steps": steps, "episodes": arguments.episodes, "horizon": tasks.horizon, "task_chunk": 1}
        collect = functools.partial(
            jaxmeta.data.collect_lifetimes,
            env=tasks.env,
            learner=jaxmeta.learners.acting(kept),
            estimator=jaxmeta.data.linear_baseline(),
        )
        _, lifetimes = jax.jit(
            lambda keys, batch, sizes=sizes, run=collect: run(keys, tasks=batch, theta=theta, **sizes)
        )(keys, batch)
        for way, adaptation in (("kept", kept), ("rematerialised", jaxmeta.learners.rematerialised(kept))):
            objective = jaxmeta.objectives.post_adaptation(
                jaxmeta.learners.acting(adaptation), jaxmeta.objectives.likelihood_ratio
            )
            mean = jaxmeta.over_tasks.mean_over_tasks(objective, 1)
            gradient = jax.grad(lambda theta, lifetimes, mean=mean: mean(theta, lifetimes)[0])
            compiled, compile_seconds = measure.compiled(gradient, theta, lifetimes)
            times = measure.seconds(compiled, theta, lifetimes, repeats=arguments.repeats)
            row = {
                "adaptation_steps": steps,
                "activations": way,
                "compile_seconds": compile_seconds,
                "seconds": times,
                "temporary_bytes": measure.temporary_bytes(compiled),
                "stored_trajectory_bytes": measure.tree_bytes(lifetimes),
            }
            yield row
            print(
                f"{steps:12d}{way:>15s}{compile_seconds:8.1f} s{measure.median(times):9.3f}"
                f"{row['temporary_bytes'] / 1e6:14.1f}{row['stored_trajectory_bytes'] / 1e6:9.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
