"""XLand-MiniGrid (Nikulin et al. 2023): a goal and production rules, both hidden, in a grid with things to carry."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

try:
    from xminigrid.benchmarks import load_benchmark_from_path  # pyright: ignore[reportMissingImports]
    from xminigrid.core import constants  # pyright: ignore[reportMissingImports]
    from xminigrid.core.observation import transparent_field_of_view  # pyright: ignore[reportMissingImports]
    from xminigrid.envs.xland import XLandMiniGrid  # pyright: ignore[reportMissingImports]
    from xminigrid.rendering.rgb_render import render as rgb_render  # pyright: ignore[reportMissingImports]
    from xminigrid.types import AgentState, EnvCarry, RuleSet, State, StepType, TimeStep  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise ImportError(f'xland: {error.name} is missing; pip install "jaxmeta[xland]"') from error

from jaxmeta.checks import check_between, check_least, check_share
from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import DiscreteEnvironment, EpisodeView, TimedState, registered
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Array, Key, TaskDistribution

KINDS = np.array([3, 4, 5, 7, 11, 12], np.uint8)
"""The tiles that can be carried: ball, square, pyramid, key, hexagon, star."""
COLOURS = np.array([1, 2, 3, 4, 5, 6, 8, 9, 10, 11], np.uint8)
"""All colours but that of the floor."""
THINGS = np.stack(np.meshgrid(KINDS, COLOURS, indexing="ij"), axis=-1).reshape(-1, 2)
"""Tile and colour of each of the 60 things."""
TEST_GOALS, TRAINING_GOALS = np.split(np.random.default_rng(0).permutation(len(THINGS)), [12])
"""The things that goals are about in test tasks, and in training."""
HOLD, NEAR, TOGETHER = 1, 3, 4
"""Goals, as xminigrid numbers them: hold a thing, be next to it, put it next to another thing."""


@struct.dataclass
class XLandState(TimedState):
    """The grid ``[size, size, 2]`` of tiles and colours, the agent, and whether the goal was reached in this step."""

    grid: Array
    position: Array
    direction: Array
    pocket: Array
    reached: Array


@struct.dataclass
class XLandParams(environment.EnvParams):
    """The task, xminigrid's ruleset: ``goal`` ``[5]``, ``rules`` ``[R, 7]`` and ``init_tiles`` ``[I, 2]``, uint8.

    Rows of zeros are none. By default there is nothing to reach, and nothing to reach it with.
    """

    goal: Array = struct.field(default_factory=lambda: jnp.zeros(5, jnp.uint8))
    rules: Array = struct.field(default_factory=lambda: jnp.zeros((1, 7), jnp.uint8))
    init_tiles: Array = struct.field(default_factory=lambda: jnp.zeros((1, 2), jnp.uint8))
    max_steps_in_episode: int = 100


@registered
class XLand(DiscreteEnvironment):
    """xminigrid's ``XLandMiniGrid`` with one room; an episode is one of its trials.

    The agent sees the ``view × view`` cells before it, each as one-hot tile (13) and one-hot colour (12), all in one
    vector, and after them the one-hot direction (4). It does not see what it carries. The goal terminates the episode
    with reward ``1 − 0.9 t / T`` at step t of T. Actions: forward, turn right, turn left, pick up, put down, toggle.
    """

    episode_view = EpisodeView.ACTIONS
    actions = constants.NUM_ACTIONS

    def __init__(self, size: int = 9, view: int = 5):
        check_least(5, size=size)
        if view < 3 or view % 2 == 0:
            raise ValueError(f"view: got {view}; must be odd and at least 3")
        self.size, self.view, self.inner = size, view, XLandMiniGrid()

    @property
    def default_params(self) -> XLandParams:
        return XLandParams()

    def first_state(self, key, params) -> XLandState:
        return _state(self.inner.reset(self._settings(params), key), jnp.zeros((), bool))

    def transition(self, key, state, action, params):
        stepped = self.inner.step(self._settings(params), self._timestep(state, params, key), action)
        return _state(stepped, stepped.discount == 0.0), jnp.asarray(stepped.reward, jnp.float32)

    def is_terminated(self, state, params):
        return state.reached

    def get_obs(self, state, params=None, key=None):
        seen = transparent_field_of_view(state.grid, _agent(state), self.view, self.view)
        tiles = jax.nn.one_hot(seen[..., 0], constants.NUM_TILES)
        colours = jax.nn.one_hot(seen[..., 1], constants.NUM_COLORS)
        cells = jnp.concatenate([tiles, colours], axis=-1)
        return jnp.append(cells.ravel(), jax.nn.one_hot(state.direction, 4))

    def observation_space(self, params=None) -> spaces.Box:
        size = self.view**2 * (constants.NUM_TILES + constants.NUM_COLORS) + 4
        return spaces.Box(0.0, 1.0, (size,), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        most = constants.NUM_TILES - 1
        return {
            "grid": spaces.Box(0, most, (self.size, self.size, 2), jnp.uint8),
            "position": spaces.Box(0, self.size - 1, (2,), jnp.int32),
            "direction": spaces.Discrete(4),
            "pocket": spaces.Box(0, most, (2,), jnp.uint8),
            "reached": spaces.Discrete(2),
        }

    def render(self, state, params):
        """xminigrid's own picture of one state; what the agent sees is lighter."""
        image = rgb_render(np.asarray(state.grid), jax.tree.map(np.asarray, _agent(state)), self.view)

        def draw(ax):
            ax.imshow(image)
            ax.set_axis_off()

        return drawing.figure(draw)

    def _settings(self, params: XLandParams) -> Any:
        ruleset = RuleSet(goal=params.goal, rules=params.rules, init_tiles=params.init_tiles)
        shape = {"height": self.size, "width": self.size, "view_size": self.view, "grid_type": "R1"}
        return self.inner.default_params(ruleset=ruleset, max_steps=params.max_steps_in_episode, **shape)

    def _timestep(self, state: XLandState, params: XLandParams, key: Key) -> Any:
        """The state as xminigrid has it, the task among it; a step reads nothing else."""
        whole = State(
            key=key,
            step_num=state.time,
            grid=state.grid,
            agent=_agent(state),
            goal_encoding=params.goal,
            rule_encoding=params.rules,
            carry=EnvCarry(),
        )
        nothing = jnp.zeros(())
        return TimeStep(
            state=whole, step_type=StepType.MID, reward=nothing, discount=nothing + 1.0, observation=nothing
        )


def _state(timestep: Any, reached: Array) -> XLandState:
    """What changes in an episode; the task and the key stay outside."""
    inner = timestep.state
    return XLandState(
        time=jnp.asarray(inner.step_num, jnp.int32),
        grid=inner.grid,
        position=jnp.asarray(inner.agent.position, jnp.int32),
        direction=jnp.asarray(inner.agent.direction, jnp.int32),
        pocket=jnp.asarray(inner.agent.pocket, jnp.uint8),
        reached=reached,
    )


def _agent(state: XLandState) -> Any:
    return AgentState(position=state.position, direction=state.direction, pocket=state.pocket)


def xland(
    *,
    size: int = 9,
    view: int = 5,
    rules: int = 1,
    horizon: int = 100,
    file: str | None = None,
    train_share: float = 0.8,
) -> TaskDistribution:
    """Random rulesets of XLand-MiniGrid, drawn by key: a goal about a thing that ``rules`` productions lead to.

    The goal is to hold the thing, to be next to it, or to put it next to a second one. Rule by rule one thing becomes
    the next, the last of which the goal is about: when it is picked up, when the agent comes next to it, or when it is
    put next to another thing. The first thing and all that are put next to lie in the room at random, ``rules + 2`` in
    all, so that each task can be solved; those that play no part distract. All things of a task differ. Test tasks have
    goals about 12 of the 60 things, which no training goal is about. The best return is not known.

    Args:
      size: cells along a side, the walls among them, ≥ 5.
      view: cells along a side of what the agent sees, odd, ≥ 3.
      rules: R productions, from 0 to 20; with 0 the thing lies there. A file has its own.
      horizon: steps in an episode at most, ≥ 1.
      file: a benchmark's rulesets as xminigrid stores them, in place of random ones. It is a pickle, which can run any
        program: take none that you do not trust.
      train_share: of a file's rulesets, in (0, 1]; the others are for testing.
    """
    check_between(0, 20, rules=rules)
    check_share(train_share=train_share)
    if file is not None:
        return from_xminigrid(read_rulesets(file), train_share=train_share, size=size, view=view, horizon=horizon)
    env = XLand(size, view)
    _check_room(size, rules + 2)

    def sampler(goals: np.ndarray):
        return lambda key: XLandParams(**random_ruleset(key, goals, rules), max_steps_in_episode=horizon)

    return from_gymnax(env, sampler(TRAINING_GOALS), sample_test=sampler(TEST_GOALS), horizon=horizon)


def read_rulesets(file: str) -> Any:
    """The benchmark in a file, a pickle that xminigrid compressed.

    Raises:
      ValueError: a file that is not there, or that holds something else.
    """
    if not Path(file).is_file():
        raise ValueError(f"file: got {file}; there is no such file")
    try:
        benchmark = load_benchmark_from_path(file)
        shapes = [np.shape(each) for each in (benchmark.goals, benchmark.rules, benchmark.init_tiles)]
    except Exception as error:  # A pickle that is damaged may raise anything.
        raise ValueError(
            f"file: {file} holds no rulesets of XLand-MiniGrid ({type(error).__name__}: {error})"
        ) from error
    count = shapes[0][:1]
    if shapes[0][1:] != (5,) or [*map(len, shapes)] != [2, 3, 3] or {shape[:1] for shape in shapes} != {count}:
        raise ValueError(
            f"file: {file} has goals, rules and tiles of shapes {shapes}; must be [N, 5], [N, R, 7], [N, I, 2]"
        )
    return benchmark


def random_ruleset(key: Key, goals: np.ndarray, rules: int) -> dict[str, Array]:
    """The ``goal``, ``rules`` and ``init_tiles`` of a task whose goal is about one of the things ``goals`` ``[G]``."""
    key_goal, key_things, key_aim, key_rules = jax.random.split(key, 4)
    about = jax.random.choice(key_goal, jnp.asarray(goals))
    # All things but that of the goal, in random order.
    others = (about + 1 + jax.random.permutation(key_things, len(THINGS) - 1)) % len(THINGS)
    things, goal_thing = jnp.asarray(THINGS)[others], jnp.asarray(THINGS)[about]
    chain = jnp.concatenate([things[:rules], goal_thing[None]])
    partners, second = things[rules : 2 * rules], things[2 * rules]
    aim = jax.random.choice(key_aim, jnp.array([HOLD, NEAR, TOGETHER], jnp.uint8))
    goal = jnp.concatenate([aim[None], goal_thing, jnp.where(aim == TOGETHER, second, 0)])
    # xminigrid's rules 1 to 3: held, near the agent, near a partner. The product stands behind all that it needs.
    kind = jax.random.randint(key_rules, (rules, 1), 1, 4).astype(jnp.uint8)
    needs_partner = kind == 3
    after = jnp.where(needs_partner, partners, chain[1:])
    product = jnp.where(needs_partner, chain[1:], 0)
    rows = jnp.concatenate([kind, chain[:-1], after, product], axis=1)
    encoded = jnp.zeros((max(rules, 1), 7), jnp.uint8).at[:rules].set(rows)
    return {"goal": goal, "rules": encoded, "init_tiles": jnp.concatenate([chain[:1], partners, second[None]])}


def from_xminigrid(
    benchmark: Any, *, train_share: float = 0.8, size: int = 9, view: int = 5, horizon: int = 100
) -> TaskDistribution:
    """The family of a benchmark's rulesets, the first of which are for training and the others for testing.

    Args:
      benchmark: what ``xminigrid.load_benchmark`` returns: ``goals`` ``[N, 5]``, ``rules`` ``[N, R, 7]`` and
        ``init_tiles`` ``[N, I, 2]``. Shuffle it before (``benchmark.shuffle(key)``) if its order means something.
      train_share: of the rulesets, in (0, 1]; at 1 there are no test tasks of their own.
      size, view, horizon: as in ``xland``.

    Raises:
      ValueError: a setting out of its range, or no ruleset to train on or to test on.
    """
    check_share(train_share=train_share)
    rulesets = {"goal": benchmark.goals, "rules": benchmark.rules, "init_tiles": benchmark.init_tiles}
    rulesets = {name: jnp.asarray(each, jnp.uint8) for name, each in rulesets.items()}
    number = len(rulesets["goal"])
    trained = round(number * train_share)
    if trained == 0 or (trained == number and train_share < 1.0):
        raise ValueError(f"train_share: got {train_share}; of {number} rulesets {trained} would be for training")
    env = XLand(size, view)
    _check_room(size, rulesets["init_tiles"].shape[1])

    def sampler(first: int, last: int):
        def sample_fn(key: Key) -> XLandParams:
            place = jax.random.randint(key, (), first, last)
            return XLandParams(**{name: each[place] for name, each in rulesets.items()}, max_steps_in_episode=horizon)

        return sample_fn

    test = sampler(trained, number) if trained < number else None
    return from_gymnax(env, sampler(0, trained), sample_test=test, horizon=horizon)


def _check_room(size: int, things: int) -> None:
    if things + 1 > (size - 2) ** 2:
        raise ValueError(f"size: got {size}; has no room for {things} things and the agent")
