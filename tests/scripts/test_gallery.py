"""The gallery of task families, and pictures of tasks that are mere numbers."""

import dataclasses
import sys
from pathlib import Path

import jax
import matplotlib.image
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.tasks import drawing
from jaxmeta.tasks.wrappers import Wrapper

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import gallery


@dataclasses.dataclass
class Numbers:
    spread: np.ndarray | float
    mean_reward: np.ndarray | float
    transition: np.ndarray
    max_steps_in_episode: int = 10


class Unrendered(Wrapper):
    def render(self, state, params):
        raise AttributeError("no render", name="render", obj=self)


@pytest.fixture
def without_pictures(monkeypatch):
    """Two families that cannot be drawn as states: only the first is named for its numbers."""
    family = tasks.make("navigation", horizon=12)
    family = family._replace(env=Unrendered(family.env))
    monkeypatch.setattr(tasks, "_FAMILIES", {**tasks._FAMILIES, "some-bandit": lambda: family, "bare": lambda: family})


def drawn(figure):
    image = gallery.pixels(figure)
    assert image.ndim == 3
    assert len(np.unique(image.reshape(-1, 4), axis=0)) > 10
    return figure.axes


def test_a_grid_of_pictures_is_written(tmp_path, capsys, without_pictures):
    out = tmp_path / "gallery.png"
    families = ["t-maze", "navigation", "some-bandit"]
    assert gallery.main(["--out", str(out), "--columns", "2", "--task", *families]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    height, width, _ = matplotlib.image.imread(out).shape
    assert width == 2 * 3 * gallery.RESOLUTION
    assert height == pytest.approx(2 * 3.3 * gallery.RESOLUTION, abs=1)


def test_a_state_is_the_last_one_of_its_episode():
    family = tasks.make("navigation", horizon=4)
    key = jax.random.key(0)
    states = [gallery.random_state(family.env, key, family.sample(key), steps) for steps in (0, 9)]
    assert [int(state.time) for state in states] == [0, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "t-mase"], "error: unknown task 't-mase'; did you mean 't-maze'"),
        (["--task", "bare"], "error: --task: bare has no picture"),
        (["--out", "no/such/place.png"], "error: --out: no/such is not a directory"),
        (["--columns", "0"], "error: --columns: got 0; must be at least 1"),
    ],
)
def test_bad_input_is_answered_in_one_line(arguments, message, capsys, without_pictures):
    with pytest.raises(SystemExit) as stopped:
        gallery.main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_a_vector_is_drawn_as_bars_and_a_matrix_as_a_heat_map():
    vector = Numbers(spread=np.ones(3), mean_reward=np.array([0.2, 0.9, 0.4]), transition=np.ones((2, 2, 2)))
    (ax,) = drawn(drawing.figure(drawing.parameters, vector))
    assert [bar.get_height() for bar in ax.patches] == [0.2, 0.9, 0.4]
    assert ax.get_title() == "mean reward"
    matrix = dataclasses.replace(vector, mean_reward=np.array([[-1.0, 0.5, 0.0], [0.0, 0.25, 0.0]]))
    ax, scale = drawn(drawing.figure(drawing.parameters, matrix))
    np.testing.assert_array_equal(ax.images[0].get_array(), matrix.mean_reward)
    assert scale.get_ylim() == (-1.0, 1.0)


def test_numbers_alone_are_a_bar_each():
    (ax,) = drawn(
        drawing.figure(drawing.parameters, Numbers(spread=1.0, mean_reward=0.5, transition=np.ones((1, 1, 1))))
    )
    assert [label.get_text() for label in ax.get_xticklabels()] == ["spread", "mean_reward"]


def test_a_task_without_anything_to_draw_is_refused():
    with pytest.raises(ValueError, match="task: no field of Numbers"):
        drawing.parameters(None, Numbers(spread=1, mean_reward=1, transition=np.ones((1, 1, 1))))
