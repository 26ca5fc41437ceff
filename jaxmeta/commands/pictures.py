"""What ``jaxmeta render`` draws: trajectories in test tasks, what is believed in them, and which experts act."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import parts, plots, registry
from jaxmeta.commands.figures import Figures
from jaxmeta.data import episode_states
from jaxmeta.networks import expected_rewards
from jaxmeta.runs import evaluate
from jaxmeta.runs.display import Display
from jaxmeta.runs.evaluation import for_evaluation
from jaxmeta.runs.logging import without_link
from jaxmeta.runs.loop import TEST_KEY, evaluation_tasks
from jaxmeta.runs.run import Run
from jaxmeta.tasks import MOVES, LifetimeEnv, figures_of
from jaxmeta.types import Key, MetaAlgorithm, TaskDistribution, Theta


def draw(run: Run, shown: Any, figures: Figures, announce: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Write a run's pictures into its directory, as the flags ``shown`` and ``figures`` say; their paths.

    What is begun is announced: each may take a while.
    """
    config, theta, written = run.config, run.theta, []
    tasks, algorithm = for_evaluation(config, shown)
    key_tasks, key_adapt = jax.random.split(jax.random.fold_in(jax.random.key(TEST_KEY), shown.task_seed))
    batch = evaluation_tasks(key_tasks, tasks, shown.tasks)
    announce(f"adapting in {shown.tasks} tasks")
    keys = jax.random.split(key_adapt, shown.tasks)
    _, lifetimes = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))(keys, theta, batch)
    batch, batches = jax.tree.map(np.asarray, (batch, lifetimes.trajectory))

    def save(figure: Any, name: str) -> None:
        written.extend(figures.save(figure, run.directory / name))

    save(plots.trajectories(tasks, batch, batches, shown=shown.shown), "trajectories")
    moving = dict.fromkeys(one for one in shown.film if one != "png")
    if shown.gif and moving:
        announce("drawing the animation")
        for one in moving:
            place = run.directory / f"trajectories.{one}"
            with Display("drawn") as display:
                how = {"shown": shown.shown, "report": display.count}
                written.append(plots.animate(tasks, batch, batches, place, **how))
    env = figures_of(tasks.env)
    if env.has_film and shown.film:
        announce("filming")
        states = adapted_states(keys[0], tasks, algorithm, theta, jax.tree.map(lambda leaf: leaf[0], batch))
        written.extend(env.film(states, *(without_link(run.directory / f"film.{one}") for one in shown.film)))
    if config.has("lifetime") and env.arm_rewards(jax.tree.map(lambda leaf: leaf[0], batch)) is not None:
        announce("counting which arms are pulled")
        key_pulls = jax.random.fold_in(jax.random.key(TEST_KEY - 1), shown.task_seed)
        save(plots.arm_pulls({config.method: pull_shares(key_pulls, tasks, algorithm, theta)}), "arm_pulls")
    if algorithm.gate is not None:
        announce("counting which experts act")
        key_experts = jax.random.fold_in(key_tasks, 1)
        save(expert_figure(key_experts, tasks, algorithm, run.thetas, config.seeds), "experts")
    model = parts.parameters(registry.builder(config.method)).get("model")
    if model is not None and parts.kind_of(model.annotation) == "BeliefModel" and env.has_goal_belief:
        announce("drawing beliefs")
        beliefs = parts.built(config.part("model"), tasks.env, tasks.horizon)
        save(goal_beliefs(beliefs, tasks, theta, batch.goal[0], batches), "beliefs")
    return written


def adapted_states(key: Key, tasks: TaskDistribution, algorithm: MetaAlgorithm, theta: Theta, task: Any) -> Any:
    """The states of an episode, or of a lifetime, that the deterministic policy acts after adaptation to a task."""
    key_adapt, key_act = jax.random.split(key)

    def act(theta: Theta, task: Any) -> Any:
        # A learner with a memory begins anew, and remembers from one of the lifetime's episodes to the next.
        begins = isinstance(tasks.env, LifetimeEnv)
        phi = algorithm.learner.begin(theta) if begins else algorithm.adapt(key_adapt, theta, task)[0]
        return episode_states(key_act, tasks.env, task, algorithm.greedy, theta, phi, horizon=tasks.horizon)

    states, count = jax.jit(act)(theta, task)
    return jax.tree.map(lambda leaf: leaf[:count], states)


def pull_shares(
    key: Key, tasks: TaskDistribution, algorithm: MetaAlgorithm, theta: Theta, count: int = 2000
) -> np.ndarray:
    """How often the best arm, the second best, … is pulled at each time, over many tasks."""
    key_tasks, key_act = jax.random.split(key)
    batch = evaluation_tasks(key_tasks, tasks, count)
    pulls = lambda key, theta, task: algorithm.adapt(key, theta, task)[1].trajectory.action[-1, 0]  # noqa: E731
    actions = evaluate.in_tasks(pulls, key_act, batch, task_chunk=200)(theta)
    return plots.arm_pull_shares(np.asarray(jax.vmap(figures_of(tasks.env).arm_rewards)(batch)), actions)


def expert_figure(
    key: Key, tasks: TaskDistribution, algorithm: MetaAlgorithm, thetas: Theta, seeds: list[int], count: int = 200
) -> Any:
    """Which experts each seed uses in which tasks after adaptation; says how many of them, too."""
    key_tasks, key_adapt = jax.random.split(key)
    batch = evaluation_tasks(key_tasks, tasks, count)
    used = lambda key, theta, task: evaluate.adapted_expert_use(key, algorithm, theta, task)  # noqa: E731
    mapped = evaluate.in_tasks(used, key_adapt, batch)
    use = np.stack([mapped(one) for one in evaluate.of_each_seed(thetas)])
    for seed, one in zip(seeds, use, strict=True):
        shares = " ".join(f"{each:.2f}" for each in one.mean(axis=0))
        share = evaluate.specialisation(one)
        print(f"seed {seed}: use of experts {shares}; a task tells {share:.2f} of {np.log(len(one[0])):.2f} nats of it")
    return plots.expert_use(use, batch, [f"seed {seed}" for seed in seeds])


def goal_beliefs(model: Any, tasks: Any, theta: Theta, goal: np.ndarray, batches: Any) -> Any:
    """The belief over goals in the first task shown, learned and exact, along its first two episodes."""
    horizon, size = tasks.env.horizon, tasks.env.unwrapped.size
    obs, action = batches.obs[0, -1, 0], batches.action[0, -1, 0]
    # Cells, in whatever unit they are seen.
    seen = tasks.env.env.observation_space(tasks.env.default_params)
    position = np.asarray(np.round(tasks.env.points(obs)), int)
    arrived = np.clip(position + np.asarray(MOVES)[action], 0, size - 1)
    # A cell is believed in as far as staying there is expected to pay 1 and not −0.1.
    cells = seen.low + (seen.high - seen.low) / (size - 1) * jnp.stack(jnp.divmod(jnp.arange(size**2), size), axis=-1)
    staying = jnp.zeros(len(cells), jnp.int32)
    rewards = np.asarray(expected_rewards(model, theta, obs, cells, staying, key=jax.random.key(0)))
    learned = np.clip((rewards + 0.1) / 1.1, 0.0, 1.0).reshape(-1, size, size)
    times = list(range(0, min(len(obs), 2 * horizon), 3))
    return plots.grid_beliefs(learned, tasks.env.goal_belief(arrived, goal), position, goal, times, horizon)
