"""Bandit references against plain recursion, known values, and each other."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxmeta.references import bandits, bernoulli_value, gittins_index, gittins_table
from jaxmeta.references.bandit_values import enumerated_value, two_armed_value
from jaxmeta.references.gamma import gamma_draw, gamma_table

KEY = jax.random.key(3)


def brute_force(arms, pulls, choose=None):
    """Value by recursion over every arm's counts: of the best policy, or of the one that ``choose`` is."""

    @functools.cache
    def value(state, left):
        if left == 0:
            return 0.0
        worth = []
        for arm, (paid, failed) in enumerate(state):
            mean = (paid + 1) / (paid + failed + 2)
            after = [(*state[:arm], counts, *state[arm + 1 :]) for counts in ((paid + 1, failed), (paid, failed + 1))]
            worth.append(mean * (1 + value(after[0], left - 1)) + (1 - mean) * value(after[1], left - 1))
        return max(worth) if choose is None else worth[choose(state, left)]

    return value(((0, 0),) * arms, pulls)


def best_stopping_rate(paid, failed, left):
    """Gittins index by enumeration: for every payment, stop where going on is worth less; bisect on the payment."""

    def gain(payment):
        @functools.cache
        def go_on(paid, failed, left):
            mean = (paid + 1) / (paid + failed + 2)
            later = 0.0
            if left > 1:
                later = mean * max(go_on(paid + 1, failed, left - 1), 0.0)
                later += (1 - mean) * max(go_on(paid, failed + 1, left - 1), 0.0)
            return mean - payment + later

        return go_on(paid, failed, left)

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if gain(middle) > 0 else (low, middle)
    return low


@pytest.mark.parametrize(("arms", "pulls"), [(1, 4), (2, 1), (2, 2), (2, 7), (3, 5), (4, 4), (6, 3)])
def test_values_equal_brute_force(arms, pulls):
    expected = brute_force(arms, pulls)
    assert enumerated_value(arms, pulls) == pytest.approx(expected, abs=1e-12)
    assert bernoulli_value(arms, pulls) == pytest.approx(expected, abs=1e-5)


def test_one_pull_of_two_arms_by_hand():
    # One pull earns 1/2. With two, a success (1/2) leaves a mean of 2/3, a failure the other arm's 1/2.
    assert bernoulli_value(2, 1) == pytest.approx(0.5)
    assert bernoulli_value(2, 2) == pytest.approx(1 / 2 + 1 / 2 * 2 / 3 + 1 / 2 * 1 / 2, abs=1e-6)


@pytest.mark.parametrize("pulls", [51, 60])
def test_the_dense_and_the_enumerated_program_agree_across_a_block_boundary(pulls):
    assert two_armed_value(pulls) == pytest.approx(enumerated_value(2, pulls), rel=1e-6)


def test_values_at_the_published_sizes():
    five, ten, fifty = (bernoulli_value(arms, 10) for arms in (5, 10, 50))
    assert 6.6 < five < 6.7
    assert five < ten
    # An eleventh arm cannot be pulled in ten pulls.
    assert ten == pytest.approx(fifty, abs=1e-12)


def test_too_many_beliefs_are_one_line():
    with pytest.raises(ValueError, match=r"arms, pulls: got 5, 12; more than 100 beliefs after 6 pulls"):
        enumerated_value(5, 12, most_states=100)
    with pytest.raises(ValueError, match="pulls: got 0; must be at least 1"):
        bernoulli_value(3, 0)


def test_gittins_indices_equal_the_best_stopping_rate():
    pulls = 6
    table = gittins_table(pulls, levels=1024)
    for done, paid, failed in itertools.product(range(pulls), repeat=3):
        if paid + failed <= done:
            found = gittins_index(table, pulls, jnp.array(paid), jnp.array(failed), jnp.array(done))
            assert float(found) == pytest.approx(best_stopping_rate(paid, failed, pulls - done), abs=1e-4)


def test_gittins_indices_do_not_depend_on_the_block_or_much_on_the_levels():
    long, short = gittins_table(40), gittins_table(6)
    arguments = jnp.array([0, 1, 2]), jnp.array([0, 0, 1])
    # The same pulls left, 3, in a table of several blocks and in one of a single block.
    np.testing.assert_allclose(
        gittins_index(long, 40, *arguments, jnp.array(37)), gittins_index(short, 6, *arguments, jnp.array(3)), atol=1e-6
    )
    np.testing.assert_allclose(long, gittins_table(40, levels=1024), atol=6e-4)


def test_the_simulated_gittins_policy_has_the_value_that_recursion_gives_it():
    arms, pulls = 2, 8
    policy = bandits.gittins(pulls)
    table = np.asarray(policy.data)

    def choose(state, left):
        counts = np.array(state).T
        return int(np.argmax(gittins_index(table, pulls, counts[0], counts[1], np.array(pulls - left))))

    exact, best = brute_force(arms, pulls, choose), bernoulli_value(arms, pulls)
    mean, stderr = bandits.estimate(bandits.bandit_returns(KEY, policy, arms=arms, pulls=pulls, tasks=20_000))
    assert abs(mean - exact) < 4 * stderr
    assert stderr < 0.02
    # Nearly optimal, and never better than optimal.
    assert best - 0.02 < exact <= best + 1e-6


def test_gittins_reaches_the_exact_value_within_sampling_error_over_fifty_pulls():
    returns = bandits.bandit_returns(KEY, bandits.gittins(50), arms=2, pulls=50, tasks=20_000)
    mean, stderr = bandits.estimate(returns)
    assert abs(mean - bernoulli_value(2, 50)) < 4 * stderr + 0.05


@pytest.mark.parametrize(
    ("policy", "choose"),
    [
        (bandits.greedy(), lambda state, left: _first_best([(s + 1) / (s + f + 2) for s, f in state])),
        (
            bandits.ucb1(0.2),
            lambda state, left: _first_best(
                [(s + 1) / (s + f + 2) + 0.2 * np.sqrt(2 * np.log(7 - left) / (s + f + 2)) for s, f in state]
            ),
        ),
    ],
)
def test_simulated_greedy_and_ucb1_have_their_exact_values(policy, choose):
    exact = brute_force(3, 6, choose)
    mean, stderr = bandits.estimate(bandits.bandit_returns(KEY, policy, arms=3, pulls=6, tasks=20_000))
    assert abs(mean - exact) < 4 * stderr


def _first_best(scores):
    # In float32, as the policies compare: equal scores must stay equal.
    return int(np.argmax(np.float32(scores)))


def test_simulated_thompson_has_its_exact_value():
    # After the first pull (1/2), the arm that was pulled wins against the fresh one with probability 2/3 after a
    # success, Beta(2, 1), and 1/3 after a failure, Beta(1, 2).
    after_success = 2 / 3 * 2 / 3 + 1 / 3 * 1 / 2
    after_failure = 1 / 3 * 1 / 3 + 2 / 3 * 1 / 2
    exact = 0.5 + 0.5 * after_success + 0.5 * after_failure
    mean, stderr = bandits.estimate(bandits.bandit_returns(KEY, bandits.thompson(2), arms=2, pulls=2, tasks=50_000))
    assert abs(mean - exact) < 4 * stderr
    assert stderr < 0.005


def test_the_likeliest_of_many_draws_is_near_the_mode():
    successes, failures = jnp.array([8, 2]), jnp.array([2, 8])
    policy = bandits.likeliest_thompson(20, samples=200)
    scores = policy.score(policy.data, KEY, successes, failures, jnp.array(20))
    # The mode of Beta(1 + s, 1 + f) is s / (s + f).
    np.testing.assert_allclose(scores, [0.8, 0.2], atol=0.05)
    one, plain = bandits.likeliest_thompson(20, samples=1), bandits.thompson(20)
    drawn = one.score(one.data, KEY, successes, failures, jnp.array(20))
    expected = plain.score(plain.data, jax.random.split(KEY, 1)[0], successes, failures, jnp.array(20))
    np.testing.assert_allclose(drawn, expected, rtol=1e-5)


def test_epsilon_greedy_lies_between_its_ends():
    size = {"arms": 3, "pulls": 12, "tasks": 500}
    greedy = bandits.bandit_returns(KEY, bandits.greedy(), **size)
    np.testing.assert_array_equal(bandits.bandit_returns(KEY, bandits.epsilon_greedy(0.0), **size), greedy)
    mean, stderr = bandits.estimate(bandits.bandit_returns(KEY, bandits.epsilon_greedy(1.0), **size))
    assert abs(mean - 6.0) < 4 * stderr


def test_methods_are_ordered_as_published():
    size = {"arms": 5, "pulls": 30, "tasks": 2_000}
    policies = {
        "gittins": bandits.gittins(30),
        "optimistic": bandits.optimistic_thompson(30),
        "thompson": bandits.thompson(30),
        "random": bandits.random_arm(),
    }
    returns = {name: bandits.bandit_returns(KEY, policy, **size) for name, policy in policies.items()}
    for better, worse in itertools.pairwise(policies):
        # On the same tasks: the standard error of the difference, not of the two means.
        mean, stderr = bandits.estimate(returns[better] - returns[worse])
        assert mean > 2 * stderr, (better, worse)
    mean, stderr = bandits.estimate(returns["random"])
    assert abs(mean - 15.0) < 4 * stderr


def test_methods_meet_the_same_tasks_and_the_same_luck():
    size = {"arms": 1, "pulls": 9, "tasks": 64}
    greedy, random = (
        bandits.bandit_returns(KEY, policy, **size) for policy in (bandits.greedy(), bandits.random_arm())
    )
    np.testing.assert_array_equal(greedy, random)
    one, other = (bandits.bandit_returns(KEY, bandits.ucb1(), arms=3, pulls=9, tasks=64, task_chunk=c) for c in (7, 64))
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(("paid", "failed"), [(0, 0), (1, 0), (0, 3), (7, 2), (30, 50)])
def test_tabulated_beta_draws_have_the_right_distribution(paid, failed):
    normal = jax.random.normal(KEY, (2, 20_000))
    table = gamma_table(60)
    one, other = (
        gamma_draw(table, jnp.full(20_000, count + 1), z) for count, z in zip((paid, failed), normal, strict=True)
    )
    statistic = stats.kstest(np.asarray(one / (one + other)), stats.beta(paid + 1, failed + 1).cdf).statistic
    # The 99.9 % point of the Kolmogorov distribution.
    assert statistic < 1.95 / np.sqrt(20_000)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bandits.epsilon_greedy(1.5), r"epsilon: got 1.5; must be in \[0, 1\]"),
        (lambda: bandits.ucb1(-1.0), "bonus: got -1.0; must be at least 0"),
        (lambda: gittins_table(0), "pulls: got 0; must be at least 1"),
        (lambda: bandits.bandit_returns(KEY, bandits.greedy(), arms=2, pulls=2, tasks=0), "tasks: got 0"),
    ],
)
def test_bad_arguments_are_one_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()
