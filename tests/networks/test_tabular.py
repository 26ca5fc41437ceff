"""A memory for each pair: other names change nothing, pairs are kept apart, and steps are a sequence."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta

STATES, ACTIONS, STEPS = 4, 3, 6


@pytest.fixture(scope="module")
def lifetimes():
    return jaxmeta.tasks.as_lifetime(
        jaxmeta.tasks.make("tabular-mdp", states=STATES, actions=ACTIONS, horizon=STEPS), 2
    )


@pytest.fixture(scope="module", params=[*((cell, 0) for cell in jaxmeta.networks.CELLS), ("gru", STEPS)], ids=str)
def network(request, lifetimes):
    """A network whose weights are all at work, and them."""
    cell, lookahead = request.param
    policy = jaxmeta.networks.tabular_policy_for(
        lifetimes.env, horizon=lifetimes.horizon, cell=cell, size=8, hidden=(5,), lookahead=lookahead
    )
    policy = policy._replace(sequence=jax.jit(policy.sequence))
    params = jax.jit(policy.init)(jax.random.key(0))
    return policy, jax.tree.map(
        lambda x, noise: x + 0.3 * noise, params, optax.tree.random_like(jax.random.key(1), params)
    )


def observed(states, actions, rewards):
    """Observations of a lifetime ``[T, O]``: the action and the reward of each step are told with the next one's."""
    before = jnp.concatenate([jnp.array([ACTIONS]), jnp.array(actions)[:-1]])
    told = jnp.concatenate([jnp.zeros(1), jnp.array(rewards, jnp.float32)[:-1]])
    columns = [jax.nn.one_hot(jnp.array(states), STATES), jax.nn.one_hot(before, ACTIONS + 1), told[:, None]]
    return jnp.concatenate([*columns, jnp.zeros((len(states), 1))], axis=1)


WALK = ([0, 2, 1, 2, 0, 3, 0], [1, 0, 2, 1, 1, 0, 2], [0.5, -1.0, 2.0, 0.3, -0.7, 1.1, 0.0])


def run(network, obs):
    policy, params = network
    distribution, value, memory = policy.sequence(params, policy.begin(params), obs)
    return distribution.logits, value, memory


def test_steps_are_what_a_sequence_gives_and_what_was_acted_is_replayed(network, lifetimes):
    policy, params = network
    algorithm = jaxmeta.rl2(lifetimes, policy=policy)
    _, lifetime = jax.jit(algorithm.adapt)(jax.random.key(1), params, lifetimes.sample(jax.random.key(2)))
    trajectory = jax.tree.map(lambda x: x[-1], lifetime.trajectory)
    learner = algorithm.learner
    score = jax.jit(lambda trajectory: learner.score(params, learner.begin(params), trajectory))
    log_prob, value = score(trajectory)
    np.testing.assert_allclose(log_prob, trajectory.log_prob, atol=1e-5)
    np.testing.assert_allclose(value, trajectory.value, atol=1e-5)
    assert np.ptp(value) > 0
    # In two parts, the second from the memory that the first left.
    obs, half = trajectory.obs[0], STEPS
    _, first, memory = policy.sequence(params, policy.begin(params), obs[:half])
    _, second, _ = policy.sequence(params, memory, obs[half:])
    np.testing.assert_allclose(jnp.concatenate([first, second]), value[0], atol=1e-5)


def test_other_names_of_observations_and_actions_give_the_same_under_those_names(network):
    states, actions, rewards = WALK
    renamed, order = jnp.array([2, 0, 3, 1]), jnp.array([2, 0, 1])
    logits, value, _ = run(network, observed(states, actions, rewards))
    others, same, _ = run(network, observed(renamed[jnp.array(states)], order[jnp.array(actions)], rewards))
    np.testing.assert_allclose(others[:, order], logits, atol=1e-5)
    np.testing.assert_allclose(same, value, atol=1e-5)
    assert np.ptp(logits[-1]) > 1e-3


def test_an_entry_is_moved_by_the_steps_of_its_pair_alone(network):
    """After the walk every pair that was taken has features of its own, and all others those of the beginning."""
    policy, params = network
    states, actions, rewards = WALK
    _, _, memory = run(network, observed(states, actions, rewards))
    taken = np.zeros((STATES, ACTIONS), bool)
    # The last action is not told of yet.
    taken[states[:-1], actions[:-1]] = True
    moved = np.any(np.abs(memory.features - policy.begin(params).features) > 1e-4, axis=-1)
    np.testing.assert_array_equal(moved, taken)
    np.testing.assert_allclose(memory.mean, jnp.mean(memory.features, axis=(0, 1)), atol=1e-6)
    # (2, 0) was taken once, with reward -1, whatever came between.
    _, _, other = run(network, observed([3, 2, 3], [2, 0, 1], [0.4, -1.0, 0.0]))
    np.testing.assert_allclose(other.features[2, 0], memory.features[2, 0], atol=1e-6)


def test_weights_fit_any_number_of_observations_and_actions(lifetimes):
    bandits = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("bernoulli-bandit", arms=7, horizon=5), 1)
    policies = [jaxmeta.networks.tabular_policy_for(each.env, horizon=each.horizon) for each in (lifetimes, bandits)]
    params, others = (jax.jit(policy.init)(jax.random.key(0)) for policy in policies)
    chex.assert_trees_all_equal(params, others)
    assert policies[1].begin(params).features.shape == (1, 7, 16)


def test_the_critic_is_no_reason_to_act_otherwise(network, lifetimes):
    policy, params = network
    obs = observed(*WALK)
    value = lambda params: jnp.sum(policy.sequence(params, policy.begin(params), obs)[1])  # noqa: E731
    last = jax.jit(jax.grad(value))(params)["heads"]["params"]["Dense_0"]["kernel"]
    np.testing.assert_array_equal(last[:, 0], 0.0)
    assert np.any(last[:, 1] != 0.0)


def test_it_learns_which_arm_pays(better_arm):
    """2 is the best return without a memory, 2.96 with one."""
    policy = jaxmeta.networks.tabular_policy_for(
        better_arm.tasks.env, horizon=better_arm.tasks.horizon, size=8, hidden=(8,)
    )
    outer = jaxmeta.outer.by_optax(optax.adam(1e-2), 2)
    late = better_arm.learned(jaxmeta.rl2(better_arm.tasks, policy=policy, outer=outer), 60)
    assert np.all(late["return_post"] > 2.7)
    assert np.all(late["skipped"] == 0.0)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (jaxmeta.tasks.make("bernoulli-bandit"), r"^env: not one of lifetimes; give as_lifetime"),
        (jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation"), 1), r"^env: action space is .* needs Discrete$"),
        (jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("gridnavi"), 1), r"^env: its first observation is not one-hot; "),
    ],
)
def test_environments_of_another_kind_are_one_line(tasks, message):
    with pytest.raises(ValueError, match=message):
        jaxmeta.networks.tabular_policy_for(tasks.env, horizon=tasks.horizon)


def test_a_negative_lookahead_is_one_line(lifetimes):
    with pytest.raises(ValueError, match=r"^lookahead: got -1; must be at least 0$"):
        jaxmeta.networks.tabular_policy_for(lifetimes.env, horizon=lifetimes.horizon, lookahead=-1)


def test_nothing_is_planned_beyond_an_episode(lifetimes):
    policies = [
        jaxmeta.networks.tabular_policy_for(lifetimes.env, horizon=lifetimes.horizon, lookahead=lookahead)
        for lookahead in (STEPS, 10**9)
    ]
    obs = observed(*WALK)
    logits = [
        policy.sequence(p := policy.init(jax.random.key(0)), policy.begin(p), obs)[0].logits for policy in policies
    ]
    np.testing.assert_array_equal(*logits)
