"""Exact values by enumeration of trajectories and by iteration, their derivatives by finite differences, and errors."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import references

DISCOUNTS = [0.0, 0.7, 1.0]


def small(horizon, discount=0.9, seed=0, states=3, actions=2):
    """A random MDP that starts anywhere, and logits, in double precision."""
    mdp = references.random_mdp(jax.random.key(seed), states, actions, discount=0.5)
    generator = np.random.default_rng(seed)
    wide = {name: np.asarray(getattr(mdp, name), np.float64) for name in ("transition", "reward")}
    wide["transition"] /= wide["transition"].sum(axis=-1, keepdims=True)
    mdp = mdp.replace(**wide, start=generator.dirichlet(np.ones(states)), discount=discount, horizon=horizon)
    return generator.normal(size=(states, actions)), mdp


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def value_by_enumeration(logits, mdp):
    """The sum over all trajectories of their probability times their discounted return."""
    policy, (states, actions) = softmax(logits), logits.shape
    total = 0.0
    for trajectory in itertools.product(itertools.product(range(states), range(actions)), repeat=mdp.horizon):
        probability = mdp.start[trajectory[0][0]]
        for (state, action), (following, _) in itertools.pairwise(trajectory):
            probability *= policy[state, action] * mdp.transition[state, action, following]
        probability *= policy[trajectory[-1]]
        total += probability * sum(mdp.discount**t * mdp.reward[pair] for t, pair in enumerate(trajectory))
    return total


def values_by_iteration(logits, mdp, iterations):
    """Values with 1, …, ``iterations`` steps to go: the Bellman equation of the policy, applied again and again."""
    policy, value, values = softmax(logits), np.zeros(len(logits)), []
    for _ in range(iterations):
        value = (policy * (mdp.reward + mdp.discount * mdp.transition @ value)).sum(axis=1)
        values.append(value)
    return np.array(values)


def by_finite_differences(function, logits, width=1e-5):
    """Central differences of a scalar function of the logits."""
    gradient = np.zeros_like(logits)
    for index in np.ndindex(*logits.shape):
        shift = np.zeros_like(logits)
        shift[index] = width
        gradient[index] = (function(logits + shift) - function(logits - shift)) / (2 * width)
    return gradient


def value(logits, mdp):
    return float(references.in_float64(references.policy_value, logits, mdp))


@pytest.mark.parametrize("discount", DISCOUNTS)
@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_value_is_that_of_all_trajectories(horizon, discount):
    logits, mdp = small(horizon, discount)
    assert value(logits, mdp) == pytest.approx(value_by_enumeration(logits, mdp), abs=1e-12)


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_values_of_states_solve_the_bellman_equation(discount):
    logits, mdp = small(6, discount)
    found = references.in_float64(references.state_values, logits, mdp)
    np.testing.assert_allclose(found, values_by_iteration(logits, mdp, 6)[::-1], atol=1e-12)


def test_an_infinite_horizon_is_the_limit_of_long_ones():
    logits, mdp = small(None, 0.9)
    found = references.in_float64(references.state_values, logits, mdp)
    np.testing.assert_allclose(found, values_by_iteration(logits, mdp, 400)[-1], atol=1e-12)
    assert value(logits, mdp) == pytest.approx(float(mdp.start @ found), abs=1e-12)


def test_a_bandit_by_hand():
    bandit = references.bandit_mdp(jnp.array([0.2, 0.5, 0.8]))
    logits = np.log([[0.5, 0.25, 0.25]])
    assert value(logits, bandit) == pytest.approx(0.425, abs=1e-7)
    gradient = references.in_float64(references.policy_gradient, logits, bandit)
    # π(a) (r(a) − V)
    np.testing.assert_allclose(gradient, [[0.5 * -0.225, 0.25 * 0.075, 0.25 * 0.375]], atol=1e-7)


@pytest.mark.parametrize("horizon", [3, None])
def test_gradient_is_that_of_finite_differences(horizon):
    logits, mdp = small(horizon)
    found = references.in_float64(references.policy_gradient, logits, mdp)
    policy_value = jax.jit(functools.partial(references.policy_value, mdp=mdp))
    with jax.enable_x64(True):
        expected = by_finite_differences(lambda x: float(policy_value(x)), logits)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(found.sum(axis=1), 0.0, atol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_meta_gradient_is_that_of_finite_differences(steps):
    logits, mdp = small(3)
    expected_logits = logits
    for _ in range(steps):
        step = references.in_float64(references.policy_gradient, expected_logits, mdp)
        expected_logits = expected_logits + 0.7 * step
    adapt = functools.partial(references.adapted_logits, rate=0.7, steps=steps)
    adapted = references.in_float64(adapt, logits, mdp)
    np.testing.assert_allclose(adapted, expected_logits, atol=1e-12)
    with jax.enable_x64(True):
        meta_value = jax.jit(lambda x: references.meta_value(x, mdp, 0.7, steps))
        assert float(meta_value(logits)) == pytest.approx(value_by_enumeration(expected_logits, mdp), abs=1e-12)
        expected = by_finite_differences(lambda x: float(meta_value(x)), logits)
    found = references.in_float64(lambda x: references.meta_gradient(x, mdp, 0.7, steps), logits)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_precision_is_that_of_the_inputs_and_the_session_keeps_its_own():
    mdp = references.random_mdp(jax.random.key(0), 2, 2, discount=0.5, horizon=2)
    logits = jnp.zeros((2, 2))
    assert references.policy_value(logits, mdp).dtype == jnp.float32
    wide = references.in_float64(references.policy_gradient, logits, mdp)
    assert isinstance(wide, np.ndarray)
    assert wide.dtype == np.float64
    assert jnp.ones(1).dtype == jnp.float32


def test_an_mdp_passes_through_transformations():
    mdps = jax.vmap(lambda key: references.random_mdp(key, 2, 2, horizon=3))(jax.random.split(jax.random.key(0), 4))
    logits = jnp.zeros((2, 2))
    values = jax.jit(jax.vmap(references.policy_value, (None, 0)))(logits, mdps)
    one = references.policy_value(logits, jax.tree.map(lambda x: x[2], mdps))
    np.testing.assert_allclose(values[2], one, rtol=1e-6)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"discount": -0.1, "horizon": 3}, r"discount: got -0.1; must be in \[0, 1\]"),
        ({"discount": 1.5}, r"discount: got 1.5; must be in \[0, 1\]"),
        ({"discount": 1.0}, "discount: got 1.0; must be below 1 where the horizon is infinite"),
        ({"horizon": 0}, "horizon: got 0; must be at least 1, or None"),
    ],
)
def test_bad_settings_are_one_line(setting, message):
    def refuses(function, *arguments, **settings):
        with pytest.raises(ValueError, match=message) as caught:
            function(*arguments, **settings)
        assert "\n" not in str(caught.value)

    refuses(references.random_mdp, jax.random.key(0), 2, 2, **setting)
    mdp = references.random_mdp(jax.random.key(0), 2, 2).replace(**setting)
    for function in (references.policy_value, references.state_values, references.policy_gradient):
        refuses(function, jnp.zeros((2, 2)), mdp)
    for function in (references.adapted_logits, references.meta_value, references.meta_gradient):
        refuses(function, jnp.zeros((2, 2)), mdp, 0.1, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda mdp: references.adapted_logits(jnp.zeros((2, 2)), mdp, 0.1, -1), "steps: got -1; must be at least 0"),
        (lambda mdp: references.meta_gradient(jnp.zeros((2, 2)), mdp, 0.1, -1), "steps: got -1; must be at least 0"),
        (lambda mdp: references.random_mdp(jax.random.key(0), 0, 2), "states: got 0; must be at least 1"),
        (lambda mdp: references.random_mdp(jax.random.key(0), 2, 0), "actions: got 0; must be at least 1"),
    ],
)
def test_bad_counts_are_one_line(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(references.random_mdp(jax.random.key(0), 2, 2))


def test_shapes_are_asserted():
    mdp = references.random_mdp(jax.random.key(0), 2, 2)
    with pytest.raises(AssertionError):
        references.policy_value(jnp.zeros((3, 2)), mdp)
