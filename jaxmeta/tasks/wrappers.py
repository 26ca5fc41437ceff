"""Wrappers: gymnax environments around gymnax environments, with the same parameters and the same state."""

import jax.numpy as jnp
from gymnax.environments import environment, spaces


class ScaledActions(environment.Environment):
    """Actions live in ``[−1, 1]``, are clipped there and mapped linearly onto the wrapped environment's box."""

    def __init__(self, env: environment.Environment):
        self.env = env

    @property
    def default_params(self):
        return self.env.default_params

    def step_env(self, key, state, action, params):
        space = self.env.action_space(params)
        unit = (jnp.clip(action, -1.0, 1.0) + 1.0) / 2.0
        return self.env.step_env(key, state, space.low + unit * (space.high - space.low), params)

    def reset_env(self, key, params):
        return self.env.reset_env(key, params)

    def observe(self, key, state, action, params):
        return self.env.observe(key, state, action, params)

    def get_obs(self, state, params=None, key=None):
        return self.env.get_obs(state, params, key)

    def is_terminated(self, state, params):
        return self.env.is_terminated(state, params)

    def is_truncated(self, state, params):
        return self.env.is_truncated(state, params)

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def num_actions(self) -> int:
        return self.env.num_actions

    def action_space(self, params=None) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, self.env.action_space(params).shape, jnp.float32)

    def observation_space(self, params=None):
        return self.env.observation_space(params)

    def state_space(self, params=None):
        return self.env.state_space(params)


def scale_actions(env: environment.Environment) -> ScaledActions:
    """Wrap an environment with bounded continuous actions so that a policy acts in ``[−1, 1]``.

    Raises:
      ValueError: the action space is not a ``Box``.
    """
    space = env.action_space(env.default_params)
    if not isinstance(space, spaces.Box):
        raise ValueError(f"env: {env.name} has action space {space}; scale_actions needs a Box")
    return ScaledActions(env)
