"""One seed on 1, 2, 4 and 8 simulated devices: how far results differ, what the devices exchange, memory on each.

Wall time says nothing here: all simulated devices share the cores of one machine.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from pathlib import Path
from typing import Any

import tyro

METHODS: dict[str, tuple[str, int, dict[str, Any], dict[str, Any]]] = {
    "maml": ("navigation", 0, {}, {"episodes": 10, "adaptation_steps": 2, "epochs": 1}),
    "promp": ("navigation", 0, {}, {"episodes": 10, "epochs": 3}),
    "trpo_maml": ("navigation", 0, {}, {"episodes": 10, "inner_rate": 0.02}),
    "es_maml": ("navigation", 0, {}, {"episodes": 10}),
    "rl2": ("bernoulli-bandit", 1, {"horizon": 100}, {"epochs": 2, "minibatches": 2}),
    "varibad": ("bernoulli-bandit", 1, {"horizon": 20}, {"epochs": 2, "minibatches": 2}),
    "pearl": ("pendulum", 0, {"horizon": 50}, {"batch_tasks": 16, "updates": 10}),
    "maml_q": ("cartpole", 0, {"horizon": 50}, {"updates": 4}),
    "r2d2": ("cartpole", 1, {"horizon": 50}, {"updates": 4}),
    "mb_mpo": ("pendulum", 0, {"horizon": 50}, {"epochs": 5, "members": 8, "updates": 2}),
    "model_maml": ("navigation", 0, {"horizon": 20}, {"capacity": 128, "model_updates": 10, "imagined_updates": 2}),
}
"""Each with a family, the episodes of a lifetime if it takes such, settings of the family, and settings of its own.

Epochs and minibatches are those of plain gradient descent: Adam would make a whole step of a rounded zero, as an
undamped trust region does of a direction without curvature.
"""
EXCHANGED = re.compile(r"\b(all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(")
AT_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options of the compiler by which code is made sooner, and is slower; what devices exchange stays the same."""


@dataclasses.dataclass(frozen=True)
class Devices:
    """Train on simulated devices; print a table and write JSON."""

    json: Path | None = None
    """Write the results to this file."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Methods, by the names of their builders."""
    devices: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of devices; 1 comes first."""
    tasks: int = 64
    """Tasks in a meta-batch."""
    iterations: int = 2
    """Meta-iterations."""
    quick: bool = False
    """Small sizes, to see that all parts run."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Devices, args=argv)
    for name in arguments.methods:
        if name not in METHODS:
            raise SystemExit(f"error: --methods: unknown method {name!r}. Known: {', '.join(METHODS)}")
    if arguments.devices[0] != 1 or any(count < 1 or arguments.tasks % count for count in arguments.devices):
        raise SystemExit("error: --devices: must begin with 1, and each must divide --tasks")
    import jax

    jax.config.update("jax_num_cpu_devices", max(arguments.devices))
    import measure

    settings = {**dataclasses.asdict(arguments), "json": None}
    result: dict[str, Any] = {"machine": measure.machine(), "settings": settings, "devices": []}
    print(result["machine"])
    for name in arguments.methods:
        for row in _rows(name, arguments):
            result["devices"].append(row)
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    measure.write(arguments.json, result)


def _rows(name: str, arguments: Devices):
    """A row for each number of devices."""
    import jax
    import measure
    import numpy as np
    import optax

    import jaxmeta

    family, episodes, sizes, settings = METHODS[name]
    if arguments.quick:
        sizes = {**sizes, "horizon": 10}
    tasks = jaxmeta.tasks.make(family, **sizes)
    tasks = jaxmeta.as_lifetime(tasks, episodes) if episodes else tasks
    settings = dict(settings)
    if name == "trpo_maml":
        settings["outer"] = jaxmeta.outer.trust_region(damping=0.1)
        # With rectifiers an episode's first observation, 0, is at a kink of every unit while biases are 0.
        settings["policy"] = jaxmeta.policy_for(tasks.env, activation="tanh")
    if name == "es_maml":
        settings["optimizer"] = optax.sgd(0.1)
    if name == "model_maml":
        settings["model_optimizer"] = optax.sgd(0.1)
    if name in ("maml", "promp", "rl2", "varibad", "model_maml"):
        passes = {key: settings.pop(key) for key in ("epochs", "minibatches") if key in settings}
        settings["outer"] = jaxmeta.outer.sgd(rate=0.1, **passes)
    algorithm = getattr(jaxmeta, name)(tasks, **settings)
    flat = lambda tree: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])  # noqa: E731
    start = flat(jax.jit(lambda key: jaxmeta.runs.init_state(key, algorithm).meta.theta)(jax.random.key(0)))
    before = None
    for count in arguments.devices:
        mesh = jaxmeta.over_tasks.task_mesh(count) if count > 1 else None

        def train(key, mesh=mesh):
            each = {"iterations": arguments.iterations, "meta_batch": arguments.tasks, "mesh": mesh}
            return jaxmeta.meta_train(key, algorithm, tasks, **each)

        program, _ = measure.compiled(train, jax.random.key(0), options=AT_ONCE if arguments.quick else None)
        state, info = program(jax.random.key(0))
        theta = flat(state.meta.theta)
        before = theta if before is None else before
        yield {
            "method": name,
            "devices": count,
            **collections.Counter(EXCHANGED.findall(program.as_text())),
            "temporary_bytes": measure.temporary_bytes(program),
            # A model's box has no ends before the first fit.
            "moved": float(np.max(np.abs(theta - start)[np.isfinite(start)])),
            "difference": float(np.max(np.abs(theta - before))),
            "return_post": float(np.mean(info["return_post"][-1])),
        }


if __name__ == "__main__":
    main()
