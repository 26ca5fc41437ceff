"""FourRooms with the goal in its parameters: gymnax draws it at a reset or fixes it for good, and shows it."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces
from gymnax.environments.misc import rooms as gymnax_rooms

from jaxmeta.checks import check_action
from jaxmeta.references import reaching_probability
from jaxmeta.tasks.environments import EpisodeView, Plane, registered, typed
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.tasks.grids import any_of
from jaxmeta.tasks.mazes import HiddenGoalMaze
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class FourRoomsParams(environment.EnvParams):
    """The task: ``goal``, the cell (row, column), int32 ``[2]``."""

    goal: Array = struct.field(default_factory=lambda: jnp.array([8, 9], jnp.int32))
    fail_prob: float = 1.0 / 3
    max_steps_in_episode: int = 100


@registered
class FourRooms(HiddenGoalMaze):
    """gymnax's FourRooms (Sutton, Precup and Singh 1999) with a goal that stays for the whole task, hidden.

    The agent starts at (4, 1) and sees its cell (row, column) alone; gymnax shows the goal too. With probability
    ``fail_prob`` it goes one of the three ways that it did not choose. Reaching the goal is rewarded by 1 and
    terminates the episode. Actions: up, right, down, left.
    """

    episode_view = EpisodeView.PATH

    def __init__(self):
        rooms = gymnax_rooms.FourRooms()
        super().__init__(rooms, rooms.pos_fixed)

    @property
    def default_params(self) -> FourRoomsParams:
        return FourRoomsParams()

    def step_env(self, key, state, action, params):
        check_action(self, action)
        action = jnp.asarray(action, jnp.int32)
        _, next_state, reward, terminated, info = self.env.step_env(key, state, action, self.inner_params(params))
        return self.get_obs(next_state), typed(next_state), reward, terminated, info

    def reset_env(self, key, params):
        _, state = self.env.reset_env(key, self.inner_params(params))
        return self.get_obs(state), typed(state.replace(goal=params.goal))

    def get_obs(self, state, params=None, key=None):
        return state.pos.astype(jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(1.0, 11.0, (2,), jnp.float32)

    def inner_params(self, params):
        return gymnax_rooms.EnvParams(fail_prob=params.fail_prob, max_steps_in_episode=params.max_steps_in_episode)

    def plane(self, params) -> Plane:
        return Plane(self.points(self.cells[self.start]), self.points(params.goal)[None])

    def points(self, obs):
        # Rows are counted from the top.
        row, column = np.moveaxis(np.asarray(obs), -1, 0)
        return np.stack([column, len(self.walls) - 1 - row], axis=-1)


def four_rooms(*, horizon: int = 100, fail_prob: float = 1.0 / 3) -> TaskDistribution:
    """Goals uniform over the 103 open cells other than the start.

    Args:
      horizon: steps in an episode at most, ≥ 1; gymnax's own is 500.
      fail_prob: probability of a way that was not chosen, in [0, 0.75].
    """
    if not 0.0 <= fail_prob <= 0.75:
        raise ValueError(f"fail_prob: got {fail_prob}; must be in [0, 0.75]")
    env = FourRooms()
    goals = np.delete(env.cells, env.start, axis=0)

    def sample_fn(key: Key) -> FourRoomsParams:
        return FourRoomsParams(goal=any_of(key, goals), fail_prob=fail_prob, max_steps_in_episode=horizon)

    def optimum_fn(task: FourRoomsParams) -> Array:
        at_goal = env.at_goal(task)
        chosen = jax.nn.one_hot(env.neighbours, len(env.cells))
        # gymnax draws a random action with probability 4/3 fail_prob, which may be the chosen one.
        random = 4.0 / 3.0 * task.fail_prob
        transition = (1.0 - random) * chosen + random * jnp.mean(chosen, axis=1, keepdims=True)
        return reaching_probability(transition, at_goal, ~at_goal, horizon, start=env.start)

    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn)
