"""What is planned is value iteration on what was seen, within the episode."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.networks.lookahead import CHANNELS, Lookahead, SeenStep

STATES, ACTIONS, HORIZON = 3, 2, 4


@pytest.fixture(scope="module")
def seen():
    """A lookahead, its parameters, and the memory of a walk of an episode and a half: (state, action, reward)."""
    plan = Lookahead(HORIZON, HORIZON, (5,), "tanh")
    features = jax.random.normal(jax.random.key(0), (STATES, ACTIONS, 2))
    params = plan.init(jax.random.key(1), features[0, 0])
    params = jax.tree.map(lambda x: x + 0.5 * jax.random.normal(jax.random.key(x.size), x.shape), params)
    mdp = plan.begin(params, jnp.zeros_like(features))
    walk = [(0, 1, 1.0), (2, 0, -0.5), (2, 0, 2.0), (1, 1, 0.3), (0, 1, 0.7), (2, 1, 0.1), (0, 0, 0.0)]
    for index, ((state, action, reward), (following, _, _)) in enumerate(itertools.pairwise(walk)):
        ended = jnp.float32(index == HORIZON - 1)
        step = SeenStep((jnp.array(state), jnp.array(action)), reward, features[state, action], following, ended)
        mdp = plan.learn(params, mdp, step)
    return plan, params, features, mdp


def test_rewards_visits_and_successors_are_counted_within_episodes(seen):
    mdp = seen[3]
    np.testing.assert_array_equal(mdp.visits, [[0, 2], [0, 1], [2, 1]])
    np.testing.assert_allclose(mdp.total, [[0, 1.7], [0, 0.3], [1.5, 0.1]], rtol=1e-6)
    following = np.zeros((STATES, ACTIONS, STATES))
    # (1, 1) ended the first episode: what came after it did not follow from it.
    following[0, 1, 2], following[2, 0, 2], following[2, 0, 1], following[2, 1, 0] = 2, 1, 1, 1
    np.testing.assert_array_equal(mdp.following, following)
    assert mdp.time == 2


def test_no_step_changes_nothing(seen):
    plan, params, features, _ = seen
    begun = plan.begin(params, features)
    none = SeenStep((jnp.array(1), jnp.array(ACTIONS)), 3.0, features[0, 0], jnp.array(0), jnp.float32(0))
    jax.tree.map(np.testing.assert_array_equal, plan.learn(params, begun, none), begun)


@pytest.mark.parametrize(("time", "left"), [(0, 4), (2, 2), (3, 1)])
def test_values_are_those_of_the_remembered_mdp_with_the_steps_that_are_left(seen, time, left):
    plan, params, _, mdp = seen
    summary = jnp.array([0.4, -0.2])
    weights = 1 + summary @ params["weights"]["params"]["kernel"] + params["weights"]["params"]["bias"]
    prior = jnp.exp(params["prior"])
    transition = (mdp.following + prior) / jnp.sum(mdp.following + prior, axis=-1, keepdims=True)
    q, _ = jaxmeta.references.value_iteration(transition, mdp.pays @ weights, left)
    values = plan.values(params, mdp._replace(time=jnp.array(time)), summary, jnp.array(2))
    np.testing.assert_allclose(values, q[0, 2] - jnp.mean(q[0, 2]), rtol=1e-4, atol=1e-5)
    assert np.ptp(values) > 0.05


def test_what_pairs_pay_is_learned_through_the_plan(seen):
    """At (0, here) nothing pays at once: its logits move with what its successors pay."""
    plan, params, _, mdp = seen

    def first(pays):
        return plan.values(params, mdp._replace(pays=pays, time=jnp.array(0)), jnp.zeros(2), jnp.array(0))[1]

    gradient = jax.grad(first)(mdp.pays)
    assert gradient.shape == (STATES, ACTIONS, CHANNELS)
    assert np.all(gradient[0, 1] != 0)
    assert np.any(gradient[2] != 0)
    shorter = Lookahead(1, HORIZON, (5,), "tanh")
    near = jax.grad(lambda pays: shorter.values(params, mdp._replace(pays=pays), jnp.zeros(2), jnp.array(0))[1])
    np.testing.assert_array_equal(near(mdp.pays)[1:], 0.0)
