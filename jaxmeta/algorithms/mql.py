"""Meta-Q-learning: multi-task Q-learning with a memory, adapted with data of old tasks too (Fakoor et al. 2020)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from jaxmeta.algorithms.contract import check_contract, check_lifetimes
from jaxmeta.algorithms.r2d2 import r2d2
from jaxmeta.algorithms.replay import descend
from jaxmeta.algorithms.sequence_values import Sequence, SequenceValues
from jaxmeta.checks import check_adaptation_steps, check_least, check_positive, check_weights
from jaxmeta.data import collect_lifetime, draw, identity_estimator
from jaxmeta.networks import RecurrentPolicy
from jaxmeta.objectives import effective_sample_size, new_task_odds
from jaxmeta.parts import extends
from jaxmeta.tasks import Lifetimes
from jaxmeta.types import Array, Key, Learner, MetaAlgorithm, MetaState, PyTree, Task, Theta, Trajectory


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
    **settings,
) -> MetaAlgorithm:
    """``r2d2`` across tasks; in a new task, gradient steps on its own data and on old data that resembles it.

    In a lifetime only the memory changes. After it, ``new_updates`` steps are made on its sequences, and
    ``replay_updates`` on sequences of meta-training, each weighted by the odds that its context is one of the new
    task's. Both add ``(1 − ESS)/2 ‖w − θ‖²``, with the effective sample size of the weights: the less the old data
    resembles the new task, the nearer the weights stay. Without replay the ESS counts as 0. A context is the memory
    after a sequence.

    Theirs acts on continuous actions by TD3, given a context; here a recurrent network chooses among discrete actions,
    and its values are learned from sequences. θ is ``{"network": ..., "replay": ...}``: adaptation needs meta-training
    data, so θ holds a sample of the buffer, renewed at each meta-step. No optimiser moves it.

    Args:
      adaptation_steps: K ≥ 0 lifetimes in a new task to adapt on; meta-training does not adapt.
      inner_rate: step size of Adam in a new task, ≥ 0.
      new_updates: gradient steps on each lifetime of a new task, ≥ 0.
      replay_updates: gradient steps on the data of meta-training, ≥ 0; 0 is adaptation without replay.
      kept: sequences of meta-training that θ holds, ≥ 1.
      proximal: factor of the pull to the meta-trained weights, ≥ 0.
      ridge: ridge penalty of the logistic regression that the odds come from, > 0.
      odds_limit: largest odds, > 0; larger ones are cut off.
    """
    check_lifetimes(tasks)
    check_adaptation_steps(adaptation_steps=adaptation_steps)
    check_least(0, new_updates=new_updates, replay_updates=replay_updates)
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

        def with_replay(network: PyTree) -> Theta:
            # Nothing is stored yet: all masks are 0.
            item = jax.eval_shape(base.init, jax.random.key(0)).opt_state.buffer.data
            nothing = jax.tree.map(lambda x: jnp.zeros((kept, *x.shape[1:]), x.dtype), item)
            return {"network": network, "replay": nothing}

        def init_fn(key: Key) -> MetaState:
            state = base.init(key)
            return state._replace(theta=with_replay(state.theta))

        def step_fn(key: Key, state: MetaState, batch: Task):
            key_step, key_replay = jax.random.split(key)
            new, info = base.step(key_step, state._replace(theta=state.theta["network"]), batch)
            buffer = new.opt_state.buffer
            uniform = buffer._replace(priority=(buffer.priority > 0).astype(jnp.float32))
            replay, _, _ = draw(key_replay, uniform, kept)
            return new._replace(theta={"network": new.theta, "replay": replay}), info

        def adapt_fn(key: Key, theta: Theta, task: Task):
            return collect_lifetime(key, tasks.env, task, learner, theta, identity_estimator, **sizes)

        learner, greedy = (
            with_fast_weights(each)._replace(init=lambda key: with_replay(base.learner.init(key)), absorb=absorb)
            for each in (base.learner, base.greedy)
        )
        check_contract(tasks, learner, adaptation_steps=adaptation_steps, episodes=1)
        gate = base.gate
        of_phi = None if gate is None else lambda theta, phi, obs: gate(phi.network, phi.memory, obs)
        return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, greedy, identity_estimator, of_phi)

    return r2d2(tasks, extension=extension, **settings)


Relevance = Callable[[PyTree, Sequence, Sequence], tuple[Array, Array]]
"""``relevance(network, new, old) -> (odds, ess)``: the weight of each old sequence ``[B]``, and their effective sample
size as a share of their number."""


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

    The optimiser begins anew for each lifetime. ``relevance`` is ``None`` where nothing is learned from old sequences.
    """

    def absorb_fn(theta: Theta, phi: Adapted, trajectory: Trajectory) -> Adapted:
        new, old, pull = values.cut(phi.network, trajectory), theta["replay"], proximal
        weights = [(new, jnp.ones(new.mask.shape[0]), new_updates)]
        if relevance is not None:
            odds, effective = relevance(theta["network"], new, old)
            pull = proximal * (1.0 - effective)
            weights.append((old, odds, replay_updates))

        def step(carry: tuple[PyTree, PyTree], data: Sequence, weight: Array) -> tuple[PyTree, PyTree]:
            def objective(network: PyTree) -> Array:
                distance = optax.tree.sub(network, theta["network"])
                loss, _ = values.loss(network, phi.network, data, weight)
                return loss + 0.5 * pull * optax.tree.norm(distance, squared=True)

            network, state = carry
            return descend(optimizer, jax.grad(objective)(network), state, network)

        carry = (phi.network, optimizer.init(phi.network))
        for data, weight, updates in weights:
            update = lambda _, carry, data=data, weight=weight: step(carry, data, weight)  # noqa: E731
            carry = jax.lax.fori_loop(0, updates, update, carry)
        return Adapted(carry[0], policy.begin(carry[0]))

    return absorb_fn


def with_fast_weights(learner: Learner) -> Learner:
    """A learner with a memory, as one whose fast state holds the network's weights as well."""

    def begin_fn(theta: Theta) -> Adapted:
        return Adapted(theta["network"], learner.begin(theta["network"]))

    def act_fn(key: Key, theta: Theta, phi: Adapted, obs: Array):
        action, log_prob, value, memory = learner.act(key, phi.network, phi.memory, obs)
        return action, log_prob, value, Adapted(phi.network, memory)

    def score_fn(theta: Theta, phi: Adapted, trajectory: Trajectory):
        return learner.score(phi.network, phi.memory, trajectory)

    return Learner(learner.init, begin_fn, act_fn, lambda theta, phi, trajectory: phi, score_fn)
