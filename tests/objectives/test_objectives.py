import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import jaxmeta
from jaxmeta.objectives import batch_of, objectives
from jaxmeta.over_tasks import even_size


@pytest.fixture(scope="module")
def objective(small_maml):
    return jaxmeta.objectives.post_adaptation(small_maml.learner, jaxmeta.objectives.likelihood_ratio)


@functools.cache
def grading(objective, chunk):
    """One compiled function for all tests that differentiate the same objective in chunks of the same size."""
    mean = jaxmeta.over_tasks.mean_over_tasks(objective, chunk)
    return jax.jit(jax.value_and_grad(lambda theta, lifetimes: mean(theta, lifetimes)[0]))


def graded(objective, chunk, theta, lifetimes):
    """The mean over tasks and its gradient, as one vector."""
    value, gradient = grading(objective, chunk)(theta, lifetimes)
    return value, ravel_pytree(gradient)[0]


def gradient_of(objective, chunk, theta, lifetimes):
    return graded(objective, chunk, theta, lifetimes)[1]


def close(one, other, tolerance=1e-4):
    assert np.linalg.norm(one - other) <= tolerance * np.linalg.norm(other)


@pytest.fixture(scope="module")
def plainly_graded(collected, objective):
    theta, lifetimes = collected

    def plain(theta):
        return jnp.mean(jax.vmap(objective, (None, 0))(theta, lifetimes)[0])

    value, gradient = jax.jit(jax.value_and_grad(plain))(theta)
    return value, ravel_pytree(gradient)[0]


@pytest.mark.parametrize("chunk", [1, 2, 5, 99])
def test_chunked_gradients_equal_the_gradient_of_the_plain_mean(collected, objective, plainly_graded, chunk):
    value, gradient = graded(objective, chunk, *collected)
    close(gradient, plainly_graded[1])
    np.testing.assert_allclose(value, plainly_graded[0], atol=1e-6)


def test_meta_gradient_agrees_with_finite_differences_on_stored_data(collected, objective):
    theta, lifetimes = collected
    with jax.enable_x64(True):
        widen = lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x  # noqa: E731
        double = jax.tree.map(widen, (theta, lifetimes))
        flat, unravel = ravel_pytree(double[0])

        def loss_at(flat):
            return jaxmeta.over_tasks.mean_over_tasks(objective, 1)(unravel(flat), double[1])[0]

        loss, gradient = jax.jit(loss_at), jax.jit(jax.grad(loss_at))(flat)
        rng = np.random.default_rng(0)
        for _ in range(3):
            direction = jnp.asarray(rng.normal(size=flat.shape))
            difference = (loss(flat + 1e-5 * direction) - loss(flat - 1e-5 * direction)) / 2e-5
            np.testing.assert_allclose(difference, jnp.vdot(gradient, direction), rtol=1e-6)


def test_second_order_terms_are_there(collected, navigation, policy, objective):
    theta, lifetimes = collected
    first = jaxmeta.fomaml(navigation, policy=policy, inner_rate=0.1)
    without = gradient_of(
        jaxmeta.objectives.post_adaptation(first.learner, jaxmeta.objectives.likelihood_ratio), 1, theta, lifetimes
    )
    whole = gradient_of(objective, 1, theta, lifetimes)
    assert np.linalg.norm(without - whole) > 1e-2 * np.linalg.norm(whole)


def test_first_order_gradient_is_the_gradient_at_the_adapted_weights(collected, navigation, policy):
    theta, lifetimes = collected
    learner = jaxmeta.fomaml(navigation, policy=policy, inner_rate=0.1).learner
    lifetime = jax.tree.map(lambda x: x[2], lifetimes)
    objective = jaxmeta.objectives.post_adaptation(learner, jaxmeta.objectives.likelihood_ratio)
    got = jax.jit(jax.grad(lambda theta: objective(theta, lifetime)[0]))(theta)
    phi = jax.jit(lambda theta: learner.absorb(theta, learner.begin(theta), batch_of(lifetime, 0)))(theta)
    last = batch_of(lifetime, -1)

    def loss(params):
        return jaxmeta.objectives.likelihood_ratio(learner.score(theta, phi._replace(params=params), last)[0], last)

    close(ravel_pytree(got)[0], ravel_pytree(jax.jit(jax.grad(loss))(phi.params))[0], 1e-5)


def test_permuting_tasks_permutes_losses_and_keeps_the_mean(collected, objective):
    theta, lifetimes = collected
    order = jnp.array([3, 0, 4, 1, 2])
    permuted = jax.tree.map(lambda x: x[order], lifetimes)
    each = jax.jit(jax.vmap(objective, (None, 0)))
    np.testing.assert_allclose(each(theta, permuted)[0], each(theta, lifetimes)[0][order], rtol=1e-5, atol=1e-7)
    close(gradient_of(objective, 2, theta, permuted), gradient_of(objective, 2, theta, lifetimes))


def test_the_inner_step_does_not_depend_on_how_many_tasks_there_are(small_maml, adapted):
    adapt = jax.jit(jax.vmap(small_maml.adapt, (0, None, 0)))
    few = adapt(adapted.keys[:2], adapted.theta, jax.tree.map(lambda x: x[:2], adapted.tasks))[0].params
    for name, (one, other) in enumerate(zip(jax.tree.leaves(adapted.phi.params), jax.tree.leaves(few), strict=True)):
        np.testing.assert_allclose(one[:2], other, atol=1e-5, err_msg=str(name))


@pytest.mark.parametrize("chunk", [1, 2])
def test_absorbing_in_chunks_gives_the_same_as_all_tasks_together(navigation, small_maml, adapted, chunk):
    sizes = {"adaptation_steps": 1, "episodes": 4, "horizon": 12, "task_chunk": chunk}
    estimator = jaxmeta.data.linear_baseline()

    @jax.jit
    def collect(keys, tasks, theta):
        return jaxmeta.data.collect_lifetimes(
            keys, navigation.env, tasks, small_maml.learner, theta, estimator, **sizes
        )

    got = collect(adapted.keys, adapted.tasks, adapted.theta)[0].params
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(adapted.phi.params), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.fixture(scope="module")
def divergence_of(small_maml, policy):
    def distribution(theta, phi, obs):
        return policy.apply(phi.params, obs)

    return lambda theta, lifetimes: objectives.adapted_divergence(small_maml.learner, distribution, theta, lifetimes, 2)


@pytest.fixture(scope="module")
def divergence(collected, divergence_of):
    found = divergence_of(*collected)
    return found._replace(value=jax.jit(found.value), curvature=jax.jit(found.curvature, static_argnums=1))


def test_divergence_vanishes_where_the_data_was_collected(collected, divergence):
    theta, _ = collected
    assert abs(float(divergence.value(theta))) < 1e-6
    moved = jax.tree.map(lambda x: x + 0.1, theta)
    assert float(divergence.value(moved)) > 1e-3


def test_curvature_is_the_hessian_of_the_divergence_at_every_nth_step(collected, divergence, divergence_of):
    theta, lifetimes = collected
    flat, unravel = ravel_pytree(theta)

    @jax.jit
    def hessian_times(vector, counted):
        slope = jax.grad(lambda flat: divergence_of(theta, counted).value(unravel(flat)))
        return jax.jvp(slope, (flat,), (vector,))[1]

    vector = jnp.asarray(np.random.default_rng(0).normal(size=flat.shape), jnp.float32)
    for every in (1, 3):
        # Only the terms are fewer: what was adapted to, before the last batch, stays whole.
        mask = lifetimes.trajectory.mask.at[:, -1].multiply(jnp.arange(12) % every == 0)
        counted = lifetimes._replace(trajectory=lifetimes.trajectory._replace(mask=mask))
        product = ravel_pytree(divergence.curvature(unravel(vector), every))[0]
        close(product, hessian_times(vector, counted), 2e-3)


@pytest.mark.parametrize("every", [1, 5])
def test_a_memory_reads_every_step_whichever_terms_of_the_divergence_count(every):
    tasks = jaxmeta.as_lifetime(jaxmeta.tasks.make("bernoulli-bandit", arms=2, horizon=20), 1)
    policy = jaxmeta.recurrent_policy_for(tasks.env, 20, cell="gru", size=3)
    learner = jaxmeta.learners.recurrent_learner(policy)
    flat, unravel = ravel_pytree(jax.jit(policy.init)(jax.random.key(0)))
    flat = flat + 0.5 * jax.random.normal(jax.random.key(5), flat.shape)
    batch, keys = jaxmeta.sample_tasks(jax.random.key(2), tasks, 4), jax.random.split(jax.random.key(1), 4)
    sizes = {"adaptation_steps": 0, "episodes": 1, "horizon": 20}
    collect = functools.partial(jaxmeta.data.collect_lifetimes, keys, tasks.env, batch, learner, **sizes)
    _, lifetimes = jax.jit(lambda flat: collect(unravel(flat), jaxmeta.critic_baseline()))(flat)

    def distributions(theta, phi, obs):
        return jaxmeta.learners.replay_lifetimes(policy, theta, phi, obs)[0]

    def curvature(flat, vector):
        found = objectives.adapted_divergence(learner, distributions, unravel(flat), lifetimes, 4)
        return ravel_pytree(found.curvature(unravel(vector), every))[0]

    def of(flat):
        one = lambda lifetime: distributions(unravel(flat), policy.begin(None), lifetime.trajectory.obs[-1])  # noqa: E731
        return jax.vmap(one)(lifetimes)

    def divergence(now, acted):
        return jnp.mean(of(acted).kl(of(now))[..., ::every])

    vector = jnp.asarray(np.random.default_rng(0).normal(size=flat.shape), jnp.float32)
    exact = jax.jit(lambda flat, vector: jax.jvp(jax.grad(divergence), (flat, flat), (vector, 0.0 * flat))[1])
    close(jax.jit(curvature)(flat, vector), exact(flat, vector), 2e-3)


def test_a_chunk_below_one_is_named():
    with pytest.raises(ValueError, match=r"^task_chunk: got 0; must be at least 1$"):
        jaxmeta.over_tasks.mean_over_tasks(lambda theta, x: (x, {}), 0)


def test_the_sampling_term_is_exact_where_episodes_end_at_different_times():
    # Action 0 ends an episode; else a second action follows. Three episodes, of 1, 2 and 2 steps: all are enumerated,
    # before adaptation and after it, so that the mean gradient is exact, and so is the derivative of the value.
    action = jnp.array([[0, 0], [1, 0], [1, 1]])
    mask = jnp.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    reward = jnp.array([[2.0, 0.0], [0.0, 1.0], [0.0, 5.0]])
    zeros, to_go = jnp.zeros((3, 2)), jnp.cumsum(reward[:, ::-1], axis=1)[:, ::-1]
    obs = jnp.broadcast_to(jnp.eye(2), (3, 2, 2))
    episodes = jaxmeta.types.Trajectory(
        obs, action, *(zeros,) * 2, reward, *(zeros,) * 2, mask, obs[:, 0], to_go, to_go
    )
    policy = jaxmeta.networks.Policy(
        lambda key: jnp.zeros((2, 2)), lambda params, obs: jaxmeta.networks.Categorical(obs @ params)
    )
    learner = jaxmeta.learners.gradient_learner(policy, jaxmeta.objectives.score_function, optax.sgd(0.5))
    objective = objectives.with_sampling_term(learner, jaxmeta.objectives.likelihood_ratio, weight=1.0)
    theta = jnp.array([[0.3, -0.2], [0.1, 0.4]])
    one = lambda index: jax.tree.map(lambda x: x[index][None], episodes)  # noqa: E731

    def log_likelihood(params):
        return jnp.sum(policy.apply(params, obs).log_prob(action) * mask, axis=1)

    def adapted(theta, first):
        return learner.absorb(theta, learner.begin(theta), one(first)).params

    def value(theta):
        inner = jnp.stack([jnp.exp(log_likelihood(adapted(theta, first))) @ reward.sum(axis=1) for first in range(3)])
        return jnp.exp(log_likelihood(theta)) @ inner

    def sampled(theta, first, last):
        params = jax.lax.stop_gradient(adapted(theta, first))
        chance = jnp.exp(log_likelihood(theta)[first] + log_likelihood(params)[last])
        acted = policy.apply(params, obs[last][None]).log_prob(action[last][None])
        pair = jax.tree.map(lambda *x: jnp.stack(x), one(first), one(last)._replace(log_prob=acted))
        lifetime = jaxmeta.types.Lifetime(pair, jnp.zeros(()), None, None)
        return jax.lax.stop_gradient(chance) * objective(theta, lifetime)[0]

    def surrogate(theta):
        return -2.0 * sum(sampled(theta, first, last) for first in range(3) for last in range(3))

    found, exact = jax.jit(lambda theta: (jax.grad(surrogate)(theta), jax.grad(value)(theta)))(theta)
    np.testing.assert_allclose(found, exact, atol=1e-5)


@pytest.mark.parametrize(("count", "most", "size"), [(1000, 524, 500), (10, 4, 4), (7, 7, 7), (5, 9, 5), (20, 1, 1)])
def test_chunks_are_as_few_as_can_be_and_about_equal(count, most, size):
    assert even_size(count, most) == size


def test_an_objective_after_every_step_needs_one(navigation):
    with pytest.raises(ValueError, match=r"^adaptation_steps: got 0; must be at least 1 where the objective is after"):
        jaxmeta.maml(navigation, adaptation_steps=0, objective=jaxmeta.objectives.after_every_step)
