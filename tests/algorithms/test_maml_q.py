"""MAML-Q: what an update is, what is stored, and a probe that needs adaptation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.algorithms.replay import annealed

HORIZON = 3


@pytest.fixture(scope="module")
def tasks():
    """Three pulls of three arms; the observation tells nothing."""
    return jaxmeta.tasks.make("bernoulli-bandit", arms=3, horizon=HORIZON)


def small(tasks, **settings):
    sizes = {"episodes": 2, "capacity": 4, "batch_tasks": 2, "batch": 4, "updates": 2, "inner_batch": 6}
    policy = jaxmeta.networks.policy_for(tasks.env, hidden=(5,))
    return jaxmeta.maml_q(tasks, policy=policy, **(sizes | settings))


@pytest.fixture(scope="module")
def stepped(tasks):
    """A state, and what two meta-steps of three tasks made of it, with the tasks of each."""
    algorithm = small(tasks, priority_exponent=0.5, epsilon_decay=4, epsilon_end=0.2)
    step = jax.jit(algorithm.step)
    states, infos, batches = [jax.jit(algorithm.init)(jax.random.key(0))], [], []
    for seed in range(2):
        # Each task pays for one arm alone, and always.
        batch = jaxmeta.sample_tasks(jax.random.key(10 + seed), tasks, 3)
        batches.append(batch.replace(probability=jnp.eye(3)[(jnp.arange(3) + seed) % 3]))
        state, info = step(jax.random.key(seed), states[-1], batches[-1])
        states.append(state)
        infos.append(info)
    return algorithm, states, infos, batches


def test_epsilon_falls_in_a_straight_line_and_stays():
    progress = jnp.array([0.0, 0.25, 1.0, 3.0])
    np.testing.assert_allclose(annealed(1.0, 0.2, progress), [1.0, 0.8, 0.2, 0.2], rtol=1e-6)


def test_epsilon_falls_with_the_steps_and_is_not_part_of_theta(stepped, tasks):
    algorithm, states, infos, _ = stepped
    np.testing.assert_array_equal([state.opt_state.iteration for state in states], [0, 1, 2])
    np.testing.assert_allclose([info["epsilon"] for info in infos], [1.0, 0.8], rtol=1e-6)
    theta = states[0].theta
    assert jax.tree.structure(theta) == jax.tree.structure(jax.eval_shape(algorithm.learner.init, jax.random.key(0)))
    # In a new task actions are as random as at the end of training: in 0.2 of steps, a third of them the best.
    obs, _ = tasks.env.reset_env(jax.random.key(0), tasks.sample(jax.random.key(0)))
    _, log_prob, _, _ = algorithm.learner.act(jax.random.key(0), theta, theta, obs)
    assert min(abs(float(jnp.exp(log_prob)) - share) for share in (0.2 / 3, 0.8 + 0.2 / 3)) < 1e-5


def test_replay_never_mixes_tasks_and_the_oldest_are_written_over(stepped):
    _, states, _, batches = stepped
    data = states[-1].opt_state.buffer.data
    assert data.reward.shape == (4, 2, 2, HORIZON)
    # One meta-step of three tasks fits into four places: the second one stands where the first one stood.
    paying = [int(jnp.argmax(p)) for batch in batches for p in batch.probability]
    for place, task in enumerate((3, 4, 5)):
        np.testing.assert_array_equal(data.reward[place], data.action[place] == paying[task])


def test_an_update_moves_the_weights_and_the_slow_copy_follows(stepped):
    _, (before, after, _), (info, _), _ = stepped
    moved, followed = (
        optax.global_norm(jax.tree.map(jnp.subtract, weights, before.theta))
        for weights in (after.theta, after.opt_state.carried.target)
    )
    assert 0 < followed < 0.05 * moved
    assert info["env_steps"] == 3 * 2 * 2 * HORIZON
    assert info["skipped"] == 0


def test_priorities_are_of_the_tasks_errors_and_new_tasks_get_the_highest(stepped):
    _, (_, first, second), _, _ = stepped
    once = np.asarray(first.opt_state.buffer.priority)
    assert np.all(once[:3] > 0)
    assert once[3] == 0
    # Two updates of two tasks each: who was drawn has its error's root, who was not still has 1.
    assert np.any(once[:3] < 1.0)
    np.testing.assert_array_equal(np.asarray(second.opt_state.buffer.priority) > 0, [True, True, True, False])


def test_adapting_moves_the_weights_towards_what_paid(tasks):
    """Linear values, one step: h(Q) of the paying arm rises, of the others falls, by hand."""
    everywhere = lambda weights, obs: jnp.broadcast_to(weights, (*obs.shape[:-1], 3))  # noqa: E731
    policy = jaxmeta.networks.Policy(
        lambda key: jnp.full(3, 0.3), lambda weights, obs: jaxmeta.networks.Categorical(everywhere(weights, obs))
    )
    algorithm = jaxmeta.maml_q(
        tasks, policy=policy, inner_rate=0.5, inner_updates=1, inner_batch=6, discount=0.0, episodes=2, epsilon_end=1.0
    )
    theta = jax.jit(algorithm.learner.init)(jax.random.key(0))
    task = tasks.sample(jax.random.key(1)).replace(probability=jnp.array([0.0, 1.0, 0.0]))
    phi, lifetime = jax.jit(algorithm.adapt)(jax.random.key(2), theta, task)
    pulls = np.bincount(np.asarray(lifetime.trajectory.action[0]).ravel(), minlength=3)
    best = np.sqrt(2.0) - 1.0 + 1e-3  # h(1)
    np.testing.assert_allclose(phi, 0.3 + 0.5 * pulls / 6 * (np.array([0.0, best, 0.0]) - 0.3), rtol=1e-5)


def test_maml_q_finds_the_arm_that_pays():
    """Two arms, one of which always pays: 0.5 a pull before adaptation, 1 after it."""
    tasks = jaxmeta.tasks.make("bernoulli-bandit", arms=2, horizon=4)
    arms = lambda key: tasks.sample(key).replace(probability=jnp.eye(2)[jax.random.randint(key, (), 0, 2)])  # noqa: E731
    two = tasks._replace(sample=arms)
    algorithm = jaxmeta.maml_q(
        two,
        policy=jaxmeta.networks.policy_for(two.env, hidden=(16,)),
        inner_rate=0.3,
        discount=0.0,
        episodes=2,
        inner_batch=8,
        batch=16,
        updates=8,
        epsilon_decay=20,
        optimizer=optax.adam(1e-2),
    )
    train = jax.jit(lambda key: jaxmeta.meta_train(key, algorithm, two, iterations=60, meta_batch=16))
    _, metrics = train(jax.random.key(0))
    assert metrics["return_post"][-15:].mean() > 3.5, metrics["return_post"]
    assert metrics["return_pre"][-15:].mean() < 2.8, metrics["return_pre"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inner_rate": 0.0}, "inner_rate: got 0.0; must be positive"),
        ({"inner_updates": -1}, "inner_updates: got -1; must be at least 0"),
        ({"updates": 0}, "updates: got 0; must be at least 1"),
        ({"early_weight": 2.0}, "early_weight: got 2.0; must be in [0, 1]"),
        ({"target_rate": 0.0}, "target_rate: got 0.0; must be in (0, 1]"),
    ],
)
def test_bad_settings_are_named(tasks, settings, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        jaxmeta.maml_q(tasks, **settings)
    assert str(caught.value) == message


def test_continuous_actions_and_a_ring_that_is_too_small_are_refused(navigation, tasks):
    with pytest.raises(ValueError, match="Q-learning takes the best of a few: they must be Discrete"):
        jaxmeta.maml_q(navigation)
    algorithm = small(tasks, capacity=2)
    batch = jaxmeta.sample_tasks(jax.random.key(0), tasks, 3)
    with pytest.raises(ValueError, match="capacity: got 2; must be at least the 3 items"):
        jax.eval_shape(algorithm.step, jax.random.key(0), jax.eval_shape(algorithm.init, jax.random.key(0)), batch)
