"""Settings of the wrong kind are one line that names them, whichever family they are given to."""

import pytest

from jaxmeta import tasks


@pytest.mark.parametrize(
    ("family", "setting", "message"),
    [
        ("navigation", {"horizon": 2.5}, "horizon: got 2.5; must be a whole number, such as 100"),
        ("navigation", {"horizon": "10"}, "horizon: got '10'; must be a whole number, such as 100"),
        ("navigation-wind", {"wind": "strong"}, "wind: got 'strong'; must be a number, such as 0.05"),
        ("gridnavi", {"size": None}, "size: got None; must be a whole number, such as 5"),
        ("cartpole", {"force": 10.0}, r"force: got 10.0; must be 2 numbers, such as \(5.0, 15.0\)"),
        ("cartpole", {"force": (1.0, 2.0, 3.0)}, r"force: got \(1.0, 2.0, 3.0\); must be 2 numbers"),
        ("t-maze", {"lengths": ("a", "b")}, r"lengths: got \('a', 'b'\); must be 2 numbers"),
        ("frozen-lake", {"slippery": 1}, "slippery: got 1; must be bool, such as True"),
        ("dependent-bandit", {"level": 3}, "level: got 3; must be str, such as 'uniform'"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(family, setting, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        tasks.make(family, **setting)
    assert "\n" not in str(caught.value)


def test_a_whole_number_will_do_for_a_number():
    assert tasks.make("navigation", goal_range=1).horizon == 100
