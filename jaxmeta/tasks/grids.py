"""Grids whose cell is all that the agent sees, and GridNavi (Zintgraf et al. 2020, VariBAD): a hidden goal on one."""

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least
from jaxmeta.references import MOVES, goal_cells, goal_posterior
from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import DiscreteEnvironment, EpisodeView, Plane, TimedState, registered
from jaxmeta.tasks.generic import from_gymnax, listed
from jaxmeta.types import Array, Key, TaskDistribution


class Grid(DiscreteEnvironment):
    """A square grid without inner walls. The agent sees its cell ``(x, y)``, two whole numbers from 0 to ``size − 1``.

    It moves to a neighbouring cell or stays; walls around the grid hold it back. Actions: stay, up, right, down, left.
    Episodes begin in the cell ``start``.
    """

    actions = len(MOVES)
    episode_view = EpisodeView.PATH

    def __init__(self, size: int, start: tuple[int, int]):
        self.size, self.start = size, start

    @abc.abstractmethod
    def marks(self, params: Any) -> dict[str, Array]:
        """What there is to find in a task: a letter for each of some cells ``[2]``."""

    def plane(self, params) -> Plane:
        return Plane(np.array(self.start), np.stack([np.asarray(cell) for cell in self.marks(params).values()]))

    def first_cell(self) -> Array:
        """Where an episode begins, ``[2]``."""
        return jnp.array(self.start, jnp.int32)

    def neighbour(self, position: Array, action: Array) -> Array:
        """The cell that an action leads to, ``[2]``."""
        return jnp.clip(position + jnp.asarray(MOVES, jnp.int32)[action], 0, self.size - 1)

    def get_obs(self, state, params=None, key=None):
        return state.position.astype(jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, self.size - 1.0, (2,), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        return {"position": spaces.Box(0, self.size - 1, (2,), jnp.int32)}

    def drawn_marks(self, state: Any, params: Any) -> dict[str, Array]:
        """Those of ``marks`` that are still there."""
        return self.marks(params)

    def render(self, state, params):
        """A figure of one state in one task, the cell (0, 0) at the lower left."""
        marks = {**self.drawn_marks(state, params), "A": state.position}
        cells = {letter: (self.size - 1 - cell[1], cell[0]) for letter, cell in marks.items()}
        return drawing.figure(drawing.grid, np.zeros((self.size, self.size)), cells)


@struct.dataclass
class GridNaviState(TimedState):
    position: Array


@struct.dataclass
class GridNaviParams(environment.EnvParams):
    """The task: ``goal``, the cell ``(x, y)``, int32 ``[2]``."""

    goal: Array = struct.field(default_factory=lambda: jnp.array([4, 4], jnp.int32))
    max_steps_in_episode: int = 15


@registered
class GridNavi(Grid):
    """A grid with a hidden goal. The agent starts in the corner (0, 0).

    The reward is 1 in a step that ends on the goal and −0.1 in any other; nothing terminates the episode. The
    observation is the cell, as in VariBAD's code: only the reward tells of the goal.

    Args:
      size: cells along a side, ≥ 3.
    """

    has_goal_belief = True

    def __init__(self, size: int = 5):
        check_least(3, size=size)
        super().__init__(size, (0, 0))

    @property
    def default_params(self) -> GridNaviParams:
        return GridNaviParams(goal=jnp.full(2, self.size - 1, jnp.int32))

    def transition(self, key, state, action, params):
        position = self.neighbour(state.position, action)
        reward = jnp.where(jnp.all(position == params.goal), 1.0, -0.1)
        return GridNaviState(position=position, time=state.time + 1), reward

    def first_state(self, key, params) -> GridNaviState:
        return GridNaviState(position=self.first_cell(), time=jnp.zeros((), jnp.int32))

    def marks(self, params) -> dict[str, Array]:
        return {"G": params.goal}

    def goal_belief(self, arrived, goal):
        return goal_posterior(arrived, goal, size=self.size)


def gridnavi(*, size: int = 5, horizon: int = 15) -> TaskDistribution:
    """GridNavi: goals uniform over the cells outside the 2 × 2 corner of the start, 21 of them on the 5 × 5 grid.

    VariBAD plays four episodes in a task: ``as_lifetime(tasks, 4)``. ``jaxmeta.references.gridnavi`` has their
    Bayes-optimal return.

    Args:
      size: cells along a side, ≥ 3.
      horizon: steps in an episode, ≥ 1.
    """
    env, cells = GridNavi(size), goal_cells(size)

    def task_fn(goal: Array) -> GridNaviParams:
        return GridNaviParams(goal=goal, max_steps_in_episode=horizon)

    def sample_fn(key: Key) -> GridNaviParams:
        return task_fn(any_of(key, cells))

    def optimum_fn(task: GridNaviParams) -> Array:
        # The goal is reached after as many steps as its distance, the last of which is already rewarded.
        rewarded = jnp.maximum(horizon - jnp.sum(task.goal) + 1, 0)
        return 1.0 * rewarded - 0.1 * (horizon - rewarded)

    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn, every=listed(task_fn, cells))


def any_of(key: Key, cells: np.ndarray) -> Array:
    """One of some cells ``[C, 2]``, uniformly, ``[2]``."""
    return jnp.asarray(cells, jnp.int32)[jax.random.randint(key, (), 0, len(cells))]
