"""Knowledge tracing: Bayes' rule by hand, and values against a tree of all that can happen."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import references

STUDENT = {
    "prior": np.array([0.3, 0.1]),
    "learn": np.array([0.2, 0.5]),
    "forget": np.array([0.05, 0.1]),
    "slip": np.array([0.1, 0.05]),
    "guess": np.array([0.2, 0.3]),
}
NAMES = ("learn", "forget", "slip", "guess")


def test_the_belief_after_an_answer_is_bayes_rule():
    chances = {"slip": 0.1, "guess": 0.2, "learn": 0.25}
    # 0.4 · 0.9 of 0.4 · 0.9 + 0.6 · 0.2 is 0.75, and a quarter of the rest is learned.
    right = references.known_after_answer(jnp.float32(0.4), jnp.bool_(True), **chances)
    assert float(right) == pytest.approx(0.75 + 0.25 * 0.25)
    wrong = references.known_after_answer(jnp.float32(0.4), jnp.bool_(False), **chances)
    assert float(wrong) == pytest.approx(1 / 13 + 0.25 * 12 / 13)
    certain = references.known_after_answer(jnp.float32(1.0), jnp.bool_(False), slip=0.0, guess=0.2, learn=0.25)
    assert np.isfinite(certain)


def test_values_are_those_of_a_tree_of_all_that_can_happen():
    """Recursion over skills known, practices and outcomes, in NumPy, without a table."""
    learn, forget, slip, guess = (STUDENT[name] for name in NAMES)

    def best(known, left):
        if left == 0:
            return sum(1 - slip[j] if known[j] else guess[j] for j in range(2))
        return max(after(known, skill, left) for skill in range(2))

    def after(known, skill, left):
        chance = [1 - (forget[j] if j != skill else 0) if known[j] else learn[j] * (j == skill) for j in range(2)]
        total = 0.0
        for later in itertools.product((0, 1), repeat=2):
            weight = np.prod([chance[j] if later[j] else 1 - chance[j] for j in range(2)])
            total += weight * best(later, left - 1) if weight > 0 else 0.0
        return total

    given = {name: jnp.array(STUDENT[name], jnp.float32) for name in NAMES}
    values = references.practice_values(3, **given)
    assert values.shape == (3, 2, 2, 2)
    for done, skill, first, second in np.ndindex(3, 2, 2, 2):
        exact = after((first, second), skill, 3 - done)
        assert float(values[done, skill, first, second]) == pytest.approx(exact, rel=1e-5)
    weights = [(1 - STUDENT["prior"][j], STUDENT["prior"][j]) for j in range(2)]
    exact = sum(weights[0][a] * weights[1][b] * best((a, b), 3) for a in (0, 1) for b in (0, 1))
    bound = references.tutoring_bound(3, prior=jnp.array(STUDENT["prior"]), **given)
    assert float(bound) == pytest.approx(exact, rel=1e-5)
