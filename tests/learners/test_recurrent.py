"""Learners that adapt by their memory: what was acted is replayed, nothing is seen too early, returns by episode."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.learners import replay_lifetimes

LIFETIME, STEPS = 2, 6


@pytest.fixture(scope="module")
def lifetimes():
    return jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation", horizon=STEPS), LIFETIME)


def network(tasks, cell="gru", **settings):
    return jaxmeta.networks.recurrent_policy_for(tasks.env, horizon=tasks.horizon, cell=cell, size=8, **settings)


@pytest.fixture(scope="module", params=jaxmeta.networks.CELLS)
def acted(request, lifetimes):
    """A network, its weights, and the trajectory [1, T] of one lifetime."""
    policy = network(lifetimes, request.param, embedding=(5,), hidden=(7,))
    algorithm = jaxmeta.rl2(lifetimes, policy=policy)
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    _, lifetime = jax.jit(algorithm.adapt)(jax.random.key(1), theta, lifetimes.sample(jax.random.key(2)))
    return policy, theta, jax.tree.map(lambda x: x[-1], lifetime.trajectory)


def test_score_replays_what_was_acted(acted):
    policy, theta, trajectory = acted
    learner = jaxmeta.learners.recurrent_learner(policy)
    log_prob, value = jax.jit(learner.score)(theta, learner.begin(theta), trajectory)
    np.testing.assert_allclose(log_prob, trajectory.log_prob, atol=3e-6)
    np.testing.assert_allclose(value, trajectory.value, atol=3e-6)
    assert np.ptp(value) > 0


def test_a_step_does_not_depend_on_later_ones(acted):
    policy, theta, trajectory = acted
    changed = trajectory._replace(obs=trajectory.obs.at[:, 4:].add(1.0))
    learner = jaxmeta.learners.recurrent_learner(policy)
    score = jax.jit(learner.score)
    before, after = (score(theta, learner.begin(theta), each) for each in (trajectory, changed))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old[:, :4], new[:, :4])
        assert np.all(old[:, 4:] != new[:, 4:])


def test_segments_have_the_values_of_the_whole_and_its_gradient_within_each(acted):
    policy, theta, trajectory = acted
    obs, length = trajectory.obs, trajectory.obs.shape[1]

    def run(policy):
        def total(obs):
            distribution, value, _ = replay_lifetimes(policy, theta, policy.begin(theta), obs)
            return value, distribution.log_prob(trajectory.action)

        return jax.jit(lambda obs: (total(obs), jax.jacobian(lambda obs: total(obs)[0])(obs)[0, :, 0].sum(-1)))(obs)

    (whole, gradient), (cut, cut_gradient) = run(policy), run(jaxmeta.networks.in_segments(policy, 4))
    chex.assert_trees_all_close(whole, cut, atol=1e-5)
    same = np.arange(length)[:, None] // 4 == np.arange(length) // 4
    np.testing.assert_allclose(np.where(same, gradient, 0.0), cut_gradient, atol=1e-5)
    assert np.any(np.abs(gradient[~same & np.tri(length, dtype=bool)]) > 1e-6)


def test_returns_come_by_episode(lifetimes):
    algorithm = jaxmeta.rl2(lifetimes, policy=network(lifetimes))
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    task = lifetimes.sample(jax.random.key(2))
    _, lifetime = jax.jit(algorithm.adapt)(jax.random.key(1), theta, task)
    # Nothing ends early here, so an episode is STEPS steps.
    reward = np.asarray(lifetime.trajectory.reward).reshape(LIFETIME, STEPS)
    np.testing.assert_allclose(
        jaxmeta.data.stage_returns(lifetimes.env, lifetime.trajectory), reward.sum(axis=1), rtol=1e-6
    )
    evaluate = jax.jit(
        lambda key: jaxmeta.runs.adaptation_returns(key, algorithm, lifetimes, theta, task, greedy_episodes=2)
    )
    returns = evaluate(jax.random.key(3))
    assert returns["sampled"].shape == returns["deterministic"].shape == (LIFETIME,)


def test_episodes_of_a_lifetime_that_ends_early_are_told_apart(lifetimes):
    """Two episodes, of two steps and of one; what comes after is padding, whose flag of an end stays up."""
    ended = jnp.array([0.0, 0.0, 1.0, 1.0, 1.0])
    obs = jnp.stack([jnp.zeros(5), ended], axis=1)
    reward = jnp.array([1.0, 2.0, 4.0, 0.0, 0.0])
    np.testing.assert_array_equal(lifetimes.env.episode_returns(obs, reward), [3.0, 4.0])
