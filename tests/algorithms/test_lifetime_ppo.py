"""PPO on lifetimes: their advantages, its minibatches, and RL² on a probe of memory."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.algorithms.lifetime_ppo import standardised_together

LIFETIME, STEPS = 2, 6


@pytest.fixture(scope="module")
def lifetimes():
    return jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation", horizon=STEPS), LIFETIME)


def network(tasks):
    return jaxmeta.networks.recurrent_policy_for(tasks.env, horizon=tasks.horizon, cell="gru", size=8)


def test_advantages_of_a_lifetime_by_hand():
    row = lambda *numbers: jnp.array([numbers], jnp.float32)  # noqa: E731
    zeros = row(0.0, 0.0, 0.0)
    trajectory = jaxmeta.Trajectory(
        obs=zeros[..., None],
        action=zeros,
        log_prob=zeros,
        value=row(1.0, 2.0, 4.0),
        reward=row(1.0, 0.0, 2.0),
        terminated=zeros,
        truncated=row(0.0, 0.0, 1.0),
        mask=row(1.0, 1.0, 1.0),
        final_obs=zeros,
        advantage=zeros,
        value_target=zeros,
    )
    filled = jaxmeta.data.critic_baseline(discount=0.5, trace_decay=0.5)(trajectory)
    # δ = r + V'/2 − V = (1, 0, −2), with nothing after the end; A_t = δ_t + A_{t+1}/4.
    np.testing.assert_allclose(filled.advantage, row(1 + -0.5 / 4, -0.5, -2.0), rtol=1e-6)
    np.testing.assert_allclose(filled.value_target, filled.advantage + trajectory.value, rtol=1e-6)
    cut = jaxmeta.data.critic_baseline(discount=0.5, trace_decay=0.5)(trajectory._replace(mask=row(1.0, 1.0, 0.0)))
    np.testing.assert_allclose(cut.advantage, row(1 - 2 / 4, -2.0, 0.0), rtol=1e-6)


def test_values_are_of_scaled_rewards_but_what_is_seen_and_reported_is_not(lifetimes):
    estimator = jaxmeta.data.critic_baseline(discount=1.0, trace_decay=1.0)
    algorithm = jaxmeta.rl2(lifetimes, policy=network(lifetimes), estimator=estimator, reward_scale=0.25)
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    task = lifetimes.sample(jax.random.key(2))
    _, lifetime = jax.jit(algorithm.adapt)(jax.random.key(1), theta, task)
    batch = jax.tree.map(lambda x: np.asarray(x[-1, 0]), lifetime.trajectory)
    distances = np.linalg.norm(batch.obs[1:STEPS, :2] - task.goal, axis=1)
    np.testing.assert_allclose(batch.reward[: STEPS - 1], -distances, rtol=1e-5)
    np.testing.assert_allclose(batch.obs[1:, -2], batch.reward[:-1], rtol=1e-6)
    np.testing.assert_allclose(batch.value_target, 0.25 * np.cumsum(batch.reward[::-1])[::-1], rtol=1e-4)
    np.testing.assert_allclose(batch.advantage, batch.value_target - batch.value, rtol=1e-4, atol=1e-6)


def test_advantages_are_standardised_over_all_tasks(lifetimes):
    policy = network(lifetimes)
    algorithm = jaxmeta.rl2(lifetimes, policy=policy)
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(1), lifetimes, 4)
    adapt = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))
    _, collected = adapt(jax.random.split(jax.random.key(2), 4), theta, batch)
    advantage = np.asarray(standardised_together(collected).trajectory.advantage)
    np.testing.assert_allclose([advantage.mean(), advantage.std()], [0.0, 1.0], atol=1e-5)
    assert np.abs(advantage.mean(axis=(1, 2, 3))).max() > 0.05


def test_a_step_learns_from_advantages_of_one_scale(lifetimes):
    """Rewards a thousand times as large move the policy as far, where the critic has no part in the loss."""
    outer = jaxmeta.outer.by_optax(optax.sgd(0.1))
    batch = jaxmeta.sample_tasks(jax.random.key(1), lifetimes, 4)

    @jax.jit
    def moved(scale):
        def estimator(trajectory):
            return trajectory._replace(advantage=scale * trajectory.reward)

        settings = {"policy": network(lifetimes), "estimator": estimator, "value_weight": 0.0}
        algorithm = jaxmeta.rl2(lifetimes, outer=outer, **settings)
        state = algorithm.init(jax.random.key(0))
        new, _ = algorithm.step(jax.random.key(2), state, batch)
        return jax.tree.map(jnp.subtract, new.theta, state.theta)

    one, thousand = moved(1.0), moved(1000.0)
    chex.assert_trees_all_close(one, thousand, rtol=1e-3, atol=1e-6)
    assert optax.global_norm(one) > 1e-4


def test_minibatches_are_steps_on_parts_of_the_tasks(lifetimes):
    settings = {"policy": network(lifetimes), "task_chunk": 2}
    parted = jaxmeta.rl2(lifetimes, outer=jaxmeta.outer.by_optax(optax.sgd(0.1), 1, 3), **settings)

    def spy(theta, opt_state, objective, divergence):
        for index in range(3):
            (_, _), gradient = jax.value_and_grad(lambda theta, i=index: objective(theta, (i, 3)), has_aux=True)(theta)
            theta = jax.tree.map(lambda x, g: x - 0.1 * g, theta, gradient)
        return theta, opt_state, {"loss": jnp.zeros(()), "grad_norm": jnp.zeros(())}

    by_hand = jaxmeta.rl2(lifetimes, outer=jaxmeta.Outer(optax.sgd(0.1).init, spy), **settings)
    state = jax.jit(parted.init)(jax.random.key(0))
    batch = jaxmeta.sample_tasks(jax.random.key(1), lifetimes, 6)
    new, _ = jax.jit(parted.step)(jax.random.key(2), state, batch)
    expected, _ = jax.jit(by_hand.step)(jax.random.key(2), state, batch)
    chex.assert_trees_all_close(new.theta, expected.theta, rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="minibatches: got 3; must divide the 4 tasks of the meta-batch"):
        parted.step(jax.random.key(2), state, jaxmeta.sample_tasks(jax.random.key(1), lifetimes, 4))


def test_rl2_finds_the_better_arm(better_arm):
    outer = jaxmeta.outer.by_optax(optax.adam(1e-2), 4)
    algorithm = jaxmeta.rl2(
        better_arm.tasks,
        policy=jaxmeta.part(jaxmeta.networks.recurrent_policy_for, size=8),
        outer=outer,
        estimator=jaxmeta.data.critic_baseline(discount=1.0, trace_decay=0.5),
    )
    late = better_arm.learned(algorithm, 60)
    assert np.all(late["return_post"] > 2.8), late


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segment": 5}, "segment: got 5; must divide the lifetime's 12 steps"),
        ({"segment": 0}, "segment: got 0; must be at least 1"),
        (
            {"policy": jaxmeta.part(jaxmeta.networks.recurrent_policy_for, cell="rnn")},
            "cell: unknown name 'rnn'. Known: gru, lstm, linear, transformer",
        ),
        ({"entropy_weight": -1.0}, "entropy_weight: got -1.0; must be at least 0"),
        ({"reward_scale": 0.0}, "reward_scale: got 0.0; must be positive"),
        ({"clip": 0.0}, "epsilon: got 0.0; must be positive"),
    ],
)
def test_bad_settings_are_named(lifetimes, settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        jaxmeta.rl2(lifetimes, **settings)


def test_a_family_of_single_episodes_is_refused(navigation):
    with pytest.raises(ValueError, match=r"^tasks: not a family of lifetimes; give as_lifetime\("):
        jaxmeta.rl2(navigation)
