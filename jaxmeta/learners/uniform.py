"""A learner that learns nothing: the random policy, as a reference line."""

import jax.numpy as jnp
from gymnax.environments import environment

from jaxmeta.types import Learner


def uniform_learner(env: environment.Environment) -> Learner:
    """Actions uniform on the environment's action space, in every task and at every step.

    Args:
      env: a gymnax environment with a bounded ``Box`` or a ``Discrete`` action space.
    """
    space = env.action_space(env.default_params)

    def act_fn(key, theta, phi, obs):
        return space.sample(key), jnp.zeros(()), jnp.zeros(()), phi

    def score_fn(theta, phi, trajectory):
        zeros = jnp.zeros_like(trajectory.reward)
        return zeros, zeros

    return Learner(
        init=lambda key: (),
        begin=lambda theta: (),
        act=act_fn,
        absorb=lambda theta, phi, trajectory: phi,
        score=score_fn,
    )
