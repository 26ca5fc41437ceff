"""Recurrent Q-learning: its targets by hand, its sequences and their memories, and a probe that it must solve."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.algorithms.sequence_values import sequence_values
from jaxmeta.data import n_step_targets, rescaled, unscaled

SMALL = jaxmeta.part(jaxmeta.networks.recurrent_policy_for, size=5)


@pytest.fixture(scope="module")
def lifetimes():
    return jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("dependent-bandit", horizon=4, level="easy"), 2)


def test_n_step_targets_by_hand():
    reward = jnp.array([1.0, 2.0, 4.0, 8.0])
    value = jnp.array([10.0, 20.0, 40.0, 80.0])
    nothing_ends, third_ends, last_ends, real = jnp.zeros(4), jnp.eye(4)[2], jnp.eye(4)[3], jnp.ones(4)
    # One step: r + V'/2. The state after the last step is not known.
    np.testing.assert_allclose(n_step_targets(reward, nothing_ends, real, value, 0.5, 1)[:3], [11, 22, 44])
    # Two steps: r + r'/2 + V''/4, with fewer where the sequence ends.
    np.testing.assert_allclose(n_step_targets(reward, nothing_ends, real, value, 0.5, 2)[:3], [12, 24, 44])
    np.testing.assert_allclose(n_step_targets(reward, third_ends, real, value, 0.5, 2)[:3], [12, 4, 4])
    np.testing.assert_allclose(
        n_step_targets(reward, last_ends, real, value, 0.5, 3), [1 + 1 + 1 + 10, 2 + 2 + 2, 8, 8]
    )
    # What comes after the third step is padding: its value is the last that is known.
    padded = n_step_targets(reward, nothing_ends, jnp.array([1.0, 1.0, 1.0, 0.0]), value, 0.5, 3)
    np.testing.assert_allclose(padded[:2], [1 + 0.5 * 2 + 0.25 * 40, 2 + 0.5 * 40])


@pytest.mark.parametrize("time_ends", [True, False])
def test_exact_values_have_no_error_where_a_lifetime_is_over_before_its_last_slot(time_ends):
    """Reward 1 at each step for ever is worth 100 at a discount of 0.99; with an end after step 30 it is worth less."""
    tasks = jaxmeta.as_lifetime(jaxmeta.tasks.make("cartpole", horizon=20), 2)
    left = jnp.maximum(30.0 - jnp.arange(40), 0.0)
    worth = rescaled(100.0 * (1.0 - 0.99**left) if time_ends else jnp.full(40, 100.0))

    def judge(params, memory, obs):
        return jaxmeta.networks.Categorical(jnp.zeros((*obs.shape[:-1], 2))), worth[: obs.shape[0]], memory

    policy = jaxmeta.networks.RecurrentPolicy(lambda key: jnp.zeros(()), lambda params: jnp.zeros(()), judge, judge)
    settings = {"discount": 0.99, "n_step": 5, "burn_in": 0, "segment": None, "time_ends": time_ends}
    values = sequence_values(tasks, policy, **settings)
    # The first episode fell after 10 steps, the second lasted all of its 20.
    real, end = (jnp.arange(40) < 30).astype(jnp.float32)[None], jnp.eye(40)[29][None]
    obs, zeros = jnp.zeros((1, 40, *tasks.env.observation_space(None).shape)), jnp.zeros((1, 40))
    action = jnp.zeros((1, 40), jnp.int32)
    data = jaxmeta.Trajectory(obs, action, zeros, zeros, real, zeros, end, real, obs[:, 0], zeros, zeros)
    errors, counted = jax.vmap(values.errors, (None, None, 0))(0.0, 0.0, values.cut(jnp.zeros(()), data))
    assert int(counted.sum()) == (30 if time_ends else 29)
    np.testing.assert_allclose(errors[counted > 0], 0.0, atol=1e-4)


def test_rescaling_is_undone():
    x = jnp.array([-300.0, -1.0, 0.0, 0.5, 200.0])
    np.testing.assert_allclose(unscaled(rescaled(x)), x, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(rescaled(jnp.array(3.0)), 1.003, rtol=1e-6)


def test_sequences_carry_the_memory_that_acted(lifetimes):
    """Eight steps, two of burn-in: the second sequence starts at the third step, with the memory after two."""
    policy = jaxmeta.networks.recurrent_policy_for(lifetimes.env, horizon=8, size=5)
    settings = {"policy": policy, "burn_in": 2, "segment": 3, "capacity": 4, "batch": 2, "updates": 1}
    algorithm = jaxmeta.r2d2(lifetimes, **settings)
    state = jax.jit(algorithm.init)(jax.random.key(0))
    new, _ = jax.jit(algorithm.step)(jax.random.key(1), state, jaxmeta.sample_tasks(jax.random.key(2), lifetimes, 2))
    data = new.opt_state.buffer.data
    assert data.obs.shape[:2] == (4, 5)
    network = state.theta
    memory_after = jax.jit(lambda obs: policy.sequence(network, policy.begin(network), obs)[2])
    for one in range(2):
        first, second = (jax.tree.map(lambda x, i=i: x[i], data) for i in (2 * one, 2 * one + 1))
        np.testing.assert_array_equal(first.obs[3:], second.obs[:2])
        np.testing.assert_array_equal(first.memory, np.zeros(5))
        np.testing.assert_allclose(memory_after(first.obs[:3]), second.memory, atol=1e-6)
        np.testing.assert_array_equal(first.learned, np.ones(5))
        np.testing.assert_array_equal(second.learned, [0, 0, 1, 1, 1])
        np.testing.assert_array_equal(first.done, np.zeros(5))
        np.testing.assert_array_equal(second.done, [0, 0, 0, 0, 1])
    # Each lifetime begins with no previous action, and only there.
    np.testing.assert_array_equal(data.obs[:, :, 3].sum(axis=1), [1, 0, 1, 0])


@pytest.mark.parametrize(("time_ends", "done"), [(True, 1.0), (False, 0.0)])
def test_a_lifetime_that_time_cuts_off_ends_only_where_it_is_said_to(lifetimes, time_ends, done):
    algorithm = jaxmeta.r2d2(lifetimes, policy=SMALL, capacity=2, batch=2, updates=1, time_ends=time_ends)
    state = jax.jit(algorithm.init)(jax.random.key(0))
    batch = jaxmeta.sample_tasks(jax.random.key(2), lifetimes, 2)
    new, _ = jax.jit(algorithm.step)(jax.random.key(1), state, batch)
    np.testing.assert_array_equal(new.opt_state.buffer.data.done, [[0.0] * 7 + [done]] * 2)


def test_the_score_is_that_of_the_action_taken(lifetimes):
    algorithm = jaxmeta.r2d2(lifetimes, policy=SMALL, epsilon_end=0.3)
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    _, lifetime = jax.jit(algorithm.adapt)(jax.random.key(1), theta, lifetimes.sample(jax.random.key(2)))
    trajectory = jax.tree.map(lambda x: x[0], lifetime.trajectory)
    log_prob, value = jax.jit(algorithm.learner.score)(theta, algorithm.learner.begin(theta), trajectory)
    np.testing.assert_allclose(log_prob, trajectory.log_prob, atol=1e-5)
    np.testing.assert_allclose(value, trajectory.value, atol=1e-5)
    greedy, _ = jax.jit(algorithm.greedy.score)(theta, algorithm.learner.begin(theta), trajectory)
    assert set(np.exp(greedy).ravel()) <= {0.0, 1.0}


def test_r2d2_finds_the_better_arm(better_arm):
    algorithm = jaxmeta.r2d2(
        better_arm.tasks,
        policy=jaxmeta.part(jaxmeta.networks.recurrent_policy_for, size=8),
        optimizer=optax.adam(1e-2),
        capacity=2_000,
        updates=4,
        target_every=20,
        epsilon_decay=40,
        discount=1.0,
        n_step=2,
    )
    late = better_arm.learned(algorithm, 80)
    assert np.all(late["return_post"] > 2.8), late
    np.testing.assert_allclose(late["epsilon"], 0.02, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segment": 3}, "segment: got 3; must divide the lifetime's 8 steps"),
        ({"segment": 5, "burn_in": 2}, "segment: got 5; must divide the lifetime's 8 steps but for 2 of burn-in"),
        ({"burn_in": 8}, "segment: got 0; must be at least 1"),
        ({"epsilon": 1.5}, "epsilon: got 1.5; must be in [0, 1]"),
        ({"n_step": 0}, "n_step: got 0; must be at least 1"),
        (
            {"policy": jaxmeta.part(jaxmeta.networks.recurrent_policy_for, cell="rnn")},
            "cell: unknown name 'rnn'. Known: gru, lstm, linear, transformer",
        ),
    ],
)
def test_bad_settings_are_named(lifetimes, settings, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        jaxmeta.r2d2(lifetimes, **settings)
    assert str(caught.value) == message


def test_continuous_actions_and_single_episodes_are_refused(navigation):
    with pytest.raises(ValueError, match="Q-learning takes the best of a few: they must be Discrete"):
        jaxmeta.r2d2(jaxmeta.tasks.as_lifetime(navigation, 2))
    with pytest.raises(ValueError, match="not a family of lifetimes"):
        jaxmeta.r2d2(navigation)
