"""What gymnax's mazes share here: the goal is in the parameters and hidden, and cells are ``(row, column)``."""

import abc
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import EpisodeView
from jaxmeta.tasks.wrappers import Wrapper
from jaxmeta.types import Array

MOVES = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]])
"""What the actions up, right, down and left add to ``(row, column)``, in gymnax's order."""


class HiddenGoalMaze(Wrapper):
    """A gymnax maze whose goal is ``params.goal``, and stays for the whole task. Actions: up, right, down, left.

    Attributes:
      cells: those without a wall, ``[C, 2]``.
      start: which of them episodes begin in.
      neighbours: which of them each action leads to, ``[C, 4]``; the same cell where there is a wall.
    """

    episode_view = EpisodeView.ACTIONS

    def __init__(self, env: Any, start: Any):
        super().__init__(env)
        self.walls, self.cells = np.asarray(env.occupied_map), np.asarray(env.coords)
        self.start = int(np.flatnonzero(np.all(self.cells == np.asarray(start), axis=-1))[0])
        number = {tuple(cell): index for index, cell in enumerate(self.cells.tolist())}
        reached = (self.cells[:, None] + MOVES).tolist()
        self.neighbours = np.array([[number.get(tuple(to), i) for to in ways] for i, ways in enumerate(reached)])

    @property
    def name(self) -> str:
        return f"{type(self).__name__}-jaxmeta"

    @abc.abstractmethod
    def inner_params(self, params: Any) -> Any:
        """The parameters of gymnax's maze."""

    def observe(self, key, state, action, params):
        return self.get_obs(state, params)

    def state_space(self, params=None):
        return self.env.state_space(self.inner_params(params or self.default_params))

    def at_goal(self, params: Any) -> Array:
        """Whether each open cell is the goal, ``[C]``."""
        return jnp.all(jnp.asarray(self.cells) == params.goal, axis=-1)

    def render(self, state, params):
        """A figure of one state in one task."""
        return drawing.figure(drawing.grid, self.walls, {"G": params.goal, "A": state.pos})
