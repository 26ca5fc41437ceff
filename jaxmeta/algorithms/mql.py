"""Meta-Q-learning: multi-task Q-learning with a memory, adapted with data of old tasks too (Fakoor et al. 2020)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from jaxmeta.algorithms.contract import check_contract, check_lifetimes
from jaxmeta.algorithms.r2d2 import r2d2
from jaxmeta.algorithms.replay import descend
from jaxmeta.algorithms.sequence_values import Sequence, SequenceValues
from jaxmeta.checks import check_least, check_positive, check_weights
from jaxmeta.data import Buffer, collect_lifetime, draw, identity_estimator
from jaxmeta.networks import RecurrentPolicy
from jaxmeta.objectives import effective_sample_size, new_task_odds
from jaxmeta.parts import extends
from jaxmeta.tasks import Lifetimes
from jaxmeta.types import (
    Array,
    Gate,
    Info,
    Key,
    Learner,
    Lifetime,
    MetaAlgorithm,
    MetaState,
    Phi,
    PyTree,
    Task,
    Theta,
    Trajectory,
)


class Adapted(NamedTuple):
    """The fast state: weights that ``absorb`` moves, and a memory that ``act`` moves."""

    network: PyTree
    memory: PyTree


@extends(r2d2, without=("extension",))
def mql(
    tasks: Lifetimes,
    *,
    adaptation_steps: int = 1,
    inner_rate: float = 1e-4,
    new_updates: int = 8,
    replay_updates: int = 8,
    kept: int = 64,
    proximal: float = 1.0,
    ridge: float = 1.0,
    odds_limit: float = 10.0,
    **settings: Any,
) -> MetaAlgorithm:
    """``r2d2`` across tasks; in a new one, steps on its own data and on old data that looks like it.

    A lifetime is acted by the memory. After it, ``new_updates`` steps are made on its sequences, and
    ``replay_updates`` on sequences of meta-training, each weighted by the odds that its context is one of the new
    task's. Both add ``(1 − ESS)/2 ‖w − θ‖²``, with the effective sample size of the weights: the less the old data
    resembles the new task, the less is to be learned from, and the nearer the weights stay. Without replay the ESS
    counts as 0. A context is the memory after a sequence.

    Theirs acts on continuous actions by TD3, given a context; here the memory chooses among a few actions, and its
    values are learned from sequences. θ is ``{"network": ..., "replay": ...}``: adaptation needs meta-training data, so
    a sample of the buffer, renewed at each meta-step, goes along with the slow weights. No optimiser moves it.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``, with discrete actions.
      adaptation_steps: K ≥ 0 lifetimes in a new task that are adapted with; none of it happens in meta-training.
      inner_rate: of Adam's steps in a new task, ≥ 0.
      new_updates: on the new lifetime, ≥ 0.
      replay_updates: on the data of meta-training, ≥ 0; 0 is adaptation without replay.
      kept: sequences of meta-training that go along, ≥ 1.
      proximal: factor of the pull to the meta-trained weights, ≥ 0.
      ridge: of the logistic regression that the odds come from, > 0.
      odds_limit: larger odds are cut off, > 0.
      **settings: those of ``r2d2``.

    Raises:
      ValueError: an argument out of its range.
    """
    check_lifetimes(tasks)
    check_least(0, adaptation_steps=adaptation_steps, new_updates=new_updates, replay_updates=replay_updates)
    check_least(1, kept=kept)
    check_weights(inner_rate=inner_rate, proximal=proximal)
    check_positive(ridge=ridge, odds_limit=odds_limit)
    sizes = {"adaptation_steps": adaptation_steps, "episodes": 1, "horizon": tasks.horizon}

    def extension(base: MetaAlgorithm, policy: RecurrentPolicy, values: SequenceValues) -> MetaAlgorithm:
        absorb = absorb_with_replay(
            policy,
            values,
            optax.chain(optax.clip_by_global_norm(10.0), optax.adam(inner_rate)),
            relevance_for(policy, ridge=ridge, odds_limit=odds_limit) if replay_updates else None,
            new_updates=new_updates,
            replay_updates=replay_updates,
            proximal=proximal,
        )

        def init_theta(key: Key) -> Theta:
            # Nothing is stored yet: all masks are 0.
            item = jax.eval_shape(base.init, key).opt_state.buffer.data
            nothing = jax.tree.map(lambda x: jnp.zeros((kept, *x.shape[1:]), x.dtype), item)
            return {"network": base.learner.init(key), "replay": nothing}

        def init_fn(key: Key) -> MetaState:
            return base.init(key)._replace(theta=init_theta(key))

        def step_fn(key: Key, state: MetaState, batch: Task) -> tuple[MetaState, Info]:
            key_step, key_replay = jax.random.split(key)
            new, info = base.step(key_step, state._replace(theta=state.theta["network"]), batch)
            replay = draw_uniformly(key_replay, new.opt_state.buffer, kept)
            return new._replace(theta={"network": new.theta, "replay": replay}), info

        def adapt_fn(key: Key, theta: Theta, task: Task) -> tuple[Phi, Lifetime]:
            return collect_lifetime(key, tasks.env, task, learner, theta, identity_estimator, **sizes)

        learner, greedy = (
            with_fast_weights(each)._replace(init=init_theta, absorb=absorb) for each in (base.learner, base.greedy)
        )
        check_contract(tasks, learner, adaptation_steps=adaptation_steps, episodes=1)
        return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, greedy, gate_of_fast_weights(base.gate))

    return r2d2(tasks, extension=extension, **settings)


Relevance = Callable[[PyTree, Sequence, Sequence], tuple[Array, Array]]
"""``relevance(network, new, old) -> (odds, share)``: how much each old sequence counts, ``[B]``, and the share of them
that this is worth."""


def relevance_for(policy: RecurrentPolicy, *, ridge: float, odds_limit: float) -> Relevance:
    """Relevance by the odds that an old sequence's context is one of the new task's."""

    def context_of(network: PyTree, sequence: Sequence) -> Array:
        """The memory after the last real step."""

        def forward(memory: PyTree, inputs: tuple[Array, Array]) -> tuple[PyTree, None]:
            obs, real = inputs
            later = policy.step(network, memory, obs)[2]
            return jax.tree.map(lambda new, old: jnp.where(real > 0, new, old), later, memory), None

        return ravel_pytree(jax.lax.scan(forward, sequence.memory, (sequence.obs, sequence.mask))[0])[0]

    def relevance_fn(network: PyTree, new: Sequence, old: Sequence) -> tuple[Array, Array]:
        contexts = [jax.vmap(context_of, (None, 0))(network, each) for each in (new, old)]
        masks = [jnp.max(each.mask, axis=-1) for each in (new, old)]
        odds = new_task_odds(*contexts, *masks, ridge=ridge, limit=odds_limit)
        return odds, effective_sample_size(odds, masks[1])

    return relevance_fn


def absorb_with_replay(
    policy: RecurrentPolicy,
    values: SequenceValues,
    optimizer: optax.GradientTransformation,
    relevance: Relevance | None,
    *,
    new_updates: int,
    replay_updates: int,
    proximal: float,
) -> Callable[[Theta, Adapted, Trajectory], Adapted]:
    """The ``absorb`` of MQL: steps on a new lifetime's sequences, and then on those in ``theta["replay"]``.

    Args:
      policy: the network.
      values: how lifetimes become sequences, and the loss on them.
      optimizer: begun anew for each lifetime.
      relevance: of old sequences; ``None`` where they are not learned from.
      new_updates: on the new lifetime, ≥ 0.
      replay_updates: on the old sequences, ≥ 0.
      proximal: factor of the pull to the meta-trained weights, ≥ 0.
    """

    def absorb_fn(theta: Theta, phi: Adapted, trajectory: Trajectory) -> Adapted:
        new, old = values.cut(phi.network, trajectory), theta["replay"]
        pull = proximal
        weights = [(new, jnp.ones(new.mask.shape[0]), new_updates)]
        if relevance is not None:
            odds, effective = relevance(theta["network"], new, old)
            pull = proximal * (1.0 - effective)
            weights.append((old, odds, replay_updates))

        def step(carry: tuple[PyTree, PyTree], data: Sequence, weight: Array) -> tuple[PyTree, PyTree]:
            def objective(network: PyTree) -> Array:
                distance = jax.tree.map(jnp.subtract, network, theta["network"])
                return values.loss(network, phi.network, data, weight)[0] + 0.5 * pull * squared_norm(distance)

            network, state = carry
            return descend(optimizer, jax.grad(objective)(network), state, network)

        carry = (phi.network, optimizer.init(phi.network))
        for data, weight, updates in weights:
            carry = jax.lax.fori_loop(
                0, updates, lambda _, carry, data=data, weight=weight: step(carry, data, weight), carry
            )
        return Adapted(carry[0], policy.begin(carry[0]))

    return absorb_fn


def draw_uniformly(key: Key, buffer: Buffer, count: int) -> PyTree:
    """Stored items by lot, leaves ``[count, ...]``, however often their priorities would have them drawn."""
    return draw(key, buffer._replace(priority=(buffer.priority > 0).astype(jnp.float32)), count)[0]


def gate_of_fast_weights(gate: Gate | None) -> Gate | None:
    """The gate of a network that is part of the fast state; ``None`` of an actor without experts."""
    return None if gate is None else lambda theta, phi, obs: gate(phi.network, phi.memory, obs)


def with_fast_weights(learner: Learner) -> Learner:
    """A learner whose fast state is a memory, as one whose network is part of the fast state."""

    def begin_fn(theta: Theta) -> Adapted:
        return Adapted(theta["network"], learner.begin(theta["network"]))

    def act_fn(key: Key, theta: Theta, phi: Adapted, obs: Array):
        action, log_prob, value, memory = learner.act(key, phi.network, phi.memory, obs)
        return action, log_prob, value, Adapted(phi.network, memory)

    def score_fn(theta: Theta, phi: Adapted, trajectory: Trajectory):
        return learner.score(phi.network, phi.memory, trajectory)

    return Learner(learner.init, begin_fn, act_fn, lambda theta, phi, trajectory: phi, score_fn)


def squared_norm(tree: PyTree) -> Array:
    """``‖x‖²`` of all numbers of a pytree, whose gradient at 0 is 0."""
    return sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)), start=jnp.zeros(()))
