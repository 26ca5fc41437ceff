"""Matrix games: known best responses, the optimum against a tree of all that can happen, and controllers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks
from jaxmeta.tasks import controller_returns
from jaxmeta.tasks.games import GameParams, always_defect, decision_process, tit_for_tat, told_response


def opponent(*cooperates):
    return GameParams(cooperates=jnp.array(cooperates, jnp.float32), max_steps_in_episode=10)


@pytest.mark.parametrize(
    ("task", "best"),
    [
        (opponent(1, 1, 1, 1, 1), 10 * 5.0),
        (opponent(0, 0, 0, 0, 0), 10 * 1.0),
        # Tit for tat: cooperate until the last round.
        (opponent(1, 1, 1, 0, 0), 9 * 3.0 + 5.0),
        # Grim: as a memory of one round allows, it never forgives.
        (opponent(1, 1, 0, 0, 0), 9 * 3.0 + 5.0),
        # Win-stay, lose-shift: to defect pays 5 and 1 in turn, on average no more than to cooperate.
        (opponent(1, 1, 0, 0, 1), 9 * 3.0 + 5.0),
        # One that does the opposite of what we did: defect, be paid 5 for nothing.
        (opponent(1, 0, 0, 1, 1), 10 * 5.0),
    ],
)
def test_best_responses_to_known_opponents(task, best):
    family = tasks.matrix_game(horizon=10)
    assert float(family.optimum(task)) == pytest.approx(best)
    batch = jax.tree.map(lambda x: jnp.asarray(x)[None], task)
    told = controller_returns(jax.random.key(0), family, told_response(horizon=10), batch)
    assert float(told[0]) == pytest.approx(best)


def test_the_optimum_is_that_of_a_tree_of_all_that_can_happen():
    family = tasks.matrix_game(horizon=6, payoffs=(4.0, -1.0, 3.0, 2.0))
    task = family.sample(jax.random.key(0))
    cooperates, payoffs = np.asarray(task.cooperates, float), np.array([[4.0, -1.0], [3.0, 2.0]])

    def best(situation, left):
        if left == 0:
            return 0.0
        chances = (cooperates[situation], 1.0 - cooperates[situation])
        return max(
            sum(chances[theirs] * (payoffs[ours, theirs] + best(1 + 2 * ours + theirs, left - 1)) for theirs in (0, 1))
            for ours in (0, 1)
        )

    assert float(family.optimum(task)) == pytest.approx(best(0, 6), rel=1e-5)


def test_rounds_are_those_of_the_decision_process():
    family = tasks.matrix_game()
    task = family.sample(jax.random.key(1))
    process = jax.tree.map(np.asarray, decision_process(task))
    np.testing.assert_allclose(process.transition.sum(axis=-1), 1.0, rtol=1e-6)
    step = jax.jit(jax.vmap(family.env.step_env, (0, None, None, None)))
    _, state = family.env.reset_env(jax.random.key(0), task)
    for situation in range(5):
        for ours in range(2):
            here = state.replace(situation=jnp.int32(situation))
            keys = jax.random.split(jax.random.key(10 * situation + ours), 5_000)
            obs, _, reward, *_ = step(keys, here, jnp.int32(ours), task)
            np.testing.assert_allclose(np.mean(obs, axis=0), process.transition[situation, ours], atol=0.03)
            assert np.mean(reward) == pytest.approx(process.reward[situation, ours], abs=0.12)


def test_opponents_are_drawn_from_the_arcsine_distribution():
    drawn = np.asarray(jax.vmap(tasks.matrix_game().sample)(jax.random.split(jax.random.key(0), 4_000)).cooperates)
    quantiles = np.quantile(drawn, [0.1, 0.25, 0.5, 0.75, 0.9])
    np.testing.assert_allclose(quantiles, np.sin(0.5 * np.pi * np.array([0.1, 0.25, 0.5, 0.75, 0.9])) ** 2, atol=0.02)


def test_who_is_told_reaches_the_optimum_and_fixed_strategies_do_not():
    family = tasks.matrix_game()
    batch = jax.vmap(family.sample)(jax.random.split(jax.random.key(0), 2_000))
    optimum = np.asarray(jax.vmap(family.optimum)(batch))
    told, tat, defect = (
        np.asarray(controller_returns(jax.random.key(1), family, one, batch))
        for one in (told_response(), tit_for_tat(), always_defect())
    )
    error = told - optimum
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(2_000)
    for worse in (tat, defect):
        assert (told - worse).mean() > 8 * (told - worse).std() / np.sqrt(2_000)


def test_bad_settings_are_one_line():
    with pytest.raises(ValueError, match=r"^payoffs: got inf; must be finite"):
        tasks.matrix_game(payoffs=(float("inf"), 0.0, 1.0, 2.0))
    with pytest.raises(ValueError, match=r"^payoffs: got \(1.0, 2.0\); must be 4 numbers"):
        tasks.make("matrix-game", payoffs=(1.0, 2.0))
    with pytest.raises(ValueError, match=r"^horizon: got 0; must be at least 1"):
        tasks.matrix_game(horizon=0)
