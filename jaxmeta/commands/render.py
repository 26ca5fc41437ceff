"""Draw what a run does in unseen tasks: its trajectories, and what it believes or which experts act."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from jaxmeta.checks import check_least
from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import of_flags
from jaxmeta.runs.evaluation import Adaptation, check_adaptation, for_evaluation

if TYPE_CHECKING:
    from jaxmeta.runs.run import Run


@dataclasses.dataclass(frozen=True)
class Shown(Adaptation):
    """What is drawn."""

    tasks: int = 4
    """Unseen tasks, side by side."""
    task_seed: int = 1
    """Draws the tasks."""
    shown: int = 8
    """Episodes drawn, at most."""
    gif: bool = True
    """Write the animation too."""


@command()
def main(
    run: tyro.conf.Positional[Path], shown: tyro.conf.OmitArgPrefixes[Shown], *, checkpoint: int | None = None
) -> None:
    """Draw a run's trajectories in unseen tasks; writes RUN/trajectories.png and .gif.

    Of a run with experts also which of them act in 200 tasks after adaptation: RUN/experts.png.

    Args:
      run: The run's directory.
      shown: What is drawn.
      checkpoint: Meta-iteration of a kept checkpoint; the newest if not given.
    """
    from jaxmeta.runs.run import load, read_config

    config = read_config(run)
    with of_flags():
        check_least(1, shown=shown.shown)
        check_adaptation(shown, config)
    print("wrote", *draw(load(run, checkpoint=checkpoint), shown))


def draw(run: "Run", shown: Shown) -> list[Path]:
    """Write a run's pictures into its directory; their paths."""
    import jax
    import numpy as np

    from jaxmeta import parts, plots, registry
    from jaxmeta.runs.loop import TEST_KEY, held_out_tasks
    from jaxmeta.tasks import figures_of

    config, first_seed = run.config, run.theta
    tasks, algorithm = for_evaluation(config, shown)
    key_tasks, key_adapt = jax.random.split(jax.random.fold_in(jax.random.key(TEST_KEY), shown.task_seed))
    batch = held_out_tasks(key_tasks, tasks, shown.tasks)
    keys = jax.random.split(key_adapt, shown.tasks)
    _, lifetimes = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))(keys, first_seed, batch)
    batch, batches = jax.tree.map(np.asarray, (batch, lifetimes.trajectory))
    figure = plots.trajectories(tasks, batch, batches, shown=shown.shown)
    written = [plots.save(figure, run.directory / "trajectories.png")]
    if shown.gif:
        written.append(plots.animate(tasks, batch, batches, run.directory / "trajectories.gif", shown=shown.shown))
    first_task = jax.tree.map(lambda leaf: leaf[0], batch)
    env = figures_of(tasks.env)
    if config.has("lifetime") and env.arm_rewards(first_task) is not None:
        key_pulls = jax.random.fold_in(jax.random.key(TEST_KEY - 1), shown.task_seed)
        figure = plots.arm_pulls({config.method: pull_shares(key_pulls, tasks, algorithm, first_seed)})
        written.append(plots.save(figure, run.directory / "arm_pulls.png"))
    if algorithm.gate is not None:
        figure = expert_figure(jax.random.fold_in(key_tasks, 1), tasks, algorithm, run.thetas, config.seeds)
        written.append(plots.save(figure, run.directory / "experts.png"))
    model = parts.parameters(registry.builder(config.method)).get("model")
    if model is not None and parts.kind_of(model.annotation) == "BeliefModel" and env.has_goal_belief:
        beliefs = parts.built(config.part("model"), tasks.env, tasks.horizon)
        figure = goal_beliefs(beliefs, tasks, first_seed, batch.goal[0], batches)
        written.append(plots.save(figure, run.directory / "beliefs.png"))
    return written


def pull_shares(key: Any, tasks: Any, algorithm: Any, theta: Any, count: int = 2000) -> Any:
    """How often the best arm, the second best, … is pulled at each time, over many tasks."""
    import jax

    from jaxmeta import plots
    from jaxmeta.runs.loop import held_out_tasks

    key_tasks, key_act = jax.random.split(key)
    batch = held_out_tasks(key_tasks, tasks, count)

    arms_of = lambda each: algorithm.adapt(each[0], theta, each[1])[1].trajectory.action[-1, 0]  # noqa: E731
    inputs = (jax.random.split(key_act, count), batch)
    actions = jax.jit(lambda inputs: jax.lax.map(arms_of, inputs, batch_size=200))(inputs)
    return plots.arm_pull_shares(jax.vmap(tasks.env.arm_rewards)(batch), actions)


def expert_figure(key: Any, tasks: Any, algorithm: Any, theta: Any, seeds: list[int], count: int = 200) -> Any:
    """Which experts each seed uses in which tasks after adaptation; says how many of them, too."""
    import jax
    import numpy as np

    from jaxmeta import plots
    from jaxmeta.runs import evaluate
    from jaxmeta.runs.loop import held_out_tasks

    key_tasks, key_adapt = jax.random.split(key)
    batch = held_out_tasks(key_tasks, tasks, count)
    used = lambda key, theta, task: evaluate.adapted_expert_use(key, algorithm, theta, task)  # noqa: E731
    mapped = evaluate.in_tasks(used, key_adapt, batch)
    use = np.stack([mapped(one) for one in evaluate.of_each_seed(theta)])
    for seed, one in zip(seeds, use, strict=True):
        shares = " ".join(f"{each:.2f}" for each in one.mean(axis=0))
        share = evaluate.specialisation(one)
        print(f"seed {seed}: use of experts {shares}; a task tells {share:.2f} of {np.log(len(one[0])):.2f} nats of it")
    return plots.expert_use(use, batch, [f"seed {seed}" for seed in seeds])


def goal_beliefs(model: Any, tasks: Any, theta: Any, goal: Any, batches: Any) -> Any:
    """The belief over goals in the first task shown, learned and exact, along its first two episodes."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxmeta import plots
    from jaxmeta.networks import expected_rewards
    from jaxmeta.tasks import MOVES

    horizon, size = tasks.env.horizon, tasks.env.unwrapped.size
    obs, action = batches.obs[0, -1, 0], batches.action[0, -1, 0]
    # Cells, in whatever unit they are seen.
    seen = tasks.env.env.observation_space(tasks.env.default_params)
    cell = (seen.high - seen.low) / (size - 1)
    position = np.asarray(np.round(tasks.env.points(obs)), int)
    arrived = np.clip(position + np.asarray(MOVES)[action], 0, size - 1)
    exact = tasks.env.goal_belief(arrived, goal)
    # A cell is believed in as far as staying there is expected to pay 1 and not −0.1.
    cells = seen.low + cell * jnp.stack(jnp.divmod(jnp.arange(size * size), size), axis=-1)
    staying = jnp.zeros(len(cells), jnp.int32)
    rewards = np.asarray(expected_rewards(model, theta, obs, cells, staying, key=jax.random.key(0)))
    learned = np.clip((rewards + 0.1) / 1.1, 0.0, 1.0).reshape(-1, size, size)
    times = list(range(0, min(len(obs), 2 * horizon), 3))
    return plots.grid_beliefs(learned, exact, position, np.asarray(goal), times, horizon)
