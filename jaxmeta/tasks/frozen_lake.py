"""FrozenLake with the map in its parameters: gymnax fixes it when the environment is built."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces
from gymnax.environments.misc import frozen_lake as gymnax_lake

from jaxmeta.checks import check_action, check_least
from jaxmeta.references import reaching_probability
from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import EpisodeView, TaskEnvironment, registered, typed
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.tasks.wrappers import Wrapper
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class FrozenLakeParams(environment.EnvParams):
    """The task: ``tiles`` ``[size, size]``, int32: 0 start, 1 frozen, 2 hole, 3 goal."""

    tiles: Array = struct.field(default_factory=lambda: gymnax_lake.FrozenLake().desc)
    max_steps_in_episode: int = 100


@registered
class FrozenLake(Wrapper):
    """gymnax's FrozenLake (Gymnasium's toy text environment) on the task's own map, which is hidden.

    The agent sees its cell, one-hot. A hole or the goal terminates the episode, the goal with reward 1. On slippery ice
    it goes the way it chose with probability 1/3, and to either side of it else. Actions: left, down, right, up.
    The map has ``size`` ≥ 2 cells along a side.
    """

    name = TaskEnvironment.name  # pyright: ignore[reportIncompatibleMethodOverride]
    episode_view = EpisodeView.ACTIONS

    def __init__(self, size: int = 4, slippery: bool = True):
        check_least(2, size=size)
        rows = ["S" + "F" * (size - 1), *["F" * size] * (size - 2), "F" * (size - 1) + "G"]
        super().__init__(gymnax_lake.FrozenLake(desc=rows, is_slippery=slippery))
        self.size = size

    @property
    def default_params(self) -> FrozenLakeParams:
        return FrozenLakeParams(tiles=self.env.desc)  # pyright: ignore[reportAttributeAccessIssue]

    def step_env(self, key, state, action, params):
        check_action(self, action)
        _, next_state, reward, terminated, info = self._on(params).step_env(key, state, action, params)
        return self.get_obs(next_state), typed(next_state), reward, terminated, info

    def reset_env(self, key, params):
        _, state = self._on(params).reset_env(key, params)
        return self.get_obs(state), typed(state)

    def observe(self, key, state, action, params):
        return self.get_obs(state)

    def get_obs(self, state, params=None, key=None):
        return jax.nn.one_hot(state.position, self.size**2, dtype=jnp.float32)

    def is_terminated(self, state, params):
        return self._on(params).is_terminated(state, params)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (self.size**2,), jnp.float32)

    def state_space(self, params=None):
        return self.env.state_space(params or self.default_params)

    def render(self, state, params):
        """A figure of one state in one task; discs are holes."""
        holes = np.asarray(params.tiles) == gymnax_lake.HOLE
        cells = {"G": (self.size - 1, self.size - 1), "A": divmod(int(state.position), self.size)}
        return drawing.figure(drawing.grid, np.zeros_like(holes), cells, filled=holes)

    def _on(self, params):
        # gymnax's constructor wants strings; the moves read nothing but the array.
        env = copy.copy(self.env)
        env.desc = params.tiles  # pyright: ignore[reportAttributeAccessIssue]
        return env


def frozen_lake(*, size: int = 4, slippery: bool = True, frozen: float = 0.8, horizon: int = 100) -> TaskDistribution:
    """Random maps with a way from the upper left to the lower right, as Gymnasium's ``generate_random_map`` draws them.

    Each other tile is frozen with probability ``frozen`` and a hole else; maps without a way are drawn again. There are
    finitely many, but a map is the rarer the more holes it has (unless ``frozen`` is 0.5): ``every`` is ``None``.

    Args:
      size: cells along a side, ≥ 2.
      slippery: whether the agent may slip to either side of the way that it chose.
      frozen: probability that a tile is frozen, in [0.5, 1).
      horizon: steps in an episode at most, ≥ 1.
    """
    if not 0.5 <= frozen < 1.0:
        raise ValueError(f"frozen: got {frozen}; must be in [0.5, 1)")
    env = FrozenLake(size, slippery)
    blank = env.default_params.tiles

    def redraw(carry: tuple[Key, Array]) -> tuple[Key, Array]:
        key, key_map = jax.random.split(carry[0])
        hole = ~jax.random.bernoulli(key_map, frozen, blank.shape) & (blank == gymnax_lake.FROZEN)
        return key, jnp.where(hole, gymnax_lake.HOLE, blank)

    def sample_fn(key: Key) -> FrozenLakeParams:
        _, tiles = jax.lax.while_loop(lambda carry: ~_has_way(carry[1]), redraw, redraw((key, blank)))
        return FrozenLakeParams(tiles=tiles, max_steps_in_episode=horizon)

    def optimum_fn(task: FrozenLakeParams) -> Array:
        rate = env.env.success_rate if slippery else 1.0  # pyright: ignore[reportAttributeAccessIssue]
        tiles = task.tiles.ravel()
        goal = tiles == gymnax_lake.GOAL
        ongoing = ~goal & (tiles != gymnax_lake.HOLE)
        return reaching_probability(_transition(size, rate), goal, ongoing, horizon)

    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn)


def _has_way(tiles: Array) -> Array:
    def spread(_, reached):
        wide = jnp.pad(reached, 1)
        nearby = wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
        return (reached | nearby) & (tiles != gymnax_lake.HOLE)

    return jax.lax.fori_loop(0, tiles.size, spread, tiles == gymnax_lake.START)[-1, -1]


def _transition(size: int, success_rate: float) -> Array:
    """Where moves lead on ice alone, ``[S, 4, S]``."""
    count = size**2
    row, column = np.divmod(np.arange(count), size)
    moves = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])
    rows = np.clip(row[:, None] + moves[:, 0], 0, size - 1)
    columns = np.clip(column[:, None] + moves[:, 1], 0, size - 1)
    straight = jax.nn.one_hot(rows * size + columns, count)
    aside = (jnp.roll(straight, 1, axis=1) + jnp.roll(straight, -1, axis=1)) / 2.0
    return success_rate * straight + (1.0 - success_rate) * aside
