"""Inner gradients differentiated by mixed modes, against reverse over reverse."""

import functools

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

import jaxmeta
from jaxmeta.algorithms.anil import head_only
from jaxmeta.algorithms.cavia import context_only
from jaxmeta.algorithms.learned_rule import Rule, ruled
from jaxmeta.algorithms.meta_sgd import learned_rates
from jaxmeta.learners import acting, gradient, whole_network
from jaxmeta.mixed_mode import inner_gradient
from jaxmeta.objectives import dice, likelihood_ratio, post_adaptation, standardised

close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-6)


def loss(weights, slow, data):
    obs, action = data
    logits = jnp.tanh(obs @ weights["w"] * slow) + weights["b"]
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], axis=-1))


def adapted_loss(make, rematerialise, theta, obs, action):
    """Three steps from theta in each task, in a scan, with a slow weight that the inner loss reads."""

    def one(obs, action):
        def step(weights, _):
            slope = make(loss)(weights, theta["slow"], (obs, action))
            return jax.tree.map(lambda w, g: w - 0.5 * g, weights, slope), None

        start = {"w": theta["w"], "b": theta["b"]}
        weights, _ = jax.lax.scan(jax.checkpoint(step) if rematerialise else step, start, length=3)
        return loss(weights, 1.0, (obs, action))

    return jnp.mean(jax.vmap(one)(obs, action))


@pytest.mark.parametrize("rematerialise", [False, True])
def test_the_derivative_is_that_of_reverse_over_reverse_in_both_modes(rematerialise):
    theta = {"w": jax.random.normal(jax.random.key(0), (5, 3)), "b": jnp.zeros(3), "slow": jnp.float32(0.7)}
    obs = jax.random.normal(jax.random.key(1), (4, 6, 5))
    action = jax.random.randint(jax.random.key(2), (4, 6), 0, 3)

    @jax.jit
    def both(theta):
        results = []
        for make in (inner_gradient, jax.grad):
            value = lambda theta: adapted_loss(make, rematerialise, theta, obs, action)  # noqa: B023, E731
            results.append((jax.grad(value)(theta), jax.jvp(value, (theta,), (theta,))[1]))
        return results

    mixed, reverse = both(theta)
    assert min(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(reverse)) > 1e-4
    close(mixed, reverse)


def test_it_is_differentiated_once_more_by_weights_and_by_what_else_is_batched():
    theta = {"w": jax.random.normal(jax.random.key(0), (5, 3)), "b": jnp.zeros(3), "slow": jnp.float32(0.7)}
    obs = jax.random.normal(jax.random.key(1), (4, 6, 5))
    action = jax.random.randint(jax.random.key(2), (4, 6), 0, 3)

    @jax.jit
    def both(theta):
        results = []
        for make in (inner_gradient, jax.grad):
            slope = jax.grad(lambda theta, obs: adapted_loss(make, False, theta, obs, action))  # noqa: B023
            results.append(jax.jvp(slope, (theta, obs), (theta, obs))[1])
        return results

    close(*both(theta))


def test_a_setting_that_the_loss_closes_over_may_be_traced_or_batched():
    theta = {"w": jnp.ones((5, 3)), "b": jnp.arange(3.0)}
    data = (jax.random.normal(jax.random.key(1), (6, 5)), jnp.arange(6) % 3)

    def meta_gradient(make, scale):
        scaled = lambda weights: scale * loss(weights, 1.0, data)  # noqa: E731
        adapted = lambda w: jax.tree.map(lambda w, g: w - g, w, make(scaled)(w))  # noqa: E731
        return jax.grad(lambda w: loss(adapted(w), 1.0, data))(theta)

    scales = jnp.array([0.5, 2.0])
    close(*(jax.jit(jax.vmap(functools.partial(meta_gradient, make)))(scales) for make in (inner_gradient, jax.grad)))


def test_the_meta_gradient_of_every_adaptation_is_that_of_reverse_over_reverse(
    navigation, policy, collected, monkeypatch
):
    _, lifetimes = collected
    lifetime = jax.tree.map(lambda x: x[0], lifetimes)
    # Two adaptation steps: the first batch twice.
    lifetime = lifetime._replace(trajectory=jax.tree.map(lambda x: jnp.stack([x[0], x[0], x[1]]), lifetime.trajectory))
    contextual = jaxmeta.networks.policy_for(navigation.env, hidden=(8,), context_size=3)
    sgd, adam = optax.sgd(0.1, momentum=0.9), optax.adam(0.05, eps_root=1e-8)
    ratio, magic = standardised(likelihood_ratio), dice(0.9)
    cases = {
        "momentum": (whole_network, policy, ratio, sgd),
        "adam": (whole_network, policy, magic, adam),
        "head": (head_only, policy, ratio, sgd),
        "context": (context_only, contextual, ratio, sgd),
        "rates": (functools.partial(learned_rates, initial_rates=1.0), policy, magic, optax.sgd(0.1)),
        "rule": (functools.partial(ruled, rule=Rule(4)), policy, ratio, sgd),
    }

    def meta_gradients():
        def one(adaptation):
            objective = post_adaptation(acting(adaptation), likelihood_ratio)
            theta = adaptation.init(jax.random.key(0))
            return jax.grad(lambda theta: objective(theta, lifetime)[0])(theta)

        return jax.jit(lambda: {name: one(make(*settings)) for name, (make, *settings) in cases.items()})()

    mixed = meta_gradients()
    monkeypatch.setattr(gradient, "inner_gradient", jax.grad)
    reverse = meta_gradients()
    assert all(optax.tree.norm(slope) > 1e-3 for slope in reverse.values())
    close(mixed, reverse)
