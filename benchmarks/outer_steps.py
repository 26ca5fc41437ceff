"""Which outer step reaches a return soonest: Adam, and trust regions whose curvature sees all or some of the data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

COLOURS = ("#c4841d", "#1f5fa8", "#9a6324", "#2a9d5c", "#c44e8a")


@dataclasses.dataclass(frozen=True)
class OuterSteps:
    """Train MAML on 2D navigation for the same wall-clock time with each outer step; print, plot and write JSON."""

    json: Path | None = None
    """Write the curves to this file."""
    plot: Path | None = None
    """Write the figure to this PNG file."""
    seconds: float = 45.0
    """Training time of each, without compilation."""
    seeds: int = 2
    """Seeds of each."""
    meta_batch: int = 20
    """Tasks in each meta-iteration."""
    episodes: int = 20
    """Episodes in each task, before and after adaptation."""
    outers: tuple[str, ...] = ()
    """Outer steps by their names; all if none are given."""


def main() -> None:
    arguments = tyro.cli(OuterSteps)
    if arguments.seconds <= 0 or min(arguments.seeds, arguments.meta_batch, arguments.episodes) < 1:
        raise SystemExit("error: seconds must be positive; seeds, meta-batch and episodes at least 1")

    import jax.numpy as jnp
    import measure
    import numpy as np
    import optax
    from matplotlib.figure import Figure

    import jaxmeta
    from jaxmeta.runs import loop as train
    from jaxmeta.runs.program import seed_states

    tasks = jaxmeta.tasks.make("navigation")
    policy = jaxmeta.networks.policy_for(tasks.env, initial_log_std=-0.7)
    outers = {
        "adam, twice the rate": jaxmeta.outer.by_optax(optax.adam(optax.linear_schedule(6e-3, 3e-4, 100))),
        "adam": jaxmeta.outer.by_optax(optax.adam(optax.linear_schedule(3e-3, 3e-4, 400))),
        "trust region, curvature on all steps": jaxmeta.outer.trust_region(curvature_every=1),
        "trust region, on every 5th": jaxmeta.outer.trust_region(curvature_every=5),
        "trust region, on every 10th": jaxmeta.outer.trust_region(curvature_every=10),
    }
    if arguments.outers:
        outers = {name: outer for name, outer in outers.items() if name in arguments.outers}
    result = {"machine": measure.machine(), "settings": {**dataclasses.asdict(arguments), "json": None, "plot": None}}
    result["curves"] = []
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    heads = f"{'s/iteration':>12s}{'iterations':>11s}{'s to -16':>10s}{'s to -13':>10s}{'last 10':>9s}"
    print(f"{result['machine']}\n{'outer step':38s}{heads}")
    for colour, (name, outer) in zip(COLOURS, outers.items(), strict=False):
        algorithm = jaxmeta.maml(tasks, policy=policy, outer=outer, episodes=arguments.episodes)
        run = train.compiled_chunk(algorithm, tasks, meta_batch=arguments.meta_batch)
        for seed in range(arguments.seeds):
            states = seed_states(algorithm, [seed])
            compiled = run.lower(states, jnp.int32(1)).compile()
            clock, seconds, returns = 0.0, [], []
            spent = lambda done: clock >= arguments.seconds  # noqa: E731, B023
            for chunk in train.train_in_chunks(compiled, states, 10**6, seconds_per_chunk=0.5, stop=spent):
                length = len(chunk.info["loss"])
                seconds += list(clock + chunk.seconds * np.arange(1, length + 1) / length)
                returns += chunk.info["return_post"][:, 0].tolist()
                clock += chunk.seconds
            # A mean of as much data, whatever a meta-batch is.
            window = max(5, round(5 * 400 / (arguments.meta_batch * arguments.episodes)))
            smooth = np.convolve(returns, np.ones(window) / window, mode="valid")
            reached = {
                level: float(seconds[window - 1 :][int(np.argmax(smooth >= level))])
                if np.any(smooth >= level)
                else None
                for level in (-16.0, -13.0)
            }
            row = {"outer": name, "seed": seed, "seconds": seconds, "return_post": returns, "seconds_to": reached}
            result["curves"].append(row)
            shown = "".join(f"{'-' if at is None else f'{at:.1f}':>10s}" for at in reached.values())
            print(
                f"{name:38s}{clock / len(returns):12.3f}{len(returns):11d}{shown}{np.mean(returns[-10:]):9.2f}",
                flush=True,
            )
            ax.plot(seconds[window - 1 :], smooth, color=colour, label=name if seed == 0 else None, linewidth=1.1)
    ax.set(xlabel="seconds of training", ylabel="return after adaptation (mean of 2,000 episodes)")
    ax.set(title=f"MAML on 2D navigation, {arguments.meta_batch} tasks, {result['machine']['cores']} CPU cores")
    ax.grid(alpha=0.25)
    ax.legend(frameon=False)
    if arguments.plot is not None:
        figure.savefig(arguments.plot, dpi=150)
        print("wrote", arguments.plot)
    measure.write(arguments.json, result)


if __name__ == "__main__":
    main()
