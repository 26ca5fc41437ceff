"""Rows of reference values for GridNavi and the point robots, one function a problem."""

import jax
import numpy as np

from jaxmeta import tasks as families
from jaxmeta.checks import check_least
from jaxmeta.references import gridnavi

Row = dict[str, str | int | float]


def gridnavi_rows(tasks: int = 100_000, *, seed: int = 0) -> list[Row]:
    """Mean return of episodes 1 to 4 of GridNavi: Bayes-optimal, posterior sampling, and told the goal.

    The first and the last are exact means over all goals, with standard error 0; posterior sampling is simulated.

    Args:
      tasks: simulated tasks, ≥ 2.
      seed: of the simulation.

    Returns:
      Twelve rows ``{"problem": "gridnavi", "episode", "method", "mean", "stderr"}``.

    Raises:
      ValueError: ``tasks`` below 2.
    """
    check_least(2, tasks=tasks)
    episodes = 4
    known = gridnavi.full_information()
    exact = {"bayes-optimal": gridnavi.bayes_optimal(episodes=episodes).returns, "full-information": [known] * episodes}
    key_tasks, key_act = jax.random.split(jax.random.key(seed))
    batch = jax.jit(jax.vmap(families.gridnavi().sample))(jax.random.split(key_tasks, tasks))
    simulate = jax.jit(jax.vmap(gridnavi.posterior_sampling))
    simulated = np.asarray(simulate(jax.random.split(key_act, tasks), batch.goal), np.float64)
    rows: list[Row] = []
    for episode in range(episodes):
        mean, error = _mean_and_error(simulated[:, episode])
        rows.append(_row("gridnavi", "bayes-optimal", exact["bayes-optimal"][episode], 0.0, episode=episode + 1))
        rows.append(_row("gridnavi", "posterior-sampling", mean, error, episode=episode + 1))
        rows.append(_row("gridnavi", "full-information", exact["full-information"][episode], 0.0, episode=episode + 1))
    return rows


def point_rows(tasks: int = 100_000, *, seed: int = 0) -> list[Row]:
    """Mean over tasks of the exact optimum of 2D navigation and the two half-circle families.

    Args:
      tasks: drawn tasks, ≥ 2.
      seed: of the tasks.

    Returns:
      Three rows ``{"problem", "horizon", "method": "optimal", "mean", "stderr"}``.

    Raises:
      ValueError: ``tasks`` below 2.
    """
    check_least(2, tasks=tasks)
    rows: list[Row] = []
    for problem in ("navigation", "semicircle-sparse", "semicircle-dense"):
        family = families.make(problem)
        assert family.optimum is not None
        batch = jax.jit(jax.vmap(family.sample))(jax.random.split(jax.random.key(seed), tasks))
        optima = jax.jit(lambda batch, optimum=family.optimum: jax.lax.map(optimum, batch, batch_size=4096))(batch)
        mean, error = _mean_and_error(np.asarray(optima, np.float64))
        rows.append(_row(problem, "optimal", mean, error, horizon=family.horizon))
    return rows


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _row(problem: str, method: str, mean: float, error: float, **where: int) -> Row:
    return {"problem": problem, **where, "method": method, "mean": float(mean), "stderr": float(error)}
