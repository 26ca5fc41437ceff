"""Tutoring: the student against its probabilities, beliefs against what is known, tutors in their order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import references, tasks
from jaxmeta.tasks import controller_returns
from jaxmeta.tasks.tutoring import StudentParams, round_robin, told_values, weakest

STUDENT = {
    "prior": np.array([0.3, 0.1]),
    "learn": np.array([0.2, 0.5]),
    "forget": np.array([0.05, 0.1]),
    "slip": np.array([0.1, 0.05]),
    "guess": np.array([0.2, 0.3]),
}


def student(horizon):
    return StudentParams(
        **{name: jnp.array(x, jnp.float32) for name, x in STUDENT.items()}, max_steps_in_episode=horizon
    )


def test_answers_learning_forgetting_and_the_score_have_their_probabilities():
    env = tasks.tutoring(skills=2).env
    task, times = student(2), 40_000

    def live(key):
        key_reset, *keys = jax.random.split(key, 3)
        _, first = env.reset_env(key_reset, task)
        obs, second, reward, _, _ = env.step_env(keys[0], first, 1, task)
        _, last, score, _, _ = env.step_env(keys[1], second, 0, task)
        return first.known, second.known, last.known, obs, reward, score

    first, second, last, obs, reward, score = map(
        np.asarray, jax.jit(jax.vmap(live))(jax.random.split(jax.random.key(0), times))
    )
    prior, learn, forget, slip, guess = STUDENT.values()
    tolerance = 4 * 0.5 / np.sqrt(times)
    np.testing.assert_allclose(first.mean(axis=0), prior, atol=tolerance)
    kept = prior[0] * (1 - forget[0])
    learned = prior[1] + (1 - prior[1]) * learn[1]
    np.testing.assert_allclose(second.mean(axis=0), [kept, learned], atol=tolerance)
    later = [kept + (1 - kept) * learn[0], learned * (1 - forget[1])]
    np.testing.assert_allclose(last.mean(axis=0), later, atol=tolerance)
    assert obs[:, 2].mean() == pytest.approx(prior[1] * (1 - slip[1]) + (1 - prior[1]) * guess[1], abs=tolerance)
    np.testing.assert_allclose(obs[0, [0, 1, 3]], [0.0, 1.0, 0.5])
    assert (reward == 0.0).all()
    np.testing.assert_allclose(score, np.where(last, 1 - slip, guess).sum(axis=1), rtol=1e-5)


def test_beliefs_are_calibrated():
    """Where the told tutor believes that a skill is known with probability p, it is known in a share p of the cases."""
    family = tasks.tutoring(horizon=12)
    batch = jax.vmap(family.sample)(jax.random.split(jax.random.key(0), 3_000))
    tutor = told_values(horizon=12)

    def live(key, task):
        key_reset, *keys = jax.random.split(key, 13)
        obs, state = family.env.reset_env(key_reset, task)
        memory = tutor.begin(task)
        for each in keys:
            action = tutor.act(each, memory, obs)
            obs, state, reward, _, _ = family.env.step_env(each, state, action, task)
            memory = tutor.learn(memory, action, reward, obs)
        return memory[0].known, state.known

    belief, known = map(np.asarray, jax.jit(jax.vmap(live))(jax.random.split(jax.random.key(1), 3_000), batch))
    for low in np.arange(0.0, 1.0, 0.25):
        inside = (belief >= low) & (belief < low + 0.25)
        spread = np.sqrt(np.mean(belief[inside] * (1 - belief[inside])) / inside.sum())
        assert abs(np.mean(known[inside] - belief[inside])) < 4 * spread


def test_a_tutor_who_is_told_the_student_is_better_and_below_the_bound():
    family, count = tasks.tutoring(), 2_000
    batch = jax.vmap(family.sample)(jax.random.split(jax.random.key(0), count))
    told, by_belief, in_turn = (
        np.asarray(controller_returns(jax.random.key(1), family, one, batch))
        for one in (told_values(), weakest(), round_robin())
    )
    for worse in (by_belief, in_turn):
        assert (told - worse).mean() > 6 * (told - worse).std() / np.sqrt(count)
    bound = jax.vmap(lambda task: references.tutoring_bound(40, **{n: getattr(task, n) for n in STUDENT}))(batch)
    assert told.mean() < np.mean(bound)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"skills": 11}, "skills: got 11; must be at most 10"),
        ({"learn": (0.5, 1.5)}, r"learn: got \(0.5, 1.5\); must be at most 1"),
        ({"guess": (0.5, 0.95)}, r"slip: got \(0.02, 0.1\); must be less than 1 with guess, \(0.5, 0.95\)"),
        ({"horizon": 0}, "horizon: got 0; must be at least 1"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        tasks.make("tutoring", **settings)
