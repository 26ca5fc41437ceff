"""HyperX: VariBAD that seeks situations and tasks which it knows little of (Zintgraf et al. 2021)."""

from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp

from jaxmeta.algorithms.checks import check_weights
from jaxmeta.algorithms.varibad import Exploration, varibad
from jaxmeta.beliefs import BeliefModel, belief_model_for
from jaxmeta.distributions import Gaussian
from jaxmeta.estimators import masked_mean
from jaxmeta.networks import MLP
from jaxmeta.objectives import batch_of, next_states
from jaxmeta.types import Array, Info, Key, Lifetime, MetaAlgorithm, PyTree, TaskDistribution, Theta, Trajectory


def hyperx(
    tasks: TaskDistribution,
    *,
    model: BeliefModel | None = None,
    novelty_weight: float = 1.0,
    error_weight: float = 1.0,
    hidden: Sequence[int] = (64,),
    features: int = 16,
    state_weight: float = 0.0,
    **settings: Any,
) -> MetaAlgorithm:
    """VariBAD with two bonuses for each step, on top of its reward while it trains.

    One is the novelty of where the step led, observation and posterior together: how far a network is from a random one
    that it learns to copy on what was met (Burda et al. 2019). The other is how badly the posterior after a step
    predicts the step itself: half its squared errors, of rewards and, by ``state_weight``, of states. Unlike theirs,
    neither is annealed or scaled by its running deviation: both vanish as the networks learn, as long as nothing is
    random. Where rewards are, the second stays at half their variance, and should have no weight.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      model: posterior, predictions and policy; by default ``belief_model_for`` the environment.
      novelty_weight: of the first bonus, ≥ 0.
      error_weight: of the second, ≥ 0.
      hidden: widths of the hidden layers of the copying network and of the random one.
      features: outputs of each, ≥ 1.
      state_weight: weight of the prediction of states, as in ``varibad``, ≥ 0.
      **settings: of ``varibad``.

    Raises:
      ValueError: an argument out of its range, or a family that is not one of lifetimes.
    """
    check_weights(novelty_weight=novelty_weight, error_weight=error_weight)
    if features < 1:
        raise ValueError(f"features: got {features}; must be at least 1")
    model = belief_model_for(tasks.env, horizon=tasks.horizon) if model is None else model
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
        # A weight that is traced, in a sweep, cannot be asked whether it is 0.
        if not isinstance(state_weight, (int, float)) or state_weight != 0:
            goes_on, led_to = next_states(batch.obs, batch.mask, state.shape[-1])
            error += state_weight * 0.5 * jnp.sum(jnp.square(state[:, 0] - led_to), axis=-1) * goes_on
        return novelty_weight * novelty(theta, met[1:]) + error_weight * error

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
        return {**theta, "novelty": nets}

    with_novelty = model._replace(policy=model.policy._replace(init=init_fn))
    return varibad(
        tasks, model=with_novelty, exploration=Exploration(bonus, objective), state_weight=state_weight, **settings
    )
