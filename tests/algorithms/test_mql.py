"""MQL: what adaptation does and does not move, and that meta-training is R2D2's."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.objectives import batch_of


@pytest.fixture(scope="module")
def lifetimes():
    return jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("dependent-bandit", horizon=4, level="easy"), 2)


SMALL = jaxmeta.part(jaxmeta.networks.recurrent_policy_for, size=5)
SIZES = {"policy": SMALL, "segment": 4, "capacity": 8, "batch": 2, "updates": 2, "kept": 6}


@pytest.fixture(scope="module")
def trained(lifetimes):
    """Slow weights after one meta-step of two tasks, and a lifetime in a third."""
    algorithm = jaxmeta.mql(lifetimes, **SIZES)
    state = jax.jit(algorithm.init)(jax.random.key(0))
    batch = jaxmeta.sample_tasks(jax.random.key(2), lifetimes, 2)
    new, info = jax.jit(algorithm.step)(jax.random.key(1), state, batch)
    _, lifetime = jax.jit(algorithm.adapt)(jax.random.key(3), new.theta, lifetimes.sample(jax.random.key(4)))
    return state, new, info, lifetime


@pytest.fixture(scope="module")
def moves(lifetimes, trained):
    """``moves(theta, ...)``: how far one adaptation step moves the weights, by their norm, and the fast state after it.

    Compiled once for each number of updates.
    """
    *_, lifetime = trained

    @functools.cache
    def compiled(new_updates, replay_updates):
        def moved(theta, batch, inner_rate, proximal):
            updates = {"new_updates": new_updates, "replay_updates": replay_updates}
            learner = jaxmeta.mql(lifetimes, **SIZES, **updates, inner_rate=inner_rate, proximal=proximal).learner
            phi = learner.absorb(theta, learner.begin(theta), batch)
            return optax.global_norm(jax.tree.map(jnp.subtract, phi.network, theta["network"])), phi

        return jax.jit(moved)

    def call(theta, new_updates=40, replay_updates=2, inner_rate=1e-4, proximal=1.0):
        distance, phi = compiled(new_updates, replay_updates)(theta, batch_of(lifetime, 0), inner_rate, proximal)
        return float(distance), phi

    return call


def test_meta_training_is_that_of_r2d2_and_a_sample_of_its_data_goes_along(lifetimes, trained):
    state, new, info, _ = trained
    theirs = jaxmeta.r2d2(lifetimes, **{name: SIZES[name] for name in SIZES if name != "kept"})
    chex.assert_trees_all_equal(jax.jit(theirs.init)(jax.random.key(0)).theta, state.theta["network"])
    assert info["skipped"] == 0
    assert np.all(np.asarray(state.theta["replay"].mask) == 0)
    stored, kept = new.opt_state.buffer, new.theta["replay"]
    assert kept.obs.shape == (6, 4, stored.data.obs.shape[-1])
    rows = {bytes(np.asarray(one)) for one in stored.data.obs[np.asarray(stored.priority) > 0]}
    assert {bytes(np.asarray(one)) for one in kept.obs} <= rows
    assert jax.tree.map(jax.typeof, new) == jax.tree.map(jax.typeof, state)


def test_without_steps_or_without_a_rate_adaptation_leaves_the_weights_as_they_are(moves, trained):
    theta = trained[1].theta
    assert moves(theta, new_updates=0, replay_updates=0)[0] == 0.0
    assert moves(theta, inner_rate=0.0)[0] == 0.0
    assert moves(theta, new_updates=0)[0] > 0.0
    moved, phi = moves(theta, replay_updates=0)
    assert moved > 0.0
    # The next lifetime begins without a memory.
    np.testing.assert_array_equal(phi.memory, 0.0)


def test_without_replay_the_stored_data_does_not_count(moves, trained):
    theta = trained[1].theta
    other = {**theta, "replay": jax.tree.map(lambda x: x * 0, theta["replay"])}
    for settings, same in (({"replay_updates": 0}, True), ({}, False)):
        (one, _), (two, _) = (moves(each, proximal=0.0, **settings) for each in (theta, other))
        assert (one == two) == same


def test_the_proximal_term_pulls_back_to_the_meta_trained_weights(moves, trained):
    settings = {"inner_rate": 1e-2, "replay_updates": 0}
    free, weak, strong = (moves(trained[1].theta, proximal=each, **settings)[0] for each in (0.0, 0.3, 30.0))
    assert free > 1.2 * weak
    assert weak > 1.2 * strong


def test_the_adapted_weights_act(lifetimes, trained):
    """The second lifetime is acted with the weights that the first one left."""
    _, new, _, _ = trained
    algorithm = jaxmeta.mql(lifetimes, **SIZES, inner_rate=3e-2, new_updates=20)
    phi, lifetime = jax.jit(algorithm.adapt)(jax.random.key(3), new.theta, lifetimes.sample(jax.random.key(4)))
    first, second = (batch_of(lifetime, step) for step in range(2))
    learner = algorithm.learner
    begin, score = learner.begin(new.theta), jax.jit(learner.score)
    for phi, batch in ((begin, first), (jax.jit(learner.absorb)(new.theta, begin, first), second)):
        log_prob, value = score(new.theta, phi, batch)
        np.testing.assert_allclose(value, batch.value, atol=1e-4)
        np.testing.assert_allclose(log_prob, batch.log_prob, atol=1e-4)
    assert np.abs(score(new.theta, begin, second)[1] - second.value).max() > 1e-2


def test_returns_are_those_of_all_lifetimes_episodes(lifetimes, trained):
    *_, lifetime = trained
    returns = jaxmeta.data.stage_returns(lifetimes.env, lifetime.trajectory)
    assert returns.shape == (4,)
    reward = lifetime.trajectory.reward.reshape(2, 2, 4)
    np.testing.assert_allclose(returns, reward.sum(axis=-1).ravel())


def test_mql_finds_the_better_arm(better_arm):
    algorithm = jaxmeta.mql(
        better_arm.tasks,
        policy=jaxmeta.part(jaxmeta.networks.recurrent_policy_for, size=8),
        optimizer=optax.adam(1e-2),
        capacity=2_000,
        updates=4,
        target_every=20,
        epsilon_decay=40,
        discount=1.0,
        n_step=2,
    )
    late = better_arm.learned(algorithm, 80)
    assert np.all(late["return_post"] > 2.8), late


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kept": 0}, "kept: got 0; must be at least 1"),
        ({"replay_updates": -1}, "replay_updates: got -1; must be at least 0"),
        ({"ridge": 0.0}, "ridge: got 0.0; must be positive"),
        ({"proximal": -1.0}, "proximal: got -1.0; must be at least 0"),
        ({"segment": 3}, "segment: got 3; must divide the lifetime's 8 steps"),
        ({"updates": 0}, "updates: got 0; must be at least 1"),
    ],
)
def test_bad_settings_are_named(lifetimes, settings, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        jaxmeta.mql(lifetimes, **settings)
    assert str(caught.value) == message
