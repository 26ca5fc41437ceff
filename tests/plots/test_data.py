"""The numbers of figures, as rows; the same files from the same figure."""

import csv

import numpy as np
import pytest

from jaxmeta.plots import style
from jaxmeta.plots.data import COLUMNS, drawn


@pytest.fixture
def figure():
    figure, axes = style.subplots(1, 2, (5.0, 3.0))
    left, right = axes[0]
    left.errorbar([0, 1], [1.0, 2.0], yerr=[[0.5, 0.25], [1.0, 0.0]], color="red", label="a")
    left.plot([0, 1, 2], [3.0, 4.0, 5.0], color="blue", label="b")
    left.fill_between([0, 1, 2], [2.0, 3.0, 4.0], [3.5, 4.5, 6.0], color="blue", alpha=0.2)
    left.axhline(7.0, label="best", color="black")
    left.set_title("task\none")
    right.errorbar([4.0, 6.0], [0, 1], xerr=[1.0, 2.0], color="green")
    right.set_yticks([0, 1], ["first", "second"])
    right.set_ylabel("methods")
    style.heat_map(axes[0, 1].inset_axes([0, 0, 0.2, 0.2]), np.array([[0.0, 0.5]]))
    return figure


def numbers(rows, **what):
    names = ("place", "x", "y", "low", "high")
    found = [row for row in rows if all(row.get(name) == value for name, value in what.items())]
    return [tuple(row[name] for name in names if name in row) for row in found]


def test_points_lines_levels_and_bands_are_told_with_their_labels(figure):
    rows = drawn(figure)
    assert numbers(rows, label="a") == [(0.0, 1.0, 0.5, 2.0), (1.0, 2.0, 1.75, 2.0)]
    assert numbers(rows, label="b", kind="line") == [(0.0, 3.0), (1.0, 4.0), (2.0, 5.0)]
    assert numbers(rows, label="b", kind="band") == [(0.0, 2.0, 3.5), (1.0, 3.0, 4.5), (2.0, 4.0, 6.0)]
    assert numbers(rows, label="best") == [(7.0,)]
    assert {row["panel"] for row in rows if row.get("label")} == {"task one"}


def test_bars_along_x_and_words_of_an_axis(figure):
    assert numbers(drawn(figure), panel="methods") == [("first", 4.0, 0.0, 3.0, 5.0), ("second", 6.0, 1.0, 4.0, 8.0)]


def test_shades_of_a_heat_map():
    figure, axes = style.subplots(1, 1, (2.0, 2.0))
    style.heat_map(axes[0, 0], np.array([[0.0, 0.5], [0.25, 1.0]]))
    assert numbers(drawn(figure), kind="image") == [(0, 0, 0.0), (0, 1, 0.5), (1, 0, 0.25), (1, 1, 1.0)]


def test_the_same_figure_gives_the_same_files(figure, tmp_path):
    paths = [tmp_path / f"{place}.{kind}" for place in (0, 1) for kind in ("png", "svg", "pdf", "csv")]
    assert style.save(figure, *paths[:4], note="of little data") == paths[:4]
    style.save(figure, *paths[4:])
    for one, other in zip(paths[:4], paths[4:], strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert "of little data" in paths[1].read_text()
    with paths[3].open() as file:
        table = csv.DictReader(file)
        assert [row["high"] for row in table if row["label"] == "a"] == ["2.0", "2.0"]
        assert tuple(table.fieldnames or ()) == COLUMNS


def test_footnotes_make_a_figure_higher_and_stand_below_one_another(figure):
    heights = [figure.get_figheight()]
    for line in ("one", "two " * 40):
        style.footnote(figure, line)
        heights.append(figure.get_figheight())
    assert heights[0] < heights[1] < heights[2] - 0.2
    (shown,) = [text for text in figure.texts if text.get_gid() == style.FOOTNOTE]
    assert shown.get_text().splitlines()[0] == "one"
    figure.draw_without_rendering()
    lowest = min(ax.get_tightbbox().y0 for ax in figure.axes)
    assert shown.get_window_extent().y1 < lowest
