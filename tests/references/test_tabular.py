"""Tabular references: value iteration, beliefs and planners by hand, methods against exact values."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.references import bandits, mdp_optima, mdp_returns, tabular, value_iteration
from jaxmeta.references.tabular_simulation import draw_mdp

KEY = jax.random.key(5)


def best_by_enumeration(transition, reward, horizon):
    """Best expected return from state 0 over every deterministic policy that may depend on the time."""
    states, actions = reward.shape
    best = -np.inf
    for policy in itertools.product(range(actions), repeat=states * horizon):
        value = np.zeros(states)
        for h in reversed(range(horizon)):
            choice = policy[h * states : (h + 1) * states]
            value = np.array([reward[s, a] + transition[s, a] @ value for s, a in enumerate(choice)])
        best = max(best, value[0])
    return best


def test_value_iteration_on_a_hand_solved_mdp():
    # State 0: action 0 pays 1 and stays; action 1 pays nothing and goes to state 1, where every action pays 3.
    transition = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    reward = jnp.array([[1.0, 0.0], [3.0, 3.0]])
    q, values = value_iteration(transition, reward, 3)
    np.testing.assert_allclose(values, [[6, 9], [3, 6], [1, 3]])
    np.testing.assert_allclose(q[0], [[4, 6], [9, 9]])
    np.testing.assert_allclose(q[2], reward)


def test_value_iteration_equals_the_best_of_all_policies():
    for seed in range(3):
        transition, reward = draw_mdp(jax.random.key(seed), 2, 2)
        _, values = value_iteration(transition, reward, 3)
        expected = best_by_enumeration(np.asarray(transition), np.asarray(reward), 3)
        assert float(values[0, 0]) == pytest.approx(expected, rel=1e-5)


def test_the_familys_optimum_is_reached_by_the_plan_and_not_by_another():
    family = tasks.tabular_mdp(states=4, actions=3, horizon=5, noise=0.0)
    task = family.sample(jax.random.key(1))
    q, _ = value_iteration(task.transition, task.reward, 5)

    def episode(key, sign):
        def step(carry, inputs):
            state, (key, q_now) = carry, inputs
            _, state, reward, _, _ = family.env.step_env(key, state, jnp.argmax(sign * q_now[state.state]), task)
            return state, reward

        _, state = family.env.reset_env(key, task)
        return jax.lax.scan(step, state, (jax.random.split(key, 5), q))[1].sum()

    keys = jax.random.split(jax.random.key(2), 5_000)
    best, worst = (np.asarray(jax.jit(jax.vmap(episode, (0, None)))(keys, sign)) for sign in (1.0, -1.0))
    mean, stderr = bandits.estimate(best)
    assert abs(mean - float(family.optimum(task))) < 4 * stderr
    assert worst.mean() < mean - 1.0


def test_beliefs_by_hand():
    belief = tabular.empty_belief(3, 2)
    np.testing.assert_allclose(tabular.mean_transition(belief), 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(tabular.mean_reward(belief), 1.0)
    np.testing.assert_allclose(tabular.mean_reward(tabular.empty_belief(3, 2, prior_mean=0.25)), 0.25)
    state, action, following = jnp.array([0, 2, 0]), jnp.array([1, 0, 1]), jnp.array([2, 0, 1])
    belief = tabular.update(belief, state, action, following, jnp.array([4.0, 0.5, -2.0]))
    # The third step is the episode's last: its reward counts, the state after it does not.
    np.testing.assert_array_equal(belief.visits, [[0, 2], [0, 0], [1, 0]])
    np.testing.assert_allclose(
        tabular.mean_reward(belief), [[1, (1 + 4 - 2) / 3], [1, 1], [(1 + 0.5) / 2, 1]], rtol=1e-6
    )
    np.testing.assert_allclose(tabular.mean_transition(belief)[0, 1], [1 / 4, 1 / 4, 2 / 4])
    np.testing.assert_allclose(tabular.mean_transition(belief)[2, 0], [2 / 4, 1 / 4, 1 / 4])
    assert int(belief.episodes) == 1


def test_posterior_draws_have_the_posteriors_moments():
    belief = tabular.empty_belief(2, 1)
    steps = jnp.array([0, 0, 0, 0]), jnp.array([0, 0, 0, 0]), jnp.array([1, 1, 0, 0]), jnp.array([2.0, 3.0, 1.0, 1.0])
    belief = tabular.update(belief, *steps)
    table = tabular.psrl(10).data
    keys = jax.random.split(KEY, 20_000)
    transition, reward = jax.jit(jax.vmap(lambda key: tabular.posterior_draw(table, key, belief)))(keys)
    # Counted: 1 → 1, 1 → 1, 0 → 0, so Dirichlet(2, 3); rewards: mean (1 + 7) / 5, variance 1 / 5.
    assert float(transition[:, 0, 0, 0].mean()) == pytest.approx(2 / 5, abs=0.006)
    assert float(transition[:, 0, 0, 0].var()) == pytest.approx(2 * 3 / (25 * 6), abs=0.002)
    assert float(reward[:, 0, 0].mean()) == pytest.approx(8 / 5, abs=0.015)
    assert float(reward[:, 0, 0].var()) == pytest.approx(1 / 5, abs=0.01)
    assert float(reward[:, 1, 0].var()) == pytest.approx(1.0, abs=0.05)


def test_optimistic_expectation_by_hand():
    transition = jnp.array([[[0.2, 0.5, 0.3]]])
    value = jnp.array([2.0, 0.0, 1.0])
    for radius, moved in (
        (0.0, [0.2, 0.5, 0.3]),
        (0.4, [0.4, 0.3, 0.3]),
        (1.2, [0.8, 0.0, 0.2]),
        (9.0, [1.0, 0.0, 0.0]),
    ):
        found = tabular.optimistic_expectation(transition, value, jnp.full((1, 1), radius))
        assert float(found[0, 0]) == pytest.approx(float(np.dot(moved, value)), abs=1e-6)


@pytest.mark.parametrize(
    ("planner", "bonus"),
    [
        (tabular.greedy(), lambda n: 0.0),
        (tabular.beb(2.0), lambda n: 2.0 / (1 + n)),
        (tabular.mean_plus_bonus(0.5), lambda n: 0.5 / np.sqrt(1 + n)),
        (tabular.ucrl2(0.2, confidence=0.1), lambda n: 0.2 * np.sqrt(3.5 * np.log(2 * 2 * 2 / 0.1) / max(1, n))),
    ],
)
def test_planners_of_one_step_add_their_bonus(planner, bonus):
    belief = tabular.update(
        tabular.empty_belief(2, 2), jnp.array([0, 0]), jnp.array([1, 1]), jnp.array([0, 1]), jnp.array([1.0, 3.0])
    )
    q = planner.plan(planner.data, KEY, belief, 1)
    expected = np.array([[1 + bonus(0), 5 / 3 + bonus(2)], [1 + bonus(0), 1 + bonus(0)]])
    np.testing.assert_allclose(q[0], expected, rtol=1e-5)


def test_more_samples_are_more_optimistic():
    belief = tabular.empty_belief(4, 2)

    def value(planner):
        return jax.vmap(lambda key: planner.plan(planner.data, key, belief, 3)[0].max())(
            jax.random.split(KEY, 200)
        ).mean()

    assert value(tabular.psrl(10)) + 0.5 < value(tabular.optimistic_psrl(10, samples=5))


def test_random_actions_earn_the_mean_reward():
    returns = mdp_returns(KEY, tabular.random_actions(), episodes=2, tasks=200)
    assert returns.shape == (200, 2)
    mean, stderr = bandits.estimate(returns.sum(axis=1))
    assert abs(mean - 20.0) < 4 * stderr


def test_methods_learn_and_none_beats_the_optimum():
    episodes, tasks_ = 30, 200
    optimum = mdp_optima(KEY, tasks=tasks_)
    planners = {"optimistic-psrl": tabular.optimistic_psrl(400, samples=2), "ucrl2": tabular.ucrl2()}
    for name, planner in planners.items():
        returns = mdp_returns(KEY, planner, episodes=episodes, tasks=tasks_)
        early, late = returns[:, :5].mean(axis=1), returns[:, -5:].mean(axis=1)
        gain, stderr = bandits.estimate(late - early)
        assert gain > 4 * stderr, name
        regret, stderr = bandits.estimate(optimum - late)
        assert regret > 4 * stderr, name


def test_a_small_mdp_is_solved_in_the_end():
    # Two states, two actions: forty episodes of ten steps tell all that matters.
    size = {"tasks": 200, "states": 2, "actions": 2}
    optimum = mdp_optima(KEY, **size)
    late = mdp_returns(KEY, tabular.psrl(400), episodes=40, **size)[:, -10:].mean(axis=1)
    assert 0.0 < float((optimum - late).mean()) < 0.06 * float(optimum.mean())


def test_methods_meet_the_same_mdps():
    returns = [mdp_returns(KEY, tabular.epsilon_greedy(e), episodes=1, tasks=50, actions=1) for e in (0.0, 1.0)]
    np.testing.assert_array_equal(*returns)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tabular.epsilon_greedy(-0.1), r"epsilon: got -0.1; must be in \[0, 1\]"),
        (lambda: tabular.beb(-1.0), "bonus: got -1.0; must be at least 0"),
        (lambda: tabular.ucrl2(confidence=1.0), r"confidence: got 1.0; must be in \(0, 1\)"),
        (lambda: tabular.optimistic_psrl(10, samples=0), "samples: got 0; must be at least 1"),
        (lambda: mdp_returns(KEY, tabular.greedy(), episodes=0, tasks=1), "episodes: got 0; must be at least 1"),
        (lambda: value_iteration(jnp.ones((1, 1, 1)), jnp.ones((1, 1)), 0), "horizon: got 0; must be at least 1"),
    ],
)
def test_bad_arguments_are_one_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()
