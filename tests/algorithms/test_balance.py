"""Use of experts across tasks: known values, the gradient that evens it out, and training with it."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.algorithms.anil import head_only
from jaxmeta.algorithms.balance import imbalance
from jaxmeta.algorithms.cavia import context_only
from jaxmeta.learners import acting, gate_of_adapted, gradient_learner, whole_network
from jaxmeta.objectives.objectives import batch_of, replay_adaptation

RATE = 0.3
LOSS = jaxmeta.standardised(jaxmeta.likelihood_ratio)


@pytest.fixture(scope="module")
def experts(navigation):
    return jaxmeta.policy_for(navigation.env, hidden=(8,), experts=3)


@pytest.fixture(scope="module")
def gated(experts, collected):
    """A learner with three experts, its gate, its weights, by which the first has most, and lifetimes of five tasks."""
    parts = (experts, LOSS, optax.sgd(RATE))
    theta = experts.init(jax.random.key(3))
    theta["params"]["Mixture_0"]["gate"]["Dense_1"]["bias"] = jnp.array([1.0, 0.0, 0.0])
    return gradient_learner(*parts), gate_of_adapted(whole_network, *parts), theta, collected[1]


def test_even_use_costs_nothing_also_where_each_task_has_an_expert_of_its_own():
    np.testing.assert_allclose(imbalance(jnp.full((5, 4), 0.25)), 0.0, atol=1e-6)
    np.testing.assert_allclose(imbalance(jnp.eye(4)), 0.0, atol=1e-6)


def test_one_expert_for_all_costs_the_number_of_the_others():
    np.testing.assert_allclose(imbalance(jnp.eye(4)[jnp.zeros(6, int)]), 3.0, rtol=1e-6)


def test_it_is_the_squared_coefficient_of_variation():
    use = jax.random.dirichlet(jax.random.key(0), jnp.ones(4), (6,))
    shares = np.mean(use, axis=0)
    np.testing.assert_allclose(imbalance(use), (shares.std() / shares.mean()) ** 2, rtol=1e-4)


def test_its_gradient_takes_from_the_expert_that_has_most():
    """``dL/dm = 2 K m``, and through a softmax ``dL/dz_k = 2 K m_k (m_k − Σ m²)`` for one task's share ``m``."""
    share = jnp.array([0.7, 0.2, 0.1])
    gradient = jax.grad(lambda logits: imbalance(jax.nn.softmax(logits)[None]))(jnp.log(share))
    np.testing.assert_allclose(gradient, 6.0 * share * (share - 0.54), rtol=1e-5)
    assert gradient[0] > 0 > max(gradient[1:])


@pytest.mark.parametrize("name", ["maml", "anil", "cavia"])
def test_the_gate_is_read_where_the_method_adapts(name, navigation, experts, collected):
    policy, make, params = {
        "maml": lambda: (experts, whole_network, lambda theta, phi: (phi.params,)),
        "anil": lambda: (experts, head_only, None),
        "cavia": lambda: (
            jaxmeta.policy_for(navigation.env, hidden=(8,), context_size=2, experts=3),
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


def test_the_regulariser_is_that_of_all_tasks_together_and_its_step_evens_their_use(gated, experts):
    learner, gate, theta, lifetimes = gated

    def plainly(theta):
        means = []
        for task in range(5):
            lifetime = jax.tree.map(lambda x, task=task: x[task], lifetimes)
            last, phi = batch_of(lifetime, -1), replay_adaptation(learner, theta, lifetime)
            weight = last.mask / last.mask.sum()
            means.append(jnp.sum(experts.gate(phi.params, last.obs) * weight[..., None], axis=(0, 1)))
        shares = jnp.mean(jnp.stack(means), axis=0)
        return 0.5 * (3.0 * jnp.sum(shares**2) - 1.0)

    expected = jax.jit(jax.value_and_grad(plainly))(theta)
    for chunk in (1, 2):
        regulariser = jaxmeta.load_balancing(learner, gate, balance_weight=0.5, task_chunk=chunk)
        graded = jax.jit(jax.value_and_grad(lambda theta, one=regulariser: one(theta, lifetimes), has_aux=True))
        (value, info), gradient = graded(theta)
        chex.assert_trees_all_close((value, gradient), expected, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(info["imbalance"], 2.0 * value, rtol=1e-5)
    assert value > 0.02
    stepped = jax.tree.map(lambda w, g: w - 0.1 * g, theta, gradient)
    assert jax.jit(plainly)(stepped) < 0.9 * value


def test_weight_zero_is_no_regulariser_and_what_cannot_be_meant_is_refused(gated, navigation, policy):
    learner, gate, _, _ = gated
    assert jaxmeta.load_balancing(learner, None, balance_weight=0.0) is None
    with pytest.raises(ValueError, match=r"^balance_weight: got -1; must be at least 0$"):
        jaxmeta.load_balancing(learner, gate, balance_weight=-1)
    with pytest.raises(ValueError, match=r"^balance_weight: got 0.1; must be 0 for a policy without experts$"):
        jaxmeta.maml(navigation, policy=policy, balance_weight=0.1)


def test_a_part_of_the_meta_batch_is_regularised_by_itself(navigation, policy):
    adapting = whole_network(policy, LOSS, optax.sgd(RATE))
    learner = acting(adapting)

    def build(regulariser):
        objective = jaxmeta.post_adaptation(learner, LOSS)
        outer = jaxmeta.by_optax(optax.sgd(0.0), epochs=2, minibatches=2)
        settings = {"adaptation_steps": 1, "episodes": 2, "regulariser": regulariser}
        parts = (learner, learner, objective, outer, jaxmeta.linear_baseline(), adapting.distribution)
        return jaxmeta.compose(navigation, *parts, **settings)

    def regulariser(theta, lifetimes):
        count = jnp.float32(lifetimes.peer_return.shape[0])
        return 7.0 + 0.0 * count, {"tasks": count}

    batch = jaxmeta.sample_tasks(jax.random.key(0), navigation, 6)
    infos = []
    for each in (regulariser, None):
        algorithm = build(each)
        infos.append(jax.jit(algorithm.step)(jax.random.key(2), algorithm.init(jax.random.key(1)), batch)[1])
    assert infos[0]["tasks"] == 3
    assert "tasks" not in infos[1]
    np.testing.assert_allclose(infos[0]["loss"], infos[1]["loss"] + 7.0, rtol=1e-5)


def rl2(tasks, experts, **settings):
    tasks = jaxmeta.as_lifetime(tasks, 2)
    policy = jaxmeta.recurrent_policy_for(tasks.env, horizon=tasks.horizon, size=4, experts=experts)
    return tasks, jaxmeta.rl2(tasks, policy=policy, **settings)


def varibad(tasks, experts, method=jaxmeta.varibad, **settings):
    tasks = jaxmeta.as_lifetime(tasks, 2)
    model = jaxmeta.belief_model_for(tasks.env, horizon=tasks.horizon, size=4, hidden=(5,), experts=experts)
    return tasks, method(tasks, model=model, **settings)


def r2d2(tasks, experts):
    tasks = jaxmeta.as_lifetime(jaxmeta.tasks.make("gridnavi", horizon=6), 2)
    policy = jaxmeta.recurrent_policy_for(tasks.env, horizon=tasks.horizon, size=4, experts=experts)
    return tasks, jaxmeta.r2d2(tasks, policy=policy, capacity=100)


def pearl(tasks, experts):
    model = jaxmeta.latent_model_for(tasks.env, hidden=(5,), encoder=(4,), experts=experts)
    return tasks, jaxmeta.pearl(tasks, model=model, capacity=8)


def gradient(tasks, experts, method=jaxmeta.maml, context_size=0, **settings):
    policy = jaxmeta.policy_for(tasks.env, hidden=(5,), context_size=context_size, experts=experts)
    return tasks, method(tasks, policy=policy, episodes=2, **settings)


BALANCED = {
    "cavia": functools.partial(gradient, method=jaxmeta.cavia, context_size=2),
    "maml": gradient,
    "rl2": rl2,
}
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


@pytest.mark.parametrize("name", BALANCED)
def test_training_with_two_experts_stays_finite_and_moves_both(name, navigation):
    tasks, algorithm = BALANCED[name](navigation, 2, balance_weight=0.1)
    state = jaxmeta.init_state(jax.random.key(0), algorithm)
    step = jax.jit(jaxmeta.meta_iteration(algorithm, tasks, 4))
    begun = state
    for _ in range(3):
        state, info = step(state)
        chex.assert_tree_all_finite((state.meta, info))
        assert 0.0 <= info["imbalance"] < 1.0
        assert info["skipped"] == 0
    moved = jax.tree.map(lambda new, old: jnp.any(new != old), state.meta.theta, begun.meta.theta)
    mixture = [each for path, each in jax.tree_util.tree_leaves_with_path(moved) if "Mixture_0" in str(path)]
    assert len(mixture) >= 4
    assert np.all(mixture)
    use = jaxmeta.adapted_expert_use(jax.random.key(1), algorithm, state.meta.theta, tasks.sample(jax.random.key(2)))
    assert use.shape == (2,)
    np.testing.assert_allclose(jnp.sum(use), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_learner_has_experts_that_can_be_read(name, navigation):
    tasks, algorithm = OTHERS[name](navigation, 3)
    key = jax.random.key(0)
    state, batch = jax.eval_shape(algorithm.init, key), jaxmeta.sample_tasks(key, tasks, 4)
    after, _ = jax.eval_shape(algorithm.step, key, state, batch)
    chex.assert_trees_all_equal_shapes_and_dtypes(after.theta, state.theta)
    use = functools.partial(jaxmeta.adapted_expert_use, key, algorithm)
    assert jax.eval_shape(use, state.theta, jax.eval_shape(tasks.sample, key)).shape == (3,)
