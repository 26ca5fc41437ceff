"""Two-dimensional navigation to an unknown goal, as defined by Finn, Abbeel and Levine 2017 (section 5.3)."""

import gymnax
import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.references.navigation import optimal_return
from jaxmeta.tasks import checks, drawing
from jaxmeta.tasks.wrappers import scale_actions
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class NavigationState(environment.EnvState):
    position: Array
    time: Array  # pyright: ignore[reportIncompatibleVariableOverride]


@struct.dataclass
class NavigationParams(environment.EnvParams):
    """The task: ``goal`` ``[2]``. The other fields are part of the definition and seldom vary."""

    goal: Array = struct.field(default_factory=lambda: jnp.array([0.3, 0.3], jnp.float32))
    max_force: float = 0.1
    goal_tolerance: float = 0.01
    max_steps_in_episode: int = 100


class Navigation(environment.Environment[NavigationState, NavigationParams]):
    """A point starts at (0, 0) and moves by an action clipped to ``[−0.1, 0.1]²``.

    The reward is ``−‖s′ − g‖`` after the move. The episode terminates when both coordinates are within 0.01 of the
    goal, and is truncated after 100 steps. The observation is the position; the goal is hidden.
    """

    @property
    def default_params(self) -> NavigationParams:
        return NavigationParams()

    def step_env(self, key, state, action, params):
        checks.action_shape(self, action)
        move = jnp.clip(jnp.asarray(action, jnp.float32), -params.max_force, params.max_force)
        position = state.position + move
        reward = -jnp.linalg.norm(position - params.goal)
        next_state = NavigationState(position=position, time=state.time + 1)
        terminated = self.is_terminated(next_state, params)
        return position, next_state, reward, terminated, {"discount": self.discount(next_state, params)}

    def reset_env(self, key, params):
        position = jnp.zeros(2, jnp.float32)
        return position, NavigationState(position=position, time=jnp.zeros((), jnp.int32))

    def get_obs(self, state, params=None, key=None):
        return state.position

    def is_terminated(self, state, params):
        return jnp.all(jnp.abs(state.position - params.goal) < params.goal_tolerance)

    @property
    def name(self) -> str:
        return "Navigation-jaxmeta"

    @property
    def num_actions(self) -> int:
        return 2

    def action_space(self, params=None) -> spaces.Box:
        limit = (params or self.default_params).max_force
        return spaces.Box(-limit, limit, (2,), jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        params = params or self.default_params
        # The last factor is room for rounding over an episode.
        reach = params.max_force * params.max_steps_in_episode * 1.0001
        return spaces.Box(-reach, reach, (2,), jnp.float32)

    def state_space(self, params=None) -> spaces.Dict:
        params = params or self.default_params
        return spaces.Dict(
            {"position": self.observation_space(params), "time": spaces.Discrete(params.max_steps_in_episode + 1)}
        )

    def render(self, state, params):
        """A figure of one state in one task."""
        return drawing.figure(drawing.plane, state.position, params.goal)


gymnax.register("Navigation-jaxmeta", Navigation)


def navigation(*, horizon: int = 100, goal_range: float = 0.5) -> TaskDistribution:
    """Goals uniform on ``[−goal_range, goal_range]²``; actions in ``[−1, 1]²``, scaled to the action box and clipped.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      goal_range: half the side of the square of goals, > 0, in the plane's units.

    Raises:
      ValueError: a setting out of its range.
    """
    checks.at_least(1, horizon=horizon)
    checks.positive(goal_range=goal_range)

    def sample_fn(key: Key) -> NavigationParams:
        goal = jax.random.uniform(key, (2,), jnp.float32, -goal_range, goal_range)
        return NavigationParams(
            goal=goal,
            max_force=jnp.float32(0.1),
            goal_tolerance=jnp.float32(0.01),
            max_steps_in_episode=jnp.int32(horizon),
        )

    def optimum_fn(task: NavigationParams) -> Array:
        return optimal_return(task.goal, horizon)

    return TaskDistribution(scale_actions(Navigation()), sample_fn, horizon, optimum_fn)
