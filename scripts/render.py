"""Show what a run does in a few unseen tasks, before and after each adaptation step, as a PNG and a GIF."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import building
import evaluating
import experiment
import tyro


@dataclasses.dataclass(frozen=True)
class Render:
    """Draw trajectories before and after each adaptation step; writes RUN/trajectories.png and .gif."""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    tasks: int = 4
    """Unseen tasks, side by side."""
    steps: int = 3
    """Adaptation steps."""
    episodes: int | None = None
    """Episodes collected for each adaptation step; twice those of training if not given."""
    shown: int = 8
    """Episodes drawn, at most."""
    rate_decay: float = 0.5
    """Factor on the inner step size at each further step."""
    task_seed: int = 1
    """Draws the tasks."""
    gif: bool = True
    """Write the animation too."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Render, args=argv)
    trained = experiment.load(arguments.run)
    experiment.check(trained)
    experiment.check_numbers(arguments, tasks=1, steps=0, episodes=1, shown=1, task_seed=0, rate_decay=0.0)
    import jax
    import numpy as np

    from jaxmeta import plots, runs
    from jaxmeta.checkpoint import CheckpointError
    from jaxmeta.train import held_out_tasks

    seeds = experiment.seed_names(trained)
    try:
        theta, _ = runs.load_theta(arguments.run, building.build(trained)[1], seeds)
    except (CheckpointError, runs.RunError, OSError) as error:
        experiment.fail(" ".join(str(error).split()))
    tasks, algorithm = building.build(
        trained,
        adaptation_steps=arguments.steps,
        episodes=evaluating.evaluation_episodes(trained, arguments.episodes),
        rate_decay=arguments.rate_decay,
    )
    key_tasks, key_adapt = jax.random.split(jax.random.fold_in(jax.random.key(runs.TEST_KEY), arguments.task_seed))
    batch = held_out_tasks(key_tasks, tasks, arguments.tasks)
    first_seed = jax.tree.map(lambda x: x[0], theta)
    keys = jax.random.split(key_adapt, arguments.tasks)
    _, lifetimes = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))(keys, first_seed, batch)
    batch, batches = jax.tree.map(np.asarray, (batch, lifetimes.trajectory))
    figure = plots.trajectories(tasks, batch, batches, shown=arguments.shown)
    written = [plots.save(figure, arguments.run / "trajectories.png")]
    if arguments.gif:
        written.append(plots.animate(tasks, batch, batches, arguments.run / "trajectories.gif", shown=arguments.shown))
    print("wrote", *written)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
