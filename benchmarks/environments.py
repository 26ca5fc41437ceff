"""Environment steps per second of every task family under random actions, and of Gymnasium where it has the same one.

Each environment of a batch is a different task. A call scans a fixed number of steps; nothing resets, so steps beyond
an episode's end are computed and counted, as ``jaxmeta.collect_episodes`` computes them. Gymnasium resets by itself:
what is compared with it resets too, with gymnax's own ``step``. Random actions are drawn at each step on both sides.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import tyro

SAME_ENVIRONMENT = {
    "acrobot": "Acrobot-v1",
    "cartpole": "CartPole-v1",
    "mountain-car": "MountainCar-v0",
    "mountain-car-continuous": "MountainCarContinuous-v0",
    "pendulum": "Pendulum-v1",
}


@dataclasses.dataclass(frozen=True)
class Environments:
    """Time random actions in every family; print a table, write JSON and a plot."""

    json: Path | None = None
    """Write the results to this file."""
    plot: Path | None = None
    """Draw steps per second against batch size into this PNG."""
    families: tuple[str, ...] = ()
    """Families to time; all of them if not given."""
    batches: tuple[int, ...] = (1, 16, 256, 4096, 65536)
    """Batch sizes: environments that step together, each in a task of its own."""
    gymnasium_batches: tuple[int, ...] = (1, 16, 256)
    """Batch sizes of the comparison with Gymnasium; none leaves it out."""
    steps: int = 100
    """Steps of each environment in a call."""
    repeats: int = 5
    """Timed calls of each; the median is reported."""
    limit: float = 3.0
    """Seconds: a call that takes longer is not repeated, and larger batches of its family are skipped."""
    quick: bool = False
    """Batches of 1 and 16, three repeats."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Environments, args=argv)
    if arguments.quick:
        arguments = dataclasses.replace(arguments, batches=(1, 16), gymnasium_batches=(1, 16), repeats=3)
    counts = (*arguments.batches, *arguments.gymnasium_batches, arguments.steps, arguments.repeats)
    if not arguments.batches or min(counts) < 1 or arguments.limit <= 0:
        raise SystemExit("error: every count must be at least 1, the limit above 0, and there must be a batch size")

    import measure

    from jaxmeta import registry, tasks

    for name in arguments.families:
        try:
            registry.check("family", name, tasks.names())
        except registry.RegistryError as error:
            raise SystemExit(f"error: {error}") from error
    names = arguments.families or tasks.names()
    settings = {**dataclasses.asdict(arguments), "json": None, "plot": None}
    result: dict[str, Any] = {"machine": measure.machine(), "settings": settings, "families": [], "gymnasium": []}
    print(result["machine"])

    print(f"\nrandom actions, {arguments.steps} steps a call, no resets")
    print(f"{'family':25s}{'batch':>8s}{'compile':>10s}{'ms/call':>10s}{'M steps/s':>12s}")
    for name in names:
        for row in _grow(tasks.make(name), arguments.batches, arguments, resets=False):
            result["families"].append({"family": name, **row})
            print(f"{name:25s}{_line(row)}", flush=True)

    compared = [name for name in names if name in SAME_ENVIRONMENT]
    if compared and arguments.gymnasium_batches:
        _compare(compared, arguments, result)
    result["peak_resident_bytes"] = measure.peak_resident_bytes()
    print(f"\npeak resident memory of this process: {result['peak_resident_bytes'] / 1e6:.0f} MB")
    measure.write(arguments.json, result)
    if arguments.plot is not None:
        _draw(result, arguments.plot)
        print("wrote", arguments.plot)


def _compare(names: list[str], arguments: Environments, result: dict[str, Any]) -> None:
    """Time Gymnasium's vectorised environments, and the same families with resets, at the same batch sizes."""
    from jaxmeta import tasks

    try:
        import gymnasium
    except ImportError:
        print("\nGymnasium is not installed: no comparison (pip install gymnasium)")
        return
    result["gymnasium_version"] = gymnasium.__version__
    print(f"\nthe same with resets, and Gymnasium {gymnasium.__version__}, M steps/s")
    print(f"{'family':25s}{'batch':>8s}{'jaxmeta':>10s}{'gymnasium':>11s}{'ratio':>8s}  vectorisation")
    for name in names:
        ours = {
            row["batch"]: row
            for row in _grow(tasks.make(name), arguments.gymnasium_batches, arguments, resets=True)
            if "skipped" not in row
        }
        for batch in sorted(arguments.gymnasium_batches):
            row = {"family": name, **_gymnasium(SAME_ENVIRONMENT[name], batch, arguments)}
            line = f"{name:25s}{batch:8d}"
            if batch in ours:
                row["jaxmeta"] = ours[batch]
                row["ratio"] = ours[batch]["steps_per_second"] / row["steps_per_second"]
            result["gymnasium"].append(row)
            rate = f"{ours[batch]['steps_per_second'] / 1e6:10.3f}" if batch in ours else f"{'skipped':>10s}"
            ratio = f"{row['ratio']:8.1f}" if batch in ours else f"{'':8s}"
            print(f"{line}{rate}{row['steps_per_second'] / 1e6:11.4f}{ratio}  {row['vectorisation']}", flush=True)
            if row["seconds"][0] > arguments.limit:
                print(f"{name:25s}  larger batches skipped: a call of Gymnasium took {row['seconds'][0]:.1f} s")
                break


def _grow(family: Any, batches: tuple[int, ...], arguments: Environments, *, resets: bool) -> list[dict[str, Any]]:
    """A row for each batch size, smallest first, up to the first that takes longer than the limit."""
    import jax
    import measure

    from jaxmeta.runs import sample_tasks

    rows, slow = [], None
    for batch in sorted(batches):
        if slow is not None:
            rows.append({"batch": batch, "skipped": slow})
            continue
        some = sample_tasks(jax.random.key(0), family, batch)
        inputs = (jax.random.key(1), some)
        call = _rollout(family.env, batch, arguments.steps, resets=resets)
        started = time.perf_counter()
        compiled = jax.jit(call).lower(*inputs).compile()
        compile_seconds = time.perf_counter() - started
        started = time.perf_counter()
        jax.block_until_ready(compiled(*inputs))
        times = [time.perf_counter() - started]
        if times[0] <= arguments.limit:
            times = measure.seconds(compiled, *inputs, repeats=arguments.repeats)
        else:
            slow = f"{times[0]:.1f} s a call at batch {batch}, limit {arguments.limit:g} s"
        rate = batch * arguments.steps / measure.median(times)
        row = {"batch": batch, "compile_seconds": compile_seconds, "seconds": times, "steps_per_second": rate}
        rows.append({**row, "temporary_bytes": measure.temporary_bytes(compiled)})
    return rows


def _rollout(env: Any, batch: int, steps: int, *, resets: bool):
    """``call(key, tasks) -> totals``: ``steps`` random steps in each of ``batch`` tasks, leaves ``[N, ...]``."""
    import jax
    import jax.numpy as jnp

    def one_step(key, state, task):
        key_act, key_env = jax.random.split(key)
        action = env.action_space(task).sample(key_act)
        if resets:
            obs, next_state, reward, terminated, truncated, _ = env.step(key_env, state, action, task)
            ended = terminated | truncated
        else:
            obs, next_state, reward, ended, _ = env.step_env(key_env, state, action, task)
        next_state = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), next_state, state)
        return obs, next_state, reward, ended

    def call(key, some):
        def scan_step(carry, key):
            _, state, total, episodes = carry
            obs, state, reward, ended = jax.vmap(one_step)(jax.random.split(key, batch), state, some)
            return (obs, state, total + reward, episodes + ended), None

        key_reset, key_steps = jax.random.split(key)
        obs, state = jax.vmap(env.reset_env)(jax.random.split(key_reset, batch), some)
        state = jax.tree.map(jnp.asarray, state)
        # Observations are carried, though nothing reads them, so that the compiler cannot leave them out.
        carry = (obs, state, jnp.zeros(batch), jnp.zeros(batch, jnp.int32))
        return jax.lax.scan(scan_step, carry, jax.random.split(key_steps, steps))[0]

    return call


def _gymnasium(name: str, batch: int, arguments: Environments) -> dict[str, Any]:
    import gymnasium
    import measure

    own = gymnasium.spec(name).vector_entry_point is not None
    vectorisation = "vector_entry_point" if own else "sync"
    environments = gymnasium.make_vec(name, num_envs=batch, vectorization_mode=vectorisation)
    environments.reset(seed=0)
    environments.action_space.seed(0)

    def call() -> None:
        for _ in range(arguments.steps):
            environments.step(environments.action_space.sample())

    started = time.perf_counter()
    call()
    times = [time.perf_counter() - started]
    if times[0] <= arguments.limit:
        times = measure.seconds(call, repeats=min(arguments.repeats, 3))
    environments.close()
    rate = batch * arguments.steps / measure.median(times)
    row = {"environment": name, "vectorisation": vectorisation, "batch": batch}
    return {**row, "seconds": times, "steps_per_second": rate}


def _line(row: dict[str, Any]) -> str:
    import measure

    if "skipped" in row:
        return f"{row['batch']:8d}  skipped: {row['skipped']}"
    milliseconds = 1e3 * measure.median(row["seconds"])
    rate = row["steps_per_second"] / 1e6
    return f"{row['batch']:8d}{row['compile_seconds']:8.2f} s{milliseconds:10.2f}{rate:12.3f}"


def _draw(result: dict[str, Any], path: Path) -> None:
    """Steps per second against batch size, both logarithmic: a line a family, Gymnasium dashed in its colour."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from jaxmeta import plots

    lines: dict[str, list[tuple[int, float]]] = {}
    for row in result["families"]:
        if "skipped" not in row:
            lines.setdefault(row["family"], []).append((row["batch"], row["steps_per_second"]))
    dashed: dict[str, list[tuple[int, float]]] = {}
    for row in result["gymnasium"]:
        dashed.setdefault(row["family"], []).append((row["batch"], row["steps_per_second"]))
    # The legend runs in the order of the lines' right ends.
    order = sorted(lines, key=lambda name: lines[name][-1][1], reverse=True)
    colours, markers = mpl.colormaps["tab10"], "os^DvP"
    with mpl.rc_context({**plots.STYLE}):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(8.6, max(4.6, 0.24 * (len(lines) + len(dashed)) + 0.6)), layout="constrained")
        ax = figure.subplots()
        for index, name in enumerate(order):
            style = {"color": colours(index % 10), "marker": markers[index // 10 % len(markers)], "markersize": 4}
            ax.plot(*zip(*lines[name], strict=True), label=name, linewidth=1.3, **style)
            if name in dashed:
                label = f"{name}, Gymnasium"
                ax.plot(*zip(*dashed[name], strict=True), "--", label=label, linewidth=1.0, alpha=0.8, **style)
        ax.set(xscale="log", yscale="log", xlabel="environments in a batch, each its own task")
        ax.set(
            ylabel="environment steps per second",
            title=f"random actions, {result['machine']['device']} (Gymnasium alone resets)",
        )
        batches = sorted({batch for line in (*lines.values(), *dashed.values()) for batch, _ in line})
        ax.set_xticks(batches, labels=[f"{batch:,}" for batch in batches])
        ax.minorticks_off()
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
        plots.save(figure, path)


if __name__ == "__main__":
    main()
