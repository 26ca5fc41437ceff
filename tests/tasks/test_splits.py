"""Tasks of a finite family that are held out of training."""

import jax
import numpy as np
import pytest

import jaxmeta
from jaxmeta.tasks import as_lifetime, held_out, make, observe_only, repeat_actions, reveal_task, scale_observations


def goals(tasks):
    return {tuple(goal) for goal in np.asarray(tasks.goal).tolist()}


def drawn(sampler, count=400):
    return goals(jax.jit(jax.vmap(sampler))(jax.random.split(jax.random.key(1), count)))


def test_training_draws_all_tasks_but_those_that_are_tested():
    whole = make("gridnavi")
    split = held_out(whole, 4)
    assert goals(split.every) == drawn(split.sample)
    assert goals(split.every_test) == drawn(split.sample_test)
    assert (len(goals(split.every)), len(goals(split.every_test))) == (17, 4)
    assert goals(split.every) | goals(split.every_test) == goals(whole.every)
    assert (split.env, split.horizon, split.optimum) == (whole.env, whole.horizon, whole.optimum)
    types = [jax.eval_shape(sampler, jax.random.key(0)) for sampler in (whole.sample, split.sample, split.sample_test)]
    assert types[0] == types[1] == types[2]


def test_the_seed_draws_which_are_held_out():
    tested = [goals(held_out(make("gridnavi"), 4, seed).every_test) for seed in (0, 0, 1)]
    assert tested[0] == tested[1] != tested[2]


def test_wrappers_keep_the_lists():
    split = held_out(make("gridnavi"), 4)
    for wrapped in (
        as_lifetime(split, 2),
        repeat_actions(split, 2),
        scale_observations(split),
        observe_only(split, (0,)),
        reveal_task(split),
    ):
        assert wrapped.every is split.every
        assert wrapped.every_test is split.every_test


def test_tasks_are_held_out_inside_of_jit_too():
    goal = jax.jit(lambda key: held_out(make("gridnavi"), 20).sample(key).goal)(jax.random.key(0))
    assert goals(held_out(make("gridnavi"), 20).every) == {tuple(goal.tolist())}


@pytest.mark.parametrize(
    ("family", "count", "message"),
    [
        ("gridnavi", 0, "got 0; must be from 1 to 20: the family has 21 tasks"),
        ("gridnavi", 21, "got 21; must be from 1 to 20: the family has 21 tasks"),
        ("navigation", 2, r"got 2; the family has no list of its tasks \(every\) to hold some out of"),
        ("frozen-lake", 2, r"got 2; the family has no list of its tasks \(every\) to hold some out of"),
        ("t-maze", 2, r"got 2; the family has test tasks of its own \(sample_test\)"),
    ],
)
def test_what_cannot_be_held_out_is_one_line(family, count, message):
    with pytest.raises(ValueError, match=f"^held_out: {message}$"):
        held_out(jaxmeta.tasks.make(family), count)
