"""HyperX: VariBAD that seeks situations and tasks which it knows little of (Zintgraf et al. 2021)."""

from typing import Any, cast

import jax
import jax.numpy as jnp

from jaxmeta.algorithms.checks import check_lifetimes
from jaxmeta.algorithms.varibad import Exploration, varibad
from jaxmeta.checks import check_least, check_weights, is_zero
from jaxmeta.data.advantages import masked_mean
from jaxmeta.networks.beliefs import BeliefModel, belief_model_for
from jaxmeta.networks.distributions import Gaussian
from jaxmeta.networks.layers import MLP
from jaxmeta.objectives.evidence import next_states
from jaxmeta.objectives.objectives import batch_of
from jaxmeta.parts import built, extends, part
from jaxmeta.tasks.lifetimes import Lifetimes
from jaxmeta.types import Array, Info, Key, Lifetime, MetaAlgorithm, MetaState, PyTree, Task, Theta, Trajectory


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

    def step_fn(key: Key, state: MetaState, batch: Task) -> tuple[MetaState, Info]:
        new, info = algorithm.step(key, state, batch)
        before, mean = state.theta["exploring"], info["novelty"]
        share = before["share"] if anneal is None else jnp.maximum(before["share"] - 1.0 / anneal, 0.0)
        # A step that was undone may have met what is no number.
        recent = jnp.where(jnp.isfinite(mean), 0.9 * before["novelty"] + 0.1 * mean, before["novelty"])
        exploring = {"novelty": recent, "share": share}
        return new._replace(theta={**new.theta, "exploring": exploring}), {**info, "exploring": share}

    with_novelty = model._replace(policy=model.policy._replace(init=init_fn))
    algorithm = varibad(
        tasks, model=with_novelty, exploration=Exploration(bonus, objective), state_weight=state_weight, **settings
    )
    return algorithm._replace(step=step_fn)
