"""Beliefs about the task: they see no future and no task, their bound is the paper's, and VariBAD learns on them."""

import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.networks import Gaussian, expected_rewards, telling_tasks


@pytest.fixture(scope="module")
def lifetimes():
    return jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation", horizon=5), 2)


@pytest.fixture(scope="module")
def model(lifetimes):
    return jaxmeta.networks.belief_model_for(
        lifetimes.env, horizon=lifetimes.horizon, latent=3, size=6, hidden=(5,), decoder=(7,)
    )


@pytest.fixture(scope="module")
def acted(model, lifetimes):
    """VariBAD, its θ, and lifetimes in two tasks that met the same random numbers."""
    algorithm = jaxmeta.varibad(lifetimes, model=model)
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(3), lifetimes, 2)
    adapt = jax.jit(jax.vmap(algorithm.adapt, (None, None, 0)))
    return algorithm, theta, adapt(jax.random.key(5), theta, batch)[1]


def test_a_belief_sees_no_future(model):
    theta = jax.jit(model.policy.init)(jax.random.key(0))
    obs = jax.random.normal(jax.random.key(1), (10, 7))
    jacobian = jax.jit(jax.jacobian(lambda obs: model.beliefs(theta, obs).mean))(obs)
    strength = np.abs(jacobian).sum(axis=(1, 3))
    assert np.all(strength[np.triu_indices(10, 1)] == 0.0)
    assert np.all(strength[np.tril_indices(10)] > 0.0)


def test_tasks_are_told_apart_by_their_rewards_alone(acted):
    """The same random numbers in two tasks: the first action is the same, and the first reward is not."""
    here, there = (jax.tree.map(lambda x, task=task: x[task, 0, 0], acted[2].trajectory) for task in (0, 1))
    chex.assert_trees_all_equal(*((each.obs[0], each.action[0], each.log_prob[0]) for each in (here, there)))
    assert here.reward[0] != there.reward[0]
    assert np.any(here.action[1] != there.action[1])


def test_the_policy_has_no_part_in_the_belief_and_the_bound_none_in_the_policy(model, acted):
    algorithm, theta, both = acted
    lifetime = jax.tree.map(lambda x: x[0], both)
    batch = jax.tree.map(lambda x: x[-1], lifetime.trajectory)
    learner = algorithm.learner
    acting = jax.jit(jax.grad(lambda theta: jnp.sum(sum(learner.score(theta, learner.begin(theta), batch)))))(theta)
    bound = jaxmeta.objectives.evidence_bound(model, prefixes=4, divergence_weight=1.0, state_weight=1.0)
    inferring = jax.jit(jax.grad(lambda theta: bound(theta, lifetime)[0]))(theta)
    for gradient, moved, still in ((acting, "policy", "model"), (inferring, "model", "policy")):
        assert optax.global_norm(gradient[moved]) > 0
        assert optax.global_norm(gradient[still]) == 0


def test_actions_begin_alike():
    """Whatever the posterior, before anything is learned."""
    family = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("gridnavi", horizon=3), 2)
    model = jaxmeta.networks.belief_model_for(family.env, horizon=6, latent=2, size=6, hidden=(5,), decoder=(7,))
    learner = jaxmeta.learners.uniform_learner(family.env)

    @jax.jit
    def entropy(key):
        key_task, key_act, key_init = jax.random.split(key, 3)
        episodes = {"episodes": 1, "horizon": family.horizon}
        lifetime, _ = jaxmeta.data.collect_episodes(
            key_act, family.env, family.sample(key_task), learner, (), (), **episodes
        )
        theta = model.policy.init(key_init)
        return model.policy.sequence(theta, model.policy.begin(theta), lifetime.obs[0])[0].entropy()

    assert np.all(entropy(jax.random.key(0)) > 0.999 * np.log(5))


def test_discrete_states_are_told_apart():
    lifetimes = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("tabular-mdp", states=3, actions=2, horizon=2), 2)
    model = jaxmeta.networks.belief_model_for(lifetimes.env, horizon=4, latent=2, size=6, hidden=(5,), decoder=(7,))
    theta = jax.jit(model.policy.init)(jax.random.key(0))
    obs = jnp.zeros((3, lifetimes.env.observation_space(lifetimes.env.default_params).shape[0]))
    rewards = jax.jit(model.predict)(theta, jnp.ones(2), obs.at[:, :3].set(jnp.eye(3)), jnp.zeros(3, jnp.int32))[0]
    assert len(np.unique(rewards)) == 3


def test_a_task_is_told_by_what_differs_between_tasks(model, lifetimes):
    """Told always the mean, the error is half the variance of two coordinates of the goal, whatever their units."""
    for unit in (1.0, 1000.0):
        in_unit = lifetimes._replace(sample=lambda key, unit=unit: scaled_goal(lifetimes.sample(key), unit))
        telling, error = telling_tasks(model, in_unit)
        params, error = jax.jit(telling.policy.init)(jax.random.key(0)), jax.jit(jax.vmap(error, (None, None, 0)))
        nothing = jax.tree.map(jnp.zeros_like, params)
        tasks = jaxmeta.sample_tasks(jax.random.key(1), in_unit, 4000)
        errors = error(nothing, jnp.zeros(3), tasks)
        np.testing.assert_allclose(np.mean(errors), 1.0, atol=0.06)
        # What it tells depends on the latent.
        assert np.all(error(params, jnp.ones(3), tasks) != error(params, jnp.zeros(3), tasks))


def scaled_goal(task, unit):
    return task.replace(goal=unit * task.goal)


def test_tasks_that_are_all_the_same_cannot_be_told(model, lifetimes):
    one = lifetimes._replace(sample=lambda key: lifetimes.sample(jax.random.key(0)))
    with pytest.raises(ValueError, match=r"^tasks: they are all the same; there is nothing to tell$"):
        jaxmeta.varibad(one, model=model, task_weight=1.0)


def test_rewards_are_expected_over_the_posterior_after_each_step():
    """A latent that is the reward everywhere: its mean is the posterior's, step by step."""
    model = types.SimpleNamespace(
        beliefs=lambda params, obs: Gaussian(obs, jnp.full_like(obs, -1.0)),
        predict=lambda params, latent, where, action: (latent[0] + where[:, 0] * action, None),
    )
    obs = jnp.array([[0.0], [5.0]])
    where, action = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([0.0, 0.0, 1.0])
    expected = expected_rewards(model, None, obs, where, action, key=jax.random.key(0), samples=4000)
    np.testing.assert_allclose(expected, [[0.0, 0.0, 3.0], [5.0, 5.0, 8.0]], atol=0.05)


def test_the_policy_learns_on_the_posteriors_that_it_acted_on(model, lifetimes):
    """It moves alike whether the posterior moves after it or not, and the posterior does move."""

    @jax.jit
    def stepped(rate):
        algorithm = jaxmeta.varibad(lifetimes, model=model, model_outer=jaxmeta.outer.by_optax(optax.sgd(rate)))
        tasks = jaxmeta.sample_tasks(jax.random.key(1), lifetimes, 8)
        return algorithm.step(jax.random.key(2), algorithm.init(jax.random.key(0)), tasks)[0].theta

    moved = [stepped(rate) for rate in (0.0, 0.1)]
    distance = lambda part: optax.global_norm(jax.tree.map(jnp.subtract, *(each[part] for each in moved)))  # noqa: E731
    assert distance("policy") < 1e-6
    assert distance("model") > 1e-3


def test_varibad_finds_the_better_arm_and_predicts_and_tells_it(better_arm):
    model = jaxmeta.networks.belief_model_for(
        better_arm.tasks.env, horizon=4, latent=2, size=8, hidden=(8,), decoder=(16,)
    )
    algorithm = jaxmeta.varibad(
        better_arm.tasks,
        model=model,
        prefixes=4,
        task_weight=1.0,
        **dict.fromkeys(("outer", "model_outer"), jaxmeta.outer.adam(rate=1e-2, epochs=4)),
        estimator=jaxmeta.data.critic_baseline(discount=1.0, trace_decay=0.5),
    )
    late = better_arm.learned(algorithm, 100)
    assert np.all(late["return_post"] > 2.8), late
    # Half the variance of a reward is 1/8 for who knows nothing.
    assert np.all(late["reward_error"] < 0.1), late
    # 1 for who knows nothing; a first pull leaves 0.36, and the prefix before it is one of four.
    assert np.all(late["task_error"] < 0.6), late


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prefixes": 0}, "prefixes: got 0; must be at least 1"),
        ({"task_weight": -1.0}, "task_weight: got -1.0; must be at least 0"),
        ({"state_weight": -1.0}, "state_weight: got -1.0; must be at least 0"),
    ],
)
def test_bad_settings_are_named(lifetimes, settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        jaxmeta.varibad(lifetimes, **settings)


def test_a_latent_of_nothing_and_a_family_of_single_episodes_are_refused(lifetimes, navigation):
    with pytest.raises(ValueError, match=r"^latent: got 0; must be at least 1$"):
        jaxmeta.networks.belief_model_for(lifetimes.env, horizon=3, latent=0)
    with pytest.raises(ValueError, match=r"^tasks: not a family of lifetimes; give as_lifetime\("):
        jaxmeta.varibad(navigation)
