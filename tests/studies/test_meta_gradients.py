"""Sampled meta-gradients of every kind against exact ones: the unbiased are, and the biased are not.

A bandit and a random MDP, for one to three adaptation steps; a million trajectories each. The seeds are fixed, so an
unbiased estimator that passes does so every time.
"""

import jax
import numpy as np
import pytest

from jaxmeta.studies import meta_gradients

NAMES = ("dice-1", "likelihood-ratio", "score-function", "first-order")
UNBIASED = {"bandit": ("dice-1", "likelihood-ratio"), "mdp": ("dice-1",)}
RATE, STEPS, REPEATS, EPISODES = 1.0, 3, 64, 2**12
assert REPEATS * EPISODES * (STEPS + 1) >= 10**6


@pytest.fixture(scope="module", params=["bandit", "mdp"])
def measured(request):
    """The problem's name, and its estimates."""
    key_problem, key_sample = jax.random.split(jax.random.key(3))
    if request.param == "bandit":
        problem = meta_gradients.bandit_problem(key_problem)
    else:
        problem = meta_gradients.mdp_problem(key_problem, "mdp")
    sample = meta_gradients.sampler(problem.env, problem.mdp, rate=RATE, steps=STEPS, episodes=EPISODES, names=NAMES)
    # A million trajectories are worth the time that optimising takes.
    optimised = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
    sample = jax.jit(sample, compiler_options=optimised | {"xla_cpu_use_fusion_emitters": True})
    truth = meta_gradients.exact(problem, RATE, STEPS)
    return request.param, meta_gradients.draw(key_sample, sample, problem, truth, REPEATS)


@pytest.mark.parametrize("name", NAMES)
def test_bias_is_seen_where_it_is_and_nowhere_else(measured, name):
    problem, estimates = measured
    p_values = meta_gradients.unbiased_p_values(estimates)[NAMES.index(name)]
    bias, noise = (values[NAMES.index(name)] for values in meta_gradients.relative_bias(estimates))
    report = f"{name} on the {problem}: bias {bias}, noise {noise}, p {p_values}"
    if name in UNBIASED[problem]:
        assert (p_values > 1e-3).all(), report
        assert (bias < 3.0 * noise).all(), report
    else:
        assert (p_values < 1e-6).all(), report
        assert (bias > 3.0 * noise).all(), report


def test_the_bias_that_could_be_seen_is_small(measured):
    _, estimates = measured
    _, noise = meta_gradients.relative_bias(estimates)
    assert noise.max() < 0.02


def test_nothing_is_learnt_from_a_shift_of_a_states_logits(measured):
    # What lets the test of bias leave one action out.
    _, estimates = measured
    for gradients in estimates:
        np.testing.assert_allclose(gradients.sum(axis=-1), 0.0, atol=1e-5)


def test_the_test_of_bias_holds_its_level_and_sees_a_shift():
    generator = np.random.default_rng(0)
    exact = generator.normal(size=(1, 2, 3))
    # A thousand "estimators", correlated over their entries; the last action's entry does not count.
    mixing = generator.normal(size=(6, 6))
    sampled = exact + (generator.normal(size=(40, 1000, 1, 6)) @ mixing).reshape(40, 1000, 1, 2, 3)
    p_values = meta_gradients.unbiased_p_values(meta_gradients.Estimates(exact, sampled))
    assert p_values.shape == (1000, 1)
    for level in (0.05, 0.5):
        assert abs((p_values < level).mean() - level) < 4 * np.sqrt(level * (1 - level) / 1000)
    shifted = sampled.copy()
    shifted[..., 0, 0] += 5.0
    assert (meta_gradients.unbiased_p_values(meta_gradients.Estimates(exact, shifted)) < 0.01).mean() > 0.9


def test_advantages_by_hand():
    reward = np.array([[1.0, 2.0, 4.0]])
    obs = jax.nn.one_hot(np.array([[0, 1, 1]]), 2)
    zeros = np.zeros_like(reward)
    trajectory = meta_gradients.Trajectory(obs, *(zeros,) * 3, reward, *(zeros,) * 6)
    baseline = np.array([[1.0, 9.0], [9.0, 2.0], [9.0, 3.0]])
    found = meta_gradients.discounted_advantages(baseline, 0.5)(trajectory)
    np.testing.assert_allclose(found.value_target, [[3.0, 2.0, 1.0]])
    np.testing.assert_allclose(found.advantage, [[3.0 - 1.0, 2.0 - 0.5 * 2.0, 1.0 - 0.25 * 3.0]])
