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


@pytest.fixture
def theta_and_tasks():
    """Slow weights, and four tasks' observations ``[4, 6, 5]`` and actions ``[4, 6]``."""
    theta = {"w": jax.random.normal(jax.random.key(0), (5, 3)), "b": jnp.zeros(3), "slow": jnp.float32(0.7)}
    obs = jax.random.normal(jax.random.key(1), (4, 6, 5))
    return theta, obs, jax.random.randint(jax.random.key(2), (4, 6), 0, 3)


@pytest.mark.parametrize("rematerialise", [False, True])
def test_the_derivative_is_that_of_reverse_over_reverse_in_both_modes(rematerialise, theta_and_tasks):
    theta, obs, action = theta_and_tasks

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


def test_it_is_differentiated_once_more_by_weights_and_by_what_else_is_batched(theta_and_tasks):
    theta, obs, action = theta_and_tasks

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


@jax.custom_vjp
def clipped(x):
    return x


clipped.defvjp(lambda x: (x, None), lambda _, slope: (jnp.clip(slope, -0.1, 0.1),))


@jax.custom_jvp
def shortened(x):
    return x


shortened.defjvp(lambda at, along: (at[0], along[0] / (1.0 + jnp.sum(at[0] ** 2))))


def over_two_steps(make, within, weights, slow):
    for _ in range(2):
        weights = weights - 0.3 * make(within)(weights, slow)
    return jnp.sum(jnp.sin(weights))


@pytest.mark.parametrize("own", [clipped, shortened, jax.jit(clipped)])
def test_a_loss_with_derivatives_of_its_own_has_those_of_reverse_over_reverse(own):
    """Their second derivatives are not symmetric."""
    matrix, weights, slow = jax.random.normal(jax.random.key(0), (3, 3)), jnp.arange(3.0), jnp.arange(3.0) - 0.7
    within = lambda weights, slow: jnp.sum(jnp.tanh(matrix @ own(matrix @ weights) * slow) ** 2)  # noqa: E731
    each = (functools.partial(over_two_steps, make, within) for make in (inner_gradient, jax.grad))
    close(*(jax.grad(value, argnums=(0, 1))(weights, slow) for value in each))


def test_what_the_loss_closes_over_may_be_differentiated():
    def value(make, slow):
        within = lambda weights, _: jnp.sum(jnp.tanh(weights * slow) ** 2)  # noqa: E731
        return over_two_steps(make, within, jnp.arange(3.0), slow)

    slow = jnp.arange(3.0) - 0.7
    mixed, reverse = (jax.grad(functools.partial(value, make))(slow) for make in (inner_gradient, jax.grad))
    assert float(jnp.max(jnp.abs(reverse))) > 1e-3
    close(mixed, reverse)
    close(jax.jit(jax.grad(functools.partial(value, inner_gradient)))(slow), reverse)


@pytest.mark.parametrize(
    "shared", [lambda x: jax.lax.pmean(x, "task"), lambda x: x * jax.lax.axis_index("task")], ids=["mean", "index"]
)
def test_the_loss_may_know_the_other_tasks_by_the_name_of_their_axis(shared):
    within = lambda weights, slow: jnp.sum(jnp.tanh((weights - shared(weights * slow)) * slow) ** 2)  # noqa: E731
    weights, slow = jax.random.normal(jax.random.key(0), (2, 4, 3))

    def slopes(make):
        value = functools.partial(over_two_steps, make, within)
        total = lambda *rows: jnp.sum(jax.vmap(value, axis_name="task")(*rows))  # noqa: E731
        return jax.grad(total, argnums=(0, 1))(weights, slow)

    close(slopes(inner_gradient), slopes(jax.grad))


@pytest.mark.parametrize("kind", [jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit])
def test_tasks_may_lie_on_a_mesh_axis_of_every_kind(kind):
    mesh = jax.make_mesh((jax.device_count(),), ("task",), axis_types=(kind,))
    within = lambda weights, slow, row: jnp.sum(jnp.tanh(weights * row * slow) ** 2)  # noqa: E731
    weights, slow = jnp.arange(3.0), jnp.arange(3.0) - 0.7
    rows = jax.random.normal(jax.random.key(0), (jax.device_count() * 2, 3))

    def mean(make, weights, slow, rows):
        one = lambda row: over_two_steps(make, functools.partial(within, row=row), weights, slow)  # noqa: E731
        return jnp.mean(jax.vmap(one)(rows))

    with jax.set_mesh(mesh):
        everywhere = jax.device_put((weights, slow), jax.sharding.NamedSharding(mesh, jax.P()))
        placed = jax.device_put(rows, jax.sharding.NamedSharding(mesh, jax.P("task")))
        slopes = [
            jax.jit(jax.grad(functools.partial(mean, make), argnums=(0, 1)))(*everywhere, placed)
            for make in (inner_gradient, jax.grad)
        ]
    close(*slopes)


@pytest.mark.parametrize("checked", [False, True])
def test_tasks_may_be_sharded_by_a_map_over_shards(checked):
    mesh = jax.make_mesh((jax.device_count(),), ("task",), axis_types=(jax.sharding.AxisType.Auto,))
    within = lambda weights, slow, row: jnp.sum(jnp.tanh(weights * row * slow) ** 2)  # noqa: E731
    theta = (jnp.arange(3.0), jnp.arange(3.0) - 0.7)
    rows = jax.random.normal(jax.random.key(0), (jax.device_count() * 2, 3))

    def slopes(make, theta, rows):
        one = lambda theta, row: over_two_steps(make, functools.partial(within, row=row), *theta)  # noqa: E731
        return jax.grad(lambda theta: jnp.mean(jax.vmap(one, (None, 0))(theta, rows)))(theta)

    def on_a_shard(theta, rows):
        each = jax.lax.pcast(theta, "task", to="varying") if checked else theta
        return jax.lax.pmean(slopes(inner_gradient, each, rows), "task")

    specs = {"in_specs": (jax.P(), jax.P("task")), "out_specs": jax.P(), "check_vma": checked}
    close(jax.jit(jax.shard_map(on_a_shard, mesh=mesh, **specs))(theta, rows), slopes(jax.grad, theta, rows))


def test_activations_of_jax_are_taken_by_mixed_modes():
    within = lambda weights, slow: jnp.sum(jax.nn.softplus(jax.nn.relu(weights) * slow))  # noqa: E731
    program = jax.make_jaxpr(lambda *at: jax.jvp(inner_gradient(within), at, at))(jnp.ones(3), jnp.ones(3))
    assert "linear[" in str(program)


@pytest.mark.parametrize("within", [lambda weights: weights, lambda weights: (jnp.sum(weights), weights)])
def test_a_loss_that_is_not_one_number_is_refused_as_jax_refuses_it(within):
    with pytest.raises(TypeError, match="Gradient only defined for scalar-output functions"):
        inner_gradient(within)(jnp.ones(3))
