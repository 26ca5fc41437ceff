"""Temporal-difference steps: targets by hand, one step by hand, and the derivative of the adaptation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.data import rescaled, unscaled
from jaxmeta.learners import at_shares, n_step_transitions, td_targets
from jaxmeta.types import Trajectory

RATE, DISCOUNT = 0.1, 0.5
WEIGHTS = jnp.array([[0.5, -0.3], [0.2, 0.4], [0.1, 0.0]])
"""Of a linear h(Q): three observations by two actions."""


@pytest.fixture(scope="module")
def linear():
    """The logits are obs @ weights."""
    return jaxmeta.networks.Policy(
        lambda key: WEIGHTS, lambda weights, obs: jaxmeta.networks.Categorical(obs @ weights)
    )


@pytest.fixture(scope="module")
def batch():
    """Two episodes of at most three steps: one terminates after two, the other is truncated after three."""
    first, second, third = jnp.eye(3)
    zeros = jnp.zeros((2, 3))
    return Trajectory(
        obs=jnp.stack([jnp.stack([first, second, third]), jnp.stack([second, first, second])]),
        action=jnp.array([[0, 1, 0], [1, 0, 1]]),
        log_prob=zeros,
        value=zeros,
        reward=jnp.array([[1.0, 2.0, 0.0], [3.0, 4.0, 5.0]]),
        terminated=jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
        truncated=jnp.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        mask=jnp.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]),
        final_obs=jnp.stack([third, third]),
        advantage=zeros,
        value_target=zeros,
    )


def learner_of(policy, **settings):
    settings = {"inner_updates": 1, "inner_batch": 5, "discount": DISCOUNT} | settings
    return jaxmeta.learners.q_learner(policy, inner_optimizer=optax.sgd(RATE), **settings)


def test_targets_by_hand_tell_termination_from_truncation(linear, batch):
    data = n_step_transitions(batch, DISCOUNT, 1)
    np.testing.assert_array_equal(data.mask, [1, 1, 0, 1, 1, 1])
    value = unscaled(jnp.array([0.5, 0.4, 0.1]))  # the better action in each observation
    later = [1 + 0.5 * value[1], 2.0, 3 + 0.5 * value[0], 4 + 0.5 * value[1], 5 + 0.5 * value[2]]
    real = np.array([0, 1, 3, 4, 5])
    np.testing.assert_allclose(td_targets(linear, WEIGHTS, WEIGHTS, data)[real], rescaled(jnp.array(later)), rtol=1e-5)
    # Double: the first weights choose, the second give the value. Here they choose the other action in the second
    # observation.
    chooser = WEIGHTS.at[1].set(jnp.array([0.4, 0.2]))
    other = unscaled(jnp.array(0.2))
    target = td_targets(linear, chooser, WEIGHTS, data)
    np.testing.assert_allclose(target[0], rescaled(1 + 0.5 * other), rtol=1e-5)
    np.testing.assert_allclose(target[1], rescaled(jnp.array(2.0)), rtol=1e-5)


def test_several_steps_by_hand_and_never_beyond_an_end(batch):
    data = n_step_transitions(batch, DISCOUNT, 2)
    real = np.array([0, 1, 3, 4, 5])
    np.testing.assert_allclose(data.total[real], [1 + 1, 2, 3 + 2, 4 + 2.5, 5])
    np.testing.assert_allclose(data.factor[real], [0, 0, 0.25, 0.25, 0.5])
    np.testing.assert_array_equal(np.argmax(data.next_obs[real][2:], axis=-1), [1, 2, 2])


def test_transitions_are_taken_from_the_real_ones_alone(batch):
    data = n_step_transitions(batch, DISCOUNT, 1)
    np.testing.assert_allclose(at_shares(data, (jnp.arange(5) + 0.5) / 5).total, [1, 2, 3, 4, 5])
    assert set(np.asarray(at_shares(data, jnp.linspace(0.0, 1.0, 50)).total)) == {1.0, 2.0, 3.0, 4.0, 5.0}


def step_by_hand(weights, batch):
    """``w ← w + α mean (y − w[s, a])`` at each visited entry, with y by the weights themselves."""
    value = unscaled(jnp.max(weights, axis=1))
    target = jnp.stack(
        [1 + 0.5 * value[1], jnp.float32(2.0), 3 + 0.5 * value[0], 4 + 0.5 * value[1], 5 + 0.5 * value[2]]
    )
    state, action = jnp.array([0, 1, 1, 0, 1]), jnp.array([0, 1, 1, 0, 1])
    # The second episode: states second, first, second; actions 1, 0, 1.
    error = rescaled(target) - weights[state, action]
    return weights.at[state, action].add(RATE * error / 5)


def test_absorb_is_the_step_and_its_derivative_that_of_the_step(linear, batch):
    learner = learner_of(linear)

    def adapted(weights):
        return learner.absorb(weights, learner.begin(weights), batch)

    np.testing.assert_allclose(learner.absorb(WEIGHTS, WEIGHTS, batch), step_by_hand(WEIGHTS, batch), rtol=1e-5)
    # Of an objective of the adapted weights, through the targets too.
    outer = lambda weights: jnp.sum(jnp.arange(6.0).reshape(3, 2) * weights**2)  # noqa: E731
    meta = jax.grad(lambda weights: outer(adapted(weights)))(WEIGHTS)
    by_hand = jax.grad(lambda weights: outer(step_by_hand(weights, batch)))(WEIGHTS)
    np.testing.assert_allclose(meta, by_hand, rtol=1e-4, atol=1e-6)
    assert np.abs(meta - jax.grad(outer)(step_by_hand(WEIGHTS, batch))).max() > 1e-3
    # The value of the third observation enters by its target alone.
    assert abs(meta[2, 0]) > 1e-3


def test_first_order_adaptation_counts_as_the_identity(linear, batch):
    learner = jaxmeta.learners.first_order(learner_of(linear))
    jacobian = jax.jacobian(lambda weights: learner.absorb(weights, weights, batch))(WEIGHTS)
    np.testing.assert_allclose(jacobian.reshape(6, 6), np.eye(6), atol=1e-6)


def test_several_inner_steps_use_other_transitions_and_nothing_is_learned_without_any(linear, batch):
    np.testing.assert_array_equal(learner_of(linear, inner_updates=0).absorb(WEIGHTS, WEIGHTS, batch), WEIGHTS)
    # Two steps of one transition each: the second and the fourth of five, at a quarter and three quarters.
    moved = learner_of(linear, inner_updates=2, inner_batch=1).absorb(WEIGHTS, WEIGHTS, batch) - WEIGHTS
    assert set(zip(*np.nonzero(np.asarray(moved)), strict=True)) == {(1, 1), (0, 0)}


def test_actions_are_the_best_but_for_a_share(linear):
    obs = jnp.eye(3)[1]
    keys = jax.random.split(jax.random.key(0), 4_000)
    for epsilon, share in ((0.4, 0.8), (0.0, 1.0)):
        learner = learner_of(linear, epsilon=epsilon)
        action, log_prob, value, phi = jax.vmap(learner.act, (0, None, None, None))(keys, WEIGHTS, WEIGHTS, obs)
        np.testing.assert_allclose(np.mean(np.asarray(action) == 1), share, atol=0.02)
        np.testing.assert_allclose(np.exp(log_prob[action == 1]), share, rtol=1e-5)
        np.testing.assert_allclose(value, 0.4, rtol=1e-6)
        np.testing.assert_array_equal(phi[0], WEIGHTS)
