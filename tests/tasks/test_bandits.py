"""Bandit families: what an arm pays, what is drawn, and what the best policy that knows the task earns."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.tasks import BernoulliParams
from jaxmeta.tasks.bandits import GaussianParams

FAMILIES = {
    "bernoulli-bandit": {"arms": 3, "horizon": 7},
    "gaussian-bandit": {"arms": 4, "horizon": 7},
    "dependent-bandit": {"level": "easy", "horizon": 7},
    "informative-bandit": {"horizon": 7},
    "contextual-bandit": {"contexts": 3, "arms": 2, "horizon": 7},
}


def pull(env, key, task, arm, times):
    """Rewards of pulling one arm ``times`` times, each from a fresh start."""
    key_reset, key_step = jax.random.split(key)
    _, state = env.reset_env(key_reset, task)
    return jax.vmap(lambda key: env.step_env(key, state, arm, task)[2])(jax.random.split(key_step, times))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_lifetime_is_the_horizon_and_is_truncated_there(name):
    family = tasks.make(name, **FAMILIES[name])
    task = family.sample(jax.random.key(0))
    obs, state = family.env.reset(jax.random.key(1), task)
    ends = []
    for t in range(7):
        obs, state, reward, terminated, truncated, _ = family.env.step(jax.random.key(t), state, 1, task)
        assert family.env.observation_space(task).contains(obs)
        assert reward.dtype == jnp.float32
        assert not terminated
        ends.append(bool(truncated))
    assert ends == [False] * 6 + [True]
    assert family.horizon == 7


@pytest.mark.parametrize("name", FAMILIES)
def test_tasks_are_batched_parameters_that_step_together(name):
    family = tasks.make(name, **FAMILIES[name])
    batch = jax.vmap(family.sample)(jax.random.split(jax.random.key(0), 64))
    single = family.sample(jax.random.key(0))
    assert jax.tree.structure(batch) == jax.tree.structure(single)
    rewards = jax.jit(jax.vmap(lambda task: pull(family.env, jax.random.key(1), task, 0, 50)))(batch)
    assert rewards.shape == (64, 50)
    # The same keys and the same arm: whatever differs is the task.
    assert len(np.unique(np.asarray(rewards).sum(axis=1))) > 1


@pytest.mark.parametrize(
    ("env_id", "name"),
    [("BernoulliBandit", "bernoulli-bandit"), ("GaussianBandit", "gaussian-bandit"), ("ContextualBandit", None)],
)
def test_gymnax_finds_the_environments(env_id, name):
    env, params = gymnax.make(f"{env_id}-jaxmeta", arms=3)
    assert env.name == f"{env_id}-jaxmeta"
    assert env.action_space(params).n == 3
    obs, state = env.reset(jax.random.key(0), params)
    env.step(jax.random.key(1), state, 2, params)
    assert env.observation_space(params).contains(obs)
    assert env.state_space(params).contains(state)
    if name is not None:
        assert type(tasks.make(name).env) is type(env)


def test_a_bernoulli_arm_pays_as_often_as_its_probability_says():
    env = tasks.bernoulli_bandit(arms=3).env
    task = BernoulliParams(probability=jnp.array([0.0, 0.3, 1.0]))
    for arm, probability in enumerate((0.0, 0.3, 1.0)):
        rewards = np.asarray(pull(env, jax.random.key(0), task, arm, 20_000))
        assert set(np.unique(rewards)) <= {0.0, 1.0}
        # Four standard errors of 20,000 draws.
        assert abs(rewards.mean() - probability) <= 4 * np.sqrt(probability * (1 - probability) / 20_000)


def test_a_gaussian_arm_has_its_mean_and_noise():
    env = tasks.gaussian_bandit(arms=2).env
    task = GaussianParams(mean=jnp.array([-1.0, 2.0]), noise=0.5)
    rewards = np.asarray(pull(env, jax.random.key(0), task, 1, 20_000))
    assert abs(rewards.mean() - 2.0) < 4 * 0.5 / np.sqrt(20_000)
    assert abs(rewards.std() - 0.5) < 0.02


def test_bernoulli_probabilities_are_uniform():
    sampled = jax.vmap(tasks.bernoulli_bandit(arms=4).sample)(jax.random.split(jax.random.key(0), 5_000)).probability
    assert sampled.shape == (5_000, 4)
    deciles = np.quantile(np.asarray(sampled), np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(deciles, np.linspace(0.1, 0.9, 9), atol=0.015)


@pytest.mark.parametrize(("level", "first"), [("easy", {0.1, 0.9}), ("medium", {0.25, 0.75}), ("hard", {0.4, 0.6})])
def test_dependent_arms_sum_to_one(level, first):
    family = tasks.dependent_bandit(level=level)
    sampled = np.asarray(jax.vmap(family.sample)(jax.random.split(jax.random.key(0), 1_000)).probability)
    np.testing.assert_allclose(sampled.sum(axis=1), 1.0, atol=1e-6)
    assert {round(float(p), 4) for p in sampled[:, 0]} == first
    assert 0.45 < (sampled[:, 0] > 0.5).mean() < 0.55


def test_dependent_arms_of_the_uniform_level_are_spread():
    sampled = np.asarray(
        jax.vmap(tasks.dependent_bandit().sample)(jax.random.split(jax.random.key(0), 1_000)).probability
    )
    np.testing.assert_allclose(sampled.sum(axis=1), 1.0, atol=1e-6)
    assert abs(sampled[:, 0].std() - np.sqrt(1 / 12)) < 0.02


def test_the_informative_arm_names_the_target():
    family = tasks.informative_bandit()
    targets = set()
    for seed in range(60):
        task = family.sample(jax.random.key(seed))
        told = float(pull(family.env, jax.random.key(seed), task, 10, 1)[0])
        target = round(10 * told) - 1
        paid = [float(pull(family.env, jax.random.key(1), task, arm, 1)[0]) for arm in range(10)]
        expected = np.full(10, 1.1)
        expected[target] = 5.0
        np.testing.assert_allclose(paid, expected, rtol=1e-6)
        assert float(family.optimum(task)) == pytest.approx(25.0)
        targets.add(target)
    assert targets == set(range(10))


def test_the_optimum_pulls_the_best_arm():
    assert tasks.bernoulli_bandit(arms=3, horizon=20).optimum(
        BernoulliParams(probability=jnp.array([0.2, 0.7, 0.5]))
    ) == pytest.approx(14.0)
    assert tasks.gaussian_bandit(arms=2, horizon=20).optimum(
        GaussianParams(mean=jnp.array([-2.0, -1.5]))
    ) == pytest.approx(-30.0)


def test_the_contextual_optimum_pulls_the_best_arm_of_each_context():
    family = tasks.contextual_bandit(contexts=2, arms=3, horizon=10)
    task = BernoulliParams(probability=jnp.array([[0.1, 0.8, 0.3], [0.6, 0.2, 0.4]]))
    assert family.optimum(task) == pytest.approx(10 * (0.8 + 0.6) / 2)


def test_a_contextual_reward_depends_on_the_context_that_was_seen():
    family = tasks.contextual_bandit(contexts=2, arms=2)
    task = BernoulliParams(probability=jnp.array([[0.0, 1.0], [1.0, 0.0]]))
    seen = []
    obs, state = family.env.reset_env(jax.random.key(0), task)
    for t in range(40):
        context = int(jnp.argmax(obs))
        obs, state, reward, _, _ = family.env.step_env(jax.random.key(t), state, 1 - context, task)
        assert reward == 1.0
        seen.append(context)
    assert 5 < sum(seen) < 35


@pytest.mark.parametrize("name", FAMILIES)
def test_an_action_of_the_wrong_shape_is_one_line(name):
    family = tasks.make(name, **FAMILIES[name])
    task = family.sample(jax.random.key(0))
    _, state = family.env.reset_env(jax.random.key(1), task)
    with pytest.raises(ValueError, match=r"action: got shape \(2,\); .* takes shape \(\)"):
        family.env.step_env(jax.random.key(2), state, jnp.zeros(2, jnp.int32), task)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("bernoulli-bandit", {"arms": 1}, "arms: got 1; must be at least 2"),
        ("gaussian-bandit", {"horizon": 0}, "horizon: got 0; must be at least 1"),
        ("gaussian-bandit", {"mean_std": 0.0}, "mean_std: got 0.0; must be positive"),
        ("gaussian-bandit", {"noise": -1.0}, "noise: got -1.0; must be at least 0"),
        ("dependent-bandit", {"level": "eazy"}, "level: got 'eazy'; must be one of uniform, easy, medium, hard"),
        ("informative-bandit", {"horizon": 0}, "horizon: got 0; must be at least 1"),
        ("contextual-bandit", {"contexts": 0}, "contexts: got 0; must be at least 1"),
    ],
)
def test_bad_settings_are_one_line(name, settings, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")) as caught:
        tasks.make(name, **settings)
    assert "\n" not in str(caught.value)
