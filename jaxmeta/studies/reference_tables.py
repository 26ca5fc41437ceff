"""What exact answers and classical methods reach on the standard problems, and published numbers.

One function a problem, which yields rows setting by setting. A row is ``{"problem", ...setting, "method", "mean",
"stderr", "tasks"}``. An exact number has standard error 0 and ``tasks`` null.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmeta import references
from jaxmeta.references import bandits, gridnavi as exact_gridnavi, tabular
from jaxmeta.tasks import make

# Made for lifetimes of a length: of bandits, and of tabular MDPs. Then those that are not.
_BANDIT_PLANS = ("gittins", "thompson", "optimistic-thompson", "likeliest-thompson")
_TABULAR_PLANS = ("psrl", "optimistic-psrl")
_SIMPLE = ("epsilon-greedy", "greedy")
Row = dict[str, Any]
LIFETIMES = {"bernoulli-bandit": (10, 100, 500), "tabular-mdp": (10, 25, 50, 75, 100)}
"""Those that are tabulated, of problems that have such."""
QUICK_LIFETIMES = {"bernoulli-bandit": (10, 100), "tabular-mdp": (10,)}


class Effort(NamedTuple):
    """How much is computed: the flags of ``jaxmeta references``."""

    tasks: int
    quick: bool
    lifetimes: tuple[int, ...]
    prior_mean: float
    seed: int

    def tabulated(self, problem: str) -> tuple[int, ...]:
        """All lifetimes that there are of a problem."""
        return (QUICK_LIFETIMES if self.quick else LIFETIMES).get(problem, ())

    def among(self, problem: str) -> tuple[int, ...]:
        """Those that are asked for."""
        return tuple(n for n in self.tabulated(problem) if not self.lifetimes or n in self.lifetimes)


def bernoulli_bandit(effort: Effort) -> Iterator[list[Row]]:
    """Bernoulli arms, p ~ U[0, 1]: total reward of n pulls of k arms."""
    # The exact values that fit: two arms at any n, and any number of arms at n = 10.
    sizes = {10: (2, 5), 100: (5,)} if effort.quick else dict.fromkeys(LIFETIMES["bernoulli-bandit"], (2, 5, 10, 50))
    for n in effort.among("bernoulli-bandit"):
        policies = {**methods(bandits, (*_BANDIT_PLANS, "ucb1", *_SIMPLE), n), "random": bandits.random_arm()}
        for k in sizes[n]:
            setting = {"problem": "bernoulli-bandit", "k": k, "n": n}
            rows = [row(setting, "bayes-optimal", references.bernoulli_value(k, n))] if k == 2 or n == 10 else []
            for method, policy in policies.items():
                # Twenty times the work of the others: left out where that would be most of the run.
                if method == "likeliest-thompson" and (effort.quick or k * n > 500):
                    continue
                key = jax.random.key(effort.seed)
                returns = bandits.bandit_returns(key, policy, arms=k, pulls=n, tasks=effort.tasks)
                rows.append(row(setting, method, returns))
            yield rows


def tabular_mdp(effort: Effort) -> Iterator[list[Row]]:
    """Random MDPs of 10 states and 5 actions, H = 10: total reward of n episodes."""
    lifetimes = effort.among("tabular-mdp")
    if not lifetimes:
        return
    steps, key = 10 * lifetimes[-1], jax.random.key(effort.seed)
    planners = methods(tabular, (*_TABULAR_PLANS, "ucrl2", "beb", *_SIMPLE, "mean-plus-bonus"), steps)
    planners["random"] = tabular.random_actions()
    optima = references.mdp_optima(key, tasks=effort.tasks)
    simulate = functools.partial(
        references.mdp_returns, episodes=lifetimes[-1], tasks=effort.tasks, prior_mean=effort.prior_mean
    )
    returns = {method: simulate(key, planner) for method, planner in planners.items()}
    for n in lifetimes:
        setting = {"problem": "tabular-mdp", "n": n}
        rows = [row(setting, "full-information", n * optima)]
        yield rows + [row(setting, method, each[:, :n].sum(axis=1)) for method, each in returns.items()]


def methods(room: Any, names: Iterable[str], lifetime: int) -> dict[str, Any]:
    """Classical methods of a module by name, each made for a ``lifetime`` where it asks for one."""
    factories = {name: getattr(room, name.replace("-", "_")) for name in names}
    planned = (*_BANDIT_PLANS, *_TABULAR_PLANS)
    return {name: made(lifetime) if name in planned else made() for name, made in factories.items()}


def row(setting: Row, method: str, value: Any) -> Row:
    """A row of an exact number, or of the mean over tasks of ``value`` ``[N]``."""
    mean, stderr, tasks = (*references.estimate(value), len(value)) if np.ndim(value) else (float(value), 0.0, None)
    return {**setting, "method": method, "mean": mean, "stderr": stderr, "tasks": tasks}


def gridnavi(effort: Effort) -> Iterator[list[Row]]:
    """GridNavi, 5 x 5 cells, 21 goals, H = 15: return of each episode of a lifetime of four."""
    episodes, known = 4, exact_gridnavi.full_information()
    best = exact_gridnavi.bayes_optimal(episodes=episodes).returns
    key_tasks, key_act = jax.random.split(jax.random.key(effort.seed))
    batch = jax.jit(jax.vmap(make("gridnavi").sample))(jax.random.split(key_tasks, effort.tasks))
    simulate = jax.jit(jax.vmap(exact_gridnavi.posterior_sampling))
    returns = simulate(jax.random.split(key_act, effort.tasks), batch.goal)
    for episode in range(episodes):
        setting = {"problem": "gridnavi", "episode": episode + 1}
        yield [
            row(setting, "bayes-optimal", best[episode]),
            row(setting, "posterior-sampling", returns[:, episode]),
            row(setting, "full-information", known),
        ]


def point_robots(effort: Effort) -> Iterator[list[Row]]:
    """Exact optimum of 2D navigation and of the half circle, sparse and dense."""
    for problem in ("navigation", "semicircle-sparse", "semicircle-dense"):
        family = make(problem)
        assert family.optimum is not None
        batch = jax.jit(jax.vmap(family.sample))(jax.random.split(jax.random.key(effort.seed), effort.tasks))
        optima = jax.jit(lambda batch, optimum=family.optimum: jax.lax.map(optimum, batch, batch_size=4096))(batch)
        yield [row({"problem": problem, "horizon": family.horizon}, "optimal", optima)]


PROBLEMS: dict[str, Callable[[Effort], Iterator[list[Row]]]] = {
    "bernoulli-bandit": bernoulli_bandit,
    "gridnavi": gridnavi,
    "point-robots": point_robots,
    "tabular-mdp": tabular_mdp,
}


def rows_of(problem: str, effort: Effort) -> Iterator[list[Row]]:
    """The rows of one of ``PROBLEMS``, setting by setting."""
    # Compiling is most of a quick run, and code that is optimised little is fast enough for a thousand tasks.
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", effort.quick or before)
    try:
        yield from PROBLEMS[problem](effort)
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def text(rows: list[Row]) -> str:
    """One setting as a table: a column a method, the mean and its standard error above the published mean."""
    fields = ("problem", "method", "mean", "stderr", "tasks")
    setting = {name: value for name, value in rows[0].items() if name not in fields}
    published = PUBLISHED.get((rows[0]["problem"], *setting.values()), {})
    heads = [row["method"] for row in rows]
    errors = [f"± {row['stderr']:.3f}" if row["stderr"] else "exact" for row in rows]
    ours = [f"{row['mean']:.3f} {error}" for row, error in zip(rows, errors, strict=True)]
    lines = [(", ".join(f"{name} {value}" for name, value in setting.items()), heads), ("", ours)]
    if published:
        lines.append(("published", [f"{published[head]:.1f}" if head in published else "" for head in heads]))
    return aligned(lines, 14, max(18, *(len(head) + 2 for head in heads)))


def aligned(lines: Iterable[tuple[str, Iterable[str]]], left: int, right: int) -> str:
    """Lines of a head of width ``left`` and of cells of width ``right``, which end in line."""
    return "\n".join(f"{head:{left}s}" + "".join(f"{cell:>{right}s}" for cell in cells) for head, cells in lines)


_LEARNED = ("rl2", "snail")
_BANDIT_COLUMNS = ("random", "gittins", "thompson", "likeliest-thompson", "ucb1", *_SIMPLE, *_LEARNED)
_TABULAR_COLUMNS = ("random", "psrl", "optimistic-psrl", "ucrl2", "beb", *_SIMPLE, *_LEARNED)

# Duan et al. 2016, and of SNAIL Mishra et al. 2018, each a mean over 1,000 tasks; by (problem, the setting's values).
# What they call optimistic Thompson sampling is ``likeliest-thompson`` here, by their public code.
PUBLISHED: dict[tuple[str | int, ...], dict[str, float]] = {
    ("bernoulli-bandit", k, n): dict(zip(_BANDIT_COLUMNS, means, strict=True))
    for n, k, *means in (
        (10, 5, 5.0, 6.6, 5.7, 6.5, 6.7, 6.6, 6.6, 6.7, 6.6),
        (10, 10, 5.0, 6.6, 5.5, 6.2, 6.7, 6.6, 6.6, 6.7, 6.7),
        (10, 50, 5.1, 6.5, 5.2, 5.5, 6.6, 6.5, 6.5, 6.8, 6.7),
        (100, 5, 49.9, 78.3, 74.7, 77.9, 78.0, 75.4, 74.8, 78.7, 79.1),
        (100, 10, 49.9, 82.8, 76.7, 81.4, 82.4, 77.4, 77.1, 83.5, 83.5),
        (100, 50, 49.8, 85.2, 64.5, 67.7, 84.3, 78.3, 78.0, 84.9, 85.1),
        (500, 5, 249.8, 405.8, 402.0, 406.7, 405.8, 388.2, 380.6, 401.6, 408.1),
        (500, 10, 249.0, 437.8, 429.5, 438.9, 437.1, 408.0, 395.0, 432.5, 432.4),
        (500, 50, 249.6, 463.7, 427.2, 437.6, 457.6, 413.6, 402.8, 438.9, 442.6),
    )
}
# The classical ones started from a mean reward of 0, by the public code, where the family's is 1 (``--prior-mean 0``).
PUBLISHED |= {
    ("tabular-mdp", n): dict(zip(_TABULAR_COLUMNS, means, strict=True))
    for n, *means in (
        (10, 100.1, 138.1, 144.1, 146.6, 150.2, 132.8, 134.8, 156.2, 159.1),
        (25, 250.2, 408.8, 425.2, 424.1, 427.8, 377.3, 368.8, 445.7, 447.2),
        (50, 499.7, 904.4, 930.7, 918.9, 917.8, 823.3, 769.3, 936.1, 942.3),
        (75, 749.9, 1417.1, 1449.2, 1427.6, 1422.6, 1293.9, 1172.9, 1428.8, 1447.5),
        (100, 999.4, 1939.5, 1973.9, 1942.1, 1935.1, 1778.2, 1578.5, 1913.7, 1953.1),
    )
}


def published_learned(*setting: str | int) -> dict[str, float]:
    """Published means of methods that learn, in a setting; empty where there are none."""
    return {name: mean for name, mean in PUBLISHED.get(setting, {}).items() if name in _LEARNED}
