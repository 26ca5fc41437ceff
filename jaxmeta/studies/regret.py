"""Runs with a memory beside exact and classical methods, on very many tasks that are the same for all of them."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.data import collect_episodes
from jaxmeta.over_tasks import over_tasks
from jaxmeta.references import (
    bandit_returns,
    bandits,
    bernoulli_value,
    estimate,
    gridnavi as exact_gridnavi,
    mdp_optima,
    mdp_returns,
    tabular,
)
from jaxmeta.runs.evaluate import of_each_seed
from jaxmeta.runs.experiment import Experiment
from jaxmeta.runs.loop import sample_tasks
from jaxmeta.runs.run import Run
from jaxmeta.studies import reference_tables
from jaxmeta.tasks import CommonBandit, LifetimeEnv, common_bandits, common_mdps, listed_count

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Problem:
    """Tasks drawn once, what can be done in them at best, and who else can act in them."""

    setting: dict[str, Any]  # its name and sizes
    env: Any  # for a learner with a memory, one lifetime an episode
    batch: Any  # the tasks, leaves [N, ...]
    value: Callable[[Any, Any], Any]  # value(task, trajectory) -> [episodes]: what is done is worth in expectation
    optimum: Any  # of a lifetime, for who knows the task, [N]
    methods: dict[str, Callable[[], Any]]  # each simulated on the same tasks when it is called, [N, episodes]
    exact: dict[str, list[float]] = dataclasses.field(default_factory=dict)  # means of each episode
    published: dict[str, float] = dataclasses.field(default_factory=dict)  # means over 1,000 tasks


def bernoulli_bandit(key: Any, tasks: Any, count: int) -> Problem:
    if tasks.env.episodes != 1:
        raise ValueError("lifetime of the run: a bandit's lifetime is one episode")
    arms, pulls = tasks.env.unwrapped.arms, tasks.horizon
    batch = common_bandits(key, arms=arms, pulls=pulls, tasks=count)
    policies = reference_tables.methods(bandits, ("gittins", "ucb1", "thompson", "greedy"), pulls)

    returns_of = lambda policy: bandit_returns(key, policy, arms=arms, pulls=pulls, tasks=count)[:, None]  # noqa: E731
    return Problem(
        setting={"problem": "bernoulli-bandit", "k": arms, "n": pulls},
        env=LifetimeEnv(CommonBandit(arms=arms), 1, pulls),
        batch=batch,
        value=lambda task, trajectory: task.probability[trajectory.action[0]].sum(keepdims=True),
        optimum=pulls * np.max(np.asarray(batch.probability, np.float64), axis=1),
        methods={name: functools.partial(returns_of, policy) for name, policy in policies.items()},
        # The exact values that fit into memory: any number of arms at n = 10.
        exact={"bayes-optimal": [bernoulli_value(arms, pulls)]} if pulls <= 10 else {},
        published=reference_tables.published_learned("bernoulli-bandit", arms, pulls),
    )


def tabular_mdp(key: Any, tasks: Any, count: int) -> Problem:
    noise = float(tasks.sample(key).noise)
    if noise != 1.0:
        raise ValueError(f"family.noise {noise:g} of the run: the other methods are simulated at noise 1 only")
    episodes, states = tasks.env.episodes, tasks.env.unwrapped.states
    sizes = {"states": states, "actions": tasks.env.unwrapped.actions, "horizon": tasks.env.horizon, "tasks": count}

    def value(task: Any, trajectory: Any) -> Any:
        state = jnp.argmax(trajectory.obs[0, :, :states], axis=-1)
        return task.reward[state, trajectory.action[0]].reshape(episodes, -1).sum(axis=1)

    names = ("mean-plus-bonus", "optimistic-psrl", "psrl")
    planners = reference_tables.methods(tabular, names, episodes * sizes["horizon"])
    simulate = functools.partial(mdp_returns, key, episodes=episodes, **sizes)
    published = (states, sizes["actions"], sizes["horizon"]) == (10, 5, 10)
    return Problem(
        setting={"problem": "tabular-mdp", "n": episodes, **{name: sizes[name] for name in sizes if name != "tasks"}},
        env=tasks.env,
        batch=common_mdps(key, **sizes),
        value=value,
        optimum=episodes * mdp_optima(key, **sizes),
        methods={name: functools.partial(simulate, planner) for name, planner in planners.items()},
        published=reference_tables.published_learned("tabular-mdp", episodes) if published else {},
    )


def gridnavi(key: Any, tasks: Any, count: int) -> Problem:
    """Goals held out of training, if there are such. The other methods begin with all goals equally likely."""
    episodes, size, horizon = tasks.env.episodes, tasks.env.unwrapped.size, tasks.env.horizon
    key_tasks, key_act = jax.random.split(key)
    tested = tasks if tasks.sample_test is None else tasks._replace(sample=tasks.sample_test)
    batch = sample_tasks(key_tasks, tested, count)
    known = (size, horizon) == (5, 15) and episodes <= 4

    def sampling() -> Any:
        simulate = jax.jit(jax.vmap(exact_gridnavi.posterior_sampling))
        return np.asarray(simulate(jax.random.split(key_act, count), batch.goal))[:, :episodes]

    setting, exact = {"problem": "gridnavi", "episodes": episodes, "size": size, "horizon": horizon}, {}
    if tasks.sample_test is not None:
        setting |= {"held_out": listed_count(tasks.every_test), "prior": f"all {size**2 - 4} goals"}
    if known:
        plan = exact_gridnavi.bayes_optimal(episodes=episodes)
        means = (
            plan.returns if tasks.sample_test is None else exact_gridnavi.plan_returns(plan, batch.goal).mean(axis=0)
        )
        exact = {"bayes-optimal": means.tolist()}
    return Problem(
        setting=setting,
        env=tasks.env,
        batch=batch,
        value=lambda task, trajectory: tasks.env.episode_returns(trajectory.obs[0], trajectory.reward[0]),
        optimum=np.asarray(jax.vmap(tasks.optimum)(batch), np.float64),
        methods={"posterior-sampling": sampling} if known else {},
        exact=exact,
    )


PROBLEMS = {"bernoulli-bandit": bernoulli_bandit, "gridnavi": gridnavi, "tabular-mdp": tabular_mdp}


def check(trained: Experiment) -> None:
    """Refuse a run that cannot be set beside the other methods, by a ``ValueError``."""
    if not trained.has("lifetime") or trained.family not in PROBLEMS:
        raise ValueError(f"{trained.title}: needed is a method with a memory on {' or '.join(PROBLEMS)}")
    tree = trained.tree
    if tree["observed"]:
        raise ValueError("observed of the run: it cannot be set beside methods that see everything")
    if tree["repeat"] > 1 or (tree["scaled"] and trained.family == "bernoulli-bandit"):
        name = "repeat" if tree["repeat"] > 1 else "scaled"
        raise ValueError(f"{name} of the run: the other methods act in {trained.family} as it is")


def compare(
    run: Run,
    *,
    tasks: int = 100_000,
    task_seed: int = 0,
    deterministic: bool = False,
    references: bool = True,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Row], Problem]:
    """Rows of a run beside exact and classical methods: the mean of its seeds, each seed, each method; and the problem.

    Args:
      run: of a method with a memory, on one of ``PROBLEMS``.
      tasks: that each seed and each method is evaluated on, ≥ 2.
      task_seed: draws the tasks and, in bandits, all that happens in them.
      deterministic: act by the mode of the policy, and not by samples of it.
      references: simulate the classical methods too.
      report: told how many seeds and methods are done, of how many.
    """
    trained, family, algorithm, count = run.config, run.tasks, run.algorithm, tasks
    check(trained)
    problem = PROBLEMS[trained.family](jax.random.key(task_seed), family, count)
    key_act = jax.random.key(task_seed + 2**30)
    # What Q-learning explores by is a matter of its training.
    learner = algorithm.greedy if deterministic or trained.method == "r2d2" else algorithm.learner

    @jax.jit
    def act(theta: Any) -> Any:
        def lifetime(key: Any, task: Any) -> Any:
            start, sizes = (theta, learner.begin(theta)), {"episodes": 1, "horizon": family.horizon}
            return problem.value(task, collect_episodes(key, problem.env, task, learner, *start, **sizes)[0])

        return over_tasks(lifetime, jax.random.split(key_act, count), problem.batch, task_chunk=1000)

    each = [functools.partial(act, theta) for theta in of_each_seed(run.thetas)]
    simulated = list(problem.methods.values()) if references else []
    done = []
    for simulate in (*each, *simulated):
        done.append(np.asarray(simulate()))
        report(len(done), len(each) + len(simulated))
    returns = np.stack(done[: len(each)])
    ours = returns.mean(axis=0)
    of_seeds = seeds_stderr(returns.sum(axis=2).mean(axis=1))

    def row(method: str, values: np.ndarray, **more: Any) -> Row:
        total = np.asarray(values, np.float64).sum(axis=1)
        numbers: dict[str, Any] = {"tasks": count}
        averaged = {"mean": "seeds" in more, "regret": "seeds" in more, "behind": not {"seed", "seeds"} & set(more)}
        for name, each in (("mean", total), ("regret", problem.optimum - total), ("behind", ours.sum(axis=1) - total)):
            numbers[name], of_tasks = estimate(each)
            numbers[f"{name}_stderr"] = math.hypot(of_tasks, of_seeds) if averaged[name] else of_tasks
        acted = {"run": run.directory.name, "method": method, "deterministic": deterministic}
        return {**problem.setting, **acted, **more, **numbers, "by_episode": values.mean(axis=0).tolist()}

    published = {"published": problem.published} if problem.published else {}
    rows = [row(trained.method, ours, seeds=len(trained.seeds), **published)]
    rows += [row(trained.method, one, seed=seed) for seed, one in zip(trained.seeds, returns, strict=True)]
    # A value that is exact is the same in every task.
    rows += [row(f"{name}, exact", np.broadcast_to(value, ours.shape)) for name, value in problem.exact.items()]
    rows += [row(name, values) for name, values in zip(problem.methods, done[len(each) :], strict=False)]
    return rows, problem


def seeds_stderr(means: np.ndarray) -> float:
    """Standard error of a mean over seeds, from the mean return of each, ``[S]``; 0 where there is only one.

    Beside that of the tasks, which are the same for all seeds, it makes up the whole: their squares add.
    """
    return float(np.std(means, ddof=1) / math.sqrt(len(means))) if len(means) > 1 else 0.0


def table(rows: list[Row], problem: Problem) -> str:
    """A line a method: return, regret, and how far it is behind the mean of the run's seeds on the same tasks."""
    setting = ", ".join(f"{name} {value}" for name, value in problem.setting.items())
    lines = [("", ["return", "regret", "behind the run"])]
    for row in rows:
        which = (
            f", mean of {row['seeds']} seeds" if "seeds" in row else f", seed {row['seed']}" if "seed" in row else ""
        )
        cells = [f"{row[name]:.3f} ± {row[f'{name}_stderr']:.3f}" for name in ("mean", "regret", "behind")]
        lines.append((row["method"] + which, cells))
    lines += [(f"{name}, published", [f"{value:.1f}"]) for name, value in problem.published.items()]
    also = " and, in means of seeds, over seeds" if rows[0]["seeds"] > 1 else ""
    head = f"\n{setting}; {rows[0]['tasks']} tasks, mean ± standard error over tasks{also}\n"
    return head + reference_tables.aligned(lines, 28, 20)
