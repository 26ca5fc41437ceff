"""GridNavi (Zintgraf et al. 2020, VariBAD): a hidden goal on a small grid, found by looking."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.tasks import checks, drawing
from jaxmeta.types import Array, Key, TaskDistribution

MOVES = np.array([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])
"""What the actions stay, up, right, down and left add to ``(x, y)``, in VariBAD's order."""


@struct.dataclass
class GridNaviState(environment.EnvState):
    position: Array
    time: Array  # pyright: ignore[reportIncompatibleVariableOverride]


@struct.dataclass
class GridNaviParams(environment.EnvParams):
    """The task: ``goal``, the cell ``(x, y)``, int32 ``[2]``."""

    goal: Array = struct.field(default_factory=lambda: jnp.array([4, 4], jnp.int32))
    max_steps_in_episode: int = 15


class GridNavi(environment.Environment[GridNaviState, GridNaviParams]):
    """The agent starts in the corner (0, 0) and moves to a neighbouring cell, or stays; walls hold it back.

    The reward is 1 in a step that ends on the goal and −0.1 in any other; nothing terminates the episode. The
    observation is the cell ``(x, y)`` as two whole numbers from 0 to ``size − 1``, as in VariBAD's code: the goal is
    hidden, and only the reward tells.

    Args:
      size: cells along a side, ≥ 3.
    """

    def __init__(self, size: int = 5):
        checks.at_least(3, size=size)
        self.size = size

    @property
    def default_params(self) -> GridNaviParams:
        return GridNaviParams(goal=jnp.full(2, self.size - 1, jnp.int32))

    def step_env(self, key, state, action, params):
        checks.action_shape(self, action)
        position = jnp.clip(state.position + jnp.asarray(MOVES, jnp.int32)[action], 0, self.size - 1)
        reward = jnp.where(jnp.all(position == params.goal), 1.0, -0.1)
        next_state = GridNaviState(position=position, time=state.time + 1)
        return self.get_obs(next_state), next_state, reward, jnp.zeros((), bool), {"discount": jnp.ones(())}

    def reset_env(self, key, params):
        state = GridNaviState(position=jnp.zeros(2, jnp.int32), time=jnp.zeros((), jnp.int32))
        return self.get_obs(state), state

    def get_obs(self, state, params=None, key=None):
        return state.position.astype(jnp.float32)

    def is_terminated(self, state, params):
        return jnp.zeros((), bool)

    @property
    def name(self) -> str:
        return "GridNavi-jaxmeta"

    @property
    def num_actions(self) -> int:
        return len(MOVES)

    def action_space(self, params=None) -> spaces.Discrete:
        return spaces.Discrete(len(MOVES))

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, self.size - 1.0, (2,), jnp.float32)

    def state_space(self, params=None) -> spaces.Dict:
        params = params or self.default_params
        position = spaces.Box(0, self.size - 1, (2,), jnp.int32)
        return spaces.Dict({"position": position, "time": spaces.Discrete(params.max_steps_in_episode + 1)})

    def render(self, state, params):
        """A figure of one state in one task, the corner of the start at the lower left."""
        cells = {name: (self.size - 1 - cell[1], cell[0]) for name, cell in (("G", params.goal), ("A", state.position))}
        return drawing.figure(drawing.grid, np.zeros((self.size, self.size)), cells)


gymnax.register("GridNavi-jaxmeta", GridNavi)


def goal_cells(size: int) -> np.ndarray:
    """The cells that can be goals, all but the four of the corner of the start, ``[size² − 4, 2]``."""
    return np.array([(x, y) for x in range(size) for y in range(size) if x > 1 or y > 1])


def gridnavi(*, size: int = 5, horizon: int = 15) -> TaskDistribution:
    """GridNavi: goals uniform over the cells outside the 2 × 2 corner of the start, 21 of them on the 5 × 5 grid.

    VariBAD plays four episodes in a task: ``as_lifetime(tasks, 4)``. Their Bayes-optimal return is in
    ``jaxmeta/references/gridnavi.py``.

    Args:
      size: cells along a side, ≥ 3.
      horizon: steps in an episode, ≥ 1.

    Raises:
      ValueError: a setting out of its range.
    """
    checks.at_least(1, horizon=horizon)
    env = GridNavi(size)
    cells = jnp.asarray(goal_cells(size), jnp.int32)

    def sample_fn(key: Key) -> GridNaviParams:
        goal = cells[jax.random.randint(key, (), 0, len(cells))]
        return GridNaviParams(goal=goal, max_steps_in_episode=jnp.int32(horizon))

    def optimum_fn(task: GridNaviParams) -> Array:
        # The goal is reached after as many steps as its distance, the last of which is already rewarded.
        rewarded = jnp.maximum(horizon - jnp.sum(task.goal) + 1, 0)
        return 1.0 * rewarded - 0.1 * (horizon - rewarded)

    return TaskDistribution(env, sample_fn, horizon, optimum_fn)
