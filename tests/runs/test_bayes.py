"""The Bayes optimum by episode, where it is known."""

import jax
import numpy as np
import pytest

import jaxmeta
from jaxmeta.references import bernoulli_value
from jaxmeta.runs.bayes import bayes_optimum
from jaxmeta.runs.loop import sample_tasks


def test_gridnavi_by_episode():
    tasks = jaxmeta.as_lifetime(jaxmeta.tasks.make("gridnavi"), 4)
    values = bayes_optimum(tasks, tasks.every)
    # The goal is found in the first episode in two of three tasks; then it is known.
    np.testing.assert_allclose(values.mean(axis=0), [4.0, *[11.0714286] * 3], rtol=1e-6)
    told = np.asarray(jax.vmap(tasks.optimum)(tasks.every)) / 4
    assert np.all(values <= told[:, None] + 1e-6)
    # The mean of the later episodes is the optimum of who knows the goal but where the first one did not find it.
    assert np.mean(values[:, 0] < told) > 0.5


def test_bandits_by_their_mean():
    tasks = jaxmeta.as_lifetime(jaxmeta.tasks.make("bernoulli-bandit", arms=3, horizon=6), 1)
    values = bayes_optimum(tasks, sample_tasks(jax.random.key(0), tasks, 5))
    np.testing.assert_allclose(values, np.full((5, 1), bernoulli_value(3, 6)))


@pytest.mark.parametrize(
    "tasks",
    [
        jaxmeta.tasks.make("gridnavi"),
        jaxmeta.as_lifetime(jaxmeta.tasks.make("gridnavi", size=6), 2),
        jaxmeta.as_lifetime(jaxmeta.tasks.make("gridnavi"), 5),
        jaxmeta.as_lifetime(jaxmeta.tasks.make("bernoulli-bandit", horizon=11), 1),
        jaxmeta.as_lifetime(jaxmeta.tasks.make("bernoulli-bandit", horizon=5), 2),
        jaxmeta.as_lifetime(jaxmeta.tasks.make("gaussian-bandit", horizon=5), 1),
        jaxmeta.as_lifetime(jaxmeta.tasks.repeat_actions(jaxmeta.tasks.make("gridnavi"), 2), 2),
    ],
)
def test_elsewhere_nothing_is_known(tasks):
    assert bayes_optimum(tasks, sample_tasks(jax.random.key(0), tasks, 2)) is None
