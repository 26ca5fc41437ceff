"""What methods with replay share: stored items are checked, updates move weights, slow copies and priorities."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.algorithms.contract import check_stored
from jaxmeta.algorithms.replay import annealing, gradient_updates, replay_method
from jaxmeta.data import append, empty_buffer

HORIZON = 3


@pytest.fixture(scope="module")
def tasks():
    return jaxmeta.tasks.make("bernoulli-bandit", arms=2, horizon=HORIZON)


def squares(weights, target, keys, items, importance):
    """The error of one number against stored numbers; the priority is its size."""
    error = weights - items
    return jnp.mean(0.5 * importance * error**2), ({"seen": jnp.mean(items)}, jnp.abs(error) + 1e-6)


def test_updates_descend_and_set_slow_copies_and_priorities_by_hand():
    """One stored number, 4; the weight starts at 0 and goes half of the way at each of three updates."""
    updates = gradient_updates(
        squares,
        optax.sgd(0.5),
        updates=3,
        batch=2,
        target_of=lambda weights: weights,
        follow=lambda weights, target, count: jnp.where(count % 2 == 0, weights, target),
        random=False,
    )
    buffer = append(empty_buffer(jnp.zeros(()), 5), jnp.array([4.0]), jnp.array([7.0]))
    weights, state = updates.start(jnp.zeros(()))
    weights, state, buffer, infos = updates.run(jax.random.key(0), weights, state, buffer, jnp.zeros((), jnp.int32))
    np.testing.assert_allclose(infos["loss"], [8.0, 2.0, 0.5])
    np.testing.assert_allclose(infos["grad_norm"], [4.0, 2.0, 1.0])
    np.testing.assert_allclose(infos["seen"], 4.0)
    np.testing.assert_allclose(weights, 3.5)
    np.testing.assert_allclose(state.target, 3.0)
    np.testing.assert_allclose(buffer.priority, [1.0, 0.0, 0.0, 0.0, 0.0], atol=1e-5)
    # The count of updates goes on from one meta-step to the next: the fourth and the sixth are copied.
    _, state, _, _ = updates.run(jax.random.key(0), weights, state, buffer, jnp.ones((), jnp.int32))
    np.testing.assert_allclose(state.target, 4.0 - 0.5 / 8.0)


def small(tasks, **settings):
    """Stores the rewards of each task, and learns nothing."""
    learner = jaxmeta.learners.uniform_learner(tasks.env)
    given = {
        "init": lambda key: ((), {"carried": jnp.zeros(())}),
        "store": lambda keys, theta, lifetimes: jnp.sum(lifetimes.trajectory.reward, axis=(1, 2, 3)),
        "learn": lambda keys, theta, state, lifetimes: (theta, state, {"loss": jnp.zeros(()), "grad_norm": jnp.inf}),
        "capacity": 4,
        "adaptation_steps": 0,
        "episodes": 2,
    }
    return replay_method(tasks, learner, learner, **(given | settings))


def test_items_are_stored_and_meta_steps_counted_unless_the_step_is_undone(tasks):
    def learn(keys, theta, state, lifetimes):
        assert len(keys) == 4
        return theta, state, {"loss": jnp.zeros(()), "grad_norm": jnp.zeros(())}

    batch = jaxmeta.sample_tasks(jax.random.key(0), tasks, 3)
    for settings, stored in (({"learn": learn}, 3), ({}, 0)):
        algorithm = small(tasks, **settings, report=lambda iteration: {"iteration": iteration})
        state, info = jax.jit(algorithm.step)(jax.random.key(1), algorithm.init(jax.random.key(0)), batch)
        assert int(jnp.sum(state.opt_state.buffer.priority)) == stored
        assert int(state.opt_state.iteration) == (stored > 0)
        assert (int(info["skipped"]), int(info["iteration"])) == (stored == 0, 0)
        assert int(info["env_steps"]) == 3 * 2 * HORIZON
    np.testing.assert_allclose(info["return_post"], info["return_pre"])


def test_the_learner_that_collects_knows_how_many_meta_steps_were_made(tasks):
    def fixed(iteration):
        action = jnp.minimum(iteration, 1)
        return jaxmeta.learners.uniform_learner(tasks.env)._replace(
            act=lambda key, theta, phi, obs: (action, jnp.zeros(()), jnp.zeros(()), phi)
        )

    def learn(keys, theta, state, lifetimes):
        info = {"action": jnp.mean(lifetimes.trajectory.action * 1.0)}
        return theta, state, {**info, "loss": jnp.zeros(()), "grad_norm": jnp.zeros(())}

    algorithm = small(tasks, learn=learn, collecting=fixed)
    step, state = jax.jit(algorithm.step), algorithm.init(jax.random.key(0))
    actions = []
    for seed in range(2):
        state, info = step(jax.random.key(seed), state, jaxmeta.sample_tasks(jax.random.key(0), tasks, 2))
        actions.append(float(info["action"]))
    assert actions == [0.0, 1.0]


def test_the_share_of_random_actions_falls_in_a_straight_line():
    share = annealing(epsilon=1.0, epsilon_end=0.2, epsilon_decay=4)
    np.testing.assert_allclose([share(jnp.int32(made)) for made in (0, 1, 4, 9)], [1.0, 0.8, 0.2, 0.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("items", "got"),
    [({"a": jnp.zeros((2, 3)), "b": jnp.zeros(3)}, r"\(2,\), \(3,\)"), (jnp.zeros(()), r"\(\)"), ((), "no arrays")],
)
def test_what_is_not_a_number_of_items_is_refused(tasks, items, got):
    message = f"^store: all that is stored must lead with the same number of items, got {got}$"
    with pytest.raises(ValueError, match=message):
        check_stored(jax.eval_shape(lambda: items))
    with pytest.raises(ValueError, match=message):
        small(tasks, store=lambda keys, theta, lifetimes: items)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"updates": 0}, "updates: got 0; must be at least 1"),
        ({"batch": 0}, "batch: got 0; must be at least 1"),
        ({"weight_exponent": 2.0}, r"weight_exponent: got 2.0; must be in \[0, 1\]"),
    ],
)
def test_bad_settings_of_updates_are_named(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        gradient_updates(squares, optax.sgd(0.1), **({"updates": 1, "batch": 1} | settings))
