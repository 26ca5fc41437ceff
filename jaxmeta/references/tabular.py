"""Exact values of tabular MDPs, and classical methods on random ones: how each plans for its next episode.

The prior is the family's own (Duan et al. 2016): a flat Dirichlet on each transition, N(1, 1) on each mean reward,
whose noise is known to be standard normal. Axes: ``S`` states, ``A`` actions, ``H`` steps of an episode.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxmeta.checks import check_least, check_unit, check_weights
from jaxmeta.references.gamma import gamma_draw, gamma_table
from jaxmeta.types import Array, Key, PyTree


def value_iteration(transition: Array, reward: Array, horizon: int) -> tuple[Array, Array]:
    """``Q_h(s, a) = r(s, a) + Σ_s' P(s' | s, a) max_a' Q_{h+1}(s', a')``, with ``Q_H = 0``. Undiscounted.

    Args:
      transition: ``P(s' | s, a)``, ``[S, A, S]``.
      reward: expected reward of an action in a state, ``[S, A]``.
      horizon: H ≥ 1.

    Returns:
      Q-values ``[H, S, A]`` and state values ``[H, S]``, the first row with all H steps to go.
    """
    check_least(1, horizon=horizon)
    states, actions = reward.shape
    chex.assert_shape(transition, (states, actions, states))

    def backup(value, _):
        q = reward + transition @ value
        value = jnp.max(q, axis=-1)
        return value, (q, value)

    return jax.lax.scan(backup, jnp.zeros(states, reward.dtype), None, length=horizon, reverse=True)[1]


def optimal_return(transition: Array, reward: Array, horizon: int, *, start: int = 0) -> Array:
    """Return of the best policy in H steps from a state of a known MDP; arguments as of ``value_iteration``."""
    return value_iteration(transition, reward, horizon)[1][0, start]


def reaching_probability(transition: Array, goal: Array, ongoing: Array, horizon: int, *, start: int = 0) -> Array:
    """Probability that the best policy reaches a goal in H steps: the return where a goal pays 1 and ends the episode.

    Args:
      transition: ``P(s' | s, a)``, ``[S, A, S]``, of states that an episode goes on from.
      goal: whether a state is a goal, ``[S]``.
      ongoing: whether an episode goes on from a state, ``[S]``: not from goals.
      horizon: H ≥ 1.
      start: the first state.
    """
    transition = jnp.where(ongoing[:, None, None], transition, jnp.eye(len(goal))[:, None])
    reward = jnp.where(ongoing[:, None], transition @ goal.astype(jnp.float32), 0.0)
    return optimal_return(transition, reward, horizon, start=start)


class Belief(NamedTuple):
    """What was seen in one MDP.

    Attributes:
      transitions: how often each state followed, ``[S, A, S]``, int32.
      visits: how often each reward was seen, ``[S, A]``, int32.
      reward_sum: the sum of those rewards, ``[S, A]``.
      episodes: how many episodes are over, int32.
      prior_mean: of each mean reward, a scalar; its prior standard deviation is 1.
    """

    transitions: Array
    visits: Array
    reward_sum: Array
    episodes: Array
    prior_mean: Array


class Planner(NamedTuple):
    """A tabular method: it fixes the next episode's policy.

    Attributes:
      data: arrays that ``plan`` needs, passed through compiled code as arguments.
      plan: ``plan(data, key, belief, horizon) -> Q`` ``[H, S, A]``, whose largest entry is acted on.
      epsilon: probability of a uniformly random action instead, at each step.
    """

    data: PyTree
    plan: Callable[[PyTree, Key, Belief, int], Array]
    epsilon: float = 0.0


def empty_belief(states: int, actions: int, prior_mean: float = 1.0) -> Belief:
    """Nothing seen yet."""
    return Belief(
        transitions=jnp.zeros((states, actions, states), jnp.int32),
        visits=jnp.zeros((states, actions), jnp.int32),
        reward_sum=jnp.zeros((states, actions), jnp.float32),
        episodes=jnp.zeros((), jnp.int32),
        prior_mean=jnp.float32(prior_mean),
    )


def update(belief: Belief, state: Array, action: Array, following: Array, reward: Array) -> Belief:
    """The belief after one more episode, all arguments ``[H]``.

    The state after the last step is not counted: what a learner is shown there is the next episode's first state.
    """
    return belief._replace(
        transitions=belief.transitions.at[state[:-1], action[:-1], following[:-1]].add(1),
        visits=belief.visits.at[state, action].add(1),
        reward_sum=belief.reward_sum.at[state, action].add(reward),
        episodes=belief.episodes + 1,
    )


def mean_reward(belief: Belief) -> Array:
    """Posterior mean of each mean reward, ``(m + Σ r) / (1 + n)``, ``[S, A]``."""
    return (belief.prior_mean + belief.reward_sum) / (1.0 + belief.visits)


def mean_transition(belief: Belief) -> Array:
    """Posterior mean of each transition, ``(1 + n(s, a, s')) / (S + n(s, a))``, ``[S, A, S]``."""
    alpha = belief.transitions + 1.0
    return alpha / jnp.sum(alpha, axis=-1, keepdims=True)


def _plan_mean(bonus: Callable[[Belief], Array]) -> Callable[[PyTree, Key, Belief, int], Array]:
    """Plans on the posterior mean with a bonus ``[S, A]`` added to the rewards."""

    return lambda data, key, belief, horizon: value_iteration(
        mean_transition(belief), mean_reward(belief) + bonus(belief), horizon
    )[0]


def random_actions() -> Planner:
    """Uniformly random actions."""
    return epsilon_greedy(1.0)


def greedy() -> Planner:
    """Value iteration on the posterior mean."""
    return epsilon_greedy(0.0)


def epsilon_greedy(epsilon: float = 0.05) -> Planner:
    """The greedy plan, with a uniformly random action at each step with probability ``epsilon``."""
    check_unit(epsilon=epsilon)
    return Planner((), _plan_mean(lambda belief: jnp.zeros_like(belief.reward_sum)), epsilon)


def beb(bonus: float = 0.7) -> Planner:
    """Bayesian exploration bonus ``β / (1 + n)`` on the posterior mean (Kolter and Ng 2009).

    The proof has β = 2 H²; like Duan et al. 2016 we tune it. ``n`` counts visits; the prior is not counted.
    """
    check_weights(bonus=bonus)
    return Planner((), _plan_mean(lambda belief: bonus / (1.0 + belief.visits)))


def mean_plus_bonus(deviations: float = 0.75) -> Planner:
    """The posterior mean plus ``deviations`` posterior standard deviations of the mean reward, ``1 / √(1 + n)``."""
    check_weights(deviations=deviations)
    return Planner((), _plan_mean(lambda belief: deviations / jnp.sqrt(1.0 + belief.visits)))


def ucrl2(scale: float = 0.03, *, confidence: float = 0.05) -> Planner:
    """Optimism over confidence sets by extended value iteration (Jaksch et al. 2010), with a finite horizon.

    The sets lie around the posterior mean. After ``t`` steps, with δ the confidence, they allow a mean reward larger by
    ``c √(7 ln(2 S A t / δ) / (2 max(1, n)))`` and a transition within ``c √(14 S ln(2 A t / δ) / max(1, n))`` in the
    L1 norm. The paper's proof has c = 1; like Duan et al. 2016 we tune it.

    Args:
      scale: c ≥ 0.
      confidence: δ in (0, 1).
    """
    check_weights(scale=scale)
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: got {confidence}; must be in (0, 1)")

    def plan_fn(data, key, belief, horizon):
        states, actions = belief.visits.shape
        steps = jnp.maximum(belief.episodes * horizon, 1)
        times = jnp.maximum(belief.visits, 1)
        reward_width = scale * jnp.sqrt(3.5 * jnp.log(2 * states * actions * steps / confidence) / times)
        radius = scale * jnp.sqrt(14 * states * jnp.log(2 * actions * steps / confidence) / times)
        transition, reward = mean_transition(belief), mean_reward(belief) + reward_width

        def backup(value, _):
            q = reward + optimistic_expectation(transition, value, radius)
            return jnp.max(q, axis=-1), q

        return jax.lax.scan(backup, jnp.zeros(states), None, length=horizon, reverse=True)[1]

    return Planner((), plan_fn)


def optimistic_expectation(transition: Array, value: Array, radius: Array) -> Array:
    """``max Σ_s' p(s') v(s')`` over distributions p within ``radius`` of ``transition`` in the L1 norm.

    Half the radius of mass goes to the best state, and is taken from the worst ones (Jaksch et al. 2010).

    Args:
      transition: ``[S, A, S]``.
      value: ``[S]``.
      radius: ≥ 0, ``[S, A]``; so is the result.
    """
    order = jnp.argsort(value)
    value, sorted_transition = value[order], transition[..., order]
    best = jnp.minimum(1.0, sorted_transition[..., -1] + radius / 2.0)
    surplus = (best - sorted_transition[..., -1])[..., None]
    others = sorted_transition[..., :-1]
    taken = jnp.clip(surplus - (jnp.cumsum(others, axis=-1) - others), 0.0, others)
    return best * value[-1] + jnp.sum((others - taken) * value[None, None, :-1], axis=-1)


def psrl(steps: int) -> Planner:
    """The plan that is optimal in an MDP drawn from the posterior (Strens 2000; Osband et al. 2013).

    A lifetime has ``steps`` ≥ 1 steps at most: episodes times H.
    """
    return optimistic_psrl(steps, samples=1)


def optimistic_psrl(steps: int, *, samples: int = 4) -> Planner:
    """Several MDPs are drawn from the posterior, and each Q-value is the largest of theirs.

    Args:
      steps: of a lifetime, at most, ≥ 1: episodes times H.
      samples: MDPs drawn for each episode, ≥ 1.
    """
    check_least(1, steps=steps, samples=samples)

    def plan_fn(table, key, belief, horizon):
        planned = jax.vmap(lambda key: value_iteration(*posterior_draw(table, key, belief), horizon)[0])
        return jnp.max(planned(jax.random.split(key, samples)), axis=0)

    return Planner(gamma_table(steps + 1), plan_fn)


def posterior_draw(table: Array, key: Key, belief: Belief) -> tuple[Array, Array]:
    """Transitions ``[S, A, S]`` and mean rewards ``[S, A]`` from the posterior; ``table`` from ``gamma_table``."""
    key_transition, key_reward = jax.random.split(key)
    normal = jax.random.normal(key_transition, belief.transitions.shape)
    gamma = gamma_draw(table, belief.transitions + 1, normal)
    normal = jax.random.normal(key_reward, belief.visits.shape)
    reward = mean_reward(belief) + normal / jnp.sqrt(1.0 + belief.visits)
    return gamma / jnp.sum(gamma, axis=-1, keepdims=True), reward
