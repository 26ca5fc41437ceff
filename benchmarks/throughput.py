"""Speed and memory of the reference work: MAML, 40 tasks x 20 episodes x 100 steps, MLP 2 x 100, one inner step."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import jax
import measure
import optax
import tyro

import jaxmeta


@dataclasses.dataclass(frozen=True)
class Throughput:
    """Time the compiled meta-step; print tables and write JSON."""

    json: Path | None = None
    """Write the results to this file."""
    repeats: int = 7
    """Timed calls of each; the median is reported."""
    task_chunk: int = 1
    """Tasks differentiated together."""
    reference: tuple[int, ...] = (20, 40)
    """Meta-batch sizes of the whole meta-step; the last is that of the meta-gradient and the rollouts alone."""
    tasks: tuple[int, ...] = (10, 20, 40, 100, 300, 1000)
    """Meta-batch sizes of the growth table."""
    steps: tuple[int, ...] = (1, 2, 3, 5)
    """Inner steps of the growth table."""
    quick: bool = False
    """Small sizes, to see that all parts run."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Throughput, args=argv)
    counts = (arguments.repeats, arguments.task_chunk, *arguments.reference, *arguments.tasks, *arguments.steps)
    if min(counts) < 1 or not arguments.reference:
        raise SystemExit("error: every count must be at least 1")
    if arguments.quick:
        arguments = dataclasses.replace(arguments, repeats=1, reference=(2,), tasks=(2,), steps=())
    with tempfile.TemporaryDirectory() as directory:
        measure.persistent_cache(directory)
        bench = Bench(arguments)
        result: dict[str, Any] = {"machine": measure.machine()}
        result["settings"] = {**dataclasses.asdict(arguments), "json": None}
        print(result["machine"])
        result |= bench.meta_gradient() | bench.rollouts()
        result["meta_step"], result["growth"] = bench.meta_steps(), bench.growth()
    result["peak_resident_bytes"] = measure.peak_resident_bytes()
    print(f"\npeak resident memory of this process: {result['peak_resident_bytes'] / 1e6:.0f} MB")
    measure.write(arguments.json, result)


class Bench:
    """The reference work, and its parts one by one."""

    def __init__(self, arguments: Throughput):
        self.arguments, self.family = arguments, jaxmeta.tasks.make("navigation")
        self.policy = jaxmeta.networks.policy_for(self.family.env)
        self.outers = {"adam": jaxmeta.outer.by_optax(optax.adam(1e-3)), "trust-region": jaxmeta.outer.trust_region()}
        self.theta = self.algorithm().init(jax.random.key(0)).theta
        self.count = arguments.reference[-1]

    def algorithm(self, outer: str = "adam", steps: int = 1) -> jaxmeta.MetaAlgorithm:
        fixed = {"policy": self.policy, "task_chunk": self.arguments.task_chunk}
        return jaxmeta.maml(self.family, adaptation_steps=steps, outer=self.outers[outer], **fixed)

    def collect(self, count: int, steps: int = 1) -> tuple[Any, tuple[Any, ...]]:
        """A jitted collection of all lifetimes of ``count`` tasks, and its arguments."""
        batch = jaxmeta.sample_tasks(jax.random.key(1), self.family, count)
        keys = jax.random.split(jax.random.key(2), count)
        return jax.jit(jax.vmap(self.algorithm(steps=steps).adapt, (0, None, 0))), (keys, self.theta, batch)

    def differentiate(self, steps: int = 1) -> Any:
        """The jitted meta-gradient on stored lifetimes."""
        learner = self.algorithm(steps=steps).learner
        objective = jaxmeta.objectives.post_adaptation(learner, jaxmeta.objectives.likelihood_ratio)
        mean = jaxmeta.over_tasks.mean_over_tasks(objective, self.arguments.task_chunk)
        return jax.jit(jax.grad(lambda theta, lifetimes: mean(theta, lifetimes)[0]))

    def meta_gradient(self) -> dict[str, Any]:
        """On stored lifetimes, beside the rates of matrix products on the same machine."""
        rate, large = measure.matrix_rate(), measure.large_matrix_rate()
        print(
            f"matrix products: {rate / 1e9:.0f} GFLOP/s at 2000x100x100, {large / 1e9:.0f} GFLOP/s at 2048x2048x2048\n"
        )
        run, inputs = self.collect(self.count)
        gradient, stored = self.differentiate(), run(*inputs)[1]
        flops = measure.matrix_flops(gradient, self.theta, stored)
        times = measure.seconds(gradient, self.theta, stored, repeats=self.arguments.repeats)
        achieved = flops / measure.median(times)
        print(
            f"meta-gradient, {self.count} tasks: {measure.median(times):.3f} s, {flops / 1e9:.1f} GFLOP, "
            f"{achieved / 1e9:.0f} GFLOP/s: "
            f"{achieved / rate:.0%} of the layer's own rate, {achieved / large:.0%} of a large product's"
        )
        return {
            "matrix_product_flops_per_second": {"2000x100x100": rate, "2048x2048x2048": large},
            "meta_gradient": {
                "seconds": times,
                "matrix_flops": flops,
                "flops_per_second": achieved,
                "fraction_of_matrix_product": achieved / rate,
                "fraction_of_large_matrix_product": achieved / large,
            },
        }

    def rollouts(self) -> dict[str, Any]:
        """With adaptation, and alone; padding after an episode's end is computed too."""
        found, lines = (
            {},
            {"collection": ("collection with adaptation", 1), "rollout": ("rollout and advantages alone", 0)},
        )
        for name, (title, steps) in lines.items():
            run, inputs = self.collect(self.count, steps)
            times = measure.seconds(run, *inputs, repeats=self.arguments.repeats)
            rate = (1 + steps) * self.count * 20 * 100 / measure.median(times)
            found[name] = {"seconds": times, "steps_per_second": rate}
            print(f"{title}: {measure.median(times):.3f} s, {rate / 1e6:.2f} M steps/s")
        return found

    def meta_steps(self) -> list[dict[str, Any]]:
        """Whole meta-steps: compilation, time and memory."""
        rows = []
        heads = f"{'cold compile':>14s}{'cached':>8s}{'s/iteration':>13s}{'k steps/s':>11s}{'MB':>8s}"
        print(f"\n{'outer step':14s}{'tasks':>6s}{heads}")
        for name, count in [(name, count) for name in self.outers for count in self.arguments.reference]:
            each = self.algorithm(name)
            step = jax.jit(each.step)
            batch = jaxmeta.sample_tasks(jax.random.key(1), self.family, count)
            inputs = (jax.random.key(3), each.init(jax.random.key(0)), batch)
            cold, cached = measure.cold_and_cached_compile(lambda step=step, inputs=inputs: step.lower(*inputs))
            compiled = step.lower(*inputs).compile()
            times = measure.seconds(compiled, *inputs, repeats=self.arguments.repeats)
            row = {
                "outer": name,
                "tasks": count,
                "compile_cold_seconds": cold,
                "compile_cached_seconds": cached,
                "seconds": times,
                "env_steps_per_second": float(compiled(*inputs)[1]["env_steps"]) / measure.median(times),
                "temporary_bytes": measure.temporary_bytes(compiled),
            }
            rows.append(row)
            print(
                f"{name:14s}{count:6d}{cold:12.1f} s{cached:6.1f} s{measure.median(times):13.3f}"
                f"{row['env_steps_per_second'] / 1e3:11.0f}{row['temporary_bytes'] / 1e6:8.0f}"
            )
        return rows

    def growth(self) -> list[dict[str, Any]]:
        """The meta-gradient's time and memory by tasks and by inner steps."""
        rows = []
        grid = [(count, 1) for count in self.arguments.tasks]
        grid += [(self.count, steps) for steps in self.arguments.steps if steps > 1]
        if grid:
            heads = f"{'s':>9s}{'ms/task':>9s}{'MB temporary':>14s}{'MB data':>9s}"
            print(f"\nmeta-gradient on stored data\n{'tasks':>6s}{'K':>3s}{heads}")
        for count, steps in grid:
            run, inputs = self.collect(count, steps)
            stored = run(*inputs)[1]
            compiled = self.differentiate(steps).lower(self.theta, stored).compile()
            times = measure.seconds(compiled, self.theta, stored, repeats=min(self.arguments.repeats, 5))
            row = {
                "tasks": count,
                "adaptation_steps": steps,
                "seconds": times,
                "temporary_bytes": measure.temporary_bytes(compiled),
                "stored_trajectory_bytes": measure.tree_bytes(stored),
            }
            rows.append(row)
            print(
                f"{count:6d}{steps:3d}{measure.median(times):9.3f}{1e3 * measure.median(times) / count:9.2f}"
                f"{row['temporary_bytes'] / 1e6:14.1f}{row['stored_trajectory_bytes'] / 1e6:9.1f}"
            )
        return rows


if __name__ == "__main__":
    main()
