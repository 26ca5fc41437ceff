"""Repeated games of two players against an opponent whose way of answering is not known."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_finite
from jaxmeta.references import optimal_return, value_iteration
from jaxmeta.tasks import drawing
from jaxmeta.tasks.controllers import Controller
from jaxmeta.tasks.environments import DiscreteEnvironment, EpisodeView, TimedState, registered
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Array, Key, TaskDistribution

SITUATIONS = ("start", "CC", "CD", "DC", "DD")
"""What a round begins with: nothing, or the last moves, ours first; C cooperates and is move 0, D defects and is 1."""
DILEMMA = (3.0, 0.0, 5.0, 1.0)
"""What we are paid after CC, CD, DC and DD in the prisoner's dilemma of Axelrod 1984."""


@struct.dataclass
class GameState(TimedState):
    """``situation``: which of the ``SITUATIONS`` it is."""

    situation: Array


@struct.dataclass
class GameParams(environment.EnvParams):
    """The task: ``cooperates`` ``[5]``, the probability that the opponent does in each of the ``SITUATIONS``.

    ``payoffs`` ``[4]`` are ours after CC, CD, DC and DD. By default the opponent plays tit for tat.
    """

    cooperates: Array = struct.field(default_factory=lambda: jnp.array([1.0, 1.0, 1.0, 0.0, 0.0]))
    payoffs: Array = struct.field(default_factory=lambda: jnp.array(DILEMMA))
    max_steps_in_episode: int = 50


@registered
class MatrixGame(DiscreteEnvironment):
    """A step is a round of both moves at once; the observation is the one-hot of the situation."""

    episode_view = EpisodeView.ACTIONS
    actions = 2

    @property
    def default_params(self) -> GameParams:
        return GameParams()

    def first_state(self, key, params) -> GameState:
        return GameState(time=jnp.zeros((), jnp.int32), situation=jnp.zeros((), jnp.int32))

    def transition(self, key, state, action, params):
        defects = ~jax.random.bernoulli(key, params.cooperates[state.situation])
        outcome = 2 * action + defects.astype(jnp.int32)
        return GameState(time=state.time + 1, situation=outcome + 1), params.payoffs[outcome]

    def get_obs(self, state, params=None, key=None):
        return jax.nn.one_hot(state.situation, len(SITUATIONS), dtype=jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (len(SITUATIONS),), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        return {"situation": spaces.Discrete(len(SITUATIONS))}

    def render(self, state, params):
        """How likely each of the opponent's moves is in one task; the situation is framed."""
        moves = jnp.stack([params.cooperates, 1.0 - params.cooperates], axis=1)
        labels = {"what": "probability", "rows": "situation", "columns": "opponent's move"}
        return drawing.figure(drawing.heat_map, moves, row=state.situation, **labels)


class DecisionProcess(NamedTuple):
    """A game against one opponent as an MDP whose states are the situations.

    Attributes:
      transition: ``[5, 2, 5]``.
      reward: expected, ``[5, 2]``.
    """

    transition: Array
    reward: Array


def decision_process(task: GameParams) -> DecisionProcess:
    """The MDP of a task: an opponent that remembers one round is a part of the environment like any other."""
    moves = jnp.stack([task.cooperates, 1.0 - task.cooperates], axis=1)
    payoffs = task.payoffs.reshape(2, 2)
    transition = jnp.zeros((5, 2, 5))
    for ours in range(2):
        transition = transition.at[:, ours, 1 + 2 * ours : 3 + 2 * ours].set(moves)
    return DecisionProcess(transition, jnp.sum(moves[:, None] * payoffs, axis=-1))


def tit_for_tat() -> Controller:
    """Baseline: cooperate first, then do what the opponent did last (Axelrod 1984)."""
    answers = jnp.array([0, 0, 1, 0, 1], jnp.int32)
    return Controller(lambda task: answers, lambda key, answers, obs: answers[jnp.argmax(obs)])


def always_defect() -> Controller:
    """Baseline: what is best in a single round of the dilemma."""
    defect = jnp.ones((), jnp.int32)
    return Controller(lambda task: defect, lambda key, defect, obs: defect)


def told_response(*, horizon: int = 50) -> Controller:
    """Told the task: the exact best response, round by round."""

    def begin_fn(task: GameParams) -> tuple[Array, Array]:
        return value_iteration(*decision_process(task), horizon)[0], jnp.zeros((), jnp.int32)

    def act_fn(key: Key, memory: tuple[Array, Array], obs: Array) -> Array:
        values, time = memory
        return jnp.argmax(values[time, jnp.argmax(obs)])

    return Controller(begin_fn, act_fn, lambda memory, action, reward, obs: (memory[0], memory[1] + 1))


def matrix_game(*, horizon: int = 50, payoffs: tuple[float, float, float, float] = DILEMMA) -> TaskDistribution:
    """A repeated game of two moves against an opponent that remembers one round, by default the prisoner's dilemma.

    The opponent cooperates with a probability of its own in each situation, drawn from the density ``1 / (π √(p (1 −
    p)))``, which favours firm characters (Nowak and Sigmund 1993); tit for tat and win-stay, lose-shift are among its
    limits. ``optimum`` is the exact best response, by value iteration over the five situations.

    The model leaves out: opponents that remember more than a round, that learn, or that tell of themselves; moves that
    are misseen; and a last round that comes by surprise.

    Args:
      horizon: rounds, ≥ 1.
      payoffs: ours after CC, CD, DC and DD, the first move ours; the opponent's do not matter.
    """
    for payoff in payoffs:
        check_finite(payoffs=payoff)

    def sample_fn(key: Key) -> GameParams:
        cooperates = jnp.sin(0.5 * jnp.pi * jax.random.uniform(key, (5,))) ** 2
        return GameParams(cooperates=cooperates, payoffs=jnp.array(payoffs, jnp.float32), max_steps_in_episode=horizon)

    def optimum_fn(task: GameParams) -> Array:
        return optimal_return(*decision_process(task), horizon)

    by_hand = {
        "tit for tat": tit_for_tat(),
        "always defect": always_defect(),
        "told response": told_response(horizon=horizon),
    }
    return from_gymnax(MatrixGame(), sample_fn, horizon=horizon, optimum=optimum_fn, controllers=by_hand)
