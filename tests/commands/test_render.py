"""What is drawn of a run, where a figure needs more than the run's own numbers."""

import jax
import numpy as np

import jaxmeta
from jaxmeta import plots
from jaxmeta.commands import pictures, render
from jaxmeta.commands.figures import Figures
from jaxmeta.runs import Run
from jaxmeta.runs.program import seed_states


def test_a_run_is_drawn(printed, tiny_run):
    how = ("--formats", "png", "svg", "--note", "Reduced budget")
    printed(render.main, tiny_run, "--tasks", 2, "--steps", 1, "--episodes", 3, *how)
    assert "Reduced budget" in (tiny_run / "trajectories.svg").read_text()
    for name in ("trajectories.png", "trajectories.gif"):
        assert (tiny_run / name).stat().st_size > 5_000


def test_a_run_s_use_of_its_experts_is_drawn(capsys, tmp_path):
    small = {"family": {"horizon": 10}, "policy": {"hidden": [8], "experts": 2}}
    chosen = jaxmeta.experiment("fomaml", "navigation", **small)
    run = Run(tmp_path, chosen, 0, 0, seed_states(chosen.build()[1], [0]).meta.theta)
    written = pictures.draw(run, render.Shown(tasks=2, steps=1, episodes=3, gif=False), Figures())
    assert "seed 0: use of experts 0." in capsys.readouterr().out
    assert tmp_path / "experts.png" in written
    assert (tmp_path / "experts.png").stat().st_size > 5_000


def test_bad_arguments_are_one_line(refused, tiny_run, tmp_path):
    for argv, message in (
        ((tmp_path,), f"{tmp_path} holds no run: there is no config.json"),
        ((tiny_run, "--tasks", 0), "--tasks: got 0; must be at least 1"),
        ((tiny_run, "--rate-decay", 0), "--rate-decay: got 0.0; must be positive"),
    ):
        assert refused(render.main, *argv) == f"error: {message}"


def test_beliefs_are_drawn_by_cell_in_whatever_unit_cells_are_seen(monkeypatch):
    """From 0 to 4, or scaled to [-1, 1]."""
    monkeypatch.setattr(plots, "grid_beliefs", lambda learned, exact, position, *others: position)
    family = jaxmeta.tasks.make("gridnavi", horizon=6)
    for each, unit in (
        (family, lambda seen: seen),
        (jaxmeta.tasks.scale_observations(family), lambda seen: 2 * seen + 2),
    ):
        tasks = jaxmeta.tasks.as_lifetime(each, 2)
        model = jaxmeta.networks.belief_model_for(tasks.env, 12, latent=2, size=4, hidden=(4,), decoder=(4,))
        algorithm = jaxmeta.varibad(tasks, model=model)
        theta, task = jax.jit(algorithm.init)(jax.random.key(0)).theta, tasks.sample(jax.random.key(1))
        _, lifetime = jax.jit(algorithm.adapt)(jax.random.key(2), theta, task)
        batches = jax.tree.map(lambda x: np.asarray(x)[None], lifetime.trajectory)
        position = pictures.goal_beliefs(model, tasks, theta, np.asarray(task.goal), batches)
        np.testing.assert_allclose(position, unit(batches.obs[0, 0, 0, :, :2]), atol=1e-5)
        assert np.ptp(position) > 1
