"""Planners: the sequence of actions with the best score. Pure functions for one state."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments import spaces

from jaxmeta.checks import check_least, has_bounds
from jaxmeta.models.dynamics import DynamicsModel, open_loop
from jaxmeta.types import Array, Key, PyTree

Score = Callable[[Array], Array]
"""``score(actions) -> return`` of one sequence ``[H, ...]``; one that is not a number counts as the worst."""


class Planner(NamedTuple):
    """A search for the sequence of actions with the best score; ``begin()`` is the plan before anything was planned.

    ``plan(key, plan, score) -> (actions, plan)``: the best sequence found, ``[H, ...]``, and what the search of the
    next time step starts from, one step further on.
    """

    begin: Callable[[], PyTree]
    plan: Callable[[Key, PyTree, Score], tuple[Array, PyTree]]


def imagined_return(
    model: DynamicsModel, params: PyTree, obs: Array, actions: Array, discount: float | Array = 1.0
) -> Array:
    """``Σ_t γ^t p_t r_t`` along ``open_loop``, where ``p_t`` is the chance that the episode lasts until step t."""
    _, reward, alive = open_loop(model, params, obs, actions)
    return jnp.sum(discount ** jnp.arange(actions.shape[0]) * alive * reward)


def random_shooting(space: spaces.Space, *, horizon: int = 10, candidates: int = 500) -> Planner:
    """The best of some sequences of uniform actions (Nagabandi et al. 2018, section IV.C). Nothing is kept.

    Args:
      space: of actions, ``Discrete`` or a bounded ``Box`` of rank 1.
      horizon: H ≥ 1, steps of a sequence.
      candidates: sequences, ≥ 1.
    """
    check_least(1, horizon=horizon, candidates=candidates)
    search = _search_for(space, horizon, smoothing=0.0)

    def plan_fn(key: Key, plan: PyTree, score: Score) -> tuple[Array, PyTree]:
        drawn = search.uniform(key, candidates)
        return drawn[jnp.argmax(_scores(score, drawn))], plan

    return Planner(lambda: (), plan_fn)


def cross_entropy_method(
    space: spaces.Space,
    *,
    horizon: int = 10,
    candidates: int = 64,
    elites: int = 8,
    iterations: int = 3,
    smoothing: float = 0.1,
) -> Planner:
    """Draw sequences, fit a distribution to the best of them, draw from that, … (Rubinstein 1999; Chua et al. 2018).

    Each step's action has a distribution of its own: a Gaussian, cut off at the box, or one over the discrete actions.
    The first iteration starts from the plan of the time step before, one step further on, with the deviation of a fresh
    plan, or with half of the probability spread evenly. Among the sequences of each iteration is the distribution's
    mode, and the best of all iterations is the answer.

    Args:
      space: of actions, ``Discrete`` or a bounded ``Box`` of rank 1.
      horizon: H ≥ 1, steps of a sequence.
      candidates: sequences in an iteration, ≥ 1.
      elites: of them that the distribution is fitted to, from 1 to ``candidates``.
      iterations: ≥ 1.
      smoothing: share of the old distribution in the new one, in [0, 1).
    """
    check_least(1, horizon=horizon, candidates=candidates, elites=elites, iterations=iterations)
    if elites > candidates:
        raise ValueError(f"elites: got {elites}; must be at most the {candidates} candidates")
    if not 0.0 <= smoothing < 1.0:
        raise ValueError(f"smoothing: got {smoothing}; must be in [0, 1)")
    search = _search_for(space, horizon, smoothing)

    def plan_fn(key: Key, plan: PyTree, score: Score) -> tuple[Array, PyTree]:
        def iterate(carry: tuple[PyTree, Array, Array], key: Key):
            believed, best, most = carry
            drawn = search.sample(key, believed, candidates).at[0].set(search.mode(believed))
            values, places = jax.lax.top_k(_scores(score, drawn).astype(jnp.float32), elites)
            better = values[0] > most
            best, most = jnp.where(better, drawn[places[0]], best), jnp.where(better, values[0], most)
            return (search.fit(believed, drawn[places]), best, most), None

        start = (plan, search.mode(plan), jnp.float32(-jnp.inf))
        (believed, best, _), _ = jax.lax.scan(iterate, start, jax.random.split(key, iterations))
        return best, search.later(believed)

    return Planner(search.begin, plan_fn)


class _Search(NamedTuple):
    """Distributions over sequences of actions ``[count, H, ...]``, by their parameters."""

    begin: Callable[[], PyTree]  # those of a fresh plan
    uniform: Callable[[Key, int], Array]
    sample: Callable[[Key, PyTree, int], Array]
    mode: Callable[[PyTree], Array]
    fit: Callable[[PyTree, Array], PyTree]
    later: Callable[[PyTree], PyTree]  # those to start the next time step with


def _search_for(space: spaces.Space, horizon: int, smoothing: float) -> _Search:
    if isinstance(space, spaces.Discrete):
        return _categorical_search(int(space.n), horizon, smoothing)
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and has_bounds(space):
        low, high = (jnp.broadcast_to(jnp.asarray(end, jnp.float32), space.shape) for end in (space.low, space.high))
        return _gaussian_search(low, high, horizon, smoothing)
    raise ValueError(f"space: got {space}; a planner needs Discrete actions, or a bounded Box of rank 1")


def _gaussian_search(low: Array, high: Array, horizon: int, smoothing: float) -> _Search:
    shape = (horizon, *low.shape)
    low, high = (jnp.broadcast_to(end, shape) for end in (low, high))
    middle, wide = 0.5 * (low + high), 0.5 * (high - low)

    def sample_fn(key: Key, params: tuple[Array, Array], count: int) -> Array:
        mean, deviation = params
        noise = jax.random.normal(key, (count, *shape), low.dtype)
        return jax.vmap(lambda noise: jnp.clip(mean + deviation * noise, low, high))(noise)

    def fit_fn(params: tuple[Array, Array], drawn: Array) -> tuple[Array, Array]:
        fitted = jnp.mean(drawn, axis=0), jnp.std(drawn, axis=0)
        return jax.tree.map(lambda old, new: smoothing * old + (1.0 - smoothing) * new, params, fitted)

    return _Search(
        lambda: (middle, wide),
        lambda key, count: jax.random.uniform(key, (count, *shape), low.dtype, low, high),
        sample_fn,
        lambda params: params[0],
        fit_fn,
        lambda params: (_shifted(params[0], middle[-1]), wide),
    )


def _categorical_search(count: int, horizon: int, smoothing: float) -> _Search:
    even = jnp.full((horizon, count), 1.0 / count)

    def sample_fn(key: Key, params: Array, sequences: int) -> Array:
        return jax.random.categorical(key, jnp.log(params), shape=(sequences, horizon)).astype(jnp.int32)

    def fit_fn(params: Array, drawn: Array) -> Array:
        return smoothing * params + (1.0 - smoothing) * jnp.mean(jax.nn.one_hot(drawn, count), axis=0)

    return _Search(
        lambda: even,
        lambda key, sequences: jax.random.randint(key, (sequences, horizon), 0, count, jnp.int32),
        sample_fn,
        lambda params: jnp.argmax(params, axis=-1).astype(jnp.int32),
        fit_fn,
        lambda params: 0.5 * _shifted(params, even[-1]) + 0.5 * even,
    )


def _shifted(x: Array, last: Array) -> Array:
    """Each entry one place earlier, ``last`` in the free place."""
    return jnp.concatenate([x[1:], last[None]])


def _scores(score: Score, drawn: Array) -> Array:
    values = jax.vmap(score)(drawn)
    return jnp.where(jnp.isnan(values), -jnp.inf, values)
