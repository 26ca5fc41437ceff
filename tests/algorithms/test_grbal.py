"""GrBAL and ReBAL: one program that learns, better predictions after adaptation than before, and bad input."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta

# Data for the model alone: nothing is searched for.
BLIND = {
    "planner": jaxmeta.part(jaxmeta.models.cross_entropy_method, horizon=1, candidates=1, elites=1, iterations=1),
    "random_iterations": 1000,
}
ALGORITHMS = {
    "grbal": (jaxmeta.grbal, jaxmeta.models.windowed_model, {"window": 8, "future": 4, "inner_rate": 0.3}),
    "rebal": (jaxmeta.rebal, jaxmeta.models.recurrent_model, {"size": 16, "future": 4}),
}


@pytest.fixture(scope="module")
def turned():
    """Goals near the start, actions turned by any angle."""
    return jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation-rotated", horizon=20, goal_range=0.01), 1)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_adaptation_lowers_the_error_in_unseen_tasks(name, turned):
    make, model_of, own = ALGORITHMS[name]
    model = jaxmeta.part(model_of, hidden=(32,), **own)
    algorithm = make(turned, model=model, updates=150, batch=32, capacity=512, **BLIND)
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(jaxmeta.runs.meta_iteration(algorithm, turned, 64), n=1))
    state = jaxmeta.runs.init_state(jax.random.key(0), algorithm)
    for _ in range(6):
        before = jax.tree.map(jax.typeof, state)
        state, info = step(state)
        assert jax.tree.map(jax.typeof, state) == before
        assert float(info["skipped"]) == 0.0
    assert {"loss", "grad_norm", "return_pre", "return_post", "env_steps", "random"} <= set(info)
    theta = state.meta.theta

    batch = jaxmeta.sample_tasks(jax.random.key(9), turned, 30)
    learner = jaxmeta.learners.uniform_learner(turned.env)

    def act(key, task):
        return jaxmeta.data.collect_episodes(key, turned.env, task, learner, (), (), episodes=1, horizon=20)[0]

    trajectories = jax.jit(jax.vmap(act))(jax.random.split(jax.random.key(10), 30), batch)
    found = jaxmeta.studies.model_errors.model_errors(
        turned.env, jaxmeta.built(model, turned.env), theta, trajectories, horizon=5
    )
    # Without knowing the angle there is nothing to be said of a move.
    assert 0.9 < found["before"]["one_step"] < 1.15
    assert found["after"]["one_step"] < 0.8
    assert found["after"]["horizon"] < 0.8 * found["before"]["horizon"]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_plans_better_than_it_acts_at_random(name):
    """On a plane with one goal, where the point starts: it stays near it."""
    tasks = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation", horizon=15, goal_range=0.01), 1)
    make, model_of, own = ALGORITHMS[name]
    planner = jaxmeta.part(jaxmeta.models.cross_entropy_method, horizon=5, candidates=24, elites=4, iterations=2)
    settings = {"model": jaxmeta.part(model_of, hidden=(32,), **own), "planner": planner, "epsilon": 0.0}
    algorithm = make(tasks, updates=100, capacity=512, random_iterations=2, **settings)
    step = jax.jit(jaxmeta.runs.meta_iteration(algorithm, tasks, 32))
    state = jaxmeta.runs.init_state(jax.random.key(0), algorithm)
    infos = []
    for _ in range(5):
        state, info = step(state)
        infos.append(info)
    np.testing.assert_array_equal([info["random"] for info in infos], [1, 1, 0, 0, 0])
    random = float(jnp.mean(jnp.array([info["return_post"] for info in infos[:2]])))
    assert float(infos[-1]["return_post"]) > 0.5 * random, (random, infos[-1]["return_post"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"updates": 0}, "updates: got 0; must be at least 1"),
        ({"random_iterations": -1}, "random_iterations: got -1; must be at least 0"),
        ({"epsilon": 1.5}, "epsilon: got 1.5; must be in [0, 1]"),
        ({"discount": 1.5}, "discount: got 1.5; must be in [0, 1]"),
        (
            {"planner": jaxmeta.part(jaxmeta.models.cross_entropy_method, horizon=0)},
            "horizon: got 0; must be at least 1",
        ),
        ({"capacity": 0}, "capacity: got 0; must be at least 1"),
    ],
)
def test_bad_settings_are_named(turned, settings, message):
    def build():
        jaxmeta.grbal(turned, **settings).init(jax.random.key(0))

    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build()
    assert str(caught.value) == message


def test_families_that_are_not_of_lifetimes_are_refused(navigation):
    for make in (jaxmeta.grbal, jaxmeta.rebal):
        with pytest.raises(ValueError, match="not a family of lifetimes"):
            make(navigation)
