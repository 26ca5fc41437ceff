"""Lifetimes of tabular methods in random MDPs, on common random numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import check_least
from jaxmeta.over_tasks import over_tasks
from jaxmeta.references.tabular import Planner, empty_belief, optimal_return, update
from jaxmeta.types import Array, Key


def mdp_returns(
    key: Key,
    planner: Planner,
    *,
    episodes: int,
    tasks: int,
    states: int = 10,
    actions: int = 5,
    horizon: int = 10,
    prior_mean: float = 1.0,
    task_chunk: int = 500,
) -> np.ndarray:
    """*Expected* reward of each episode of a method, in many random MDPs: the sum of its actions' mean rewards.

    It has the same mean as the reward, and less variance. With the same key, every method meets the same MDPs, and the
    i-th use of an action in a state has the same outcome. As in Duan et al. 2016, the state after an episode's last
    step is not observed: the next observation is the next episode's first state.

    Args:
      key: PRNG key.
      planner: the method.
      episodes: n ≥ 1.
      tasks: N ≥ 1.
      states: S ≥ 1; an episode starts in state 0.
      actions: A ≥ 1.
      horizon: H ≥ 1.
      prior_mean: the method's prior mean of a mean reward; the tasks' own is 1.
      task_chunk: tasks simulated side by side, ≥ 1.

    Returns:
      ``[N, n]``, float32. Sums over the first episodes are the returns of shorter lifetimes: no method looks ahead.
    """
    check_least(1, episodes=episodes, tasks=tasks, states=states, actions=actions)
    check_least(1, horizon=horizon, task_chunk=task_chunk)

    def lifetime(data, key_outcome: Key, key_policy: Key, transition: Array, reward: Array) -> Array:
        cumulative = jnp.cumsum(transition, axis=-1)

        def step(carry, inputs):
            visits, state, total = carry
            q, lot = inputs
            explore = lot[-1] < planner.epsilon
            # Ties are broken at random at each step: always taking the first action would try less in an episode.
            action = jnp.argmax(jnp.where(explore | (q[state] == jnp.max(q[state])), lot[:-1], -1.0))
            pair = state * actions + action
            # Keyed by the pair and how often it was used, not by time: the common random numbers.
            key_pair = jax.random.fold_in(key_outcome, pair * episodes * horizon + visits[pair])
            noise, quantile = jax.random.normal(key_pair, (2,))
            # A rounded sum of probabilities can end below 1, and the draw above it.
            passed = cumulative[state, action] <= jax.scipy.special.ndtr(quantile)
            following = jnp.minimum(jnp.sum(passed), states - 1)
            carry = (visits + (jnp.arange(states * actions) == pair), following, total + reward[state, action])
            return carry, (state, action, following, reward[state, action] + noise)

        def episode(belief, index):
            key_plan, key_lot = jax.random.split(jax.random.fold_in(key_policy, index))
            q = planner.plan(data, key_plan, belief, horizon)
            lot = jax.random.uniform(key_lot, (horizon, actions + 1))
            carry = (belief.visits.ravel(), jnp.zeros((), jnp.int32), jnp.float32(0.0))
            (_, _, total), steps = jax.lax.scan(step, carry, (q, lot))
            return update(belief, *steps), total

        return jax.lax.scan(episode, empty_belief(states, actions, prior_mean), jnp.arange(episodes))[1]

    simulate = jax.jit(
        lambda data, *batch: over_tasks(functools.partial(lifetime, data), *batch, task_chunk=task_chunk)
    )
    keys = (jax.random.split(each, tasks) for each in jax.random.split(jax.random.fold_in(key, 1)))
    return np.asarray(simulate(planner.data, *keys, *draw_mdps(key, tasks, states, actions)))


def mdp_optima(key: Key, *, tasks: int, states: int = 10, actions: int = 5, horizon: int = 10) -> np.ndarray:
    """Exact value of an episode for a policy that knows the MDP, ``[N]``: the MDPs of ``mdp_returns`` at that key."""
    optimal = functools.partial(optimal_return, horizon=horizon)
    return np.asarray(over_tasks(optimal, *draw_mdps(key, tasks, states, actions), task_chunk=500))


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def draw_mdps(key: Key, tasks: int, states: int, actions: int) -> tuple[Array, Array]:
    """Random MDPs, transitions ``[N, S, A, S]`` and mean rewards ``[N, S, A]``."""
    # Compiled apart from the methods, once for all of them.
    return jax.vmap(draw_mdp, (0, None, None))(jax.random.split(jax.random.fold_in(key, 0), tasks), states, actions)


def draw_mdp(key: Key, states: int, actions: int) -> tuple[Array, Array]:
    """Transitions ``[S, A, S]`` from a flat Dirichlet and mean rewards ``[S, A]`` from N(1, 1)."""
    key_transition, key_reward = jax.random.split(key)
    # Exponential variables, normalised, are a flat Dirichlet draw; compiling them takes a tenth of the time.
    gamma = jax.random.exponential(key_transition, (states, actions, states))
    transition = gamma / jnp.sum(gamma, axis=-1, keepdims=True)
    return transition, 1.0 + jax.random.normal(key_reward, (states, actions))
