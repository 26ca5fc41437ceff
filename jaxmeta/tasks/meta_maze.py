"""MetaMaze with the goal in its parameters: gymnax draws a new one at every reset, which would be another task."""

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces
from gymnax.environments.misc import meta_maze as gymnax_maze

from jaxmeta.checks import check_action
from jaxmeta.references import optimal_return
from jaxmeta.tasks.environments import registered, typed
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.tasks.grids import any_of
from jaxmeta.tasks.mazes import HiddenGoalMaze
from jaxmeta.types import Array, Key, TaskDistribution


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
        _, state = self.env.reset_env(key, self.inner_params(params))
        # −1 has no one-hot: gymnax's 0 would say that the agent had gone up.
        state = typed(state.replace(goal=params.goal, last_action=jnp.int32(-1)))
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

    def sample_fn(key: Key) -> MetaMazeParams:
        return MetaMazeParams(goal=any_of(key, env.cells), max_steps_in_episode=horizon)

    def optimum_fn(task: MetaMazeParams) -> Array:
        count, following = len(env.cells), env.neighbours
        reached, at_wall = env.at_goal(task)[following], jnp.asarray(following) == jnp.arange(count)[:, None]
        transition = jnp.where(reached[..., None], 1.0 / count, jax.nn.one_hot(following, count))
        reward = task.reward * reached + task.punishment * at_wall
        return optimal_return(transition, reward, horizon, start=env.start)

    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn)
