"""Experts: their gate is read where a method adapts, every method has them, and training moves them."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.algorithms.anil import head_only
from jaxmeta.algorithms.cavia import context_only
from jaxmeta.learners import gate_of_adapted, whole_network

RATE = 0.3
LOSS = jaxmeta.objectives.standardised(jaxmeta.objectives.likelihood_ratio)


@pytest.fixture(scope="module")
def experts(navigation):
    return jaxmeta.networks.policy_for(navigation.env, hidden=(8,), experts=3)


@pytest.mark.parametrize("name", ["maml", "anil", "cavia"])
def test_the_gate_is_read_where_the_method_adapts(name, navigation, experts, collected):
    policy, make, params = {
        "maml": lambda: (experts, whole_network, lambda theta, phi: (phi.params,)),
        "anil": lambda: (experts, head_only, None),
        "cavia": lambda: (
            jaxmeta.networks.policy_for(navigation.env, hidden=(8,), context_size=2, experts=3),
            context_only,
            lambda theta, phi: (theta, phi.params),
        ),
    }[name]()
    parts = (policy, LOSS, optax.sgd(10.0 * RATE))
    adapting, gate = make(*parts), gate_of_adapted(make, *parts)
    theta = jax.jit(policy.init)(jax.random.key(3))
    batch = jax.tree.map(lambda x: x[0, 0], collected[1].trajectory)

    @jax.jit
    def gates(theta):
        begun = adapting.begin(theta)
        adapted = adapting.absorb(theta, begun, batch)
        return gate(theta, begun, batch.obs), gate(theta, adapted, batch.obs), adapted

    before, after, adapted = gates(theta)
    chex.assert_shape((before, after), (4, 12, 3))
    assert np.abs(before - after).max() > 1e-4
    if params is None:
        merged = jax.tree.map(
            lambda fast, slow: slow if fast is None else fast, adapted.params, theta, is_leaf=lambda leaf: leaf is None
        )
        np.testing.assert_allclose(after, policy.gate(merged, batch.obs), atol=1e-6)
    else:
        weights, *context = params(theta, adapted)
        np.testing.assert_allclose(after, policy.gate(weights, batch.obs, *context), atol=1e-6)


def rl2(tasks, experts, **settings):
    tasks = jaxmeta.tasks.as_lifetime(tasks, 2)
    policy = jaxmeta.networks.recurrent_policy_for(tasks.env, horizon=tasks.horizon, size=4, experts=experts)
    return tasks, jaxmeta.rl2(tasks, policy=policy, **settings)


def varibad(tasks, experts, method=jaxmeta.varibad, **settings):
    tasks = jaxmeta.tasks.as_lifetime(tasks, 2)
    model = jaxmeta.networks.belief_model_for(tasks.env, horizon=tasks.horizon, size=4, hidden=(5,), experts=experts)
    return tasks, method(tasks, model=model, **settings)


def r2d2(tasks, experts):
    tasks = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("gridnavi", horizon=6), 2)
    policy = jaxmeta.networks.recurrent_policy_for(tasks.env, horizon=tasks.horizon, size=4, experts=experts)
    return tasks, jaxmeta.r2d2(tasks, policy=policy, capacity=100)


def pearl(tasks, experts):
    model = jaxmeta.networks.latent_model_for(tasks.env, hidden=(5,), inference=(4,), experts=experts)
    return tasks, jaxmeta.pearl(tasks, model=model, capacity=8)


def gradient(tasks, experts, method=jaxmeta.maml, context_size=0, **settings):
    policy = jaxmeta.networks.policy_for(tasks.env, hidden=(5,), context_size=context_size, experts=experts)
    return tasks, method(tasks, policy=policy, episodes=2, **settings)


TRAINED = {"cavia": functools.partial(gradient, method=jaxmeta.cavia, context_size=2), "maml": gradient, "rl2": rl2}
OTHERS = {
    "anil": functools.partial(gradient, method=jaxmeta.anil),
    "es-maml": functools.partial(gradient, method=jaxmeta.es_maml),
    "hyperx": functools.partial(varibad, method=jaxmeta.hyperx),
    "learned-rule": functools.partial(gradient, method=jaxmeta.learned_rule),
    "meta-sgd": functools.partial(gradient, method=jaxmeta.meta_sgd),
    "pearl": pearl,
    "r2d2": r2d2,
    "varibad": varibad,
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_with_two_experts_stays_finite_and_moves_both(name, navigation):
    tasks, algorithm = TRAINED[name](navigation, 2)
    state = jax.jit(lambda key: jaxmeta.runs.init_state(key, algorithm))(jax.random.key(0))
    step = jax.jit(jaxmeta.runs.meta_iteration(algorithm, tasks, 4))
    begun = state
    for _ in range(3):
        state, info = step(state)
        chex.assert_tree_all_finite((state.meta, info))
        assert info["skipped"] == 0
    moved = jax.tree.map(lambda new, old: jnp.any(new != old), state.meta.theta, begun.meta.theta)
    mixture = [each for path, each in jax.tree_util.tree_leaves_with_path(moved) if "Mixture_0" in str(path)]
    assert len(mixture) >= 4
    assert np.all(mixture)
    use_of = jax.jit(lambda key, theta, task: jaxmeta.runs.adapted_expert_use(key, algorithm, theta, task))
    use = use_of(jax.random.key(1), state.meta.theta, tasks.sample(jax.random.key(2)))
    assert use.shape == (2,)
    np.testing.assert_allclose(jnp.sum(use), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_learner_has_experts_that_can_be_read(name, navigation):
    tasks, algorithm = OTHERS[name](navigation, 3)
    key = jax.random.key(0)
    state, batch = jax.eval_shape(algorithm.init, key), jaxmeta.sample_tasks(key, tasks, 4)
    after, _ = jax.eval_shape(algorithm.step, key, state, batch)
    chex.assert_trees_all_equal_shapes_and_dtypes(after.theta, state.theta)
    use = functools.partial(jaxmeta.runs.adapted_expert_use, key, algorithm)
    assert jax.eval_shape(use, state.theta, jax.eval_shape(tasks.sample, key)).shape == (3,)
