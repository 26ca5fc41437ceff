"""What is drawn of a run, where a figure needs more than the run's own numbers."""

import sys
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import render

import jaxmeta
from jaxmeta.plots import memory as memory_plots


def test_beliefs_are_drawn_by_cell_in_whatever_unit_cells_are_seen(monkeypatch):
    """From 0 to 4, or scaled to [-1, 1]."""
    monkeypatch.setattr(memory_plots, "grid_beliefs", lambda learned, exact, position, *others: position)
    family = jaxmeta.tasks.make("gridnavi", horizon=6)
    for each, unit in ((family, lambda seen: seen), (jaxmeta.scale_observations(family), lambda seen: 2 * seen + 2)):
        tasks = jaxmeta.as_lifetime(each, 2)
        model = jaxmeta.belief_model_for(tasks.env, horizon=12, latent=2, size=4, hidden=(4,), decoder=(4,))
        algorithm = jaxmeta.varibad(tasks, model=model)
        theta, task = algorithm.init(jax.random.key(0)).theta, tasks.sample(jax.random.key(1))
        _, lifetime = jax.jit(algorithm.adapt)(jax.random.key(2), theta, task)
        batches = jax.tree.map(lambda x: np.asarray(x)[None], lifetime.trajectory)
        position = render.goal_beliefs(model, tasks, theta, np.asarray(task.goal), batches)
        np.testing.assert_allclose(position, unit(batches.obs[0, 0, 0, :, :2]), atol=1e-5)
        assert np.ptp(position) > 1
