"""Learners meet the tasks of the simulated methods, and a bandit's outcomes too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.references import bandit_returns, bandits, mdp_optima
from jaxmeta.tasks import CommonBandit, common_bandits, common_mdps

KEY = jax.random.key(3)


@pytest.mark.parametrize("method", ["greedy", "ucb1"])
def test_a_method_has_the_same_lifetime_in_the_environment_as_simulated(method):
    arms, pulls, tasks = 3, 12, 40
    policy = getattr(bandits, method)()
    env = CommonBandit(arms=arms)

    def lifetime(task):
        def pull(carry, done):
            state, successes, failures = carry
            arm = jnp.argmax(policy.score(policy.data, KEY, successes, failures, done))
            _, state, paid, _, _ = env.step_env(KEY, state, arm, task)
            here = jnp.arange(arms) == arm
            return (state, successes + here * (paid > 0), failures + here * (paid == 0)), task.probability[arm]

        counts = jnp.zeros(arms, jnp.int32)
        return jnp.sum(jax.lax.scan(pull, (env.reset_env(KEY, task)[1], counts, counts), jnp.arange(pulls))[1])

    batch = common_bandits(KEY, arms=arms, pulls=pulls, tasks=tasks)
    simulated = bandit_returns(KEY, policy, arms=arms, pulls=pulls, tasks=tasks)
    np.testing.assert_allclose(jax.jit(jax.vmap(lifetime))(batch), simulated, rtol=1e-5)


def test_a_learner_cannot_tell_it_from_the_family():
    family = jaxmeta.tasks.make("bernoulli-bandit", arms=3, horizon=12)
    env = CommonBandit(arms=3)
    params = env.default_params
    np.testing.assert_array_equal(
        env.reset_env(KEY, params)[0], family.env.reset_env(KEY, family.env.default_params)[0]
    )
    assert env.action_space(params).n == family.env.action_space(family.env.default_params).n


def test_mdps_are_those_of_the_simulation():
    family = jaxmeta.tasks.make("tabular-mdp")
    batch = common_mdps(KEY, tasks=5)
    np.testing.assert_allclose(jax.vmap(family.optimum)(batch), mdp_optima(KEY, tasks=5), rtol=1e-5)
    assert jax.tree.map(lambda x: x.shape[1:], batch) == jax.tree.map(jnp.shape, family.sample(KEY))
