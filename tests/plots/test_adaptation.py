"""Curves of adaptation: data in, the right lines and words out."""

import matplotlib.colors
import numpy as np
import pytest

from jaxmeta import plots
from jaxmeta.plots import style


def evaluation(axis, iqm, optimum=None):
    """The content of an ``evaluation.json`` whose intervals reach 1 below and 2 above."""
    values = np.asarray(iqm, float)
    interval = {"iqm": values.tolist(), "low": (values - 1).tolist(), "high": (values + 2).tolist()}
    references = {"from_scratch": {"iqm": (values - 5).tolist()}, "random_policy": {"iqm": -7.0}}
    if optimum is not None:
        references["optimum"] = {"iqm": optimum}
    summary = {"sampled": interval, "deterministic": interval}
    return {"axes": ["seed", "task", axis], "summary": summary, "references": references}


BY_STEP = evaluation("adaptation_step", [1.0, 4.0, 5.0], optimum=9.0)
BY_EPISODE = evaluation("episode", [2.0, 3.0])


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines_at(ax, height):
    return [line for line in ax.lines if np.all(np.asarray(line.get_ydata()) == height)]


def test_panels_are_as_large_beside_long_labels(tmp_path):
    def inches(figure):
        plots.save(figure, tmp_path / "x.png")
        return figure.axes[0].get_window_extent().size / figure.dpi

    for draw, side in ((plots.comparison, 0), (plots.adaptation_by_label, 1)):
        short, long = (inches(draw([("a", label + name, BY_STEP) for name in "bcdefgh"])) for label in ("", "c" * 40))
        assert long[side] > 0.8 * short[side]


@pytest.mark.parametrize(
    ("result", "places", "word"), [(BY_STEP, [0, 1, 2], "adaptation steps"), (BY_EPISODE, [1, 2], "episode")]
)
def test_a_curve_is_against_steps_from_0_or_episodes_from_1(result, places, word):
    figure = plots.adaptation_curve(result, "a title")
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_title()) == (word, "a title")
    sampled, segments = ax.containers[0].lines[0], ax.containers[0].lines[2][0].get_segments()
    np.testing.assert_array_equal(sampled.get_xdata(), places)
    np.testing.assert_array_equal(sampled.get_ydata(), result["summary"]["sampled"]["iqm"])
    np.testing.assert_allclose(
        [(low[1], high[1]) for low, high in segments], [(y - 1, y + 2) for y in sampled.get_ydata()]
    )
    assert len(lines_at(ax, -7.0)) == 1
    assert len(lines_at(ax, 9.0)) == ("optimum" in result["references"])
    assert ("optimum, told the task" in legend(figure)) == ("optimum" in result["references"])


def test_a_comparison_has_a_panel_a_family_a_colour_a_label_and_names_both_axes():
    figure = plots.comparison([("a", "maml", BY_STEP), ("a", "rl2", BY_EPISODE), ("b", "rl2", BY_EPISODE)], columns=2)
    left, right = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    colour = [matplotlib.colors.to_hex(ax.containers[-1].lines[0].get_color()) for ax in (left, right)]
    assert colour[0] == colour[1]
    assert figure.get_supxlabel() == "adaptation steps, or episodes before this one"
    assert sorted(legend(figure)) == ["from scratch", "maml", "optimum, told the task", "random policy", "rl2"]
    assert plots.comparison([("a", "rl2", BY_EPISODE)]).axes[0].get_xlabel() == "episodes before this one"
    assert plots.comparison([("a", "maml", BY_STEP)]).axes[0].get_xlabel() == "adaptation steps"


def test_what_was_published_is_drawn_as_far_as_the_runs_go():
    published = {**BY_STEP["references"], "published": {"maml, 2017": [0.0, 2.0, 4.0, 6.0]}}
    figure = plots.comparison([("a", "maml", {**BY_STEP, "references": published})])
    (hollow,) = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert list(hollow.get_ydata()) == [0.0, 2.0, 4.0]
    assert "published, maml, 2017" in legend(figure)


def test_the_bayes_optimum_has_a_point_for_each_episode_whichever_run_knows_it():
    known = {**BY_EPISODE, "references": {**BY_EPISODE["references"], "bayes_optimum": {"iqm": [4.0, 11.0]}}}
    for figure, places in (
        (plots.adaptation_curve(known), [1, 2]),
        (plots.comparison([("a", "maml", BY_STEP), ("a", "rl2", known)]), [0, 1]),
    ):
        (line,) = (line for line in figure.axes[0].lines if line.get_label() == "Bayes optimum")
        np.testing.assert_array_equal(line.get_xdata(), places)
        np.testing.assert_array_equal(line.get_ydata(), [4.0, 11.0])
        assert "Bayes optimum" in legend(figure)


def test_figures_say_which_tasks_returns_are_of():
    def on(count, distinct, listed, seen):
        names = ("count", "distinct", "listed", "seen_in_training")
        return {**BY_STEP, "tasks": dict(zip(names, (count, distinct, listed, seen), strict=True))}

    anew, seen = on(400, 400, None, 0), on(400, 21, 21, 21)
    words = [plots.adaptation_curve(one).axes[0].get_ylabel().split("(")[0].split() for one in (anew, seen, BY_STEP)]
    assert [" ".join(each) for each in words] == [
        "return on 400 tasks drawn anew",
        "return on 21 tasks, each also trained on",
        "return on test tasks",
    ]
    one = plots.comparison([("a", "maml", seen), ("b", "maml", seen)])
    assert [ax.get_title() for ax in one.axes] == ["a", "b"]
    assert "each also trained on" in one.get_supylabel().replace("\n", " ")
    several = [("a", "maml", anew), ("b", "maml", seen)]
    titles = [ax.get_title() for ax in plots.comparison(several).axes]
    assert titles == ["a\n400 tasks drawn anew", "b\n21 tasks, each also\ntrained on"]
    assert plots.adaptation_by_label(several).axes[0].get_ylabel() == titles[0]


@pytest.mark.parametrize(
    ("results", "first", "stages"),
    [
        ([BY_STEP], "before adaptation", plots.STEPS),
        ([BY_EPISODE], "first episode", plots.EPISODES),
        ([BY_STEP, BY_EPISODE], "before adaptation or first episode", plots.BOTH),
    ],
)
def test_a_place_a_label_names_what_its_first_point_is(results, first, stages):
    assert style.stages_of(results) == stages
    figure = plots.adaptation_by_label([("a", f"method {index}", one) for index, one in enumerate(results)])
    assert first in legend(figure)
    assert figure.axes[0].get_ylabel() == "a"
    starts = [line for line in figure.axes[0].lines if line.get_marker() == "o" and line.get_zorder() == 3]
    np.testing.assert_allclose(
        [line.get_ydata()[0] for line in starts], [one["summary"]["sampled"]["iqm"][0] for one in results]
    )


def test_labels_are_no_formulas(tmp_path):
    for draw in (plots.comparison, plots.adaptation_by_label):
        plots.save(draw([("$a$", "$x^{$", BY_STEP)]), tmp_path / "x.png")


def test_many_labels_have_places_and_few_share_a_panel():
    many = [("a", str(label), BY_STEP) for label in range(7)]
    assert plots.side_by_side(many).axes[0].get_ylabel() == "a"
    assert plots.side_by_side(many[:6]).axes[0].get_title() == "a"


def test_names_of_controllers_stand_on_their_lines_and_what_is_far_below_is_said(tmp_path):
    told = {"controllers": {"spring": {"iqm": 2.0}, "told torques": {"iqm": 4.5}}}
    near, far = ({**evaluation("episode", [2.0, 3.0]), **told} for _ in range(2))
    far["references"] = {**far["references"], "random_policy": {"iqm": -500.0}}
    for one, said in ((near, []), (far, ["below: random policy -500, from scratch -2"])):
        figure = plots.adaptation_curve(one)
        written = [text.get_text() for text in figure.axes[0].texts]
        assert sorted(written) == sorted(["spring", "told torques", *said])
        assert "spring" not in legend(figure)
        rows = plots.save(figure, tmp_path / "x.csv")[0].read_text()
        assert ",spring,level," in rows
        assert (figure.axes[0].get_ylim()[0] > -10.0) or not said
