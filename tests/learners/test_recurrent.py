"""Learners that adapt by their memory: what was acted is replayed, nothing is seen too early, and RL² learns."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.algorithms.lifetime_ppo import standardised_together
from jaxmeta.learners import replay_lifetimes

LIFETIME, STEPS = 2, 6


@pytest.fixture(scope="module")
def lifetimes():
    return jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation", horizon=STEPS), LIFETIME)


def network(tasks, cell="gru", **settings):
    return jaxmeta.networks.recurrent_policy_for(tasks.env, horizon=tasks.horizon, cell=cell, size=8, **settings)


@pytest.fixture(scope="module", params=jaxmeta.networks.CELLS)
def acted(request, lifetimes):
    """A network, its weights, and the trajectory [1, T] of one lifetime."""
    policy = network(lifetimes, request.param, embedding=(5,), hidden=(7,))
    algorithm = jaxmeta.rl2(lifetimes, policy=policy)
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    _, lifetime = jax.jit(algorithm.adapt)(jax.random.key(1), theta, lifetimes.sample(jax.random.key(2)))
    return policy, theta, jax.tree.map(lambda x: x[-1], lifetime.trajectory)


def test_score_replays_what_was_acted(acted):
    policy, theta, trajectory = acted
    learner = jaxmeta.learners.recurrent_learner(policy)
    log_prob, value = learner.score(theta, learner.begin(theta), trajectory)
    np.testing.assert_allclose(log_prob, trajectory.log_prob, atol=3e-6)
    np.testing.assert_allclose(value, trajectory.value, atol=3e-6)
    assert np.ptp(value) > 0


def test_a_step_does_not_depend_on_later_ones(acted):
    policy, theta, trajectory = acted
    changed = trajectory._replace(obs=trajectory.obs.at[:, 4:].add(1.0))
    learner = jaxmeta.learners.recurrent_learner(policy)
    before, after = (learner.score(theta, learner.begin(theta), each) for each in (trajectory, changed))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old[:, :4], new[:, :4])
        assert np.all(old[:, 4:] != new[:, 4:])


def test_segments_have_the_values_of_the_whole_and_its_gradient_within_each(acted):
    policy, theta, trajectory = acted
    obs, length = trajectory.obs, trajectory.obs.shape[1]

    def run(policy):
        def total(obs):
            distribution, value, _ = replay_lifetimes(policy, theta, policy.begin(theta), obs)
            return value, distribution.log_prob(trajectory.action)

        return jax.jit(lambda obs: (total(obs), jax.jacobian(lambda obs: total(obs)[0])(obs)[0, :, 0].sum(-1)))(obs)

    (whole, gradient), (cut, cut_gradient) = run(policy), run(jaxmeta.networks.in_segments(policy, 4))
    chex.assert_trees_all_close(whole, cut, atol=1e-5)
    same = np.arange(length)[:, None] // 4 == np.arange(length) // 4
    np.testing.assert_allclose(np.where(same, gradient, 0.0), cut_gradient, atol=1e-5)
    assert np.any(np.abs(gradient[~same & np.tri(length, dtype=bool)]) > 1e-6)


def test_returns_come_by_episode(lifetimes):
    algorithm = jaxmeta.rl2(lifetimes, policy=network(lifetimes))
    theta = algorithm.init(jax.random.key(0)).theta
    task = lifetimes.sample(jax.random.key(2))
    _, lifetime = jax.jit(algorithm.adapt)(jax.random.key(1), theta, task)
    # Nothing ends early here, so an episode is STEPS steps.
    reward = np.asarray(lifetime.trajectory.reward).reshape(LIFETIME, STEPS)
    np.testing.assert_allclose(
        jaxmeta.data.stage_returns(lifetimes.env, lifetime.trajectory), reward.sum(axis=1), rtol=1e-6
    )
    evaluate = jax.jit(
        lambda key: jaxmeta.runs.adaptation_returns(key, algorithm, lifetimes, theta, task, greedy_episodes=2)
    )
    returns = evaluate(jax.random.key(3))
    assert returns["sampled"].shape == returns["deterministic"].shape == (LIFETIME,)


def test_episodes_of_a_lifetime_that_ends_early_are_told_apart(lifetimes):
    """Two episodes, of two steps and of one; what comes after is padding, whose flag of an end stays up."""
    ended = jnp.array([0.0, 0.0, 1.0, 1.0, 1.0])
    obs = jnp.stack([jnp.zeros(5), ended], axis=1)
    reward = jnp.array([1.0, 2.0, 4.0, 0.0, 0.0])
    np.testing.assert_array_equal(lifetimes.env.episode_returns(obs, reward), [3.0, 4.0])


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
    theta = algorithm.init(jax.random.key(0)).theta
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
    theta = algorithm.init(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(1), lifetimes, 4)
    adapt = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))
    _, collected = adapt(jax.random.split(jax.random.key(2), 4), theta, batch)
    advantage = np.asarray(standardised_together(collected).trajectory.advantage)
    np.testing.assert_allclose([advantage.mean(), advantage.std()], [0.0, 1.0], atol=1e-5)
    assert np.abs(advantage.mean(axis=(1, 2, 3))).max() > 0.05


def test_a_step_learns_from_advantages_of_one_scale(lifetimes):
    """Rewards a thousand times as large move the policy as far, where the critic has no part in the loss."""
    moved = []
    for scale in (1.0, 1000.0):

        def estimator(trajectory, scale=scale):
            return trajectory._replace(advantage=scale * trajectory.reward)

        settings = {"policy": network(lifetimes), "estimator": estimator, "value_weight": 0.0}
        algorithm = jaxmeta.rl2(lifetimes, outer=jaxmeta.outer.by_optax(optax.sgd(0.1)), **settings)
        state = algorithm.init(jax.random.key(0))
        batch = jaxmeta.sample_tasks(jax.random.key(1), lifetimes, 4)
        new, _ = jax.jit(algorithm.step)(jax.random.key(2), state, batch)
        moved.append(jax.tree.map(jnp.subtract, new.theta, state.theta))
    chex.assert_trees_all_close(*moved, rtol=1e-3, atol=1e-6)
    assert optax.global_norm(moved[0]) > 1e-4


def test_minibatches_are_steps_on_parts_of_the_tasks(lifetimes):
    settings = {"policy": network(lifetimes), "task_chunk": 2}
    parted = jaxmeta.rl2(lifetimes, outer=jaxmeta.outer.by_optax(optax.sgd(0.1), 1, 3), **settings)

    def spy(theta, opt_state, objective, divergence):
        for index in range(3):
            (_, _), gradient = jax.value_and_grad(lambda theta, i=index: objective(theta, (i, 3)), has_aux=True)(theta)
            theta = jax.tree.map(lambda x, g: x - 0.1 * g, theta, gradient)
        return theta, opt_state, {"loss": jnp.zeros(()), "grad_norm": jnp.zeros(())}

    by_hand = jaxmeta.rl2(lifetimes, outer=jaxmeta.Outer(optax.sgd(0.1).init, spy), **settings)
    state = parted.init(jax.random.key(0))
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
