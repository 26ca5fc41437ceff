"""HyperX: VariBAD that seeks situations and tasks which it knows little of (Zintgraf et al. 2021)."""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from jaxmeta.algorithms.contract import check_lifetimes
from jaxmeta.algorithms.varibad import varibad
from jaxmeta.checks import check_least, check_weights, is_zero
from jaxmeta.data import masked_mean
from jaxmeta.networks import MLP, BeliefModel, belief_model_for
from jaxmeta.objectives import batch_of, next_states
from jaxmeta.parts import built, extends, part
from jaxmeta.tasks import Lifetimes
from jaxmeta.types import Array, Key, Lifetime, MetaAlgorithm, MetaState, Objective, PyTree, Task, Theta


class ExplorationState(NamedTuple):
    """What training carries beside the slow weights.

    Attributes:
      outer: the state of VariBAD's outer steps.
      novelty: the weights of the copying network and of the random one.
      recent: running mean of the novelty.
      share: the share of the bonuses that is left, in [0, 1].
    """

    outer: PyTree
    novelty: PyTree
    recent: Array
    share: Array


@extends(varibad, without=("auxiliaries", "bonus"))
def hyperx(
    tasks: Lifetimes,
    *,
    model: BeliefModel = part(belief_model_for),
    novelty_weight: float = 0.01,
    error_weight: float = 0.1,
    hidden: tuple[int, ...] = (64,),
    features: int = 16,
    anneal: int | None = None,
    state_weight: float = 0.0,
    **settings,
) -> MetaAlgorithm:
    """VariBAD with two bonuses for each step, on top of its reward while it trains.

    One is the novelty of where the step led, observation and posterior together: the error of a network that learns to
    copy a random one on what was met (Burda et al. 2019), in units of its running mean, so that some steps stay newer
    than others however good the copy is. The other is how badly the posterior after a step predicts the step itself:
    half its squared errors, of rewards and, by ``state_weight``, of states. It vanishes as the model learns, unless
    rewards are random: then it stays at half their variance, and should have no weight.

    Args:
      novelty_weight: weight of the bonus for novelty, ≥ 0.
      error_weight: weight of the bonus for what the posterior predicts badly, ≥ 0.
      hidden: widths of the hidden layers of the two networks that measure novelty, a random one and its copy.
      features: outputs of the two networks that measure novelty, ≥ 1.
      anneal: meta-steps over which both bonuses fall linearly to 0, ≥ 1; by default they do not fall.

    Raises:
      ValueError: a family that is not one of lifetimes.
    """
    check_weights(novelty_weight=novelty_weight, error_weight=error_weight)
    check_lifetimes(tasks)
    check_least(1, features=features, **({} if anneal is None else {"anneal": anneal}))
    model = built(model, tasks.env, tasks.horizon)
    network = MLP((*hidden, features))
    novelty, bonus, objective = novelty_and_errors(model, network, novelty_weight, error_weight, state_weight)

    def init_fn(key: Key) -> PyTree:
        key_model, *keys = jax.random.split(key, 3)
        theta = model.policy.init(key_model)
        obs = jnp.zeros(tasks.env.observation_space(tasks.env.default_params).shape)
        met = jnp.concatenate([obs, *jax.tree.map(lambda x: x[0], model.beliefs(theta, obs[None]))])
        nets = {name: network.init(one, met) for name, one in zip(("copy", "random"), keys, strict=True)}
        # No gradient moves what is in "exploring". Of an input of zeros there may be no novelty at all.
        theta = {**theta, "novelty": nets}
        return {**theta, "exploring": {"novelty": novelty(theta, jnp.ones_like(met)), "share": jnp.ones(())}}

    def training_state(meta: MetaState, recent: Array, share: Array) -> MetaState:
        """VariBAD's state, divided into the weights that ``adapt`` needs and all else."""
        kept = {name: part for name, part in meta.theta.items() if name not in ("novelty", "exploring")}
        return MetaState(kept, ExplorationState(meta.opt_state, meta.theta["novelty"], recent, share))

    def init_whole(key: Key) -> MetaState:
        meta = algorithm.init(key)
        return training_state(meta, meta.theta["exploring"]["novelty"], meta.theta["exploring"]["share"])

    def step_fn(key: Key, state: MetaState, batch: Task):
        outer, nets, recent, share = state.opt_state
        whole = {**state.theta, "novelty": nets, "exploring": {"novelty": recent, "share": share}}
        meta, info = algorithm.step(key, MetaState(whole, outer), batch)
        share = share if anneal is None else jnp.maximum(share - 1.0 / anneal, 0.0)
        # In a step that was undone the novelty may be NaN.
        recent = jnp.where(jnp.isfinite(info["novelty"]), 0.9 * recent + 0.1 * info["novelty"], recent)
        return training_state(meta, recent, share), {**info, "exploring": share}

    with_novelty = model._replace(policy=model.policy._replace(init=init_fn))
    own = {"bonus": bonus, "auxiliaries": [objective], "state_weight": state_weight}
    algorithm = varibad(tasks, model=with_novelty, **own, **settings)
    learner, greedy = (
        each._replace(init=lambda key: init_whole(key).theta) for each in (algorithm.learner, algorithm.greedy)
    )
    return algorithm._replace(init=init_whole, step=step_fn, learner=learner, greedy=greedy)


def novelty_and_errors(
    model: BeliefModel, network: MLP, novelty_weight: float, error_weight: float, state_weight: float
) -> tuple[Callable[[Theta, Array], Array], Callable[[Theta, Lifetime], Array], Objective]:
    """``novelty(theta, met)`` of situations ``[..., D]``; the bonus ``[T]`` of a lifetime; and the copy's objective.

    Theta has, beside VariBAD's, the two networks' weights in ``"novelty"``, and in ``"exploring"`` the running mean of
    the novelty and the share of the bonuses that is left.
    """

    def situations(theta: Theta, lifetime: Lifetime):
        """A lifetime; where each of its steps led, with the posterior there, ``[T, D]``; and the posterior's means."""
        batch = jax.tree.map(lambda x: x[0], batch_of(lifetime, -1))
        obs = jnp.concatenate([batch.obs, batch.final_obs[None]])
        belief = jax.lax.stop_gradient(model.beliefs(theta, obs))
        return batch, jnp.concatenate([obs, *belief], axis=-1)[1:], belief.mean[1:]

    def novelty(theta: Theta, met: Array) -> Array:
        copy, original = (cast(Array, network.apply(theta["novelty"][name], met)) for name in ("copy", "random"))
        return jnp.mean(jnp.square(copy - jax.lax.stop_gradient(original)), axis=-1)

    def bonus(theta: Theta, lifetime: Lifetime) -> Array:
        batch, met, latent = situations(theta, lifetime)
        predict = jax.vmap(model.predict, (None, 0, 0, 0))
        reward, state = predict(theta, latent, batch.obs[:, None], batch.action[:, None])
        error = 0.5 * jnp.square(reward[:, 0] - batch.reward)
        if not is_zero(state_weight):
            goes_on, led_to = next_states(batch.obs, batch.mask, state.shape[-1])
            error += state_weight * 0.5 * jnp.sum(jnp.square(state[:, 0] - led_to), axis=-1) * goes_on
        relative = novelty(theta, met) / theta["exploring"]["novelty"]
        return theta["exploring"]["share"] * (novelty_weight * relative + error_weight * error)

    def objective(theta: Theta, lifetime: Lifetime):
        batch, met, _ = situations(theta, lifetime)
        mean = masked_mean(novelty(theta, met), batch.mask)
        return mean, {"novelty": mean}

    return novelty, bonus, objective
