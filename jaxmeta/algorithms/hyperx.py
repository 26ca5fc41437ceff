"""HyperX: VariBAD that seeks situations and tasks which it knows little of (Zintgraf et al. 2021)."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from jaxmeta.algorithms.checks import check_lifetimes
from jaxmeta.algorithms.varibad import Exploration, varibad
from jaxmeta.checks import check_least, check_weights, is_zero
from jaxmeta.data import masked_mean
from jaxmeta.networks import MLP, BeliefModel, Gaussian, belief_model_for
from jaxmeta.objectives import batch_of, next_states
from jaxmeta.parts import built, extends, part
from jaxmeta.tasks import Lifetimes
from jaxmeta.types import Array, Info, Key, Lifetime, MetaAlgorithm, MetaState, PyTree, Task, Theta, Trajectory


class ExplorationState(NamedTuple):
    """What training carries beside the slow weights.

    Attributes:
      outer: the state of VariBAD's outer steps.
      novelty: the weights of the copying network and of the random one.
      recent: what novelty was of late.
      share: of the bonuses, how much is left.
    """

    outer: PyTree
    novelty: PyTree
    recent: Array
    share: Array


@extends(varibad, without=("exploration",))
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
    **settings: Any,
) -> MetaAlgorithm:
    """VariBAD with two bonuses for each step, on top of its reward while it trains.

    One is the novelty of where the step led, observation and posterior together: how far a network is from a random one
    that it learns to copy on what was met (Burda et al. 2019), in units of its running mean, so that some steps stay
    newer than others however well the copy has become. The other is how badly the posterior after a step predicts the
    step itself: half its squared errors, of rewards and, by ``state_weight``, of states. It vanishes as the model
    learns, unless rewards are random: then it stays at half their variance, and should have no weight.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      model: posterior, predictions and policy.
      novelty_weight: of the first bonus, ≥ 0.
      error_weight: of the second, ≥ 0.
      hidden: widths of the hidden layers of the copying network and of the random one.
      features: outputs of each, ≥ 1.
      anneal: meta-steps over which both bonuses fall linearly to nothing, ≥ 1; by default they never fall.
      state_weight: weight of the prediction of states, as in ``varibad``, ≥ 0.
      **settings: of ``varibad``.

    Raises:
      ValueError: an argument out of its range, or a family that is not one of lifetimes.
    """
    check_weights(novelty_weight=novelty_weight, error_weight=error_weight)
    check_lifetimes(tasks)
    check_least(1, features=features, **({} if anneal is None else {"anneal": anneal}))
    model = built(model, tasks.env, tasks.horizon)
    network = MLP((*hidden, features))

    novelty, exploration = novelty_and_errors(
        model, network, novelty_weight=novelty_weight, error_weight=error_weight, state_weight=state_weight
    )

    def init_fn(key: Key) -> PyTree:
        key_model, *keys = jax.random.split(key, 3)
        theta = model.policy.init(key_model)
        obs = jnp.zeros(tasks.env.observation_space(tasks.env.default_params).shape)
        met = jnp.concatenate([obs, *jax.tree.map(lambda x: x[0], model.beliefs(theta, obs[None]))])
        nets = {name: network.init(one, met) for name, one in zip(("copy", "random"), keys, strict=True)}
        theta = {**theta, "novelty": nets}
        # No gradient moves these: what novelty was of late, and how much of the bonuses is left. Of an input of zeros
        # there may be none at all.
        return {**theta, "exploring": {"novelty": novelty(theta, jnp.ones_like(met)), "share": jnp.ones(())}}

    def training_state(meta: MetaState, recent: Array, share: Array) -> MetaState:
        """VariBAD's state of all weights, as what ``adapt`` needs and what it does not."""
        kept = {name: part for name, part in meta.theta.items() if name not in ("novelty", "exploring")}
        return MetaState(kept, ExplorationState(meta.opt_state, meta.theta["novelty"], recent, share))

    def init_whole(key: Key) -> MetaState:
        meta = algorithm.init(key)
        return training_state(meta, meta.theta["exploring"]["novelty"], meta.theta["exploring"]["share"])

    def step_fn(key: Key, state: MetaState, batch: Task) -> tuple[MetaState, Info]:
        outer, nets, recent, share = state.opt_state
        whole = {**state.theta, "novelty": nets, "exploring": {"novelty": recent, "share": share}}
        meta, info = algorithm.step(key, MetaState(whole, outer), batch)
        share = share if anneal is None else jnp.maximum(share - 1.0 / anneal, 0.0)
        # A step that was undone may have met what is no number.
        mean = info["novelty"]
        recent = jnp.where(jnp.isfinite(mean), 0.9 * recent + 0.1 * mean, recent)
        return training_state(meta, recent, share), {**info, "exploring": share}

    with_novelty = model._replace(policy=model.policy._replace(init=init_fn))
    algorithm = varibad(tasks, model=with_novelty, exploration=exploration, state_weight=state_weight, **settings)
    learner, greedy = (
        each._replace(init=lambda key: init_whole(key).theta) for each in (algorithm.learner, algorithm.greedy)
    )
    return algorithm._replace(init=init_whole, step=step_fn, learner=learner, greedy=greedy)


def novelty_and_errors(
    model: BeliefModel, network: MLP, *, novelty_weight: float, error_weight: float, state_weight: float
) -> tuple[Callable[[Theta, Array], Array], Exploration]:
    """``novelty(theta, met)`` of situations ``[..., D]``, and the bonuses and the objective that are made of it.

    Theta has, beside VariBAD's, the two networks' weights in ``"novelty"``, and in ``"exploring"`` the recent novelty
    and the share of the bonuses that is left.

    Args:
      model: posterior and predictions.
      network: of the copy and of the random network.
      novelty_weight: ≥ 0.
      error_weight: ≥ 0.
      state_weight: of states in the errors, ≥ 0.
    """

    def situations(theta: Theta, batch: Trajectory) -> tuple[Array, Gaussian]:
        """Observations with the posterior at each, ``[T + 1, ...]``, and the posterior, as constants."""
        obs = jnp.concatenate([batch.obs, batch.final_obs[None]])
        belief = jax.lax.stop_gradient(model.beliefs(theta, obs))
        return jnp.concatenate([obs, *belief], axis=-1), belief

    def novelty(theta: Theta, met: Array) -> Array:
        copy, original = (cast(Array, network.apply(theta["novelty"][name], met)) for name in ("copy", "random"))
        return jnp.mean(jnp.square(copy - jax.lax.stop_gradient(original)), axis=-1)

    def bonus(theta: Theta, lifetime: Lifetime) -> Array:
        batch = jax.tree.map(lambda x: x[0], batch_of(lifetime, -1))
        met, belief = situations(theta, batch)
        reward, state = jax.vmap(model.predict, (None, 0, 0, 0))(
            theta, belief.mean[1:], batch.obs[:, None], batch.action[:, None]
        )
        error = 0.5 * jnp.square(reward[:, 0] - batch.reward)
        if not is_zero(state_weight):
            goes_on, led_to = next_states(batch.obs, batch.mask, state.shape[-1])
            error += state_weight * 0.5 * jnp.sum(jnp.square(state[:, 0] - led_to), axis=-1) * goes_on
        relative = novelty(theta, met[1:]) / theta["exploring"]["novelty"]
        return theta["exploring"]["share"] * (novelty_weight * relative + error_weight * error)

    def objective(theta: Theta, lifetime: Lifetime) -> tuple[Array, Info]:
        batch = jax.tree.map(lambda x: x[0], batch_of(lifetime, -1))
        met, _ = situations(theta, batch)
        mean = masked_mean(novelty(theta, met[1:]), batch.mask)
        return mean, {"novelty": mean}

    return novelty, Exploration(bonus, objective)
