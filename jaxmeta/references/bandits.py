"""Classical methods on Bernoulli bandits with U[0, 1] priors, simulated on common random numbers.

A method is an index policy: it scores the arms and pulls the first of the highest. Arms are exchangeable, so it costs
nothing to break ties by their order.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import check_least, check_unit, check_weights
from jaxmeta.over_tasks import over_tasks
from jaxmeta.references.gamma import gamma_draw, gamma_table
from jaxmeta.types import Array, Key, PyTree


class IndexPolicy(NamedTuple):
    """A bandit method.

    Attributes:
      data: arrays that ``score`` needs, passed through compiled code as arguments.
      score: ``score(data, key, successes, failures, done) -> [k]``, from the counts ``[k]`` of each arm and the number
        of pulls so far.
    """

    data: PyTree
    score: Callable[[PyTree, Key, Array, Array, Array], Array]


def posterior_mean(successes: Array, failures: Array) -> Array:
    """Mean of Beta(1 + s, 1 + f), for each arm."""
    return (successes + 1.0) / (successes + failures + 2.0)


def random_arm() -> IndexPolicy:
    """Any arm, uniformly."""
    return IndexPolicy((), lambda data, key, successes, failures, done: jax.random.uniform(key, successes.shape))


def greedy() -> IndexPolicy:
    """The arm of the highest posterior mean; an arm not tried counts as 1/2."""
    return IndexPolicy((), lambda data, key, successes, failures, done: posterior_mean(successes, failures))


def epsilon_greedy(epsilon: float = 0.02) -> IndexPolicy:
    """A uniformly random arm with probability ``epsilon``, else the greedy one."""
    check_unit(epsilon=epsilon)

    def score_fn(data, key, successes, failures, done):
        key_whether, key_arm = jax.random.split(key)
        explore = jax.random.uniform(key_whether) < epsilon
        return jnp.where(explore, jax.random.uniform(key_arm, successes.shape), posterior_mean(successes, failures))

    return IndexPolicy((), score_fn)


def ucb1(bonus: float = 0.2) -> IndexPolicy:
    """``μ_a + c √(2 ln t / (n_a + 2))``, μ the posterior mean, t the number of this pull (Auer et al. 2002).

    Two pulls, one of which paid, stand for the prior. Auer's proof has c = 1; Duan et al. 2016 tuned it, and 0.2 is
    the value in their public code.
    """
    check_weights(bonus=bonus)

    def score_fn(data, key, successes, failures, done):
        width = jnp.sqrt(2.0 * jnp.log(done + 1.0) / (successes + failures + 2.0))
        return posterior_mean(successes, failures) + bonus * width

    return IndexPolicy((), score_fn)


def thompson(pulls: int) -> IndexPolicy:
    """A draw from each arm's posterior (Thompson 1933); ``pulls`` is the lifetime, at most."""
    return IndexPolicy(gamma_table(pulls + 1), _beta_draw)


def optimistic_thompson(pulls: int) -> IndexPolicy:
    """The larger of a posterior draw and the posterior mean (May et al. 2012); ``pulls`` is the lifetime, at most."""

    def score_fn(table, key, successes, failures, done):
        drawn = _beta_draw(table, key, successes, failures, done)
        return jnp.maximum(drawn, posterior_mean(successes, failures))

    return IndexPolicy(gamma_table(pulls + 1), score_fn)


def likeliest_thompson(pulls: int, *, samples: int = 20) -> IndexPolicy:
    """Of several joint draws from the posterior, the one of the highest posterior density.

    This is what the public code of Duan et al. 2016 calls optimistic Thompson sampling. The code has seven draws; their
    published numbers are those of about twenty, up to the noise of 1,000 tasks.

    Args:
      pulls: the lifetime, at most.
      samples: joint draws, ≥ 1.
    """
    check_least(1, samples=samples)

    def score_fn(table, key, successes, failures, done):
        drawn = jax.vmap(lambda key: _beta_draw(table, key, successes, failures, done))(jax.random.split(key, samples))
        # A draw may round to 0 or 1, whose logarithm times no successes or failures would not be a number.
        drawn = jnp.clip(drawn, 1e-7, 1.0 - 1e-7)
        density = jnp.sum(successes[None] * jnp.log(drawn) + failures[None] * jnp.log1p(-drawn), axis=-1)
        return drawn[jnp.argmax(density)]

    return IndexPolicy(gamma_table(pulls + 1), score_fn)


def _beta_draw(table: Array, key: Key, successes: Array, failures: Array, done: Array) -> Array:
    # X / (X + Y) is Beta(a, b) for X from Gamma(a), Y from Gamma(b).
    normal = jax.random.normal(key, (2, *successes.shape))
    paid = gamma_draw(table, successes + 1, normal[0])
    return paid / (paid + gamma_draw(table, failures + 1, normal[1]))


def gittins(pulls: int, *, levels: int = 256) -> IndexPolicy:
    """The arm of the highest finite-horizon Gittins index with the pulls that are left of ``pulls``.

    Optimal for one arm against a certain payment; for several arms in finite time nearly so, but not exactly.
    """
    table = gittins_table(pulls, levels=levels)
    return IndexPolicy(table, lambda table, key, *counts: gittins_index(table, pulls, *counts))


_BLOCK = 32


def gittins_table(pulls: int, *, levels: int = 256) -> Array:
    """Gittins indices of every state of an arm that a lifetime of ``pulls`` can reach, flat, for ``gittins_index``.

    The prior is Beta(1, 1). With ``r`` pulls left, an arm that paid ``s`` of ``t`` pulls is worth a certain payment up
    to ``ν_r(s, t) = max_τ E[Σ_{i≤τ} reward_i] / E[τ]`` a pull, over stopping times ``1 ≤ τ ≤ r`` (Gittins 1979; the
    calibration of Niño-Mora 2011). For a payment λ the gain of going on, ``g_r = μ − λ + E max(g_{r−1}, 0)``, is
    computed backwards, exactly, for all levels of λ at once. It is convex and falls in λ. The index is its root,
    linearly interpolated between two levels, so it is too large by an error that falls with the square of their
    distance. The levels are ``sin²`` of an even grid, dense near 0 and 1, where posteriors are narrow: with 256 of them
    no index of n = 40 is too large by more than 6e-4.

    Args:
      pulls: n ≥ 1.
      levels: intervals that [0, 1] is cut into, ≥ 2. Memory is about ``10 · levels · pulls²`` bytes.
    """
    check_least(1, pulls=pulls)
    check_least(2, levels=levels)
    layers, gain = [], jnp.zeros((pulls + 1, pulls + 1, levels + 1), jnp.float32)
    # With r pulls left an arm has at most n − r behind it: the triangle shrinks, block by block.
    for size in range(pulls, 0, -_BLOCK):
        gain, block = _backward(gain[: size + 1, : size + 1], min(_BLOCK, size))
        layers += [layer[np.tril_indices(size - index)] for index, layer in enumerate(np.asarray(block))]
    return jnp.asarray(np.concatenate(layers))


@functools.partial(jax.jit, static_argnums=1, donate_argnums=0)
def _backward(gain: Array, length: int) -> tuple[Array, Array]:
    """``length`` more pulls left; ``gain`` ``[t, s, level]`` is clipped at 0. Returns indices ``[length, t, s]``."""
    levels = gain.shape[-1] - 1
    t, s, level = jnp.ogrid[: gain.shape[0] - 1, : gain.shape[1] - 1, : levels + 1]
    payment = jnp.sin(0.5 * jnp.pi * level / levels) ** 2
    mean = jnp.minimum((s + 1) / (t + 2), 1.0)

    def step(gain, _):
        # Rows beyond the triangle hold zeros or stale values; no row inside it ever reads them.
        going_on = mean - payment + mean * gain[1:, 1:] + (1.0 - mean) * gain[1:, :-1]
        # Below the root every interval counts whole, above it none: the sum is the interpolated root.
        share = going_on[..., :-1] / (going_on[..., :-1] - going_on[..., 1:])
        index = jnp.sum(jnp.clip(share, 0.0, 1.0) * jnp.diff(payment), axis=-1)
        return gain.at[:-1, :-1].set(jnp.maximum(going_on, 0.0)), index

    return jax.lax.scan(step, gain, None, length=length)


def gittins_index(table: Array, pulls: int, successes: Array, failures: Array, done: Array) -> Array:
    """Indices ``[k]`` of arms of so many successes and failures ``[k]``, from ``gittins_table(pulls)``.

    So far ``done`` < n pulls were of any arm: ``n − done`` are left.
    """
    # Layers lie in the order of pulls left, 1 first; the layer with r left is a triangle of side n − r + 1.
    side = done + 1
    before = pulls * (pulls + 1) * (pulls + 2) // 6 - side * (side + 1) * (side + 2) // 6
    tried = successes + failures
    return table[before + tried * (tried + 1) // 2 + successes]


def bandit_returns(
    key: Key, policy: IndexPolicy, *, arms: int, pulls: int, tasks: int, task_chunk: int = 1000
) -> np.ndarray:
    """Total *expected* reward of a method in each of many tasks, ``[N]``: the sum of the pulled arms' probabilities.

    It has the same mean as the total reward, and less variance. With the same key, every method meets the same tasks,
    and the i-th pull of an arm pays the same. So differences between methods have less variance than either mean.

    Args:
      key: PRNG key.
      policy: the method.
      arms: k ≥ 1.
      pulls: n ≥ 1.
      tasks: N ≥ 1.
      task_chunk: tasks simulated side by side, ≥ 1.
    """
    check_least(1, arms=arms, pulls=pulls, tasks=tasks, task_chunk=task_chunk)

    def lifetime(data: PyTree, key: Key) -> Array:
        key_task, key_reward, key_policy = task_keys(key)
        probability = jax.random.uniform(key_task, (arms,))

        def pull(carry, done):
            successes, failures, total = carry
            arm = jnp.argmax(policy.score(data, jax.random.fold_in(key_policy, done), successes, failures, done))
            times = successes[arm] + failures[arm]
            # Keyed by the arm and how often it was pulled, not by time: the common random numbers.
            paid = jax.random.uniform(jax.random.fold_in(key_reward, arm * pulls + times)) < probability[arm]
            here = jnp.arange(arms) == arm
            return (successes + (here & paid), failures + (here & ~paid), total + probability[arm]), None

        zeros = jnp.zeros(arms, jnp.int32)
        return jax.lax.scan(pull, (zeros, zeros, jnp.float32(0.0)), jnp.arange(pulls))[0][2]

    simulate = jax.jit(lambda data, keys: over_tasks(functools.partial(lifetime, data), keys, task_chunk=task_chunk))
    return np.asarray(simulate(policy.data, jax.random.split(key, tasks)))


def task_keys(key: Key) -> tuple[Key, Key, Key]:
    """Keys of a task's arms, of what their pulls pay, and of the method's own choices."""
    return tuple(jax.random.split(key, 3))


def estimate(returns: np.ndarray) -> tuple[float, float]:
    """Mean over tasks and its standard error, from one number a task, ``[N]`` with N ≥ 2."""
    returns = np.asarray(returns, np.float64)
    return float(returns.mean()), float(returns.std(ddof=1) / np.sqrt(returns.size))
