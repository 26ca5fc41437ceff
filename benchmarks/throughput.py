"""Speed and memory of the reference work: MAML, 40 tasks x 20 episodes x 100 steps, MLP 2 x 100, one inner step."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import tyro


@dataclasses.dataclass(frozen=True)
class Throughput:
    """Time the compiled meta-step; print tables and write JSON."""

    json: Path | None = None
    """Write the results to this file."""
    repeats: int = 7
    """Timed calls of each; the median is reported."""
    task_chunk: int = 1
    """Tasks differentiated together."""
    tasks: tuple[int, ...] = (10, 20, 40, 100, 300, 1000)
    """Meta-batch sizes of the growth table."""
    steps: tuple[int, ...] = (1, 2, 3, 5)
    """Inner steps of the growth table."""
    quick: bool = False
    """Only the reference work, three repeats."""


def main() -> None:
    arguments = tyro.cli(Throughput)
    with tempfile.TemporaryDirectory() as directory:
        run(arguments, directory)


def run(arguments: Throughput, cache: str) -> None:
    if arguments.repeats < 1 or arguments.task_chunk < 1 or min((*arguments.tasks, *arguments.steps)) < 1:
        raise SystemExit("error: every count must be at least 1")
    if arguments.quick:
        arguments = dataclasses.replace(arguments, repeats=3, tasks=(), steps=())

    import jax
    import measure
    import optax

    import jaxmeta

    measure.persistent_cache(cache)
    tasks = jaxmeta.tasks.make("navigation")
    policy = jaxmeta.networks.policy_for(tasks.env)
    outers = {"adam": jaxmeta.outer.by_optax(optax.adam(1e-3)), "trust-region": jaxmeta.outer.trust_region()}

    def algorithm(outer="adam", steps=1):
        return jaxmeta.maml(
            tasks, policy=policy, adaptation_steps=steps, outer=outers[outer], task_chunk=arguments.task_chunk
        )

    theta = algorithm().init(jax.random.key(0)).theta

    def collect(count, steps=1):
        """A jitted collection of all lifetimes of ``count`` tasks, and its arguments."""
        batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, count)
        keys = jax.random.split(jax.random.key(2), count)
        return jax.jit(jax.vmap(algorithm(steps=steps).adapt, (0, None, 0))), (keys, theta, batch)

    def differentiate(steps=1):
        """The jitted meta-gradient on stored lifetimes."""
        objective = jaxmeta.objectives.post_adaptation(
            algorithm(steps=steps).learner, jaxmeta.objectives.likelihood_ratio
        )
        mean = jaxmeta.over_tasks.mean_over_tasks(objective, arguments.task_chunk)
        return jax.jit(jax.grad(lambda theta, lifetimes: mean(theta, lifetimes)[0]))

    result = {"machine": measure.machine(), "settings": {**dataclasses.asdict(arguments), "json": None}}
    rate, large = measure.matrix_rate(), measure.large_matrix_rate()
    result["matrix_product_flops_per_second"] = {"2000x100x100": rate, "2048x2048x2048": large}
    print(result["machine"])
    print(f"matrix products: {rate / 1e9:.0f} GFLOP/s at 2000x100x100, {large / 1e9:.0f} GFLOP/s at 2048x2048x2048\n")

    # The meta-gradient alone, then whole meta-steps.
    run, inputs = collect(40)
    lifetimes = run(*inputs)[1]
    gradient = differentiate()
    flops = measure.matrix_flops(gradient, theta, lifetimes)
    times = measure.seconds(gradient, theta, lifetimes, repeats=arguments.repeats)
    achieved = flops / measure.median(times)
    result["meta_gradient"] = {
        "seconds": times,
        "matrix_flops": flops,
        "flops_per_second": achieved,
        "fraction_of_matrix_product": achieved / rate,
        "fraction_of_large_matrix_product": achieved / large,
    }
    print(
        f"meta-gradient, 40 tasks: {measure.median(times):.3f} s, {flops / 1e9:.1f} GFLOP, "
        f"{achieved / 1e9:.0f} GFLOP/s: "
        f"{achieved / rate:.0%} of the layer's own rate, {achieved / large:.0%} of a large product's"
    )
    times = measure.seconds(run, *inputs, repeats=arguments.repeats)
    # Two batches of 40 x 20 episodes; padding after an episode's end is computed too.
    collected = 2 * 40 * 20 * 100
    result["collection"] = {"seconds": times, "steps_per_second": collected / measure.median(times)}
    rate_collected = collected / measure.median(times)
    print(f"collection with adaptation: {measure.median(times):.3f} s, {rate_collected / 1e6:.2f} M steps/s")
    acting = jax.jit(jax.vmap(algorithm(steps=0).adapt, (0, None, 0)))
    times = measure.seconds(acting, *inputs, repeats=arguments.repeats)
    alone = 40 * 20 * 100 / measure.median(times)
    result["rollout"] = {"seconds": times, "steps_per_second": alone}
    print(f"rollout and advantages alone: {measure.median(times):.3f} s, {alone / 1e6:.2f} M steps/s\n")

    result["meta_step"] = []
    heads = f"{'cold compile':>14s}{'cached':>8s}{'s/iteration':>13s}{'k steps/s':>11s}{'MB':>8s}"
    print(f"{'outer step':14s}{'tasks':>6s}{heads}")
    for name in outers:
        for count in (20, 40):
            each = algorithm(name)
            step = jax.jit(each.step)
            batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, count)
            inputs = (jax.random.key(3), each.init(jax.random.key(0)), batch)
            cold, cached = measure.cold_and_cached_compile(lambda step=step, inputs=inputs: step.lower(*inputs))
            compiled = step.lower(*inputs).compile()
            times = measure.seconds(compiled, *inputs, repeats=arguments.repeats)
            env_steps = float(compiled(*inputs)[1]["env_steps"])
            row = {
                "outer": name,
                "tasks": count,
                "compile_cold_seconds": cold,
                "compile_cached_seconds": cached,
                "seconds": times,
                "env_steps_per_second": env_steps / measure.median(times),
                "temporary_bytes": measure.temporary_bytes(compiled),
            }
            result["meta_step"].append(row)
            print(
                f"{name:14s}{count:6d}{cold:12.1f} s{cached:6.1f} s{measure.median(times):13.3f}"
                f"{row['env_steps_per_second'] / 1e3:11.0f}{row['temporary_bytes'] / 1e6:8.0f}"
            )

    result["growth"] = []
    grid = [(count, 1) for count in arguments.tasks] + [(40, steps) for steps in arguments.steps if steps > 1]
    if grid:
        heads = f"{'s':>9s}{'ms/task':>9s}{'MB temporary':>14s}{'MB data':>9s}"
        print(f"\nmeta-gradient on stored data\n{'tasks':>6s}{'K':>3s}{heads}")
    for count, steps in grid:
        run, inputs = collect(count, steps)
        lifetimes = run(*inputs)[1]
        compiled = differentiate(steps).lower(theta, lifetimes).compile()
        times = measure.seconds(compiled, theta, lifetimes, repeats=min(arguments.repeats, 5))
        row = {
            "tasks": count,
            "adaptation_steps": steps,
            "seconds": times,
            "temporary_bytes": measure.temporary_bytes(compiled),
            "stored_trajectory_bytes": measure.tree_bytes(lifetimes),
        }
        result["growth"].append(row)
        print(
            f"{count:6d}{steps:3d}{measure.median(times):9.3f}{1e3 * measure.median(times) / count:9.2f}"
            f"{row['temporary_bytes'] / 1e6:14.1f}{row['stored_trajectory_bytes'] / 1e6:9.1f}"
        )
    result["peak_resident_bytes"] = measure.peak_resident_bytes()
    print(f"\npeak resident memory of this process: {result['peak_resident_bytes'] / 1e6:.0f} MB")
    measure.write(arguments.json, result)


if __name__ == "__main__":
    main()
