"""What sets each gradient method apart, against definitions computed another way."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.algorithms.anil import head_only
from jaxmeta.algorithms.cavia import context_only
from jaxmeta.algorithms.imaml import proximal
from jaxmeta.algorithms.learned_rule import FEATURES, Rule, ruled
from jaxmeta.algorithms.meta_sgd import learned_rates
from jaxmeta.learners import acting, whole_network
from jaxmeta.objectives import batch_of, replay_adaptation

RATE = 0.3
LOSS = jaxmeta.objectives.standardised(jaxmeta.objectives.likelihood_ratio)


@pytest.fixture(scope="module")
def one(collected):
    theta, lifetimes = collected
    return theta, jax.tree.map(lambda x: x[0], lifetimes)


def close(actual, expected, tolerance=1e-5):
    chex.assert_trees_all_close(actual, expected, rtol=tolerance, atol=tolerance)


def inner_gradient(policy, theta, trajectory):
    def loss(params):
        return LOSS(policy.apply(params, trajectory.obs).log_prob(trajectory.action), trajectory)

    return jax.jit(jax.grad(loss))(theta)


def absorbed(adapting, slow, trajectory):
    """What one batch of episodes makes of the fast state that a task begins with."""
    return jax.jit(lambda slow: adapting.absorb(slow, adapting.begin(slow), trajectory))(slow)


def test_anil_moves_the_head_by_the_whole_networks_gradient_and_nothing_else(policy, one):
    theta, lifetime = one
    batch = batch_of(lifetime, 0)
    adapting = head_only(policy, LOSS, optax.sgd(RATE))
    phi = absorbed(adapting, theta, batch)
    full = jax.tree.map(lambda w, g: w - RATE * g, theta, inner_gradient(policy, theta, batch))
    marks = policy.head(theta)
    assert {str(path[-2].key) for path, on in jax.tree_util.tree_leaves_with_path(marks) if on} >= {"Dense_1"}
    expected = jax.tree.map(lambda on, new, old: new if on else old, marks, full, theta)
    close(adapting.distribution(theta, phi, batch.obs), policy.apply(expected, batch.obs))


def test_cavia_moves_the_context_from_zero_and_a_zero_context_is_no_context(navigation, one):
    policy = jaxmeta.networks.policy_for(navigation.env, hidden=(8,), context_size=3)
    _, lifetime = one
    batch = batch_of(lifetime, 0)
    theta = jax.jit(policy.init)(jax.random.key(0))
    adapting = context_only(policy, LOSS, optax.sgd(RATE))
    np.testing.assert_array_equal(adapting.begin(theta).params, np.zeros(3))

    def loss(context):
        return LOSS(policy.apply(theta, batch.obs, context).log_prob(batch.action), batch)

    close(absorbed(adapting, theta, batch).params, -RATE * jax.jit(jax.grad(loss))(jnp.zeros(3)))


def test_meta_sgd_with_equal_rates_is_maml_and_a_rate_scales_its_own_step(policy, one):
    theta, lifetime = one
    batch = batch_of(lifetime, 0)
    plain = whole_network(policy, LOSS, optax.sgd(RATE))
    expected = absorbed(plain, theta, batch).params
    adapting = learned_rates(policy, LOSS, optax.sgd(RATE), 1.0)
    slow = jax.jit(adapting.init)(jax.random.key(0))._replace(params=theta)
    close(absorbed(adapting, slow, batch).params, expected)
    halved = slow._replace(rates=jax.tree.map(lambda rate: 0.5 * rate, slow.rates))
    moved = jax.tree.map(lambda w, new: w + 0.5 * (new - w), theta, expected)
    close(absorbed(adapting, halved, batch).params, moved)


def test_meta_sgd_learns_its_rates(navigation, policy):
    algorithm = jaxmeta.meta_sgd(navigation, policy=policy, episodes=4)
    state = jax.jit(algorithm.init)(jax.random.key(0))
    batch = jaxmeta.sample_tasks(jax.random.key(1), navigation, 4)
    new, _ = jax.jit(algorithm.step)(jax.random.key(2), state, batch)
    changed = jax.tree.map(lambda a, b: jnp.any(a != b), new.theta.rates, state.theta.rates)
    assert all(jax.tree.leaves(changed))


def test_a_fresh_rule_is_the_inner_optimiser_and_an_offset_of_one_is_a_step_of_its_size(policy, one):
    theta, lifetime = one
    batch = batch_of(lifetime, 0)
    plain = whole_network(policy, LOSS, optax.sgd(RATE))
    expected = absorbed(plain, theta, batch).params
    adapting = ruled(policy, LOSS, optax.sgd(RATE), Rule(4))
    slow = jax.jit(adapting.init)(jax.random.key(0))._replace(params=theta)
    close(absorbed(adapting, slow, batch).params, expected)

    last = slow.rule["params"]["Dense_1"]
    with_offset = {"params": {**slow.rule["params"], "Dense_1": {**last, "bias": jnp.array([np.log(2.0), 1.0])}}}
    moved = absorbed(adapting, slow._replace(rule=with_offset), batch).params

    def by_hand(w, new):
        step = new - w
        return w + 2.0 * step + jnp.sqrt(jnp.mean(step**2))

    close(moved, jax.tree.map(by_hand, theta, expected))
    assert Rule(4).init(jax.random.key(0), jnp.zeros(FEATURES))["params"]["Dense_0"]["kernel"].shape == (FEATURES, 4)


def test_implicit_derivative_is_that_of_the_inner_problem_solved_by_unrolling(policy, one):
    theta, lifetime = one
    pull, rate, iterations = 4.0, 0.1, 300
    learner = acting(proximal(policy, LOSS, optax.sgd(rate), pull, iterations, 200))
    objective = jaxmeta.objectives.post_adaptation(learner, LOSS)
    batch, last = batch_of(lifetime, 0), batch_of(lifetime, 1)

    def unrolled(theta):
        def iterate(weights, _):
            gradient = inner_gradient(policy, weights, batch)
            return jax.tree.map(lambda w, g, slow: w - rate * (g + pull * (w - slow)), weights, gradient, theta), None

        weights, _ = jax.lax.scan(iterate, theta, length=iterations)
        return LOSS(policy.apply(weights, last.obs).log_prob(last.action), last)

    close(jax.jit(jax.grad(lambda t: objective(t, lifetime)[0]))(theta), jax.jit(jax.grad(unrolled))(theta), 1e-4)


def test_damping_takes_the_implicit_derivative_to_first_order(policy, one):
    theta, lifetime = one

    def gradient(adaptation):
        objective = jaxmeta.objectives.post_adaptation(acting(adaptation), LOSS)
        return jax.jit(jax.grad(lambda t: objective(t, lifetime)[0]))(theta)

    implicit = [proximal(policy, LOSS, optax.sgd(0.1), 4.0, 5, 50, damping) for damping in (0.0, 1e6)]
    exact, damped, first = (gradient(each) for each in (*implicit, jaxmeta.learners.first_order(implicit[0])))
    close(damped, first, 1e-4)
    assert float(optax.global_norm(jax.tree.map(jnp.subtract, exact, first))) > 0.01 * float(optax.global_norm(first))


def test_the_fast_weights_of_imaml_are_pulled_to_theta(policy, one):
    theta, lifetime = one
    distances = []
    for pull in (1.0, 100.0):
        adapting = proximal(policy, LOSS, optax.sgd(0.005), pull, 400, 5)
        phi = jax.jit(lambda t, adapting=adapting: adapting.absorb(t, adapting.begin(t), batch_of(lifetime, 0)))(theta)
        distances.append(float(optax.global_norm(jax.tree.map(jnp.subtract, phi.params, theta))))
    assert distances[1] < 0.05 * distances[0]


def test_reptile_steps_to_the_adapted_weights(policy, one):
    theta, lifetime = one
    learner = jaxmeta.learners.gradient_learner(policy, LOSS, optax.sgd(RATE))
    gradient = jax.jit(jax.grad(lambda t: jaxmeta.objectives.towards_adapted(learner, LOSS)(t, lifetime)[0]))(theta)
    adapted = jax.jit(lambda t: replay_adaptation(learner, t, lifetime).params)(theta)
    close(gradient, jax.tree.map(jnp.subtract, theta, adapted))


def test_the_sampling_term_is_the_score_times_the_gain_over_other_tasks(policy, one):
    theta, lifetime = one
    lifetime = lifetime._replace(peer_return=jnp.float32(-3.0))
    learner = jaxmeta.learners.gradient_learner(policy, LOSS, optax.sgd(RATE))
    before, last = batch_of(lifetime, 0), batch_of(lifetime, 1)

    def gradient(objective):
        return jax.jit(jax.grad(lambda t: objective(t, lifetime)[0]))(theta)

    with_term = gradient(
        jaxmeta.objectives.with_sampling_term(learner, jaxmeta.objectives.likelihood_ratio, weight=0.1)
    )
    without = gradient(jaxmeta.objectives.post_adaptation(learner, jaxmeta.objectives.likelihood_ratio))
    gain = float(jnp.mean(jaxmeta.data.episode_returns(last))) + 3.0
    length = float(jnp.mean(jnp.sum(last.mask, axis=-1)))

    def score(theta):
        return jnp.sum(policy.apply(theta, before.obs).log_prob(before.action) * before.mask)

    expected = jax.tree.map(lambda g, s: g - 0.1 * gain / length * s, without, jax.jit(jax.grad(score))(theta))
    close(with_term, expected, 1e-4)


def expected_return_after_two_pulls(logits, probability, rate):
    """``Σ_D p(D | θ) V(θ + α g(D))`` over all data D of two pulls, with a score-function step each."""
    outcomes = [(arm, reward) for arm in range(3) for reward in (0.0, 1.0)]
    total = 0.0
    for data in itertools.product(outcomes, outcomes):
        log_pi = jax.nn.log_softmax(logits[0])
        chance, gradient = 1.0, 0.0
        for arm, reward in data:
            chance *= jnp.exp(log_pi[arm]) * (probability[arm] if reward else 1.0 - probability[arm])
            gradient += 0.5 * reward * (jax.nn.one_hot(arm, 3) - jax.nn.softmax(logits[0]))
        total += chance * jnp.dot(jax.nn.softmax(logits[0] + rate * gradient), probability)
    return total


def test_the_sampling_term_completes_the_gradient_of_the_expected_return_after_finitely_many_episodes():
    probability, rate = jnp.array([0.1, 0.6, 0.9]), 2.0
    tasks = jaxmeta.tasks.make("bernoulli-bandit", arms=3, horizon=1)
    task = tasks.sample(jax.random.key(0)).replace(probability=probability)
    theta = jnp.array([[0.5, 0.0, -0.5]])
    policy = jaxmeta.networks.Policy(lambda key: theta, lambda params, obs: jaxmeta.networks.Categorical(obs @ params))

    def rewards(trajectory):
        return trajectory._replace(advantage=trajectory.reward, value_target=trajectory.reward)

    exact = np.asarray(jax.jit(jax.grad(expected_return_after_two_pulls))(theta, probability, rate))[0]

    def z_scores(inner_loss, weight, count):
        learner = jaxmeta.learners.gradient_learner(policy, inner_loss, optax.sgd(rate))
        objective = jaxmeta.objectives.with_sampling_term(learner, jaxmeta.objectives.likelihood_ratio, weight=weight)

        def one(key):
            sizes = {"adaptation_steps": 1, "episodes": 2, "horizon": 1}
            _, lifetime = jaxmeta.data.collect_lifetime(key, tasks.env, task, learner, theta, rewards, **sizes)
            # Any constant is a baseline; this one is near the mean return.
            lifetime = lifetime._replace(peer_return=jnp.float32(0.55))
            return -jax.grad(lambda t: objective(t, lifetime)[0])(theta)

        sampled = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), count)), np.float64)[:, 0]
        return np.abs(sampled.mean(0) - exact) / (sampled.std(0) / np.sqrt(len(sampled)))

    assert z_scores(jaxmeta.objectives.score_function, 1.0, 400_000).max() < 4.0
    assert z_scores(jaxmeta.objectives.score_function, 0.0, 50_000).max() > 8.0
    # A likelihood ratio gives the same credit a second time.
    assert z_scores(jaxmeta.objectives.likelihood_ratio, 1.0, 50_000).max() > 8.0


def test_peer_returns_leave_the_own_task_out(collected):
    _, lifetimes = collected
    # The fixture vmaps adapt, so that every task is a meta-batch of its own: nobody has peers.
    np.testing.assert_array_equal(lifetimes.peer_return, 0.0)


def test_peer_returns_of_a_batch(navigation, small_maml):
    theta = jax.jit(small_maml.init)(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(2), navigation, 3)
    parts = (navigation.env, batch, small_maml.learner, theta, jaxmeta.data.linear_baseline())
    sizes = {"adaptation_steps": 1, "episodes": 2, "horizon": 12, "task_chunk": 1}
    collect = jax.jit(lambda keys: jaxmeta.data.collect_lifetimes(keys, *parts, **sizes)[1])
    lifetimes = collect(jax.random.split(jax.random.key(1), 3))
    after = np.asarray(jaxmeta.data.episode_returns(lifetimes.trajectory)).mean(-1)[:, -1]
    expected = [after[[1, 2]].mean(), after[[0, 2]].mean(), after[[0, 1]].mean()]
    np.testing.assert_allclose(lifetimes.peer_return, expected, rtol=1e-5)


def test_the_inner_penalty_is_zero_at_the_policy_that_acted_and_an_estimate_of_the_divergence_elsewhere(policy, one):
    theta, lifetime = one
    learner = jaxmeta.learners.gradient_learner(policy, LOSS, optax.sgd(RATE))
    objective = jaxmeta.objectives.with_inner_penalty(learner, LOSS, weight=1.0)
    np.testing.assert_allclose(jax.jit(objective)(theta, lifetime)[1]["inner_divergence"], 0.0, atol=1e-6)
    moved = jax.tree.map(lambda w: w + 0.1, theta)
    batch = batch_of(lifetime, 0)
    # Fresh actions at the same states, so that estimate and exact divergence are means over the same states.
    keys = jax.random.split(jax.random.key(3), 400)
    actions = jax.jit(jax.vmap(lambda key: policy.apply(theta, batch.obs).sample(key)))(keys)
    now, other = policy.apply(theta, batch.obs), policy.apply(moved, batch.obs)
    log_ratio = other.log_prob(actions) - now.log_prob(actions)
    assert actions.shape == (400, *batch.action.shape)
    estimate = jnp.mean((jnp.expm1(log_ratio) - log_ratio) * batch.mask) / jnp.mean(batch.mask)
    exact = jnp.sum(now.kl(other) * batch.mask) / jnp.sum(batch.mask)
    np.testing.assert_allclose(estimate, exact, rtol=0.05)


def test_evolution_strategies_estimate_a_gradient_that_agrees_with_backpropagation(navigation, policy):
    settings = {"policy": policy, "episodes": 20, "inner_rate": 0.1, "adaptation_steps": 0}
    batch = jaxmeta.sample_tasks(jax.random.key(1), navigation, 4)
    by_es = jaxmeta.es_maml(navigation, optimizer=optax.sgd(1.0), pairs=400, deviation=0.03, **settings)
    by_gradient = jaxmeta.maml(
        navigation,
        outer=jaxmeta.outer.by_optax(optax.sgd(1.0)),
        outer_loss=jaxmeta.objectives.likelihood_ratio,
        estimator=jaxmeta.data.linear_baseline(discount=1.0, trace_decay=1.0),
        **(settings | {"episodes": 2000}),
    )
    state = jax.jit(by_es.init)(jax.random.key(0))
    steps = []
    for algorithm in (by_es, by_gradient):
        start = jax.jit(algorithm.init)(jax.random.key(0))
        new, _ = jax.jit(algorithm.step)(jax.random.key(2), start._replace(theta=state.theta), batch)
        steps.append(jax.flatten_util.ravel_pytree(jax.tree.map(jnp.subtract, new.theta, state.theta))[0])
    cosine = jnp.vdot(*steps) / jnp.linalg.norm(steps[0]) / jnp.linalg.norm(steps[1])
    assert float(cosine) > 0.8


def test_baselines_do_not_adapt_or_do_not_train(navigation, policy):
    batch = jaxmeta.sample_tasks(jax.random.key(1), navigation, 2)
    scratch = jaxmeta.from_scratch(navigation, policy=policy, episodes=2)
    state = jax.jit(scratch.init)(jax.random.key(0))
    new, _ = jax.jit(scratch.step)(jax.random.key(2), state, batch)
    chex.assert_trees_all_equal(new.theta, state.theta)
    single = jaxmeta.multi_task(navigation, policy=policy, episodes=2, adaptation_steps=2)
    phi, _ = jax.jit(single.adapt)(jax.random.key(3), state.theta, jax.tree.map(lambda x: x[0], batch))
    chex.assert_trees_all_equal(phi.params, state.theta)


@pytest.mark.parametrize(
    ("build", "settings", "message"),
    [
        (jaxmeta.anil, {"policy": "headless"}, "policy: has no head"),
        (jaxmeta.cavia, {"policy": "headless"}, "policy: has no context input"),
        (jaxmeta.cavia, {"context_size": 0}, "context_size: got 0; must be at least 1"),
        (jaxmeta.meta_sgd, {"initial_rates": {"w": jnp.ones(3)}}, "initial_rates: must be a number, or a pytree"),
        (jaxmeta.reptile, {"adaptation_steps": 0}, "adaptation_steps: got 0; must be at least 1"),
        (jaxmeta.imaml, {"pull": 0.0}, "pull: got 0.0; must be positive"),
        (jaxmeta.imaml, {"solver_iterations": 0}, "solver_iterations: got 0; must be at least 1"),
        (jaxmeta.e_maml, {"weight": -1.0}, "weight: got -1.0; must be at least 0"),
        (jaxmeta.promp, {"penalty": -1.0}, "penalty: got -1.0; must be at least 0"),
        (jaxmeta.promp, {"clip": 0.0}, "epsilon: got 0.0; must be positive"),
        (jaxmeta.learned_rule, {"rule_hidden": 0}, "rule_hidden: got 0; must be at least 1"),
        (jaxmeta.es_maml, {"deviation": 0.0}, "deviation: got 0.0; must be positive"),
        (jaxmeta.es_maml, {"pairs": 0}, "pairs: got 0; must be at least 1"),
    ],
)
def test_bad_settings_are_named(navigation, policy, build, settings, message):
    if settings.get("policy") == "headless":
        settings = {"policy": jaxmeta.networks.Policy(policy.init, policy.apply)}
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        build(navigation, **settings)
    assert "\n" not in str(caught.value)
