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


@pytest.fixture(scope="module")
def batch(lifetimes):
    return jaxmeta.sample_tasks(jax.random.key(2), lifetimes, 8)


@pytest.fixture(scope="module")
def begun(lifetimes, settings):
    """The state that HyperX begins with, whatever the weights of its bonuses."""
    return jax.jit(jaxmeta.hyperx(lifetimes, **settings).init)(jax.random.key(0))


@pytest.fixture(scope="module")
def plain(lifetimes, settings, batch, begun):
    """VariBAD's meta-step from HyperX's θ: the state after it, and what it reports."""
    algorithm = jaxmeta.varibad(lifetimes, **settings)
    state = jax.jit(algorithm.init)(jax.random.key(0))._replace(theta=begun.theta)
    return jax.jit(algorithm.step)(jax.random.key(1), state, batch)


@pytest.fixture(scope="module")
def step(lifetimes, settings):
    """``step(key, state, batch, novelty_weight, error_weight)``, compiled once."""

    def weighted(key, state, batch, novelty_weight, error_weight):
        weights = {"novelty_weight": novelty_weight, "error_weight": error_weight}
        return jaxmeta.hyperx(lifetimes, **weights, **settings).step(key, state, batch)

    return jax.jit(weighted)


def test_without_weight_it_is_varibad(plain, step, begun, batch):
    # Nothing that only training needs is part of it.
    assert set(begun.theta) == {"policy", "model"}
    seeking, weighted = (step(jax.random.key(1), begun, batch, *weights) for weights in ((0.0, 0.0), (1.0, 0.1)))
    moved = {
        name: (new.theta, info["return_post"])
        for name, (new, info) in (("plain", plain), ("seeking", seeking), ("weighted", weighted))
    }
    distance = lambda a, b: optax.global_norm(jax.tree.map(jnp.subtract, moved[a][0], moved[b][0]))  # noqa: E731
    assert distance("plain", "seeking") < 1e-6
    assert distance("plain", "weighted") > 1e-4
    # What is reported is the environment's own return, whatever was learned from.
    assert moved["plain"][1] == moved["seeking"][1] == moved["weighted"][1]


def test_the_random_network_stays_and_its_copy_comes_near(step, begun, batch):
    states, infos = [begun], []
    for key in jax.random.split(jax.random.key(3), 30):
        state, info = step(key, states[-1], batch, 0.01, 0.1)
        states.append(state)
        infos.append(info)
    before, after = (each.opt_state.novelty for each in states[:2])
    assert optax.global_norm(jax.tree.map(jnp.subtract, after["random"], before["random"])) == 0.0
    assert optax.global_norm(jax.tree.map(jnp.subtract, after["copy"], before["copy"])) > 0.0
    assert 0.0 < infos[-1]["novelty"] < 0.5 * infos[0]["novelty"]


def test_bonuses_fall_to_nothing_and_novelty_counts_by_its_recent_mean(lifetimes, settings, plain, step, batch):
    falling = jaxmeta.hyperx(lifetimes, anneal=2, novelty_weight=1.0, error_weight=0.0, **settings)
    fall = jax.jit(falling.step)
    state = jax.jit(falling.init)(jax.random.key(0))
    once, first = fall(jax.random.key(1), state, batch)
    _, second = fall(jax.random.key(3), once, batch)
    assert (first["exploring"], second["exploring"]) == (0.5, 0.0)
    before, after = (each.opt_state.recent for each in (state, once))
    np.testing.assert_allclose(after, 0.9 * before + 0.1 * first["novelty"], rtol=1e-5)

    def moved(**exploring):
        start = state._replace(opt_state=state.opt_state._replace(**exploring))
        return fall(jax.random.key(1), start, batch)[0].theta["policy"]

    halved = step(jax.random.key(1), state, batch, 0.5, 0.0)[0].theta["policy"]
    chex.assert_trees_all_close(moved(share=jnp.zeros(())), plain[0].theta["policy"], atol=1e-6)
    chex.assert_trees_all_close(moved(recent=2.0 * before), halved, atol=1e-6)
    assert optax.global_norm(jax.tree.map(jnp.subtract, moved(), halved)) > 1e-4


def test_a_bonus_is_learned_from_as_a_reward(lifetimes, settings, batch):
    """A bonus that undoes the rewards leaves what a critic's own values give, as if nothing had been paid."""
    estimator = jaxmeta.data.critic_baseline(discount=1.0, trace_decay=1.0)

    @jax.jit
    def moved(bonus, paid):
        algorithm = jaxmeta.varibad(
            lifetimes,
            bonus=lambda theta, lifetime: bonus * lifetime.trajectory.reward[-1, 0],
            estimator=lambda trajectory: estimator(trajectory._replace(reward=paid * trajectory.reward)),
            **settings,
        )
        new, info = algorithm.step(jax.random.key(1), algorithm.init(jax.random.key(0)), batch)
        return new.theta["policy"], info

    (undone, info), (unpaid, _), (rewarded, _) = (moved(*each) for each in ((-1.0, 1.0), (0.0, 0.0), (0.0, 1.0)))
    same, other = (optax.global_norm(jax.tree.map(jnp.subtract, undone, each)) for each in (unpaid, rewarded))
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
