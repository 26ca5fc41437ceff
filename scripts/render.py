"""Show what a run does in unseen tasks, as pictures: its trajectories, and what it believes or which experts act."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import building
import evaluating
import experiment
import names
import tyro


@dataclasses.dataclass(frozen=True)
class Render:
    """Draw trajectories before and after each adaptation step; writes RUN/trajectories.png and .gif.

    Of a run with experts also which of them act in 200 tasks after adaptation: RUN/experts.png.
    """

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
    evaluating.check_use(arguments, Render(run=arguments.run), trained)
    import jax
    import numpy as np

    from jaxmeta.plots import curves as plots
    from jaxmeta.plots import memory as memory_plots
    from jaxmeta.runs import directory as runs
    from jaxmeta.runs.checkpoint import CheckpointError
    from jaxmeta.runs.loop import held_out_tasks

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
    if trained.algorithm in names.RECURRENT and hasattr(batch, "probability"):
        key_pulls = jax.random.fold_in(jax.random.key(runs.TEST_KEY - 1), arguments.task_seed)
        figure = memory_plots.arm_pulls({trained.algorithm: pull_shares(key_pulls, tasks, algorithm, first_seed)})
        written.append(plots.save(figure, arguments.run / "arm_pulls.png"))
    if trained.experts > 1:
        figure = expert_figure(jax.random.fold_in(key_tasks, 1), tasks, algorithm, theta, seeds)
        written.append(plots.save(figure, arguments.run / "experts.png"))
    if trained.algorithm in ("hyperx", "varibad") and trained.task == "gridnavi" and not trained.observed:
        figure = goal_beliefs(building.belief_model(trained, tasks), tasks, first_seed, batch.goal[0], batches)
        written.append(plots.save(figure, arguments.run / "beliefs.png"))
    print("wrote", *written)
    return 0


def pull_shares(key: Any, tasks: Any, algorithm: Any, theta: Any, count: int = 2000) -> Any:
    """How often the best arm, the second best, … is pulled at each time, over many tasks."""
    import jax

    from jaxmeta.plots import memory as memory_plots
    from jaxmeta.runs.loop import held_out_tasks

    key_tasks, key_act = jax.random.split(key)
    batch = held_out_tasks(key_tasks, tasks, count)

    def pulled(each: Any) -> Any:
        return algorithm.adapt(each[0], theta, each[1])[1].trajectory.action[-1, 0]

    inputs = (jax.random.split(key_act, count), batch)
    actions = jax.jit(lambda inputs: jax.lax.map(pulled, inputs, batch_size=200))(inputs)
    return memory_plots.arm_pull_shares(batch.probability, actions)


def expert_figure(key: Any, tasks: Any, algorithm: Any, theta: Any, seeds: list[int], count: int = 200) -> Any:
    """Which experts each seed uses in which tasks after adaptation; says how many of them, too."""
    import jax
    import numpy as np

    from jaxmeta.plots import experts as expert_plots
    from jaxmeta.runs import evaluate
    from jaxmeta.runs.loop import held_out_tasks

    def used(key: Any, theta: Any, task: Any) -> Any:
        return evaluate.adapted_expert_use(key, algorithm, theta, task)

    key_tasks, key_adapt = jax.random.split(key)
    batch = held_out_tasks(key_tasks, tasks, count)
    mapped = evaluate.over_tasks(used, key_adapt, batch)
    use = np.stack([mapped(jax.tree.map(lambda x, place=place: x[place], theta)) for place in range(len(seeds))])
    for seed, one in zip(seeds, use, strict=True):
        shares = " ".join(f"{share:.2f}" for share in one.mean(axis=0))
        told = evaluate.specialisation(one)
        print(f"seed {seed}: use of experts {shares}; a task tells {told:.2f} of {np.log(len(one[0])):.2f} nats of it")
    return expert_plots.expert_use(use, batch, [f"seed {seed}" for seed in seeds])


def goal_beliefs(model: Any, tasks: Any, theta: Any, goal: Any, batches: Any) -> Any:
    """The belief over goals in the first task shown, learned and exact, along its first two episodes."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxmeta.networks.beliefs import expected_rewards
    from jaxmeta.plots import memory as memory_plots
    from jaxmeta.references.gridnavi import goal_posterior
    from jaxmeta.tasks.grids import MOVES

    horizon, size = tasks.env.horizon, tasks.env.unwrapped.size
    obs, action = batches.obs[0, -1, 0], batches.action[0, -1, 0]
    # Cells, in whatever unit they are seen.
    seen = tasks.env.env.observation_space(tasks.env.default_params)
    cell = (seen.high - seen.low) / (size - 1)
    position = np.asarray(np.round((obs[:, :2] - seen.low) / cell), int)
    arrived = np.clip(position + np.asarray(MOVES)[action], 0, size - 1)
    exact = goal_posterior(arrived, goal, size=size)
    # A cell is believed in as far as staying there is expected to pay 1 and not −0.1.
    cells = seen.low + cell * jnp.stack(jnp.divmod(jnp.arange(size * size), size), axis=-1)
    staying = jnp.zeros(len(cells), jnp.int32)
    rewards = np.asarray(expected_rewards(model, theta, obs, cells, staying, key=jax.random.key(0)))
    learned = np.clip((rewards + 0.1) / 1.1, 0.0, 1.0).reshape(-1, size, size)
    times = list(range(0, min(len(obs), 2 * horizon), 3))
    return memory_plots.grid_beliefs(learned, exact, position, np.asarray(goal), times, horizon)


if __name__ == "__main__":
    raise SystemExit(main())
