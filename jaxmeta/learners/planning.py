"""Learners without a policy network: plans under a model that adapts at each step, and uniform actions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

from jaxmeta.checks import check_unit, check_weights, is_zero
from jaxmeta.models import OnlineModel, Planner, imagined_return
from jaxmeta.tasks import LifetimeEnv
from jaxmeta.types import Array, Key, Learner, Phi, PyTree, Theta, Trajectory


class Planned(NamedTuple):
    """The fast state: the model's memory of the lifetime, and the plan that the next search begins with."""

    memory: PyTree
    plan: PyTree


def planning_learner(
    env: Environment,
    online: OnlineModel,
    planner: Planner,
    *,
    discount: float = 1.0,
    random_share: float | Array = 0.0,
    noise: float = 0.0,
) -> Learner:
    """At each step: observe the last step, adapt, plan, and take the plan's first action (Nagabandi et al. 2019).

    The model adapts within a lifetime, and keeps what it has learned across its episodes; the plan starts anew in each.
    A plan has no distribution over actions, and no critic: log-probabilities and values are 0.

    Args:
      env: an environment of lifetimes.
      online: the model; its parameters are theta.
      planner: for the wrapped environment's actions.
      discount: γ in [0, 1] of the imagined returns.
      random_share: share of random actions, in [0, 1].
      noise: standard deviation of Gaussian noise on the other actions, as a share of half the box's width, ≥ 0; it has
        no meaning for discrete actions.

    Raises:
      ValueError: an environment that is not one of lifetimes.
    """
    if not isinstance(env, LifetimeEnv):
        raise ValueError("env: not one of lifetimes; give as_lifetime(tasks, episodes).env")
    check_unit(discount=discount, random_share=random_share)
    check_weights(noise=noise)
    space = env.action_space(env.default_params)
    explores = not (is_zero(random_share) and is_zero(noise))

    def begin_fn(theta: Theta) -> Planned:
        return Planned(online.begin(), planner.begin())

    def explored(key: Key, action: Array) -> Array:
        key_share, key_random, key_noise = jax.random.split(key, 3)
        if isinstance(space, spaces.Box):
            width = 0.5 * (jnp.asarray(space.high) - jnp.asarray(space.low))
            noisy = action + noise * width * jax.random.normal(key_noise, action.shape)
            action = jnp.clip(noisy, space.low, space.high)
        return jnp.where(jax.random.uniform(key_share) < random_share, space.sample(key_random), action)

    def act_fn(key: Key, theta: Theta, phi: Planned, obs: Array):
        key_plan, key_explore = jax.random.split(key)
        memory = online.observe(theta, phi.memory, obs)
        model, params = online.adapted(theta, memory)
        seen = env.split_observation(obs)
        fresh = (seen.has_action == 0) | (seen.episode_end > 0)
        plan = jax.tree.map(lambda new, old: jnp.where(fresh, new, old), planner.begin(), phi.plan)

        def score(actions: Array) -> Array:
            return imagined_return(model, params, seen.obs, actions, discount)

        actions, plan = planner.plan(key_plan, plan, score)
        action = explored(key_explore, actions[0]) if explores else actions[0]
        return action, jnp.zeros(()), jnp.zeros(()), Planned(memory, plan)

    return Learner(online.init, begin_fn, act_fn, lambda theta, phi, trajectory: phi, score_zero)


def uniform_learner(env: Environment) -> Learner:
    """The random policy, a reference: uniform actions of a bounded ``Box`` or ``Discrete`` space, whatever the task."""
    space = env.action_space(env.default_params)

    def act_fn(key, theta, phi, obs):
        return space.sample(key), jnp.zeros(()), jnp.zeros(()), phi

    return Learner(lambda key: (), lambda theta: (), act_fn, lambda theta, phi, trajectory: phi, score_zero)


def score_zero(theta: Theta, phi: Phi, trajectory: Trajectory):
    """``score`` where actions have no distribution, and states no value."""
    return jnp.zeros_like(trajectory.reward), jnp.zeros_like(trajectory.reward)
