"""Set runs with a memory beside exact and classical methods, on very many tasks that are the same for all of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import building
import experiment
import names
import reference_problems
import tyro


@dataclasses.dataclass(frozen=True)
class Regret:
    """Evaluate runs on bandits, random MDPs or GridNavi beside exact and classical methods, on the same tasks."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Directories of runs of rl2, varibad, hyperx or r2d2."""
    tasks: int = 100_000
    """Tasks that each seed and each method is evaluated on."""
    task_seed: int = 0
    """Draws the tasks and, in bandits, all that happens in them: that of scripts/references.py --seed."""
    deterministic: bool = False
    """Act by the mode of the policy, and not by samples of it."""
    references: bool = True
    """Simulate the classical methods too."""
    json: Path | None = None
    """Write the rows to this file, a JSON list; it is brought up to date after each run."""
    out: Path | None = None
    """Write a figure of the regrets to this file."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Regret, args=argv)
    experiment.check_numbers(arguments, tasks=2, task_seed=0)
    for flag, path in (("--json", arguments.json), ("--out", arguments.out)):
        if path is not None and not path.parent.is_dir():
            experiment.fail(f"{flag}: {path.parent} is not a directory")
    if not arguments.runs:
        experiment.fail("RUNS: name the directory of at least one run")
    trained = [(run, experiment.load(run)) for run in arguments.runs]
    for run, each in trained:
        experiment.check(each)
        if each.algorithm not in names.RECURRENT or each.task not in PROBLEMS:
            wanted = f"an algorithm with a memory on {' or '.join(PROBLEMS)}"
            experiment.fail(f"{run} is {each.algorithm} on {each.task}; needed is {wanted}")
        if each.observed:
            experiment.fail(f"{run} was made with --observed: it cannot be set beside methods that see everything")
        if each.repeat > 1 or (each.scaled and each.task == "bernoulli-bandit"):
            flag = "--repeat" if each.repeat > 1 else "--scaled"
            experiment.fail(f"{run} was made with {flag}: the other methods act in {each.task} as it is")
    from jaxmeta.plots import curves as plots
    from jaxmeta.plots import memory as memory_plots
    from jaxmeta.runs import directory as runs
    from jaxmeta.runs.checkpoint import CheckpointError

    rows: list[reference_problems.Row] = []
    for run, each in trained:
        try:
            theta, _ = runs.load_theta(run, building.build(each)[1], experiment.seed_names(each))
        except (CheckpointError, runs.RunError, OSError) as error:
            experiment.fail(" ".join(str(error).split()))
        rows += compared(arguments, run, each, theta)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.out is not None:
        print("wrote", plots.save(memory_plots.regrets(rows), arguments.out))
    return 0


@dataclasses.dataclass(frozen=True)
class Problem:
    """Tasks drawn once, what can be done in them at best, and who else can act in them.

    Attributes:
      setting: its name and sizes.
      env: for a learner with a memory, one lifetime an episode.
      batch: the tasks, leaves ``[N, ...]``.
      value: ``value(task, trajectory) -> [episodes]``: what the actions of a lifetime are worth in expectation.
      optimum: of a lifetime, for who knows the task, ``[N]``.
      methods: each simulated on the same tasks when it is called, ``[N, episodes]``.
      exact: means of each episode that nothing is sampled for.
      published: means over 1,000 tasks.
    """

    setting: dict[str, Any]
    env: Any
    batch: Any
    value: Callable[[Any, Any], Any]
    optimum: Any
    methods: dict[str, Callable[[], Any]]
    exact: dict[str, list[float]]
    published: dict[str, float]


def bernoulli_bandit(key: Any, tasks: Any, count: int) -> Problem:
    import numpy as np

    from jaxmeta.references import bandit_returns, bandits, bernoulli_value
    from jaxmeta.tasks.common_random_numbers import CommonBandit, common_bandits
    from jaxmeta.tasks.lifetimes import LifetimeEnv

    if tasks.env.episodes != 1:
        experiment.fail("--lifetime of the run: a bandit's lifetime is one episode")
    arms, pulls = tasks.env.unwrapped.arms, tasks.horizon
    batch = common_bandits(key, arms=arms, pulls=pulls, tasks=count)

    def simulated(policy: Any) -> Callable[[], Any]:
        return lambda: bandit_returns(key, policy, arms=arms, pulls=pulls, tasks=count)[:, None]

    return Problem(
        setting={"problem": "bernoulli-bandit", "k": arms, "n": pulls},
        env=LifetimeEnv(CommonBandit(arms=arms), 1, pulls),
        batch=batch,
        value=lambda task, trajectory: task.probability[trajectory.action[0]].sum(keepdims=True),
        optimum=pulls * np.max(np.asarray(batch.probability, np.float64), axis=1),
        methods={
            "gittins": simulated(bandits.gittins(pulls)),
            "ucb1": simulated(bandits.ucb1()),
            "thompson": simulated(bandits.thompson(pulls)),
            "greedy": simulated(bandits.greedy()),
        },
        # The exact values that fit into memory: any number of arms at n = 10.
        exact={"bayes-optimal": [bernoulli_value(arms, pulls)]} if pulls <= 10 else {},
        published=reference_problems.PUBLISHED_LEARNED.get(("bernoulli-bandit", arms, pulls), {}),
    )


def tabular_mdp(key: Any, tasks: Any, count: int) -> Problem:
    import jax.numpy as jnp

    from jaxmeta.references import mdp_optima, mdp_returns, tabular
    from jaxmeta.tasks.common_random_numbers import common_mdps

    noise = float(tasks.sample(key).noise)
    if noise != 1.0:
        experiment.fail(f"--task-settings noise={noise:g} of the run: the other methods are simulated at noise 1 only")
    episodes, states = tasks.env.episodes, tasks.env.unwrapped.states
    sizes = {"states": states, "actions": tasks.env.unwrapped.actions, "horizon": tasks.env.horizon, "tasks": count}

    def value(task: Any, trajectory: Any) -> Any:
        state = jnp.argmax(trajectory.obs[0, :, :states], axis=-1)
        return task.reward[state, trajectory.action[0]].reshape(episodes, -1).sum(axis=1)

    def simulated(planner: Any) -> Callable[[], Any]:
        return lambda: mdp_returns(key, planner, episodes=episodes, **sizes)

    published = (states, sizes["actions"], sizes["horizon"]) == (10, 5, 10)
    return Problem(
        setting={"problem": "tabular-mdp", "n": episodes, **{name: sizes[name] for name in sizes if name != "tasks"}},
        env=tasks.env,
        batch=common_mdps(key, **sizes),
        value=value,
        optimum=episodes * mdp_optima(key, **sizes),
        methods={
            "mean-plus-bonus": simulated(tabular.mean_plus_bonus()),
            "optimistic-psrl": simulated(tabular.optimistic_psrl(episodes * sizes["horizon"])),
            "psrl": simulated(tabular.psrl(episodes * sizes["horizon"])),
        },
        exact={},
        published=reference_problems.PUBLISHED_LEARNED.get(("tabular-mdp", episodes), {}) if published else {},
    )


def gridnavi(key: Any, tasks: Any, count: int) -> Problem:
    import jax
    import numpy as np

    from jaxmeta.references import gridnavi as exact
    from jaxmeta.runs.loop import sample_tasks

    episodes, size, horizon = tasks.env.episodes, tasks.env.unwrapped.size, tasks.env.horizon
    key_tasks, key_act = jax.random.split(key)
    batch = sample_tasks(key_tasks, tasks, count)
    known = (size, horizon) == (5, 15) and episodes <= 4

    def sampling() -> Any:
        simulate = jax.jit(jax.vmap(exact.posterior_sampling))
        return np.asarray(simulate(jax.random.split(key_act, count), batch.goal))[:, :episodes]

    best = exact.bayes_optimal(episodes=episodes).returns.tolist() if known else []
    return Problem(
        setting={"problem": "gridnavi", "episodes": episodes, "size": size, "horizon": horizon},
        env=tasks.env,
        batch=batch,
        value=lambda task, trajectory: tasks.env.episode_returns(trajectory.obs[0], trajectory.reward[0]),
        optimum=np.asarray(jax.vmap(tasks.optimum)(batch), np.float64),
        methods={"posterior-sampling": sampling} if known else {},
        exact={"bayes-optimal": best} if known else {},
        published={},
    )


PROBLEMS: dict[str, Callable[[Any, Any, int], Problem]] = {
    "bernoulli-bandit": bernoulli_bandit,
    "gridnavi": gridnavi,
    "tabular-mdp": tabular_mdp,
}


def key_of(task_seed: int) -> Any:
    """The key that ``references.py --seed`` draws the same tasks by."""
    import jax

    return jax.random.key(task_seed)


def compared(arguments: Regret, run: Path, trained: experiment.Experiment, theta: Any) -> list[reference_problems.Row]:
    """The rows of one run: the mean of its seeds, each seed, and each method; printed."""
    import jax
    import numpy as np

    from jaxmeta.data.rollout import collect_episodes
    from jaxmeta.references import estimate

    tasks, algorithm = building.build(trained)
    key = key_of(arguments.task_seed)
    problem = PROBLEMS[trained.task](key, tasks, arguments.tasks)
    key_act = jax.random.key(arguments.task_seed + 2**30)
    # What Q-learning explores by is a matter of its training.
    learner = algorithm.greedy if arguments.deterministic or trained.algorithm == "r2d2" else algorithm.learner

    def lifetime(theta: Any, key: Any, task: Any) -> Any:
        phi = learner.begin(theta)
        sizes = {"episodes": 1, "horizon": tasks.horizon}
        trajectory, _ = collect_episodes(key, problem.env, task, learner, theta, phi, **sizes)
        return problem.value(task, trajectory)

    @jax.jit
    def act(theta: Any) -> Any:
        inputs = (jax.random.split(key_act, arguments.tasks), problem.batch)
        return jax.lax.map(lambda each: lifetime(theta, *each), inputs, batch_size=min(1000, arguments.tasks))

    seeds = experiment.seed_names(trained)
    returns = np.stack([np.asarray(act(jax.tree.map(lambda x, s=s: x[s], theta))) for s in range(len(seeds))])
    ours = returns.mean(axis=0)

    def row(method: str, values: np.ndarray, **more: Any) -> reference_problems.Row:
        total = np.asarray(values, np.float64).sum(axis=1)
        numbers: dict[str, Any] = {"tasks": arguments.tasks}
        for name, each in (("mean", total), ("regret", problem.optimum - total), ("behind", ours.sum(axis=1) - total)):
            numbers[name], numbers[f"{name}_stderr"] = estimate(each)
        by_episode = values.mean(axis=0).tolist()
        return {
            **problem.setting,
            "run": run.name,
            "method": method,
            "deterministic": arguments.deterministic,
            **more,
            **numbers,
            "by_episode": by_episode,
        }

    rows = [row(trained.algorithm, ours, seeds=len(seeds))]
    rows += [row(trained.algorithm, one, seed=seed) for seed, one in zip(seeds, returns, strict=True)]
    # A value that is exact is the same in every task.
    same = {name: np.broadcast_to(np.array(value), ours.shape) for name, value in problem.exact.items()}
    rows += [row(f"{name}, exact", values) for name, values in same.items()]
    if arguments.references:
        rows += [row(name, simulate()) for name, simulate in problem.methods.items()]
    print(table(rows, problem), flush=True)
    return rows


def table(rows: list[reference_problems.Row], problem: Problem) -> str:
    """A line a method: return, regret, and how far it is behind the mean of the run's seeds on the same tasks."""
    setting = ", ".join(f"{name} {value}" for name, value in problem.setting.items())
    lines = [f"\n{setting}; {rows[0]['tasks']} tasks, mean ± standard error over tasks"]
    lines.append(f"{'':28s}{'return':>20s}{'regret':>20s}{'behind the run':>20s}")
    for row in rows:
        cells = [f"{row[name]:.3f} ± {row[f'{name}_stderr']:.3f}" for name in ("mean", "regret", "behind")]
        which = (
            f", seed {row['seed']}" if "seed" in row else f", mean of {row['seeds']} seeds" if "seeds" in row else ""
        )
        lines.append(f"{row['method'] + which:28s}" + "".join(f"{cell:>20s}" for cell in cells))
    lines += [f"{name + ', published':28s}{value:>20.1f}" for name, value in problem.published.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
