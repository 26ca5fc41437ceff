"""Bayesian knowledge tracing: what a student knows, by the answers that were given (Corbett and Anderson 1995).

A skill is known or not. An answer is right with probability ``1 − s`` if it is known (s: a slip), else with ``g`` (a
guess). After the answer a skill that is practised and not known becomes known with probability ``t``; each skill that
is known and not practised is forgotten with probability ``f``, which Corbett and Anderson left out.
"""

import chex
import jax
import jax.numpy as jnp

from jaxmeta.types import Array


def known_after_answer(known: Array, right: Array, *, slip: Array, guess: Array, learn: Array) -> Array:
    """The probability that a skill is known after it was practised (their equations 1 to 3).

    Args:
      known: that it was before.
      right: whether the answer was right, 1 or 0.
      slip: s.
      guess: g.
      learn: t.
    """
    if_known = jnp.where(right, 1.0 - slip, slip)
    if_not = jnp.where(right, guess, 1.0 - guess)
    # Where neither answer is possible it cannot have been given: any number will do, but NaN.
    evidence = jnp.maximum(known * if_known + (1.0 - known) * if_not, 1e-12)
    posterior = known * if_known / evidence
    return posterior + (1.0 - posterior) * learn


def practice_values(horizon: int, *, learn: Array, forget: Array, slip: Array, guess: Array) -> Array:
    """What each practice is worth to the best tutor who sees what the student knows, ``[horizon, k, 2, …, 2]``.

    Exact, by dynamic programming over the ``2^k`` states of k skills; the last k axes say whether each is known. The
    final score is the expected number of right answers to one question a skill.

    Args:
      horizon: practices, ≥ 1; the first axis counts those that were done.
      learn: t of each skill, ``[k]``; the others likewise.
      forget: f.
      slip: s.
      guess: g.
    """
    chex.assert_equal_shape([learn, forget, slip, guess])
    skills = learn.shape[0]
    zero, one = jnp.zeros(skills), jnp.ones(skills)
    # [k, before, after], where 1 is known.
    practised = jnp.stack([jnp.stack([1.0 - learn, learn], 1), jnp.stack([zero, one], 1)], 1)
    left_alone = jnp.stack([jnp.stack([one, zero], 1), jnp.stack([forget, 1.0 - forget], 1)], 1)

    def expected(value: Array, kernels: Array) -> Array:
        for skill in range(skills):
            value = jnp.moveaxis(jnp.tensordot(kernels[skill], value, (-1, skill)), 0, skill)
        return value

    def step(value: Array, _) -> tuple[Array, Array]:
        options = [expected(value, left_alone.at[skill].set(practised[skill])) for skill in range(skills)]
        return jnp.max(jnp.stack(options), axis=0), jnp.stack(options)

    scores = jnp.stack([guess, 1.0 - slip], axis=1)
    final = sum(scores[skill].reshape([2 if axis == skill else 1 for axis in range(skills)]) for skill in range(skills))
    # An accelerator's default would round matrix products to 10 bits.
    with jax.default_matmul_precision("highest"):
        return jax.lax.scan(step, jnp.asarray(final), length=horizon)[1][::-1]


def mean_over_belief(value: Array, known: Array) -> Array:
    """The mean ``[...]`` of ``value`` ``[..., 2, …, 2]`` if skills are known with probabilities ``known`` ``[k]``."""
    for probability in known[::-1]:
        value = value[..., 0] * (1.0 - probability) + value[..., 1] * probability
    return value


def tutoring_bound(horizon: int, *, prior: Array, **student: Array) -> Array:
    """The expected final score of the best tutor who sees what the student knows: nobody who sees answers has more.

    Args:
      horizon: practices, ≥ 1.
      prior: the probability that each skill is known at first, ``[k]``.
      **student: as in ``practice_values``.
    """
    return mean_over_belief(jnp.max(practice_values(horizon, **student)[0], axis=0), prior)
