"""A learned model as an environment whose task is the model's parameters: imagined tasks for any meta-algorithm."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_action, check_least
from jaxmeta.models.dynamics import DynamicsModel, sample_step
from jaxmeta.tasks import Wrapper
from jaxmeta.types import Array, Key, PyTree, TaskDistribution


@struct.dataclass
class ImaginedState(environment.EnvState):
    obs: Array
    time: Array  # pyright: ignore[reportIncompatibleVariableOverride]


@struct.dataclass
class ImaginedTask(environment.EnvParams):
    """The task: a model's parameters, and first observations ``[S, O]`` of real episodes, of which one is drawn."""

    model: PyTree = None
    starts: Array = struct.field(default_factory=lambda: jnp.zeros((1, 1), jnp.float32))
    max_steps_in_episode: Any = 1


class ImaginedEnv(Wrapper):
    """Episodes of a learned model, whose parameters come with the task, with the spaces of the real environment.

    Each step is drawn from the prediction, and ends the episode as often as the model expects it to.
    """

    def __init__(self, env: environment.Environment, model: DynamicsModel):
        super().__init__(env)
        self.model = model

    def reset_env(self, key, params):
        index = jax.random.randint(key, (), 0, params.starts.shape[0])
        obs = params.starts[index]
        return obs, ImaginedState(obs=obs, time=jnp.zeros((), jnp.int32))

    def step_env(self, key, state, action, params):
        check_action(self, action)
        obs, reward, ended = sample_step(key, self.model, params.model, state.obs, action)
        return obs, ImaginedState(obs=obs, time=state.time + 1), reward, ended, {}

    def observe(self, key, state, action, params):
        return state.obs

    def get_obs(self, state, params=None, key=None):
        return state.obs

    def is_terminated(self, state, params):
        return jnp.zeros((), bool)

    def is_truncated(self, state, params):
        return state.time >= params.max_steps_in_episode

    @property
    def name(self) -> str:
        return f"Imagined{self.env.name}"

    def action_space(self, params=None) -> spaces.Space:
        return self.env.action_space(self.default_params)

    def observation_space(self, params=None) -> spaces.Space:
        return self.env.observation_space(self.default_params)

    def state_space(self, params=None) -> spaces.Dict:
        limit = float(jnp.finfo(jnp.float32).max)
        shape = jax.eval_shape(self.env.reset_env, jax.random.key(0), self.default_params)[0].shape
        time = spaces.Discrete(2**31 - 1)
        return spaces.Dict({"obs": spaces.Box(-limit, limit, shape, jnp.float32), "time": time})

    def render(self, state, params):
        raise NotImplementedError("an imagined state cannot be drawn: it is known by its observation alone")


def imagined_tasks(
    tasks: TaskDistribution, model: DynamicsModel, *, starts: int, horizon: int | None = None
) -> TaskDistribution:
    """A family whose tasks are ``ImaginedTask`` of a model, to build a meta-algorithm for; they come with each step.

    Args:
      tasks: the real family.
      starts: S ≥ 1, first observations in a task.
      horizon: steps in an imagined episode, ≥ 1; by default those of a real one.
    """
    horizon = tasks.horizon if horizon is None else horizon
    check_least(1, starts=starts, horizon=horizon)
    shape = (starts, *tasks.env.observation_space(tasks.env.default_params).shape)

    def sample_fn(key: Key) -> ImaginedTask:
        return ImaginedTask(model=model.init(key), starts=jnp.zeros(shape), max_steps_in_episode=jnp.int32(horizon))

    return TaskDistribution(ImaginedEnv(tasks.env, model), sample_fn, horizon)
