"""The gallery of task families."""

import jax
import matplotlib.image
import pytest

from jaxmeta import tasks
from jaxmeta.commands.gallery import main
from jaxmeta.plots import RESOLUTION
from jaxmeta.plots.gallery import random_state


def test_a_grid_of_pictures_is_written(tmp_path, capsys):
    out = tmp_path / "gallery.png"
    families = ["t-maze", "navigation", "bernoulli-bandit"]
    assert main(["--out", str(out), "--columns", "2", "--family", *families]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    height, width, _ = matplotlib.image.imread(out).shape
    assert width == 2 * 3 * RESOLUTION
    assert height == pytest.approx(2 * 3.3 * RESOLUTION, abs=1)


def test_a_state_is_the_last_one_of_its_episode():
    family = tasks.make("navigation", horizon=4)
    key = jax.random.key(0)
    states = [random_state(family.env, key, family.sample(key), steps) for steps in (0, 9)]
    assert [int(state.time) for state in states] == [0, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--family", "t-mase"], "error: --family: unknown name 't-mase'; did you mean t-maze or meta-maze?"),
        (["--out", "no/such/place.png"], "error: --out: no/such is not a directory"),
        (["--columns", "0"], "error: --columns: got 0; must be at least 1"),
    ],
)
def test_bad_input_is_answered_in_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
