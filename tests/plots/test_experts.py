"""Which experts act in which tasks: how much a task tells of it, by what tasks are sorted, and what is drawn."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.plots import experts as expert_plots
from jaxmeta.runs import evaluate


def test_a_task_tells_nothing_of_experts_that_all_use_alike_and_all_of_those_that_have_one_each():
    np.testing.assert_allclose(evaluate.specialisation(np.tile([0.7, 0.2, 0.1], (5, 1))), 0.0, atol=1e-12)
    np.testing.assert_allclose(evaluate.specialisation(np.eye(4)), np.log(4.0))
    # One task by one expert, three by the other: the entropy of (1/4, 3/4).
    uneven = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    np.testing.assert_allclose(evaluate.specialisation(np.eye(2)[[0, 1, 1, 1]]), uneven)


@pytest.fixture
def wheel():
    """Tasks with a goal and an angle; the second expert acts where the angle is far from 0, whatever the goal."""
    generator = np.random.default_rng(0)
    tasks = {"angle": generator.uniform(-3.0, 3.0, 50), "goal": generator.normal(size=(50, 2)), "steps": np.full(50, 7)}
    share = np.abs(tasks["angle"]) / 3.0
    return tasks, np.stack([1.0 - share, share], axis=1)


def test_only_what_sets_tasks_apart_is_a_number_of_theirs(wheel):
    numbers = expert_plots.task_numbers(wheel[0])
    assert list(numbers) == ["angle", "goal[0]", "goal[1]"]
    np.testing.assert_array_equal(numbers["goal[1]"], wheel[0]["goal"][:, 1])


def test_tasks_are_sorted_by_what_tells_of_experts_though_it_goes_up_and_down(wheel):
    tasks, use = wheel
    name, order = expert_plots.telling_order(expert_plots.task_numbers(tasks), use)
    assert name == "angle"
    assert np.all(np.diff(tasks["angle"][order]) >= 0)


def test_a_panel_a_seed_shows_the_use_in_that_order(wheel):
    tasks, use = wheel
    figure = expert_plots.expert_use(np.stack([use, use[:, ::-1]]), tasks, ["seed 0", "seed 1"])
    order = np.argsort(tasks["angle"])
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), use[order])
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), use[order][:, ::-1])
    assert figure.axes[0].get_ylabel() == "tasks, sorted by angle"
    told = evaluate.specialisation(use)
    assert [ax.get_title() for ax in figure.axes[:2]] == [f"seed {n}\n{told:.2f} of 0.69 nats" for n in (0, 1)]


def test_an_algorithm_without_experts_says_so(small_maml):
    with pytest.raises(ValueError, match=r"^algorithm: its policy has no experts"):
        jaxmeta.runs.adapted_expert_use(jnp.zeros(2), small_maml, {}, {})
