"""Figures of learners with a memory: the numbers that they show, and that they are drawn."""

import numpy as np
import pytest

from jaxmeta.plots import memory as memory_plots


def test_arms_are_counted_from_the_best_down():
    """Two tasks, three arms; the first pulls best, middle, best, the second worst, best, best."""
    expected = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.8]])
    action = np.array([[0, 2, 0], [0, 2, 2]])
    shares = memory_plots.arm_pull_shares(expected, action)
    np.testing.assert_allclose(shares, [[0.5, 0.5, 1.0], [0.0, 0.5, 0.0], [0.5, 0.0, 0.0]])


def rows():
    numbers = {"regret": 1.5, "regret_stderr": 0.1}
    for n in (10, 100):
        setting = {"problem": "bernoulli-bandit", "k": 5, "n": n, "run": "first"}
        yield {**setting, "method": "rl2", "seeds": 2, **numbers}
        yield {**setting, "method": "rl2", "seed": 0, **numbers}
        yield {**setting, "method": "gittins", **numbers, "regret": 1.0}


def test_regrets_have_a_panel_a_setting_and_a_line_a_method():
    figure = memory_plots.regrets(list(rows()))
    assert [ax.get_title() for ax in figure.axes] == [
        "bernoulli-bandit\nk = 5, n = 10",
        "bernoulli-bandit\nk = 5, n = 100",
    ]
    # The worst is at the bottom.
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["rl2", "gittins"]


def test_what_was_published_is_hollow_and_stands_at_its_own_regret():
    some = [row | {"mean": 6.5} for row in rows() if row["n"] == 10]
    figure = memory_plots.regrets([row | {"published": {"snail": 6.75}} if "seeds" in row else row for row in some])
    # The optimum is 8.
    (hollow,) = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert hollow.get_xdata() == [1.25]
    assert [one.get_text() for one in figure.axes[0].get_yticklabels()] == ["rl2", "snail, published", "gittins"]
    assert any("Mishra et al. 2018" in text.get_text() for text in figure.texts)


def test_two_runs_of_a_method_are_told_apart_and_share_the_others():
    other = [{**row, "run": "second", "regret": row["regret"] + 0.2} for row in rows() if row["n"] == 10]
    figure = memory_plots.regrets([row for row in rows() if row["n"] == 10] + other)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["second", "first", "gittins"]
    dots = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "."]
    np.testing.assert_allclose(dots, [[1.7], [1.5]])


def test_runs_with_tasks_held_out_have_a_panel_of_their_own():
    some = [row for row in rows() if row["n"] == 10]
    figure = memory_plots.regrets(some + [{**row, "held_out": 4, "prior": "all 21 goals"} for row in some])
    titles = [ax.get_title().splitlines() for ax in figure.axes]
    assert titles[1] == [*titles[0], "held out = 4, prior = all 21 goals"]


@pytest.mark.parametrize("times", [[0, 3], [5]])
def test_beliefs_are_drawn_over_the_cells_that_they_are_about(tmp_path, times):
    belief = np.zeros((6, 3, 3))
    belief[:, 2, 0] = 1.0
    figure = memory_plots.grid_beliefs(belief, belief, np.zeros((6, 2)), np.array([2, 0]), times, horizon=4)
    shown = figure.axes[0].images[0].get_array()
    # Cell (2, 0) is to the right and at the bottom.
    assert shown[0, 2] == 1.0
    assert shown.sum() == 1.0
    # The exact belief says what it begins with: here a single cell.
    assert figure.axes[len(times)].get_ylabel() == "exact, prior of\n1 cells"
    assert figure.axes[0].get_title() == f"episode {times[0] // 4 + 1}\nstep {times[0] % 4}"


def test_what_the_axis_is_fits_into_a_figure_of_one_panel():
    some = [row for row in rows() if row["n"] == 10]
    figure = memory_plots.regrets([row | {"mean": 6.5, "published": {"snail": 6.75}} for row in some])
    figure.canvas.draw()
    (label,) = [text for text in figure.texts if text.get_text().startswith("regret of a lifetime")]
    extent = label.get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.width
    below = [text for text in figure.texts if "Mishra et al. 2018" in text.get_text()]
    assert below[0].get_window_extent().y1 <= extent.y0
