"""GridNavi's belief dynamic programming against an expectimax over all beliefs, and against play in the environment."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.references import gridnavi


def expectimax(size, horizon, episodes):
    """The largest expected total return, by recursion over beliefs, with no thought about how policies look.

    The belief is the set of goals that agree with all that was seen: every action is tried in every situation, also
    once the goal is known.
    """
    goals = [(x, y) for x in range(size) for y in range(size) if max(x, y) > 1]

    @functools.cache
    def value(episode, t, position, belief):
        if t == horizon:
            episode, t, position = episode + 1, 0, (0, 0)
        if episode == episodes:
            return 0.0
        best = -np.inf
        for dx, dy in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)):
            after = (min(max(position[0] + dx, 0), size - 1), min(max(position[1] + dy, 0), size - 1))
            here, elsewhere = belief & {after}, belief - {after}
            total = 0.0
            if here:
                total += len(here) * (1.0 + value(episode, t + 1, after, here))
            if elsewhere:
                total += len(elsewhere) * (-0.1 + value(episode, t + 1, after, elsewhere))
            best = max(best, total / len(belief))
        return best

    return value(0, 0, (0, 0), frozenset(goals))


@pytest.mark.parametrize(("horizon", "episodes"), [(2, 1), (2, 3), (3, 2), (4, 1), (4, 2), (5, 3), (6, 2), (8, 1)])
def test_the_optimum_is_that_of_brute_force_on_a_small_grid(horizon, episodes):
    plan = gridnavi.bayes_optimal(size=3, horizon=horizon, episodes=episodes)
    assert np.sum(plan.returns) == pytest.approx(expectimax(3, horizon, episodes), abs=1e-9)


@pytest.mark.parametrize(("size", "horizon", "episodes"), [(3, 4, 3), (4, 7, 3), (5, 15, 4)])
def test_the_plan_earns_its_returns_in_the_environment(size, horizon, episodes):
    plan = gridnavi.bayes_optimal(size=size, horizon=horizon, episodes=episodes)
    family = tasks.make("gridnavi", size=size, horizon=horizon)
    moves = [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)]
    step = jax.jit(family.env.step_env)
    goals = [(x, y) for x in range(size) for y in range(size) if max(x, y) > 1]
    returns = np.zeros((len(goals), episodes))
    for index, goal in enumerate(goals):
        task = family.sample(jax.random.key(0)).replace(goal=jnp.array(goal, jnp.int32))
        known = False
        for episode in range(episodes):
            _, state = family.env.reset_env(jax.random.key(0), task)
            for t in range(horizon):
                at = np.asarray(state.position)
                if known:
                    dx = goal[0] - at[0]
                    wanted = (int(np.sign(dx)), 0 if dx else int(np.sign(goal[1] - at[1])))
                else:
                    wanted = tuple((plan.walks[episode, t] - at).tolist())
                _, state, reward, _, _ = step(jax.random.key(0), state, jnp.int32(moves.index(wanted)), task)
                returns[index, episode] += float(reward)
                known = known or float(reward) > 0
    np.testing.assert_allclose(returns.mean(0), plan.returns, atol=1e-4)
    np.testing.assert_allclose(gridnavi.plan_returns(plan, np.array(goals)), returns, atol=1e-4)


def test_the_published_grid_is_solved_within_two_episodes():
    """Certified without the search: no first episode pays more than that of one episode alone, no later one more than
    what the policy that knows the goal gets; the optimum attains both at once."""
    plan = gridnavi.bayes_optimal()
    alone = gridnavi.bayes_optimal(episodes=1)
    np.testing.assert_allclose(plan.returns[0], alone.returns[0])
    np.testing.assert_allclose(plan.returns[1:], gridnavi.full_information())
    np.testing.assert_allclose(plan.returns, [4.0, *[232.5 / 21] * 3])


def test_full_information_is_the_mean_optimum_of_the_family():
    for size, horizon in ((5, 15), (4, 3)):
        family = tasks.make("gridnavi", size=size, horizon=horizon)
        goals = jnp.array([(x, y) for x in range(size) for y in range(size) if max(x, y) > 1], jnp.int32)
        optima = [family.optimum(family.sample(jax.random.key(0)).replace(goal=goal)) for goal in goals]
        assert float(np.mean(optima)) == pytest.approx(gridnavi.full_information(size=size, horizon=horizon), abs=1e-5)


def test_posterior_sampling_learns_and_stays_below_the_optimum():
    simulate = jax.vmap(lambda key, goal: gridnavi.posterior_sampling(key, goal, episodes=21))
    simulate = jax.jit(simulate)
    batch = jax.vmap(tasks.make("gridnavi").sample)(jax.random.split(jax.random.key(0), 4000))
    returns = np.asarray(simulate(jax.random.split(jax.random.key(1), 4000), batch.goal))
    means = returns.mean(0)
    assert (means < gridnavi.full_information() + 0.2).all()
    assert means[0] < gridnavi.bayes_optimal().returns[0]
    # Each episode rules out its target at least, so that the 21st is sure of the goal.
    distance = np.asarray(batch.goal).sum(-1)
    np.testing.assert_allclose(returns[:, -1], 16.1 - 1.1 * distance, atol=1e-4)


def test_posterior_sampling_of_one_episode_by_hand():
    """On a 3 × 3 grid with H = 2 and the goal at (2, 0), by the probabilities of the five possible draws."""
    simulate = jax.vmap(lambda key: gridnavi.posterior_sampling(key, jnp.array([2, 0]), size=3, horizon=2, episodes=1))
    returns = np.asarray(jax.jit(simulate)(jax.random.split(jax.random.key(0), 20_000)))
    # (2, 0) itself; or (2, 1) or (2, 2), with both steps along x: at (0, 0) and at (1, 0) the chance is 1/2.
    expected = (1 + 0.25 + 0.25) / 5
    np.testing.assert_allclose(np.unique(returns), [-0.2, 0.9], atol=1e-6)
    assert np.mean(returns > 0) == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / len(returns)))


@pytest.mark.parametrize("setting", [{"size": 6}, {"horizon": 0}, {"episodes": 5}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        gridnavi.bayes_optimal(**setting)


def test_the_posterior_over_goals_by_hand():
    """A 3 × 3 grid has five goals. Two are ruled out, the third step finds the goal, and then nothing else matters."""
    arrived = np.array([[0, 1], [0, 2], [1, 2], [1, 2], [2, 2]])
    after = gridnavi.goal_posterior(arrived, np.array([1, 2]), size=3)
    assert after.shape == (6, 3, 3)
    np.testing.assert_allclose(after.sum(axis=(1, 2)), 1.0)
    np.testing.assert_allclose(after[0][[0, 1, 2, 2, 2], [2, 2, 2, 1, 0]], 0.2)
    np.testing.assert_allclose(after[1], after[0])
    np.testing.assert_allclose(after[2][[1, 2, 2, 2], [2, 2, 1, 0]], 0.25)
    np.testing.assert_allclose(after[3:, 1, 2], 1.0)
