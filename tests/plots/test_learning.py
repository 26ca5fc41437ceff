"""Learning curves: data in, the right lines and words out."""

import numpy as np

from jaxmeta import plots

ROWS = [
    {"seed": seed, "env_steps": 10.0 * step, "return_pre": -1.0 * step, "return_post": float(step + seed)}
    for seed in (0, 1, 2)
    for step in (1, 2)
]


def test_steps_and_columns_over_seeds_are_as_long_as_the_shortest():
    steps, values = plots.over_seeds(ROWS[:-1], "return_post")
    np.testing.assert_array_equal(steps, [10.0])
    np.testing.assert_array_equal(values, [[1.0], [2.0], [3.0]])


def test_a_curve_before_and_one_after_with_bands_over_the_seeds():
    figure = plots.learning_curve(ROWS, "a title")
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before adaptation", "after adaptation"]
    before, after = ax.lines
    np.testing.assert_array_equal(before.get_ydata(), [-1.0, -2.0])
    np.testing.assert_array_equal(after.get_xdata(), [10.0, 20.0])
    np.testing.assert_array_equal(after.get_ydata(), [2.0, 3.0])
    band = ax.collections[1].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (1.0, 4.0)
    assert ax.get_title() == "a title"


def test_a_learner_with_a_memory_has_a_first_and_a_last_episode():
    figure = plots.learning_curve(ROWS, stages=plots.EPISODES)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["first episode", "last episode"]
    figure = plots.sample_efficiency([("a", "rl2", ROWS)], stages=plots.EPISODES)
    assert figure.get_supylabel().split() == ["return,", "last", "episode,", "training", "tasks"]


def test_steps_within_a_power_of_ten_have_labels_that_do_not_overlap():
    (ax,) = plots.sample_efficiency(
        [("a", "maml", [{**row, "env_steps": 300 * row["env_steps"]} for row in ROWS])]
    ).axes
    words = ax.xaxis.get_minor_formatter()
    assert [words(x) for x in (3000.0, 4000.0, 5000.0)] == ["", "", r"$5 \times 10^{3}$"]
    ax.set_xlim(5.0, 5000.0)
    assert words(500.0) == ""


def test_seeds_are_thin_lines_that_no_legend_names():
    (ax,) = plots.learning_curve(ROWS, per_seed=True).axes
    assert [line.get_label() for line in ax.lines[:4]] == ["before adaptation", "_seed 0", "_seed 1", "_seed 2"]
    np.testing.assert_array_equal(ax.lines[-1].get_ydata(), [3.0, 4.0])
    assert len(ax.get_legend().get_texts()) == 2


def test_a_single_iteration_is_a_point():
    (ax,) = plots.learning_curve([row for row in ROWS if row["env_steps"] == 10.0]).axes
    assert [line.get_marker() for line in ax.lines] == ["o", "o"]
