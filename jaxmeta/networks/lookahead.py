"""Value iteration in an MDP that a network remembers, as a layer of it (after Tamar et al. 2016)."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta.networks.layers import MLP, Activation, activation_for
from jaxmeta.types import Array, Key, PyTree

CHANNELS = 4
"""Numbers that make up what a pair pays."""


class RememberedMDP(NamedTuple):
    """What the steps of a lifetime taught, of S observations and A actions.

    Attributes:
      pays: what each pair's features, rewards and visits give, ``[S, A, C]``.
      total: sum of each pair's rewards, ``[S, A]``.
      visits: of each pair, ``[S, A]``, float32.
      following: how often each observation followed within an episode, ``[S, A, S]``, float32.
      time: steps since the episode began, int32.
    """

    pays: Array
    total: Array
    visits: Array
    following: Array
    time: Array


class SeenStep(NamedTuple):
    """One step, as the next observation tells of it.

    Attributes:
      pair: indices of the observation and of the action; an action that is out of range stands for no step.
      reward: what it paid.
      features: what the pair's memory gives after it, ``[H]``.
      following: index of the observation that followed.
      ended: 1 if that is the first one of another episode.
    """

    pair: tuple[Array, Array]
    reward: Array
    features: Array
    following: Array
    ended: Array


class _Pays(nn.Module):
    """An MLP of a pair's features, its mean reward and visits, and a linear function of the last two, ``[..., C]``."""

    hidden: Sequence[int]
    activation: str | Activation

    @nn.compact
    def __call__(self, features: Array, total: Array, visits: Array) -> Array:
        # The posterior mean under a prior that counts as one visit, its standard deviation, and its variance.
        known = jnp.stack([total, jnp.sqrt(1.0 + visits), jnp.ones_like(visits)], axis=-1) / (1.0 + visits)[..., None]
        x = jnp.concatenate([features, known], axis=-1)
        mlp = MLP((*self.hidden, CHANNELS), activation_for(self.activation))
        return mlp(x) + nn.Dense(CHANNELS, use_bias=False)(known)


class Lookahead:
    """Q-values of the remembered MDP by ``depth`` backups, or as many as the episode has steps to go.

    A pair pays ``Σ_c w_c(summary) pays_c``: what it is worth to take may change over a lifetime, as that of exploring
    does. Probabilities are ``(n(s, a, s') + α) / (n(s, a) + S α)``, where α, 1 at first, is learned as its logarithm.

    Args:
      depth: backups, ≥ 1.
      horizon: steps in an episode, ≥ 1.
      hidden: widths of the hidden layers of ``pays``.
      activation: the nonlinearity of those layers.
    """

    def __init__(self, depth: int, horizon: int, hidden: Sequence[int], activation: str | Activation):
        self.depth, self.horizon = depth, horizon
        self._pays, self._weights = _Pays(tuple(hidden), activation), nn.Dense(CHANNELS)

    def init(self, key: Key, features: Array) -> PyTree:
        """Parameters, from an example ``[H]`` of a pair's features and of the summary."""
        key_pays, key_weights = jax.random.split(key)
        pays = self._pays.init(key_pays, features, jnp.zeros(()), jnp.zeros(()))
        # All actions are about as likely at first.
        small = jax.tree.map(lambda x: 0.1 * x, {"rewards": pays, "weights": self._weights.init(key_weights, features)})
        return {**small, "prior": jnp.zeros(())}

    def begin(self, params: PyTree, features: Array) -> RememberedMDP:
        """Nothing seen yet; ``features`` ``[S, A, H]``."""
        none = jnp.zeros(features.shape[:2])
        pays = cast(Array, self._pays.apply(params["rewards"], features, none, none))
        return RememberedMDP(pays, none, none, jnp.zeros((*none.shape, none.shape[0])), jnp.zeros((), jnp.int32))

    def learn(self, params: PyTree, mdp: RememberedMDP, step: SeenStep) -> RememberedMDP:
        """With one more step; the observation that follows an episode's last step is not its successor."""
        taken = step.pair[1] < mdp.visits.shape[1]
        total, visits = mdp.total[step.pair] + step.reward, mdp.visits[step.pair] + 1.0
        pays = cast(Array, self._pays.apply(params["rewards"], step.features, total, visits))
        return RememberedMDP(
            mdp.pays.at[step.pair].set(pays, mode="drop"),
            mdp.total.at[step.pair].set(total, mode="drop"),
            mdp.visits.at[step.pair].set(visits, mode="drop"),
            mdp.following.at[(*step.pair, step.following)].add(1.0 - step.ended, mode="drop"),
            jnp.where(step.ended > 0, 0, mdp.time + taken),
        )

    def values(self, params: PyTree, mdp: RememberedMDP, summary: Array, here: Array) -> Array:
        """Q-values of the actions at observation ``here``, less their mean, ``[A]``; ``summary`` ``[H]``."""
        pays = mdp.pays @ (1.0 + cast(Array, self._weights.apply(params["weights"], summary)))
        prior, seen = jnp.exp(params["prior"]), jnp.sum(mdp.following, axis=-1)

        def backup(value: Array, _):
            expected = (mdp.following @ value + prior * jnp.sum(value)) / (seen + prior * value.shape[0])
            q = pays + expected
            return jnp.max(q, axis=-1), q[here]

        _, q = jax.lax.scan(backup, jnp.zeros(pays.shape[0]), None, length=self.depth)
        q = q[jnp.minimum(self.horizon - mdp.time, self.depth) - 1]
        return q - jnp.mean(q)
