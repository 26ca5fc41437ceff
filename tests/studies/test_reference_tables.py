"""Rows of the tables of references: which there are, and means that are known otherwise."""

import numpy as np
import pytest

from jaxmeta.studies import reference_tables


def rows_of(problem, tasks):
    effort = reference_tables.Effort(tasks=tasks, quick=False, lifetimes=(), prior_mean=1.0, seed=0)
    return [row for setting in reference_tables.rows_of(problem, effort) for row in setting]


def test_gridnavi_by_episode():
    rows = rows_of("gridnavi", 500)
    assert {(row["episode"], row["method"]) for row in rows} == {
        (episode, method)
        for episode in (1, 2, 3, 4)
        for method in ("bayes-optimal", "posterior-sampling", "full-information")
    }
    assert all(set(row) == {"problem", "episode", "method", "mean", "stderr", "tasks"} for row in rows)
    assert all((row["stderr"] > 0) == (row["method"] == "posterior-sampling") for row in rows)
    best = {row["episode"]: row["mean"] for row in rows if row["method"] == "full-information"}
    assert all(row["mean"] <= best[row["episode"]] + 1e-9 for row in rows)


def test_optima_of_point_robots_are_means_over_their_goals():
    rows = rows_of("point-robots", 20_000)
    means = {row["problem"]: row["mean"] for row in rows}
    assert all(
        set(row) == {"problem", "horizon", "method", "mean", "stderr", "tasks"} and row["stderr"] > 0 for row in rows
    )
    angle = np.linspace(0, np.pi, 20_001)
    goals = np.abs(np.stack([np.cos(angle), np.sin(angle)], -1))
    left = np.maximum(goals[:, None] - 0.1 * np.arange(1, 101)[:, None], 0)
    distance = np.sqrt((left**2).sum(-1))
    assert means["semicircle-dense"] == pytest.approx(-distance.sum(1).mean(), abs=0.02)
    sparse = np.where(distance <= 0.2, 1 - distance, 0).sum(1).mean()
    assert means["semicircle-sparse"] == pytest.approx(sparse, abs=0.03)
    goal = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, 2))
    left = np.maximum(np.abs(goal)[:, None] - 0.1 * np.arange(1, 101)[:, None], 0)
    assert means["navigation"] == pytest.approx(-np.sqrt((left**2).sum(-1)).sum(1).mean(), abs=0.015)
