"""Recorded episodes: as trajectories, and what learners make of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta.data import absorbs, adapt_on, collect_episodes, recorded


@functools.cache
def built(method, family, **settings):
    return jaxmeta.experiment(method, family, **settings).build()


CASES = {
    "maml": ("navigation", {"family": {"horizon": 6}, "episodes": 3}),
    "pearl": ("pendulum", {"family": {"horizon": 6}}),
    "maml-q": ("cartpole", {"family": {"horizon": 30}}),
}


@pytest.mark.parametrize("method", CASES)
def test_what_was_collected_and_recorded_is_absorbed_as_it_was(method):
    family, settings = CASES[method]
    tasks, algorithm = jaxmeta.experiment(method, family, **settings).build()
    learner, episodes = algorithm.learner, settings.get("episodes", 1)

    @jax.jit
    def both(key):
        theta = learner.init(key)
        phi, task = learner.begin(theta), tasks.sample(key)
        sizes = {"episodes": episodes, "horizon": tasks.horizon}
        batch, after = collect_episodes(key, tasks.env, task, learner, theta, phi, **sizes)
        obs = jnp.concatenate([batch.obs, batch.final_obs[:, None]], axis=1)
        lengths = jnp.sum(batch.mask, axis=1).astype(jnp.int32)
        # What stands after an episode's end counts for nothing.
        later = batch.mask == 0
        obs = obs.at[:, 1:].set(jnp.where(later[..., None], 7.0, obs[:, 1:]))
        reward = jnp.where(later, 7.0, batch.reward)
        again = recorded(obs, batch.action, reward, lengths=lengths, terminated=jnp.any(batch.terminated > 0, axis=1))
        absorbed = learner.absorb(theta, after, algorithm.estimator(batch))
        return batch, again, absorbed, adapt_on(algorithm, theta, after, again)

    batch, again, absorbed, adapted = both(jax.random.key(0))
    real = np.asarray(batch.mask).astype(bool)
    np.testing.assert_array_equal(np.asarray(again.action)[real], np.asarray(batch.action)[real])
    for name in ("obs", "reward", "terminated", "truncated", "mask", "final_obs"):
        np.testing.assert_array_equal(getattr(again, name), getattr(batch, name), err_msg=name)
    assert method != "maml-q" or float(np.sum(batch.terminated)) == 1
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), adapted, absorbed)


def test_what_stands_after_an_end_may_be_anything_and_lists_are_arrays():
    obs, action, reward = [[[0.0], [1.0], [np.nan]]], [[[1.0], [np.inf]]], [[1.0, np.nan]]
    found = recorded(obs, action, reward, lengths=[1])
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
    np.testing.assert_array_equal(found.obs, [[[0.0], [1.0]]])
    np.testing.assert_array_equal(found.reward, [[1.0, 0.0]])


def test_an_episode_of_no_steps_counts_for_nothing():
    _, algorithm = built("maml", "navigation")
    theta = jax.jit(algorithm.learner.init)(jax.random.key(0))
    phi = algorithm.learner.begin(theta)
    generator = np.random.default_rng(0)
    obs, action, reward = (generator.normal(size=size) for size in ((4, 6, 2), (4, 5, 2), (4, 5)))
    few = recorded(obs[:3], action[:3], reward[:3])
    more = recorded(obs, action, reward, lengths=np.array([5, 5, 5, 0]))
    first, second = (jax.jit(adapt_on, static_argnums=0)(algorithm, theta, phi, batch) for batch in (few, more))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), first, second)
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(phi), strict=True))


@pytest.mark.parametrize(
    ("method", "family", "whole_episodes"),
    [("maml", "navigation", True), ("rl2", "bernoulli-bandit", False), ("varibad", "bernoulli-bandit", False)],
)
def test_which_methods_learn_from_whole_episodes(method, family, whole_episodes):
    tasks, algorithm = built(method, family)
    like = functools.partial(jax.eval_shape, algorithm.adapt, jax.random.key(0))
    theta = jax.eval_shape(algorithm.learner.init, jax.random.key(0))
    lifetime = like(theta, jax.eval_shape(tasks.sample, jax.random.key(0)))[1]
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), lifetime.trajectory)
    assert absorbs(algorithm, theta, batch) is whole_episodes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": np.zeros(5)}, r"reward: got shape \(5,\); must be \[episodes, steps\]"),
        (
            {"reward": np.zeros((0, 5))},
            r"reward: got shape \(0, 5\); must be \[episodes, steps\], at least one of each",
        ),
        ({"lengths": np.array([-1, 5])}, r"lengths: got \[-1, 5\]; must be from 0 to 5"),
        ({"lengths": np.array([2, 6])}, r"lengths: got \[2, 6\]; must be from 0 to 5"),
        ({"lengths": np.array([2.5, 5])}, r"lengths: got float32; must be whole numbers"),
        ({"obs": np.zeros((2, 5, 3))}, r"obs: got shape \(2, 5, 3\); must begin with \(2, 6\)"),
        ({"action": np.zeros((3, 5))}, r"action: got shape \(3, 5\); must begin with \(2, 5\)"),
        ({"lengths": np.zeros(3, int)}, r"lengths: got shape \(3,\); must be \(2,\)"),
        ({"terminated": np.zeros((2, 5))}, r"terminated: got shape \(2, 5\); must be \(2,\)"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(change, message):
    given = {"obs": np.zeros((2, 6, 3)), "action": np.zeros((2, 5)), "reward": np.zeros((2, 5)), **change}
    with pytest.raises(ValueError, match=message):
        recorded(**given)
