"""Learners that plan: actions and their contract, what they remember, and how they explore."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta

STEPS, EPISODES = 5, 2
PLANNER = functools.partial(jaxmeta.models.cross_entropy_method, horizon=3, candidates=6, elites=2, iterations=1)


@pytest.fixture(scope="module")
def lifetimes():
    return jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation-rotated", horizon=STEPS), EPISODES)


def small(env, kind, **settings):
    if kind == "recurrent":
        return jaxmeta.models.recurrent_model(env, size=6, hidden=(8,), future=3, **settings)
    return jaxmeta.models.windowed_model(env, window=4, future=3, hidden=(8,), inner_rate=0.1, **settings)


@pytest.fixture(scope="module", params=["windowed", "recurrent"])
def acted(request, lifetimes):
    """A model, its learner, theta, the trajectory [1, T] of one lifetime, and the fast state after its last step."""
    online = small(lifetimes.env, request.param)
    learner = jaxmeta.learners.planning_learner(lifetimes.env, online, PLANNER(lifetimes.env.action_space()))
    theta = jax.jit(learner.init)(jax.random.key(0))
    task = lifetimes.sample(jax.random.key(1))
    run = jax.jit(
        functools.partial(jaxmeta.data.collect_episodes, learner=learner, env=lifetimes.env, episodes=1, horizon=10)
    )
    trajectory, phi = run(jax.random.key(2), task=task, theta=theta, phi=learner.begin(theta))
    return online, learner, theta, trajectory, phi


def test_actions_are_in_the_box_and_the_contract_is_kept(acted, lifetimes):
    _, learner, theta, trajectory, _ = acted
    assert jnp.all(jnp.abs(trajectory.action) <= 1.0)
    assert float(jnp.std(trajectory.action)) > 0.1
    for scored in learner.score(theta, learner.begin(theta), trajectory):
        np.testing.assert_array_equal(scored, np.zeros((1, EPISODES * STEPS)))


def test_the_fast_state_comes_from_the_observations_alone_and_not_from_the_task(acted):
    online, _, theta, trajectory, phi = acted

    @jax.jit
    def memory(obs):
        return jax.lax.scan(lambda memory, one: (online.observe(theta, memory, one), None), online.begin(), obs)[0]

    chex.assert_trees_all_close(memory(trajectory.obs[0]), phi.memory, atol=1e-6)


def test_exploring_acts_at_random_in_a_share_of_steps(lifetimes):
    online = small(lifetimes.env, "windowed")
    env, planner = lifetimes.env, PLANNER(lifetimes.env.action_space())
    theta = jax.jit(online.init)(jax.random.key(0))
    obs, _ = env.reset_env(jax.random.key(1), lifetimes.sample(jax.random.key(1)))
    keys = jax.random.split(jax.random.key(2), 200)

    def actions(**settings):
        learner = jaxmeta.learners.planning_learner(env, online, planner, **settings)
        return jax.jit(jax.vmap(lambda key: learner.act(key, theta, learner.begin(theta), obs)[0]))(keys)

    planned = actions()
    # A share that is computed in training, and happens to be 0.
    np.testing.assert_array_equal(actions(random_share=jnp.zeros(())), planned)
    share = float(jnp.mean(jnp.any(actions(random_share=0.3) != planned, axis=-1)))
    assert share == pytest.approx(0.3, abs=0.1)
    noisy = actions(noise=0.1)
    inside = jnp.all(jnp.abs(planned) < 0.7, axis=-1)
    spread = jnp.std((noisy - planned)[inside])
    assert float(spread) == pytest.approx(0.1, rel=0.3)
    assert jnp.all(jnp.abs(noisy) <= 1.0)


def test_negative_noise_is_refused(lifetimes):
    online = small(lifetimes.env, "windowed")
    with pytest.raises(ValueError, match=r"noise: got -1; must be at least 0"):
        jaxmeta.learners.planning_learner(lifetimes.env, online, PLANNER(lifetimes.env.action_space()), noise=-1)
