"""Constrained methods: against the method on penalised rewards, and against a multiplier that is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment, spaces

import jaxmeta
from jaxmeta.algorithms.constrained import penalised
from jaxmeta.tasks.environments import TaskEnvironment, TimedState
from jaxmeta.tasks.wrappers import Wrapper

LIMIT, STEPS = 1.5, 5


@struct.dataclass
class Params(environment.EnvParams):
    risky: int = 0
    cost_limit: float = LIMIT
    max_steps_in_episode: int = STEPS


class Temptation(TaskEnvironment):
    """Two actions: the risky one pays 1 and costs 1, the other neither pays nor costs."""

    default_params = property(lambda self: Params())
    num_actions = property(lambda self: 2)
    is_terminated = lambda self, state, params: jnp.zeros((), bool)  # noqa: E731
    action_space = lambda self, params=None: spaces.Discrete(2)  # noqa: E731
    observation_space = lambda self, params=None: spaces.Box(0.0, 1.0, (1,), jnp.float32)  # noqa: E731
    get_obs = lambda self, state, params=None, key=None: jnp.ones(1)  # noqa: E731
    state_space = lambda self, params=None: spaces.Dict({"time": spaces.Discrete(STEPS + 1)})  # noqa: E731

    def reset_env(self, key, params):
        return jnp.ones(1), TimedState(time=jnp.zeros((), jnp.int32))

    def step_env(self, key, state, action, params):
        took = (action == params.risky).astype(jnp.float32)
        state = TimedState(time=state.time + 1)
        return jnp.ones(1), state, took, jnp.zeros((), bool), {"discount": jnp.ones(()), "cost": took}


def family(**settings):
    def sample(key):
        return Params(risky=jax.random.randint(key, (), 0, 2))

    limit = {"cost_limit": lambda task: task.cost_limit, **settings}
    return jaxmeta.tasks.from_gymnax(Temptation(), sample, horizon=STEPS, **limit)


def small(tasks):
    return jaxmeta.networks.policy_for(tasks.env, hidden=(4,))


def test_a_step_is_that_of_maml_on_penalised_rewards():
    tasks, multiplier = family(), 0.4

    class Penalised(Wrapper):
        def step_env(self, key, state, action, params):
            obs, state, reward, ended, info = self.env.step_env(key, state, action, params)
            return obs, state, (reward - multiplier * info["cost"]) / (1.0 + multiplier), ended, info

    settings = {"episodes": 4, "adaptation_steps": 2, "outer": jaxmeta.outer.adam(), "policy": small(tasks)}
    settings["objective"] = jaxmeta.objectives.after_every_step
    ours = jaxmeta.maml_lagrangian(tasks, multiplier=multiplier, multiplier_rate=0.5, **settings)
    theirs = jaxmeta.maml(tasks._replace(env=Penalised(tasks.env)), **settings)
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, 6)
    results = [
        jax.jit(lambda key, each=each: each.step(key, each.init(jax.random.key(0)), batch))(jax.random.key(2))
        for each in (ours, theirs)
    ]
    (state, info), (plain, plain_info) = results
    for ours_leaf, leaf in zip(jax.tree.leaves(state.theta.weights), jax.tree.leaves(plain.theta), strict=True):
        np.testing.assert_allclose(ours_leaf, leaf, rtol=2e-4, atol=1e-6)
    # Returns are reported without the penalty: here they are the costs.
    np.testing.assert_allclose(info["return_post"], info["cost_post"], rtol=1e-6)
    np.testing.assert_allclose(info["return_post"] * 0.6 / 1.4, plain_info["return_post"], rtol=1e-5)
    expected = multiplier + 0.5 * (float(info["cost_post"]) - LIMIT) / STEPS
    np.testing.assert_allclose(state.theta.multiplier, expected, rtol=1e-5)


def test_adaptation_to_recorded_episodes_is_penalised_too():
    tasks = family()
    algorithm = jaxmeta.maml_lagrangian(tasks, multiplier=1.0, episodes=2, policy=small(tasks), inner_rate=1.0)
    theta = algorithm.init(jax.random.key(0)).theta
    action = np.array([[0, 1, 0, 1, 1], [1, 1, 0, 0, 0]])
    paid = (action == 0).astype(np.float32)
    phi = algorithm.learner.begin(theta)
    with_costs, without = (
        jaxmeta.data.adapt_on(
            algorithm, theta, phi, jaxmeta.data.recorded(np.ones((2, 6, 1), np.float32), action, paid, cost=cost)
        )
        for cost in (paid, np.zeros_like(paid))
    )
    # What pays as much as it costs is worth nothing at a multiplier of 1.
    for leaf, start in zip(jax.tree.leaves(with_costs.params), jax.tree.leaves(phi.params), strict=True):
        np.testing.assert_allclose(leaf, start, atol=1e-6)
    assert not np.allclose(jax.tree.leaves(without.params)[-1], jax.tree.leaves(phi.params)[-1])


@pytest.mark.parametrize("method", ["maml", "rl2"])
def test_costs_come_to_the_limit_and_the_multiplier_to_the_price_of_the_constraint(method):
    if method == "maml":
        tasks = family()
        algorithm = jaxmeta.maml_lagrangian(
            tasks,
            multiplier_rate=0.3,
            episodes=10,
            policy=small(tasks),
            inner_rate=0.5,
            outer=jaxmeta.outer.adam(rate=0.03),
        )
    else:
        tasks = jaxmeta.tasks.as_lifetime(family(), 2)
        algorithm = jaxmeta.rl2_lagrangian(
            tasks,
            multiplier_rate=0.1,
            entropy_weight=0.05,
            policy=jaxmeta.networks.recurrent_policy_for(tasks.env, tasks.horizon, size=8),
            outer=jaxmeta.outer.adam(rate=0.003, epochs=2, minibatches=2),
        )
    train = jax.jit(lambda key: jaxmeta.meta_train(key, algorithm, tasks, iterations=300, meta_batch=32))
    state, info = train(jax.random.key(0))
    cost = info["cost_post"] if method == "maml" else info["cost_pre"] * 0.5 + info["cost_post"] * 0.5
    # The risky action pays what it costs, so 1 is the price of the constraint; iterates go around it.
    np.testing.assert_allclose(np.mean(info["multiplier"][150:]), 1.0, atol=0.15)
    np.testing.assert_allclose(np.mean(cost[150:]), LIMIT, atol=0.25)
    assert state.meta.theta.multiplier >= 0.0


def test_the_share_of_tasks_over_their_limit_is_told():
    tasks = family()
    algorithm = jaxmeta.maml(tasks, episodes=2, policy=small(tasks))
    lenient = jax.vmap(lambda key, limit: tasks.sample(key).replace(cost_limit=limit))(
        jax.random.split(jax.random.key(1), 4), jnp.array([-1.0, -1.0, 6.0, -1.0])
    )
    _, info = algorithm.step(jax.random.key(2), algorithm.init(jax.random.key(0)), lenient)
    assert info["over_limit_pre"] == info["over_limit_post"] == 0.75


def test_families_without_costs_are_refused():
    tasks = jaxmeta.tasks.make("navigation", horizon=3)
    with pytest.raises(ValueError, match=r"^tasks: the family has no costs; take one that has a cost_limit"):
        jaxmeta.maml_lagrangian(tasks)
    with pytest.raises(ValueError, match=r"^cost_limit: .* tells no cost; it must return info"):
        jaxmeta.tasks.from_gymnax(tasks.env.unwrapped, tasks.sample, cost_limit=lambda task: jnp.ones(()))
    with pytest.raises(ValueError, match=r"^cost_limit: returns shape \(2,\); must be a scalar"):
        family(cost_limit=lambda task: jnp.ones(2))


def test_penalised_rewards_keep_their_scale():
    zeros = jnp.zeros((1, 2))
    seen = []
    trajectory = jaxmeta.Trajectory(*[zeros] * 11, cost=jnp.array([[1.0, 0.0]]))._replace(
        reward=jnp.array([[2.0, 1.0]])
    )
    kept = penalised(lambda one: (seen.append(one.reward), one)[1], jnp.float32(3.0))(trajectory)
    np.testing.assert_allclose(seen[0], [[-0.25, 0.25]])
    np.testing.assert_allclose(kept.reward, trajectory.reward)
