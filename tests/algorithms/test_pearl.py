"""PEARL: its posterior in closed form, data that never mixes tasks, and a probe that needs inference."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.data import transitions_of
from jaxmeta.networks import Belief, prior, update_belief

HORIZON = 6


@pytest.fixture(scope="module")
def tasks():
    return jaxmeta.tasks.make("navigation", horizon=HORIZON)


@pytest.fixture(scope="module")
def model(tasks):
    return jaxmeta.networks.latent_model_for(tasks.env, latent=3, hidden=(8,), inference=(8,))


@pytest.fixture(scope="module")
def algorithm(tasks, model):
    return jaxmeta.pearl(tasks, model=model, adaptation_steps=1, capacity=4, batch_tasks=2, batch=4, updates=2)


@pytest.fixture(scope="module")
def adapted(tasks, algorithm):
    """Slow weights, and what the same key adapts to in three tasks."""
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(1), tasks, 3)
    phi, lifetimes = jax.jit(jax.vmap(algorithm.adapt, (None, None, 0)))(jax.random.key(2), theta, batch)
    return theta, batch, phi, lifetimes


def test_the_posterior_is_the_product_of_its_factors():
    """N(0, 1) and two observations, 1 ± 1/2 and 3 ± 1/2 (variances): precisions 1, 2 and 2; a third has no weight."""
    factors = Belief(jnp.array([[2.0], [2.0], [5.0]]), jnp.array([[2.0], [6.0], [50.0]]))
    posterior = update_belief(prior(1), factors, jnp.array([1.0, 1.0, 0.0])).gaussian()
    np.testing.assert_allclose(posterior.mean, [8.0 / 5.0])
    np.testing.assert_allclose(jnp.exp(2.0 * posterior.log_std), [1.0 / 5.0], rtol=1e-6)


def test_the_posterior_does_not_depend_on_the_order_of_transitions(algorithm, model, adapted):
    theta, _, _, lifetimes = adapted
    data = jax.tree.map(lambda x: x[0, 0], lifetimes.trajectory)
    begin, absorb = algorithm.learner.begin(theta), jax.jit(algorithm.learner.absorb)
    in_order = absorb(theta, begin, data).belief
    order = jax.random.permutation(jax.random.key(3), HORIZON)
    stored = jax.tree.map(
        lambda x: x[:HORIZON][order], transitions_of(jax.tree.map(lambda x: x[0], lifetimes.trajectory))
    )
    said = jax.jit(model.factors)(theta, stored.obs, stored.action, stored.reward, stored.next_obs)
    chex.assert_trees_all_close(in_order, update_belief(begin.belief, said, stored.mask), rtol=1e-5)
    assert not np.allclose(in_order.shift, 0.0)
    # Nor on where the data is cut in two.
    first, second = (data._replace(mask=data.mask * (jnp.arange(HORIZON) % 2 == half)) for half in (0, 1))
    in_parts = absorb(theta, absorb(theta, begin, first), second).belief
    chex.assert_trees_all_close(in_order, in_parts, rtol=1e-5)


def test_nothing_is_known_of_a_task_before_its_first_episode_was_seen(adapted):
    """Where tasks differ in rewards alone, the same key acts alike in all of them until the posterior moves."""
    _, _, _, lifetimes = adapted
    actions = lifetimes.trajectory.action
    np.testing.assert_array_equal(actions[0, 0], actions[1, 0])
    np.testing.assert_array_equal(actions[0, 0], actions[2, 0])
    assert np.abs(actions[0, 1] - actions[1, 1]).max() > 1e-4


def compiled(learner):
    """The learner, each of its functions as one program."""
    return learner._replace(**{name: jax.jit(getattr(learner, name)) for name in ("act", "absorb", "score")})


def test_a_latent_lasts_an_episode_and_the_score_is_that_of_what_was_done(algorithm, adapted):
    theta, _, _, lifetimes = adapted
    learner, episode = compiled(algorithm.learner), jax.tree.map(lambda x: x[0, 0], lifetimes.trajectory)
    phi = learner.begin(theta)
    latents = []
    for time, key in enumerate(jax.random.split(jax.random.key(4), 3)):
        *_, phi = learner.act(key, theta, phi, episode.obs[0, time])
        latents.append(phi.latent)
    np.testing.assert_array_equal(latents[0], latents[2])
    action, log_prob, value, after = learner.act(key, theta, phi, episode.obs[0, 0])
    again = episode._replace(action=episode.action.at[0, 0].set(action))
    scored, values = learner.score(theta, phi, again)
    np.testing.assert_allclose(scored[0, 0], log_prob, rtol=1e-4)
    np.testing.assert_array_equal(values[0, 0], value)
    *_, fresh = learner.act(key, theta, learner.absorb(theta, after, episode), episode.obs[0, 0])
    assert not np.allclose(fresh.latent, latents[0])


def test_transitions_lead_from_one_observation_to_the_next(adapted):
    """Of two episodes the second ended after four steps; what follows is padding."""
    lifetime = jax.tree.map(lambda x: x[0], adapted[3])
    batch = lifetime.trajectory
    mask = batch.mask.at[1, 0, 4:].set(0.0)
    stored = transitions_of(batch._replace(mask=mask))
    np.testing.assert_array_equal(stored.mask, [1] * 6 + [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(stored.next_obs[:5], stored.obs[1:6])
    np.testing.assert_array_equal(stored.next_obs[5], batch.final_obs[0, 0])
    np.testing.assert_array_equal(stored.obs[6], [0.0, 0.0])
    np.testing.assert_array_equal(stored.next_obs[11], batch.final_obs[1, 0])


def test_after_adaptation_an_episode_has_a_latent_of_its_own_and_the_greedy_one_the_mean(algorithm, adapted):
    theta, _, adapted_phi, lifetimes = adapted
    phi, obs = (jax.tree.map(lambda x: x[0], each) for each in (adapted_phi, lifetimes.trajectory.final_obs[:, 0, 0]))
    learner = compiled(algorithm.learner)
    latents = [learner.act(key, theta, phi, obs)[3].latent for key in jax.random.split(jax.random.key(0), 2)]
    assert not np.allclose(*latents)
    *_, moved = algorithm.greedy.act(jax.random.key(0), theta, phi, obs)
    np.testing.assert_array_equal(moved.latent, phi.belief.gaussian().mean)
    # The posterior that was acted by in the last episode: of the first episode alone.
    first = jax.tree.map(lambda x: x[0, 0], lifetimes.trajectory)
    after = learner.absorb(theta, learner.begin(theta), first)
    chex.assert_trees_all_close(phi.belief, after.belief, rtol=1e-5)


def test_where_a_step_led_is_part_of_what_it_says(model, adapted):
    """Tasks may differ in their dynamics alone."""
    theta, _, _, lifetimes = adapted
    batch = jax.tree.map(lambda x: x[0, 0, 0], lifetimes.trajectory)
    here, there = (model.factors(theta, batch.obs, batch.action, batch.reward, batch.obs + move) for move in (0.0, 0.1))
    assert np.abs(here.shift - there.shift).min() > 0.0


def test_padding_is_never_learned_from_and_nothing_follows_an_end(tasks, model):
    """All but the first step of each lifetime is padding, which says nonsense; the first step is an end."""
    ends = tasks.sample(jax.random.key(0)).replace(goal=jnp.zeros(2), goal_tolerance=jnp.float32(10.0))
    ending = tasks._replace(sample=lambda key: ends)
    algorithm = jaxmeta.pearl(
        ending, model=model, adaptation_steps=0, updates=300, batch=16, capacity=8, optimizer=optax.adam(1e-2)
    )
    train = jax.jit(lambda key: jaxmeta.meta_train(key, algorithm, ending, iterations=4, meta_batch=4))
    _, metrics = train(jax.random.key(0))
    # Nothing is to be had after the one step: its value is its reward, −0.1 at most in each coordinate.
    assert -0.15 < metrics["value"][-1] < 0.0
    assert metrics["env_steps"][-1] == 4


def test_replay_never_mixes_tasks(tasks, algorithm):
    """An item's rewards are those of one goal, and an item is overwritten as a whole."""
    step = jax.jit(algorithm.step)
    state, batches = jax.jit(algorithm.init)(jax.random.key(0)), []
    for seed in range(2):
        batches.append(jaxmeta.sample_tasks(jax.random.key(10 + seed), tasks, 3))
        state, info = step(jax.random.key(seed), state, batches[-1])
        assert info["skipped"] == 0
    data = state.opt_state.buffer.data
    assert data.reward.shape == (4, 2 * HORIZON)
    # One meta-step of three tasks fits into four places: the second one stands where the first one stood.
    for place, goal in enumerate(batches[1].goal):
        distance = jnp.linalg.norm(data.next_obs[place] - goal, axis=-1)
        np.testing.assert_allclose(data.reward[place], -distance * data.mask[place], atol=1e-5)


def test_a_step_moves_every_network_and_slow_critics_follow(tasks, algorithm):
    state = jax.jit(algorithm.init)(jax.random.key(0))
    new, info = jax.jit(algorithm.step)(jax.random.key(1), state, jaxmeta.sample_tasks(jax.random.key(2), tasks, 3))
    for name in ("encoder", "actor", "critics", "log_temperature"):
        assert optax.global_norm(jax.tree.map(jnp.subtract, new.theta[name], state.theta[name])) > 0, name
    moved, followed = (
        optax.global_norm(jax.tree.map(jnp.subtract, critics, state.theta["critics"]))
        for critics in (new.theta["critics"], new.opt_state.carried.target)
    )
    assert 0 < followed < 0.02 * moved
    assert info["env_steps"] == 3 * 2 * HORIZON


def test_pearl_finds_the_side_that_pays(tasks):
    """Two goals, left and right: −3 is the best of six steps for who cannot tell them apart, −1 for who can."""
    goals = jnp.array([[-0.5, 0.0], [0.5, 0.0]])
    sample = lambda key: tasks.sample(key).replace(goal=jax.random.choice(key, goals))  # noqa: E731
    sides = tasks._replace(sample=sample)
    algorithm = jaxmeta.pearl(
        sides,
        model=jaxmeta.networks.latent_model_for(sides.env, latent=1, hidden=(32,), inference=(32,)),
        adaptation_steps=1,
        optimizer=optax.adam(3e-3),
        discount=0.5,
        temperature=0.02,
        target_rate=0.05,
        divergence_weight=0.001,
        capacity=400,
        updates=60,
        batch=16,
    )
    train = jax.jit(lambda key: jaxmeta.meta_train(key, algorithm, sides, iterations=30, meta_batch=10))
    _, metrics = train(jax.random.key(0))
    assert metrics["return_post"][-10:].mean() > -2.4, metrics["return_post"]
    assert metrics["return_pre"][-10:].mean() < -2.6, metrics["return_pre"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adaptation_steps": -1}, "adaptation_steps: got -1; must be at least 0"),
        ({"updates": 0}, "updates: got 0; must be at least 1"),
        ({"temperature": 0.0}, "temperature: got 0.0; must be positive"),
        ({"divergence_weight": -1.0}, "divergence_weight: got -1.0; must be at least 0"),
        ({"discount": 1.5}, r"discount: got 1.5; must be in \[0, 1\]"),
        ({"temperature": -1.0}, "temperature: got -1.0; must be positive"),
        ({"target_rate": 0.0}, r"target_rate: got 0.0; must be in \(0, 1\]"),
    ],
)
def test_bad_settings_are_named(tasks, settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        jaxmeta.pearl(tasks, **settings)


def test_discrete_actions_are_refused():
    with pytest.raises(ValueError, match=r"^env: action space is .*; soft actor-critic needs a Box of rank 1$"):
        jaxmeta.pearl(jaxmeta.tasks.make("gridnavi"))
