"""What the environments of all families share, and what a family says of the figures that suit it."""

import abc
import enum
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_action
from jaxmeta.types import Array, Key, PyTree

E = TypeVar("E", bound=environment.Environment)


class EpisodeView(enum.Enum):
    """Which picture of an episode shows what happens in it."""

    PATH = "the way through the plane"
    ACTIONS = "which action is taken when"
    OBSERVATIONS = "each observed quantity against time"


class Plane(NamedTuple):
    """Where the paths of episodes lie in one task. Points are ``(x, y)``, x to the right and y upwards.

    Attributes:
      start: where episodes begin, ``[2]``.
      goals: what is looked for, ``[G, 2]``.
    """

    start: np.ndarray
    goals: np.ndarray


@struct.dataclass
class TimedState(environment.EnvState):
    """A state of which nothing but the time is known; environments add to it. Typed as the array that it is."""

    time: Array  # pyright: ignore[reportIncompatibleVariableOverride]


class TaskEnvironment(environment.Environment):
    """A gymnax environment that says how it is drawn. All answers have defaults, which fit any environment."""

    episode_view: EpisodeView = EpisodeView.OBSERVATIONS
    """Which picture of an episode suits the environment."""
    has_goal_belief: bool = False
    """Whether the exact belief over goal cells is known, and the observation shows the agent's cell."""
    has_film: bool = False
    """Whether ``film`` draws an episode as its engine does."""

    @property
    def name(self) -> str:
        return f"{type(self).__name__}-jaxmeta"

    def plane(self, params: Any) -> Plane:
        """Where the paths of one task lie; asked of environments whose episodes are seen as ``EpisodeView.PATH``."""
        raise NotImplementedError(f"{self.name} has no plane")

    def points(self, obs: Any) -> np.ndarray:
        """Observations ``[..., 2]`` as points ``(x, y)`` of the plane."""
        return np.asarray(obs)

    def arm_rewards(self, params: Any) -> Array | None:
        """What each arm pays on average, ``[k]``, in bandits whose arms pay alike at every pull; ``None`` elsewhere."""
        return None

    def goal_belief(self, arrived: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """The exact belief over goal cells, ``[T + 1, size, size]``, the prior first; asked where ``has_goal_belief``.

        The T steps of a lifetime led to the cells ``arrived`` ``[T, 2]``; the task has the cell ``goal`` ``[2]``.
        """
        raise NotImplementedError(f"{self.name} has no exact belief")

    def film(self, states: Any, *paths: str | Path) -> list[Path]:
        """Write the states of one episode, leaves ``[T, ...]``, as PNG, GIF or MP4; asked where ``has_film``."""
        raise NotImplementedError(f"{self.name} has no film")


class SteppedEnvironment(TaskEnvironment, abc.ABC):
    """What the environments of most families share: nothing that terminates an episode unless a class says so.

    A class says how many ``actions`` there are, how an episode begins and what a step does; its state is a
    ``TimedState``. Its ``render(state, params)`` is a figure of one state in one task.
    """

    actions: int
    action_type: Any = jnp.float32

    @property
    def num_actions(self) -> int:
        return self.actions

    @abc.abstractmethod
    def first_state(self, key: Key, params: Any) -> Any:
        """The state that an episode begins in."""

    @abc.abstractmethod
    def transition(self, key: Key, state: Any, action: Array, params: Any) -> tuple[Any, Array]:
        """The next state and the reward of an action."""

    def cost(self, state: Any, params: Any) -> Array | None:
        """What the step that led to a state costs apart from its reward; ``None`` where nothing does."""
        return None

    def state_parts(self, params: Any) -> dict[str, spaces.Space]:
        """The spaces of what a state holds beside the time."""
        return {}

    def reset_env(self, key, params):
        state = self.first_state(key, params)
        return self.get_obs(state, params), state

    def step_env(self, key, state, action, params):
        check_action(self, action)
        next_state, reward = self.transition(key, state, jnp.asarray(action, self.action_type), params)
        terminated = self.is_terminated(next_state, params)
        info = {"discount": jnp.where(terminated, jnp.float32(0.0), jnp.float32(1.0))}
        if (cost := self.cost(next_state, params)) is not None:
            info["cost"] = cost.astype(jnp.float32)
        return self.get_obs(next_state, params), next_state, reward, terminated, info

    def is_terminated(self, state, params):
        return jnp.zeros((), bool)

    def state_space(self, params=None) -> spaces.Dict:
        params = params or self.default_params
        time = spaces.Discrete(int(params.max_steps_in_episode) + 1)
        return spaces.Dict({**self.state_parts(params), "time": time})


class DiscreteEnvironment(SteppedEnvironment):
    """A few actions, numbered from 0."""

    action_type = jnp.int32

    def action_space(self, params=None) -> spaces.Discrete:
        return spaces.Discrete(self.num_actions)


class ContinuousEnvironment(SteppedEnvironment):
    """An action of ``actions`` numbers, each in [−1, 1] unless a class says so."""

    actions = 1

    def action_space(self, params=None) -> spaces.Box:
        return spaces.Box(-1.0, 1.0, (self.num_actions,), jnp.float32)


def registered(environment_class: type[E]) -> type[E]:
    """Make a class known to ``gymnax.make``, by its name followed by ``-jaxmeta``."""
    gymnax.register(f"{environment_class.__name__}-jaxmeta", environment_class)
    return environment_class


def typed(tree: PyTree) -> PyTree:
    """The same pytree, every leaf a strongly typed array: a weakly typed one makes a compiled step trace again."""
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype), tree)


def numbers(leaf: Any) -> Array:
    """A leaf of a task as it is, or of a PRNG key the words that it consists of, scaled to [0, 1)."""
    if not jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key):
        return jnp.asarray(leaf)
    return jax.random.key_data(leaf).astype(jnp.float32) / 2.0**32


def kept_types(new: PyTree, old: PyTree) -> PyTree:
    """``new``, a state after a step, if its leaves have the types of those before it.

    Raises:
      ValueError: one has another type; cast to the old one, it could lose what it holds. It is named.
    """

    def kept(path: Any, new: Any, old: Any) -> Array:
        new = jnp.asarray(new)
        if new.dtype != old.dtype:
            leaf = f"state{jax.tree_util.keystr(path)}"
            raise ValueError(
                f"env: {leaf} is {old.dtype} and becomes {new.dtype}; jaxmeta.from_gymnax(env, ...) mends it"
            )
        return new

    return jax.tree_util.tree_map_with_path(kept, new, old)


def runge_kutta(flow: Callable[[Array], Array], state: Array, time: float, steps: int) -> Array:
    """Where ``d state / d t = flow(state)`` leads in a time, in the unit of ``flow``, by equal steps of order 4."""
    length = time / steps

    def step_fn(state: Array, _: None) -> tuple[Array, None]:
        first = flow(state)
        second = flow(state + 0.5 * length * first)
        third = flow(state + 0.5 * length * second)
        fourth = flow(state + length * third)
        return state + length / 6.0 * (first + 2.0 * second + 2.0 * third + fourth), None

    return jax.lax.scan(step_fn, state, length=steps)[0]


def figures_of(env: environment.Environment) -> TaskEnvironment:
    """What says how an environment is drawn: itself, or the default answers where it is gymnax's own."""
    return env if isinstance(env, TaskEnvironment) else TaskEnvironment()
