"""HyperX: its bonuses by definition, what they are for, and what they leave alone."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta


@pytest.fixture(scope="module")
def lifetimes():
    return jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("dependent-bandit", horizon=3, level="easy"), 2)


@pytest.fixture(scope="module")
def settings(lifetimes):
    model = jaxmeta.networks.belief_model_for(lifetimes.env, horizon=6, latent=2, size=6, hidden=(5,), decoder=(7,))
    # Entry by entry: what shortens a whole gradient would let one part's length tell on another's step.
    one = jaxmeta.outer.by_optax(optax.chain(optax.clip(0.1), optax.sgd(0.1)))
    return {"model": model, "outer": one, "model_outer": one}


def stepped(algorithm, tasks):
    state = jax.jit(algorithm.init)(jax.random.key(0))
    batch = jaxmeta.sample_tasks(jax.random.key(2), tasks, 8)
    return (state, *jax.jit(algorithm.step)(jax.random.key(1), state, batch))


def test_without_weight_it_is_varibad(lifetimes, settings):
    plain = jaxmeta.varibad(lifetimes, **settings)
    seeking = jaxmeta.hyperx(lifetimes, novelty_weight=0.0, error_weight=0.0, **settings)
    weighted = jaxmeta.hyperx(lifetimes, novelty_weight=1.0, **settings)
    theta = jax.jit(seeking.init)(jax.random.key(0)).theta
    # Nothing that only training needs is part of it.
    assert set(theta) == {"policy", "model"}
    batch = jaxmeta.sample_tasks(jax.random.key(2), lifetimes, 8)
    moved = {}
    for name, algorithm in (("plain", plain), ("seeking", seeking), ("weighted", weighted)):
        state = jax.jit(algorithm.init)(jax.random.key(0))._replace(theta=theta)
        new, info = jax.jit(algorithm.step)(jax.random.key(1), state, batch)
        moved[name] = (new.theta, info["return_post"])
    distance = lambda a, b: optax.global_norm(jax.tree.map(jnp.subtract, moved[a][0], moved[b][0]))  # noqa: E731
    assert distance("plain", "seeking") < 1e-6
    assert distance("plain", "weighted") > 1e-4
    # What is reported is the environment's own return, whatever was learned from.
    assert moved["plain"][1] == moved["seeking"][1] == moved["weighted"][1]


def test_the_random_network_stays_and_its_copy_comes_near(lifetimes, settings):
    algorithm = jaxmeta.hyperx(lifetimes, **settings)
    state, new, info = stepped(algorithm, lifetimes)
    before, after = (each.opt_state.novelty for each in (state, new))
    assert optax.global_norm(jax.tree.map(jnp.subtract, after["random"], before["random"])) == 0.0
    assert optax.global_norm(jax.tree.map(jnp.subtract, after["copy"], before["copy"])) > 0.0
    train = jax.jit(lambda key: jaxmeta.meta_train(key, algorithm, lifetimes, iterations=30, meta_batch=8))
    _, metrics = train(jax.random.key(3))
    assert metrics["novelty"][-1] < 0.5 * metrics["novelty"][0]
    assert info["novelty"] > 0.0


def test_bonuses_fall_to_nothing_and_novelty_counts_by_its_recent_mean(lifetimes, settings):
    plain = jaxmeta.varibad(lifetimes, **settings)
    falling = jaxmeta.hyperx(lifetimes, anneal=2, novelty_weight=1.0, error_weight=0.0, **settings)
    halved = jaxmeta.hyperx(lifetimes, novelty_weight=0.5, error_weight=0.0, **settings)
    state, once, first = stepped(falling, lifetimes)
    batch = jaxmeta.sample_tasks(jax.random.key(2), lifetimes, 8)
    _, second = jax.jit(falling.step)(jax.random.key(3), once, batch)
    assert (first["exploring"], second["exploring"]) == (0.5, 0.0)
    before, after = (each.opt_state.recent for each in (state, once))
    np.testing.assert_allclose(after, 0.9 * before + 0.1 * first["novelty"], rtol=1e-5)

    def moved(algorithm, **exploring):
        start = jax.jit(algorithm.init)(jax.random.key(0))._replace(theta=state.theta)
        if algorithm is not plain:
            start = start._replace(opt_state=state.opt_state._replace(**exploring))
        return jax.jit(algorithm.step)(jax.random.key(1), start, batch)[0].theta["policy"]

    chex.assert_trees_all_close(moved(falling, share=jnp.zeros(())), moved(plain), atol=1e-6)
    chex.assert_trees_all_close(moved(falling, recent=2.0 * before), moved(halved), atol=1e-6)
    assert optax.global_norm(jax.tree.map(jnp.subtract, moved(falling), moved(halved))) > 1e-4


def test_a_bonus_is_learned_from_as_a_reward(lifetimes, settings):
    """A bonus that undoes the rewards leaves what a critic's own values give, as if nothing had been paid."""
    undone = lambda theta, lifetime: -lifetime.trajectory.reward[-1, 0]  # noqa: E731
    estimator = jaxmeta.data.critic_baseline(discount=1.0, trace_decay=1.0)

    def unpaid(trajectory):
        return estimator(trajectory._replace(reward=jnp.zeros_like(trajectory.reward)))

    moved = []
    for more in ({"bonus": undone, "estimator": estimator}, {"estimator": unpaid}, {"estimator": estimator}):
        _, new, info = stepped(jaxmeta.varibad(lifetimes, **more, **settings), lifetimes)
        moved.append(new.theta["policy"])
    same, other = (optax.global_norm(jax.tree.map(jnp.subtract, moved[0], each)) for each in moved[1:])
    assert same < 1e-6
    assert other > 1e-4
    assert info["return_pre"] > 0.0


def test_the_error_bonus_is_what_the_posterior_after_a_step_gets_wrong_of_it(settings):
    """Predictions of 1 and of the state itself: wrong by the reward less 1, and by how far the step led."""
    moves = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("navigation", horizon=3), 2)
    model = jaxmeta.networks.belief_model_for(moves.env, horizon=6, latent=2, size=6, hidden=(5,), decoder=(7,))
    model = model._replace(predict=lambda params, latent, obs, action: (jnp.ones(obs.shape[0]), obs[:, :2]))
    kept = []

    def estimator(trajectory):
        jax.debug.callback(lambda reward: kept.append(np.array(reward)), trajectory.reward)
        return jaxmeta.data.critic_baseline(discount=1.0, trace_decay=1.0)(trajectory)

    weights = {"novelty_weight": 0.0, "error_weight": 2.0, "state_weight": 10.0}
    algorithm = jaxmeta.hyperx(moves, estimator=estimator, **(settings | {"model": model}), **weights)
    state = jax.jit(algorithm.init)(jax.random.key(0))
    jax.jit(algorithm.step)(jax.random.key(1), state, jaxmeta.sample_tasks(jax.random.key(2), moves, 1))
    jax.effects_barrier()
    plain, rewarded = (np.ravel(each) for each in kept)
    bonus = rewarded - plain
    # The third and the last step lead to another episode, or to none: their states are not predicted.
    np.testing.assert_allclose(bonus[[2, 5]], np.square(1.0 - plain[[2, 5]]), rtol=1e-4)
    assert np.all(bonus[[0, 1, 3, 4]] > np.square(1.0 - plain[[0, 1, 3, 4]]) + 1e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"novelty_weight": -1.0}, "novelty_weight: got -1.0; must be at least 0"),
        ({"anneal": 0}, "anneal: got 0; must be at least 1"),
        ({"features": 0}, "features: got 0; must be at least 1"),
        ({"prefixes": 0}, "prefixes: got 0; must be at least 1"),
    ],
)
def test_bad_settings_are_named(lifetimes, given, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        jaxmeta.hyperx(lifetimes, **given)
