import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import references
from jaxmeta.data import critic_baseline, linear_baseline
from jaxmeta.objectives import surrogates as losses
from jaxmeta.types import Trajectory

SURROGATES = {
    "score": losses.score_function,
    "ratio": losses.likelihood_ratio,
    "clipped": losses.clipped(0.2),
    "dice": losses.dice(),
}


def trajectory(log_prob, advantage, mask):
    zeros = jnp.zeros_like(advantage)
    return Trajectory(zeros, zeros, log_prob, zeros, zeros, zeros, zeros, mask, zeros, advantage, zeros)


def example():
    rng = np.random.default_rng(0)
    log_prob, advantage = jnp.array(rng.normal(size=(2, 3, 5)), jnp.float32)
    mask = jnp.ones((3, 5)).at[1, 3:].set(0.0)
    return log_prob, trajectory(log_prob, advantage * mask, mask)


@pytest.mark.parametrize("name", SURROGATES)
def test_gradient_where_the_data_was_collected_is_the_policy_gradient(name):
    log_prob, data = example()
    gradient = jax.grad(SURROGATES[name])(log_prob, data)
    np.testing.assert_allclose(gradient, -data.advantage * data.mask / data.mask.sum(), atol=1e-6)


@pytest.mark.parametrize("name", SURROGATES)
def test_padding_has_no_influence_even_when_its_log_probabilities_are_wild(name):
    log_prob, data = example()
    wild = jnp.where(data.mask > 0, log_prob, 1e4)
    value, gradient = jax.value_and_grad(SURROGATES[name])(wild, data)
    np.testing.assert_allclose(value, SURROGATES[name](log_prob, data), atol=1e-6)
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(gradient[1, 3:], 0.0)


def test_standardised_advantages_do_not_depend_on_the_rewards_scale():
    log_prob, data = example()
    scaled = data._replace(advantage=3.0 + 100.0 * data.advantage)
    surrogate = losses.standardised(losses.likelihood_ratio)
    np.testing.assert_allclose(
        jax.grad(surrogate)(log_prob, scaled), jax.grad(surrogate)(log_prob, data), rtol=1e-3, atol=1e-5
    )
    plain = jax.grad(losses.likelihood_ratio)
    assert not np.allclose(plain(log_prob, scaled), plain(log_prob, data))


def test_second_derivatives_differ_as_the_theory_says():
    # One episode of two steps, log-probabilities x₀ and x₁, advantages a₀ and a₁, mean over two steps.
    advantage = jnp.array([[2.0, 3.0]])
    x = jnp.array([[-0.3, -0.7]])
    data = trajectory(x, advantage, jnp.ones((1, 2)))

    def hessian(surrogate):
        return jax.hessian(lambda x: surrogate(x, data))(x)[0, :, 0, :]

    np.testing.assert_allclose(hessian(losses.score_function), np.zeros((2, 2)), atol=1e-6)
    np.testing.assert_allclose(hessian(losses.likelihood_ratio), -np.diag([1.0, 1.5]), atol=1e-6)
    np.testing.assert_allclose(hessian(losses.dice(0.0)), -np.diag([1.0, 1.5]), atol=1e-6)
    # DiCE: the later advantage also depends on the earlier action, with weight λ.
    np.testing.assert_allclose(hessian(losses.dice(1.0)), -np.array([[1.0, 1.5], [1.5, 1.5]]), atol=1e-6)
    np.testing.assert_allclose(hessian(losses.dice(0.5)), -np.array([[1.0, 0.75], [0.75, 1.5]]), atol=1e-6)


def test_clipping_stops_the_gradient_beyond_the_bound_only_where_it_would_help():
    data = trajectory(jnp.zeros((1, 2)), jnp.array([[1.0, -1.0]]), jnp.ones((1, 2)))
    far = jnp.log(jnp.array([[1.5, 1.5]]))
    gradient = jax.grad(losses.clipped(0.2))(far, data)
    np.testing.assert_allclose(gradient, [[0.0, 0.75]])


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda: losses.clipped(0.0), "epsilon: got 0.0"), (lambda: losses.dice(1.5), "trace_decay: got 1.5")],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


DISCOUNT, HORIZON = 0.5, 3
PROBABILITY = np.array([[0.25, 0.75], [0.5, 0.5]])
"""Of two actions in two states. Four equally likely draws stand for them: 0 1 1 1 in state 0, 0 0 1 1 in state 1."""
REWARD = np.array([[1.0, -0.5], [0.25, 2.0]])


def every_episode():
    """Each episode as often as it is likely: its sampled mean is the exact expectation. Action 1 changes the state."""
    state, steps = np.zeros(4**HORIZON, int), []
    draws = np.array(list(itertools.product(range(4), repeat=HORIZON)))
    for drawn in draws.T:
        action = (drawn >= 4 * PROBABILITY[state, 0]).astype(int)
        steps.append((np.eye(2)[state], action, np.log(PROBABILITY)[state, action], REWARD[state, action]))
        state = state ^ action
    obs, action, log_prob, reward = (jnp.asarray(np.stack(each, axis=1)) for each in zip(*steps, strict=True))
    zeros, mask = jnp.zeros_like(reward), jnp.ones_like(reward)
    ends = zeros.at[:, -1].set(1.0)
    return Trajectory(obs, action, log_prob, zeros, reward, zeros, ends, mask, obs[:, 0], zeros, zeros)


def both(value):
    """Gradient and Hessian at the policy's logits."""
    return jax.jit(lambda logits: (jax.grad(value)(logits), jax.hessian(value)(logits)))(jnp.log(PROBABILITY))


@functools.cache
def exact_derivatives():
    transition = jnp.stack([jnp.eye(2), jnp.eye(2)[::-1]], axis=1)
    mdp = references.MDP(transition, jnp.asarray(REWARD), jnp.array([1.0, 0.0]), DISCOUNT, HORIZON)
    return both(lambda logits: references.policy_value(logits, mdp))


def errors_of(surrogate, estimator):
    """Relative errors of the first and the second derivative of what a surrogate says is the discounted value."""
    data = estimator(every_episode())

    def sampled(logits):
        table = jax.nn.log_softmax(data.obs @ logits)
        log_prob = jnp.take_along_axis(table, data.action[..., None], axis=-1)[..., 0]
        return -HORIZON * surrogate(log_prob, data)

    pairs = zip(both(sampled), exact_derivatives(), strict=True)
    return [float(jnp.linalg.norm(x - y) / jnp.linalg.norm(y)) for x, y in pairs]


@pytest.mark.parametrize("baseline", [critic_baseline, linear_baseline])
def test_dice_is_unbiased_for_the_discounted_value_with_weighted_advantages_only(baseline):
    # Without a critic the values are 0: no baseline. The linear one is a function of state and time alone here.
    settings = {"discount": DISCOUNT, "trace_decay": 1.0}
    gradient, hessian = errors_of(losses.dice(), baseline(**settings, discount_weighting=True))
    assert max(gradient, hessian) < 1e-5
    gradient, hessian = errors_of(losses.dice(), baseline(**settings))
    assert min(gradient, hessian) > 0.1


def test_biases_of_the_other_surrogates_are_of_second_order_and_one_depends_on_the_baseline():
    how = {"discount": DISCOUNT, "trace_decay": 1.0, "discount_weighting": True}
    for surrogate, depends in ((losses.score_function, True), (losses.likelihood_ratio, False)):
        errors = [errors_of(surrogate, baseline(**how)) for baseline in (critic_baseline, linear_baseline)]
        assert max(gradient for gradient, _ in errors) < 1e-5
        (_, first), (_, second) = errors
        assert min(first, second) > 0.05
        assert (abs(first - second) > 1e-3) == depends, (surrogate, first, second)


def test_a_standardised_surrogate_takes_the_deviation_as_given():
    def deviation_of(trajectory):
        advantage = trajectory.advantage
        return trajectory._replace(advantage=(advantage - jnp.mean(advantage)) / jnp.std(advantage))

    log_prob, data = example()
    data = data._replace(mask=jnp.ones_like(data.mask))
    by_hand = jax.grad(losses.dice())(log_prob, deviation_of(data))
    np.testing.assert_allclose(jax.grad(losses.standardised(losses.dice()))(log_prob, data), by_hand, atol=1e-6)
