"""Meta-Q-learning: multi-task Q-learning with a memory, adapted with data of old tasks too (Fakoor et al. 2020)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from jaxmeta.algorithms.checks import check_lifetimes
from jaxmeta.algorithms.r2d2 import r2d2
from jaxmeta.algorithms.sequence_values import Sequence, sequence_values
from jaxmeta.algorithms.value_based import moved, unestimated
from jaxmeta.checks import check_least, check_positive, check_weights
from jaxmeta.data.buffers import draw
from jaxmeta.data.rollout import collect_lifetime
from jaxmeta.networks.cells import Cell
from jaxmeta.networks.recurrent import RecurrentPolicy, recurrent_policy_for
from jaxmeta.objectives.propensity import effective_sample_size, new_task_odds
from jaxmeta.types import (
    Array,
    Info,
    Key,
    Learner,
    Lifetime,
    MetaAlgorithm,
    MetaState,
    Phi,
    PyTree,
    Task,
    TaskDistribution,
    Theta,
    Trajectory,
)


class Adapted(NamedTuple):
    """The fast state: weights that ``absorb`` moves, and a memory that ``act`` moves."""

    network: PyTree
    memory: PyTree


def mql(
    tasks: TaskDistribution,
    *,
    adaptation_steps: int = 1,
    inner_rate: float = 1e-4,
    new_updates: int = 8,
    replay_updates: int = 8,
    kept: int = 64,
    proximal: float = 1.0,
    ridge: float = 1.0,
    odds_limit: float = 10.0,
    cell: str | Cell = "gru",
    size: int = 128,
    policy: RecurrentPolicy | None = None,
    discount: float = 0.99,
    n_step: int = 5,
    burn_in: int = 0,
    segment: int | None = None,
    time_ends: bool = True,
    **settings,
) -> MetaAlgorithm:
    """``r2d2`` across tasks; in a new one, steps on its own data and on old data that looks like it.

    A lifetime is acted by the memory. After it, ``new_updates`` steps are made on its sequences, and
    ``replay_updates`` on sequences of meta-training, each weighted by the odds that its context is one of the new
    task's. Both add ``(1 − ESS)/2 ‖w − θ‖²``, with the effective sample size of the weights: the less the old data
    resembles the new task, the less is to be learned from, and the nearer the weights stay. Without replay the ESS
    counts as 0. A context is the memory after a sequence.

    Theirs acts on continuous actions by TD3, told a context; here the memory chooses among a few actions, and its
    values are learned from sequences. Meta-training data is carried along with the slow weights, as a sample of the
    buffer that is renewed at each meta-step.

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
      cell: see ``r2d2``; likewise all that follow.
      size: see ``r2d2``.
      policy: see ``r2d2``.
      discount: see ``r2d2``.
      n_step: see ``r2d2``.
      burn_in: see ``r2d2``.
      segment: see ``r2d2``.
      time_ends: see ``r2d2``.
      **settings: the others of ``r2d2``.

    Raises:
      ValueError: an argument out of its range.
    """
    check_lifetimes(tasks)
    check_least(0, adaptation_steps=adaptation_steps, new_updates=new_updates, replay_updates=replay_updates)
    check_least(1, kept=kept)
    check_weights(inner_rate=inner_rate, proximal=proximal)
    check_positive(ridge=ridge, odds_limit=odds_limit)
    if policy is None:
        policy = recurrent_policy_for(tasks.env, horizon=tasks.horizon, cell=cell, size=size)
    shared = {
        "discount": discount,
        "n_step": n_step,
        "burn_in": burn_in,
        "segment": segment,
        "time_ends": time_ends,
    }
    base = r2d2(tasks, policy=policy, **shared, **settings)
    cut, _, loss = sequence_values(tasks, policy, **shared)
    inner_optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(inner_rate))
    sizes = {"adaptation_steps": adaptation_steps, "episodes": 1, "horizon": tasks.horizon}

    def context_of(network: PyTree, sequence: Sequence) -> Array:
        """The memory after the last real step."""

        def forward(memory: PyTree, inputs: tuple[Array, Array]) -> tuple[PyTree, None]:
            obs, real = inputs
            later = policy.step(network, memory, obs)[2]
            return jax.tree.map(lambda new, old: jnp.where(real > 0, new, old), later, memory), None

        return ravel_pytree(jax.lax.scan(forward, sequence.memory, (sequence.obs, sequence.mask))[0])[0]

    def relevance(network: PyTree, new: Sequence, old: Sequence) -> tuple[Array, Array]:
        """How much each old sequence counts, and the share of them that this is worth."""
        contexts = [jax.vmap(context_of, (None, 0))(network, each) for each in (new, old)]
        masks = [jnp.max(each.mask, axis=-1) for each in (new, old)]
        odds = new_task_odds(*contexts, *masks, ridge=ridge, limit=odds_limit)
        return odds, effective_sample_size(odds, masks[1])

    def absorb_fn(theta: Theta, phi: Adapted, trajectory: Trajectory) -> Adapted:
        new, old = cut(phi.network, trajectory), theta["replay"]
        pull = proximal
        weights = [(new, jnp.ones(new.mask.shape[0]), new_updates)]
        if replay_updates:
            odds, effective = relevance(theta["network"], new, old)
            pull = proximal * (1.0 - effective)
            weights.append((old, odds, replay_updates))

        def step(carry: tuple[PyTree, PyTree], data: Sequence, weight: Array) -> tuple[PyTree, PyTree]:
            def objective(network: PyTree) -> Array:
                distance = jax.tree.map(jnp.subtract, network, theta["network"])
                return loss(network, phi.network, data, weight)[0] + 0.5 * pull * squared_norm(distance)

            network, state = carry
            return moved(inner_optimizer, jax.grad(objective)(network), state, network)

        carry = (phi.network, inner_optimizer.init(phi.network))
        for data, weight, updates in weights:
            carry = jax.lax.fori_loop(
                0, updates, lambda _, carry, data=data, weight=weight: step(carry, data, weight), carry
            )
        return Adapted(carry[0], policy.begin(carry[0]))

    def replayed(key: Key, state: MetaState) -> MetaState:
        buffer = state.opt_state.buffer
        uniform = buffer._replace(priority=(buffer.priority > 0).astype(jnp.float32))
        return state._replace(theta={**state.theta, "replay": draw(key, uniform, kept)[0]})

    def begin_fn(key: Key) -> Theta:
        # Nothing is stored yet: all masks are 0.
        item = jax.eval_shape(base.init, key).opt_state.buffer.data
        nothing = jax.tree.map(lambda x: jnp.zeros((kept, *x.shape[1:]), x.dtype), item)
        return {**base.learner.init(key), "replay": nothing}

    def init_fn(key: Key) -> MetaState:
        return base.init(key)._replace(theta=begin_fn(key))

    def step_fn(key: Key, state: MetaState, batch_of_tasks: Task) -> tuple[MetaState, Info]:
        key_step, key_replay = jax.random.split(key)
        new, info = base.step(key_step, state, batch_of_tasks)
        return replayed(key_replay, new), info

    def adapt_fn(key: Key, theta: Theta, task: Task) -> tuple[Phi, Lifetime]:
        return collect_lifetime(key, tasks.env, task, learner, theta, unestimated, **sizes)

    learner, greedy = (
        with_fast_weights(each)._replace(init=begin_fn, absorb=absorb_fn) for each in (base.learner, base.greedy)
    )
    reads = base.gate
    gate = None if reads is None else lambda theta, phi, obs: reads({**theta, "network": phi.network}, phi.memory, obs)
    return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, greedy, gate)


def with_fast_weights(learner: Learner) -> Learner:
    """A learner whose fast state is a memory, as one whose network is part of the fast state."""

    def begin_fn(theta: Theta) -> Adapted:
        return Adapted(theta["network"], learner.begin(theta))

    def act_fn(key: Key, theta: Theta, phi: Adapted, obs: Array):
        adapted = {**theta, "network": phi.network}
        action, log_prob, value, memory = learner.act(key, adapted, phi.memory, obs)
        return action, log_prob, value, Adapted(phi.network, memory)

    def score_fn(theta: Theta, phi: Adapted, trajectory: Trajectory):
        return learner.score({**theta, "network": phi.network}, phi.memory, trajectory)

    return Learner(learner.init, begin_fn, act_fn, lambda theta, phi, trajectory: phi, score_fn)


def squared_norm(tree: PyTree) -> Array:
    """``‖x‖²`` of all numbers of a pytree, whose gradient at 0 is 0."""
    return sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)), start=jnp.zeros(()))
