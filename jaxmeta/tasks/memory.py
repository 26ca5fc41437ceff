"""Tasks of memory: the T-maze, whose cue is seen once, and the dark room with a key and a door."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least
from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import DiscreteEnvironment, EpisodeView, TimedState, registered
from jaxmeta.tasks.generic import from_gymnax, listed
from jaxmeta.tasks.grids import Grid
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class TMazeState(TimedState):
    position: Array
    arm: Array


@struct.dataclass
class TMazeParams(environment.EnvParams):
    """The task: ``side``, 1 where the goal is up and −1 where it is down, and the corridor's ``length``; both int32."""

    side: int = 1
    length: int = 10
    max_steps_in_episode: int = 50


@registered
class TMaze(DiscreteEnvironment):
    """The T-maze of Bakker 2002 (Reinforcement learning with long short-term memory).

    The corridor's first cell shows which way the goal is, the corridor shows nothing, and ``length`` cells further on
    is the junction. There "up" and "down" end the episode, with reward 4 on the goal's side and −0.1 on the other.
    Steps that lead nowhere cost 0.1; others are free. Actions: up, right, down, left. Observations, three bits: 011 at
    the start where the goal is up and 110 where it is down, 101 in the corridor, 010 at the junction.
    """

    actions = 4
    episode_view = EpisodeView.ACTIONS

    @property
    def default_params(self) -> TMazeParams:
        return TMazeParams()

    def transition(self, key, state, action, params):
        at_junction = state.position == params.length
        along, across = jnp.array([0, 1, 0, -1])[action], jnp.array([1, 0, -1, 0])[action]
        position = jnp.clip(state.position + along, 0, params.length).astype(jnp.int32)
        arm = jnp.where(at_junction, across, 0).astype(jnp.int32)
        found, stuck = (arm != 0) & (arm == params.side), (position == state.position) & (arm != params.side)
        reward = jnp.where(found, 4.0, jnp.where(stuck, -0.1, 0.0))
        return TMazeState(position=position, arm=arm, time=state.time + 1), reward

    def first_state(self, key, params) -> TMazeState:
        zero = jnp.zeros((), jnp.int32)
        return TMazeState(position=zero, arm=zero, time=zero)

    def get_obs(self, state, params=None, key=None):
        params = params or self.default_params
        cue = jnp.where(params.side > 0, jnp.array([0.0, 1.0, 1.0]), jnp.array([1.0, 1.0, 0.0]))
        elsewhere = jnp.where(state.position == params.length, jnp.array([0.0, 1.0, 0.0]), jnp.array([1.0, 0.0, 1.0]))
        return jnp.where(state.position == 0, cue, elsewhere)

    def is_terminated(self, state, params):
        return state.arm != 0

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (3,), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        return {"position": spaces.Discrete(int(params.length) + 1), "arm": spaces.Box(-1, 1, (), jnp.int32)}

    def render(self, state, params):
        length, side = int(params.length), int(params.side)
        walls = np.ones((3, length + 1))
        walls[1], walls[:, length] = 0, 0
        cells = {"G": (1 - side, length), "A": (1 - int(state.arm), int(state.position))}
        return drawing.figure(drawing.grid, walls, cells)


def t_maze(
    *, horizon: int = 50, lengths: tuple[int, int] = (5, 10), test_lengths: tuple[int, int] = (11, 20)
) -> TaskDistribution:
    """T-mazes with the goal on either side, and corridors of a length drawn uniformly.

    Bakker 2002 trains and tests at one length at a time. Here test corridors are longer than those of training, so that
    a memory that has learned to count shows. In later episodes of the same task the cue is no news.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      lengths: shortest and longest corridor of training, in cells, ≥ 1.
      test_lengths: the same for test tasks.
    """
    check_least(1, horizon=horizon)  # first: the lengths are compared with it
    for name, (low, high) in {"lengths": lengths, "test_lengths": test_lengths}.items():
        if not 1 <= low <= high < horizon:
            raise ValueError(f"{name}: got ({low}, {high}); must be 1 <= low <= high < horizon = {horizon}")

    def task_fn(side: Any, length: Any) -> TMazeParams:
        return TMazeParams(side=side, length=length, max_steps_in_episode=horizon)

    def sampler(low: int, high: int) -> Callable[[Key], TMazeParams]:
        def sample_fn(key: Key) -> TMazeParams:
            key_side, key_length = jax.random.split(key)
            side = jnp.where(jax.random.bernoulli(key_side), jnp.int32(1), jnp.int32(-1))
            return task_fn(side, jax.random.randint(key_length, (), low, high + 1, jnp.int32))

        return sample_fn

    def optimum_fn(task: TMazeParams) -> Array:
        # Straight to the junction at no cost, and up or down; every corridor is shorter than the horizon.
        return jnp.full_like(jnp.asarray(task.length, jnp.float32), 4.0)

    return from_gymnax(
        TMaze(),
        sampler(*lengths),
        horizon=horizon,
        optimum=optimum_fn,
        sample_test=sampler(*test_lengths),
        every=listed(task_fn, (1, -1), range(lengths[0], lengths[1] + 1)),
        every_test=listed(task_fn, (1, -1), range(test_lengths[0], test_lengths[1] + 1)),
    )


@struct.dataclass
class KeyToDoorState(TimedState):
    position: Array
    has_key: Array
    opened: Array


@struct.dataclass
class KeyToDoorParams(environment.EnvParams):
    """The task: the cells ``key_cell`` and ``door_cell``, int32 ``[2]`` each."""

    key_cell: Array = struct.field(default_factory=lambda: jnp.array([0, 0], jnp.int32))
    door_cell: Array = struct.field(default_factory=lambda: jnp.array([8, 8], jnp.int32))
    max_steps_in_episode: int = 50


@registered
class DarkKeyToDoor(Grid):
    """Dark Key-to-Door (Laskin et al. 2022, In-context reinforcement learning with algorithm distillation).

    The agent moves on a grid from its centre and sees nothing but its cell. The first step that ends on the key's cell
    is rewarded by 1, once; then so is the first one that ends on the door's cell. All other rewards are 0, and nothing
    terminates the episode.

    Args:
      size: cells along a side, odd and ≥ 3.
    """

    def __init__(self, size: int = 9):
        if size < 3 or size % 2 == 0:
            raise ValueError(f"size: got {size}; must be odd and at least 3")
        super().__init__(size, (size // 2, size // 2))

    @property
    def default_params(self) -> KeyToDoorParams:
        return KeyToDoorParams(door_cell=jnp.full(2, self.size - 1, jnp.int32))

    def transition(self, key, state, action, params):
        position = self.neighbour(state.position, action)
        # The door answers only to a key that was held before the step, should both lie in one cell.
        opens = state.has_key & ~state.opened & jnp.all(position == params.door_cell)
        takes = ~state.has_key & jnp.all(position == params.key_cell)
        next_state = KeyToDoorState(
            position=position, has_key=state.has_key | takes, opened=state.opened | opens, time=state.time + 1
        )
        return next_state, (opens | takes).astype(jnp.float32)

    def first_state(self, key, params) -> KeyToDoorState:
        no = jnp.zeros((), bool)
        return KeyToDoorState(position=self.first_cell(), has_key=no, opened=no, time=jnp.zeros((), jnp.int32))

    def state_parts(self, params) -> dict[str, spaces.Space]:
        return {**super().state_parts(params), "has_key": spaces.Discrete(2), "opened": spaces.Discrete(2)}

    def marks(self, params) -> dict[str, Array]:
        return {"K": params.key_cell, "D": params.door_cell}

    def drawn_marks(self, state, params) -> dict[str, Array]:
        marks = self.marks(params)
        return {"D": marks["D"]} if bool(state.has_key) else marks


def dark_key_to_door(*, size: int = 9, horizon: int = 50) -> TaskDistribution:
    """Key and door each uniform over all cells, independently: 6,561 tasks on the 9 × 9 grid.

    Args:
      size: cells along a side, odd and ≥ 3.
      horizon: steps in an episode, ≥ 1.
    """
    env = DarkKeyToDoor(size)

    def task_fn(key_cell: Array, door_cell: Array) -> KeyToDoorParams:
        return KeyToDoorParams(key_cell=key_cell, door_cell=door_cell, max_steps_in_episode=horizon)

    def sample_fn(key: Key) -> KeyToDoorParams:
        return task_fn(*jax.random.randint(key, (2, 2), 0, size, jnp.int32))

    def optimum_fn(task: KeyToDoorParams) -> Array:
        # The shortest way to the key and on to the door; each takes at least the step that notices it.
        to_key = jnp.maximum(jnp.sum(jnp.abs(task.key_cell - size // 2)), 1)
        to_door = jnp.maximum(jnp.sum(jnp.abs(task.door_cell - task.key_cell)), 1)
        return (to_key <= horizon).astype(jnp.float32) + (to_key + to_door <= horizon)

    cells = np.stack(np.divmod(np.arange(size**2), size), axis=-1)
    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn, every=listed(task_fn, cells, cells))
