"""FourRooms with the goal in its parameters: gymnax draws it at a reset or fixes it for good, and shows it."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces
from gymnax.environments.misc import rooms as gymnax_rooms

from jaxmeta.references.value_iteration import value_iteration
from jaxmeta.tasks import checks, drawing
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.tasks.meta_maze import neighbours
from jaxmeta.tasks.wrappers import Wrapper, typed_state
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class FourRoomsParams(environment.EnvParams):
    """The task: ``goal``, the cell (row, column), int32 ``[2]``."""

    goal: Array = struct.field(default_factory=lambda: jnp.array([8, 9], jnp.int32))
    fail_prob: float = 1.0 / 3
    max_steps_in_episode: int = 100


class FourRooms(Wrapper):
    """gymnax's FourRooms (Sutton, Precup and Singh 1999) with a goal that stays for the whole task, hidden.

    The agent starts at (4, 1) and sees its cell (row, column) alone; gymnax shows the goal too. With probability
    ``fail_prob`` it goes one of the three ways that it did not choose. Reaching the goal is rewarded by 1 and
    terminates the episode. Actions: up, right, down, left.
    """

    def __init__(self):
        super().__init__(gymnax_rooms.FourRooms())

    @property
    def default_params(self) -> FourRoomsParams:
        return FourRoomsParams()

    def step_env(self, key, state, action, params):
        checks.action_shape(self, action)
        action = jnp.asarray(action, jnp.int32)
        _, next_state, reward, terminated, info = self.env.step_env(key, state, action, _inner_rooms(params))
        next_state = typed_state(next_state)
        return self.get_obs(next_state), next_state, reward, terminated, info

    def reset_env(self, key, params):
        _, state = self.env.reset_env(key, _inner_rooms(params))
        state = typed_state(state.replace(goal=params.goal))
        return self.get_obs(state), state

    def observe(self, key, state, action, params):
        return self.get_obs(state)

    def get_obs(self, state, params=None, key=None):
        return state.pos.astype(jnp.float32)

    @property
    def name(self) -> str:
        return "FourRooms-jaxmeta"

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(1.0, 11.0, (2,), jnp.float32)

    def state_space(self, params=None):
        return self.env.state_space(_inner_rooms(params or self.default_params))

    def render(self, state, params):
        """A figure of one state in one task."""
        walls = np.asarray(self.env.occupied_map)  # pyright: ignore[reportAttributeAccessIssue]
        return drawing.figure(drawing.grid, walls, {"G": params.goal, "A": state.pos})


gymnax.register("FourRooms-jaxmeta", FourRooms)


def four_rooms(*, horizon: int = 100, fail_prob: float = 1.0 / 3) -> TaskDistribution:
    """Goals uniform over the 103 open cells other than the start.

    Args:
      horizon: steps in an episode at most, ≥ 1; gymnax's own is 500.
      fail_prob: probability of a way that was not chosen, in [0, 0.75].

    Raises:
      ValueError: a setting out of its range.
    """
    checks.at_least(1, horizon=horizon)
    if not 0.0 <= fail_prob <= 0.75:
        raise ValueError(f"fail_prob: got {fail_prob}; must be in [0, 0.75]")
    env = FourRooms()
    inner = env.env
    cells = np.asarray(inner.coords)  # pyright: ignore[reportAttributeAccessIssue]
    is_start = np.all(cells == np.asarray(inner.pos_fixed), axis=-1)  # pyright: ignore[reportAttributeAccessIssue]
    following = neighbours(cells, np.asarray(inner.directions))  # pyright: ignore[reportAttributeAccessIssue]
    goals = jnp.asarray(cells[~is_start], jnp.int32)

    def sample_fn(key: Key) -> FourRoomsParams:
        goal = goals[jax.random.randint(key, (), 0, len(goals))]
        return FourRoomsParams(goal=goal, fail_prob=fail_prob, max_steps_in_episode=horizon)

    def optimum_fn(task: FourRoomsParams) -> Array:
        at_goal = jnp.all(jnp.asarray(cells) == task.goal, axis=-1)
        chosen = jax.nn.one_hot(following, len(cells))
        # gymnax draws a random action with probability 4/3 fail_prob, which may be the chosen one.
        random = 4.0 / 3.0 * task.fail_prob
        transition = (1.0 - random) * chosen + random * jnp.mean(chosen, axis=1, keepdims=True)
        transition = jnp.where(at_goal[:, None, None], jnp.eye(len(cells))[:, None], transition)
        reward = jnp.where(at_goal[:, None], 0.0, transition @ at_goal.astype(jnp.float32))
        return value_iteration(transition, reward, horizon)[1][0, int(np.flatnonzero(is_start)[0])]

    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum_fn)


def _inner_rooms(params: FourRoomsParams) -> gymnax_rooms.EnvParams:
    return gymnax_rooms.EnvParams(fail_prob=params.fail_prob, max_steps_in_episode=params.max_steps_in_episode)
