"""MetaMaze with the goal in its parameters: gymnax draws a new one at every reset, which would be another task."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces
from gymnax.environments.misc import meta_maze as gymnax_maze

from jaxmeta.references.value_iteration import value_iteration
from jaxmeta.tasks import checks, drawing
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.tasks.wrappers import Wrapper, typed_state
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class MetaMazeParams(environment.EnvParams):
    """The task: ``goal``, the cell (row, column), int32 ``[2]``, walls around the maze counted."""

    goal: Array = struct.field(default_factory=lambda: jnp.array([1, 1], jnp.int32))
    reward: float = 10.0
    punishment: float = 0.0
    max_steps_in_episode: int = 200


class MetaMaze(Wrapper):
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
        super().__init__(gymnax_maze.MetaMaze(maze_size=maze_size))

    @property
    def default_params(self) -> MetaMazeParams:
        return MetaMazeParams()

    def step_env(self, key, state, action, params):
        checks.action_shape(self, action)
        obs, next_state, reward, _, info = self.env.step_env(key, state, action, _inner_maze(params))
        next_state = typed_state(next_state)
        # gymnax terminates when the random cell happens to be the goal; the paper's episodes go on.
        return obs.astype(jnp.float32), next_state, jnp.asarray(reward, jnp.float32), jnp.zeros((), bool), info

    def reset_env(self, key, params):
        _, state = self.env.reset_env(key, _inner_maze(params))
        # −1 has no one-hot: gymnax's 0 would say that the agent had gone up.
        state = typed_state(state.replace(goal=params.goal, last_action=jnp.int32(-1)))
        return self.get_obs(state, params), state

    def observe(self, key, state, action, params):
        return self.get_obs(state, params)

    def get_obs(self, state, params=None, key=None):
        return self.env.get_obs(state, _inner_maze(params or self.default_params)).astype(jnp.float32)

    def is_terminated(self, state, params):
        return jnp.zeros((), bool)

    @property
    def name(self) -> str:
        return "MetaMaze-jaxmeta"

    def observation_space(self, params=None) -> spaces.Box:
        params = params or self.default_params
        # gymnax's space allows a reward of 1 at most, and no scaled time.
        largest = jnp.maximum(jnp.abs(params.reward), jnp.abs(params.punishment))
        time = gymnax_maze.time_normalization(params.max_steps_in_episode)
        low = jnp.concatenate([jnp.zeros(13), jnp.stack([-largest, -1.0])])
        high = jnp.concatenate([jnp.ones(13), jnp.stack([largest, jnp.asarray(time, jnp.float32)])])
        return spaces.Box(low, high, (15,), jnp.float32)

    def state_space(self, params=None):
        return self.env.state_space(_inner_maze(params or self.default_params))

    def render(self, state, params):
        """A figure of one state in one task."""
        walls = np.asarray(self.env.occupied_map)  # pyright: ignore[reportAttributeAccessIssue]
        return drawing.figure(drawing.grid, walls, {"G": params.goal, "A": state.pos})


gymnax.register("MetaMaze-jaxmeta", MetaMaze)


def meta_maze(*, maze_size: int = 9, horizon: int = 200) -> TaskDistribution:
    """Goals uniform over the maze's open cells.

    Args:
      maze_size: cells along a side, odd and ≥ 3.
      horizon: steps in an episode, ≥ 1.

    Raises:
      ValueError: a setting out of its range.
    """
    checks.at_least(1, horizon=horizon)
    env = MetaMaze(maze_size)
    inner = env.env
    cells = np.asarray(inner.coords)  # pyright: ignore[reportAttributeAccessIssue]
    start = _row_of(cells, np.asarray(inner.center_position))  # pyright: ignore[reportAttributeAccessIssue]
    following = neighbours(cells, np.asarray(inner.directions))  # pyright: ignore[reportAttributeAccessIssue]

    def sample_fn(key: Key) -> MetaMazeParams:
        goal = jnp.asarray(cells, jnp.int32)[jax.random.randint(key, (), 0, len(cells))]
        return MetaMazeParams(goal=goal, max_steps_in_episode=horizon)

    def optimum_fn(task: MetaMazeParams) -> Array:
        at_goal = jnp.all(jnp.asarray(cells) == task.goal, axis=-1)
        reached, bumped = at_goal[following], jnp.asarray(following) == jnp.arange(len(cells))[:, None]
        moved = jax.nn.one_hot(following, len(cells))
        transition = jnp.where(reached[..., None], 1.0 / len(cells), moved)
        return value_iteration(transition, task.reward * reached + task.punishment * bumped, horizon)[1][0, start]

    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn)


def neighbours(cells: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The cell that each direction leads to from each cell, itself where a wall is, as row numbers ``[C, A]``.

    Args:
      cells: the open cells, ``[C, 2]``.
      directions: ``[A, 2]``.
    """
    rows = {tuple(cell): row for row, cell in enumerate(cells.tolist())}
    following = np.empty((len(cells), len(directions)), int)
    for row, cell in enumerate(cells):
        following[row] = [rows.get(tuple((cell + direction).tolist()), row) for direction in directions]
    return following


def _row_of(cells: np.ndarray, cell: np.ndarray) -> int:
    return int(np.flatnonzero(np.all(cells == cell, axis=-1))[0])


def _inner_maze(params: MetaMazeParams) -> gymnax_maze.EnvParams:
    return gymnax_maze.EnvParams(
        reward=params.reward,
        punishment=params.punishment,
        normalize_time=True,
        max_steps_in_episode=params.max_steps_in_episode,
    )
