"""gymnax's mazes with a hidden goal that stays for the whole task: FourRooms and MetaMaze. Cells are ``(row, column)``.

gymnax itself shows the goal of FourRooms, and draws a new one of MetaMaze at every reset: that would be another task.
"""

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces
from gymnax.environments.misc import meta_maze as gymnax_maze, rooms as gymnax_rooms

from jaxmeta.checks import check_action
from jaxmeta.references import optimal_return, reaching_probability
from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import EpisodeView, Plane, TaskEnvironment, registered, typed
from jaxmeta.tasks.generic import from_gymnax, listed
from jaxmeta.tasks.grids import any_of
from jaxmeta.tasks.wrappers import Wrapper
from jaxmeta.types import Array, Key, TaskDistribution

MOVES = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]])
"""What the actions up, right, down and left add to ``(row, column)``, in gymnax's order."""


class HiddenGoalMaze(Wrapper):
    """A gymnax maze whose goal is ``params.goal``, and stays for the whole task. Actions: up, right, down, left.

    Attributes:
      cells: those without a wall, ``[C, 2]``.
      start: which of them episodes begin in.
      neighbours: which of them each action leads to, ``[C, 4]``; the same cell where there is a wall.
    """

    name = TaskEnvironment.name  # pyright: ignore[reportIncompatibleMethodOverride]
    episode_view = EpisodeView.ACTIONS

    def __init__(self, env: Any, start: Any):
        super().__init__(env)
        self.walls, self.cells = np.asarray(env.occupied_map), np.asarray(env.coords)
        self.start = int(np.flatnonzero(np.all(self.cells == np.asarray(start), axis=-1))[0])
        number = {tuple(cell): index for index, cell in enumerate(self.cells.tolist())}
        reached = (self.cells[:, None] + MOVES).tolist()
        self.neighbours = np.array([[number.get(tuple(to), i) for to in ways] for i, ways in enumerate(reached)])

    @abc.abstractmethod
    def inner_params(self, params: Any) -> Any:
        """The parameters of gymnax's maze."""

    def reset_env(self, key, params):
        _, state = self.env.reset_env(key, self.inner_params(params))
        state = typed(state.replace(goal=params.goal))
        return self.get_obs(state, params), state

    def observe(self, key, state, action, params):
        return self.get_obs(state, params)

    def state_space(self, params=None):
        return self.env.state_space(self.inner_params(params or self.default_params))

    def at_goal(self, params: Any) -> Array:
        """Whether each open cell is the goal, ``[C]``."""
        return jnp.all(jnp.asarray(self.cells) == params.goal[None], axis=-1)

    def render(self, state, params):
        return drawing.figure(drawing.grid, self.walls, {"G": params.goal, "A": state.pos})


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
        with jax.ensure_compile_time_eval():  # As in ``MetaMaze``.
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

    def task_fn(goal: Array) -> FourRoomsParams:
        return FourRoomsParams(goal=goal, fail_prob=fail_prob, max_steps_in_episode=horizon)

    def sample_fn(key: Key) -> FourRoomsParams:
        return task_fn(any_of(key, goals))

    def optimum_fn(task: FourRoomsParams) -> Array:
        at_goal = env.at_goal(task)
        chosen = jax.nn.one_hot(env.neighbours, len(env.cells))
        # gymnax draws a random action with probability 4/3 fail_prob, which may be the chosen one.
        random = 4.0 / 3.0 * task.fail_prob
        transition = (1.0 - random) * chosen + random * jnp.mean(chosen, axis=1, keepdims=True)
        return reaching_probability(transition, at_goal, ~at_goal, horizon, start=env.start)

    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn, every=listed(task_fn, goals))


@struct.dataclass
class MetaMazeParams(environment.EnvParams):
    """The task: ``goal``, the cell (row, column), int32 ``[2]``, walls around the maze counted."""

    goal: Array = struct.field(default_factory=lambda: jnp.array([1, 1], jnp.int32))
    reward: float = 10.0
    punishment: float = 0.0
    max_steps_in_episode: int = 200


@registered
class MetaMaze(HiddenGoalMaze):
    """gymnax's MetaMaze (Miconi et al. 2019, Backpropamine) with a goal that stays for the whole task.

    The agent starts at the centre and sees the 3 × 3 cells around it, its previous action (all zeros before the first
    one), its previous reward and the time. A step onto the goal is rewarded by 10 and moves the agent to a random cell;
    nothing terminates the episode. Actions: up, right, down, left.

    Args:
      maze_size: cells along a side, odd and ≥ 3.
    """

    def __init__(self, maze_size: int = 9):
        if maze_size < 3 or maze_size % 2 == 0:
            raise ValueError(f"maze_size: got {maze_size}; must be odd and at least 3")
        with jax.ensure_compile_time_eval():  # It asks its arrays for their values, which a sweep's jit would not have.
            maze = gymnax_maze.MetaMaze(maze_size=maze_size)
        super().__init__(maze, maze.center_position)

    @property
    def default_params(self) -> MetaMazeParams:
        return MetaMazeParams()

    def step_env(self, key, state, action, params):
        check_action(self, action)
        obs, next_state, reward, _, info = self.env.step_env(key, state, action, self.inner_params(params))
        # gymnax terminates when the random cell happens to be the goal; the paper's episodes go on.
        no_end = jnp.zeros((), bool)
        return obs.astype(jnp.float32), typed(next_state), jnp.asarray(reward, jnp.float32), no_end, info

    def reset_env(self, key, params):
        _, state = super().reset_env(key, params)
        # −1 has no one-hot: gymnax's 0 would say that the agent had gone up.
        state = state.replace(last_action=jnp.int32(-1))
        return self.get_obs(state, params), state

    def get_obs(self, state, params=None, key=None):
        return self.env.get_obs(state, self.inner_params(params or self.default_params)).astype(jnp.float32)

    def is_terminated(self, state, params):
        return jnp.zeros((), bool)

    def observation_space(self, params=None) -> spaces.Box:
        params = params or self.default_params
        # gymnax's space allows a reward of 1 at most, and no scaled time.
        largest = jnp.maximum(jnp.abs(params.reward), jnp.abs(params.punishment))
        time = gymnax_maze.time_normalization(params.max_steps_in_episode)
        low = jnp.concatenate([jnp.zeros(13), jnp.stack([-largest, -1.0])])
        high = jnp.concatenate([jnp.ones(13), jnp.stack([largest, jnp.asarray(time, jnp.float32)])])
        return spaces.Box(low, high, (15,), jnp.float32)

    def inner_params(self, params):
        return gymnax_maze.EnvParams(
            reward=params.reward,
            punishment=params.punishment,
            normalize_time=True,
            max_steps_in_episode=params.max_steps_in_episode,
        )


def meta_maze(*, maze_size: int = 9, horizon: int = 200) -> TaskDistribution:
    """Goals uniform over the maze's open cells.

    Args:
      maze_size: cells along a side, odd and ≥ 3.
      horizon: steps in an episode, ≥ 1.
    """
    env = MetaMaze(maze_size)

    def task_fn(goal: Array) -> MetaMazeParams:
        return MetaMazeParams(goal=goal, max_steps_in_episode=horizon)

    def sample_fn(key: Key) -> MetaMazeParams:
        return task_fn(any_of(key, env.cells))

    def optimum_fn(task: MetaMazeParams) -> Array:
        count, following = len(env.cells), env.neighbours
        reached, at_wall = env.at_goal(task)[following], jnp.asarray(following) == jnp.arange(count)[:, None]
        transition = jnp.where(reached[..., None], 1.0 / count, jax.nn.one_hot(following, count))
        reward = task.reward * reached + task.punishment * at_wall
        return optimal_return(transition, reward, horizon, start=env.start)

    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn, every=listed(task_fn, env.cells))
