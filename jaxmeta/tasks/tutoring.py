"""Tutoring: a student who learns, forgets, slips and guesses in a way of their own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_between, check_least, check_ranges
from jaxmeta.references import known_after_answer, mean_over_belief, practice_values
from jaxmeta.tasks import drawing
from jaxmeta.tasks.controllers import Controller
from jaxmeta.tasks.environments import DiscreteEnvironment, EpisodeView, TimedState, registered
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Array, Key, TaskDistribution


@struct.dataclass
class StudentState(TimedState):
    """``known`` ``[k]``: the skills that are known now, hidden. ``skill`` was practised last, −1 before the first."""

    known: Array
    skill: Array
    right: Array


@struct.dataclass
class StudentParams(environment.EnvParams):
    """The task: five probabilities of each skill, ``[k]``; see ``jaxmeta.references.knowledge_tracing``."""

    prior: Array = struct.field(default_factory=lambda: jnp.full(5, 0.275))
    learn: Array = struct.field(default_factory=lambda: jnp.full(5, 0.25))
    forget: Array = struct.field(default_factory=lambda: jnp.full(5, 0.05))
    slip: Array = struct.field(default_factory=lambda: jnp.full(5, 0.06))
    guess: Array = struct.field(default_factory=lambda: jnp.full(5, 0.175))
    max_steps_in_episode: int = 40


@registered
class Tutoring(DiscreteEnvironment):
    """An action is a skill to practise; the observation is the last one's one-hot, its answer, and the time left.

    The reward comes with the last step: the expected number of right answers in a test of one question a skill.
    """

    episode_view = EpisodeView.ACTIONS

    def __init__(self, *, skills: int = 5):
        check_least(1, skills=skills)
        self.actions = skills

    @property
    def default_params(self) -> StudentParams:
        return jax.tree.map(lambda x: jnp.full(self.actions, x[0]) if jnp.ndim(x) else x, StudentParams())

    def first_state(self, key, params) -> StudentState:
        none = jnp.full((), -1, jnp.int32)
        known = jax.random.bernoulli(key, params.prior)
        return StudentState(time=jnp.zeros((), jnp.int32), known=known, skill=none, right=jnp.zeros((), bool))

    def transition(self, key, state, action, params):
        key_answer, key_learn, key_forget = jax.random.split(key, 3)
        chance = jnp.where(state.known, 1.0 - params.slip, params.guess)
        right = jax.random.bernoulli(key_answer, chance[action])
        learned = state.known | jax.random.bernoulli(key_learn, params.learn)
        kept = state.known & ~jax.random.bernoulli(key_forget, params.forget)
        known = jnp.where(jnp.arange(self.actions) == action, learned, kept)
        last = state.time + 1 >= params.max_steps_in_episode
        score = jnp.sum(jnp.where(known, 1.0 - params.slip, params.guess))
        next_state = StudentState(time=state.time + 1, known=known, skill=action, right=right)
        return next_state, jnp.where(last, score, 0.0).astype(jnp.float32)

    def get_obs(self, state, params=None, key=None):
        params = self.default_params if params is None else params
        left = 1.0 - state.time / params.max_steps_in_episode
        practised = jax.nn.one_hot(state.skill, self.actions)
        return jnp.concatenate([practised, jnp.stack([state.right.astype(jnp.float32), left])]).astype(jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (self.actions + 2,), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        skill = spaces.Box(-1, self.actions - 1, (), jnp.int32)
        known = spaces.Box(0, 1, (self.actions,), jnp.bool_)
        return {"known": known, "skill": skill, "right": spaces.Box(0, 1, (), jnp.bool_)}

    def render(self, state, params):
        """One student's probabilities of each skill; the last practice is framed."""
        names = ("prior", "learn", "forget", "slip", "guess")
        values = jnp.stack([getattr(params, name) for name in names], axis=1)
        labels = {"what": "probability", "rows": "skill", "columns": ", ".join(names)}
        return drawing.figure(drawing.heat_map, values, row=max(int(state.skill), 0), **labels)


def round_robin(*, skills: int = 5) -> Controller:
    """Baseline: one skill after the other."""
    zero = jnp.zeros((), jnp.int32)
    return Controller(
        lambda task: zero, lambda key, skill, obs: skill, lambda skill, action, reward, obs: (skill + 1) % skills
    )


class Belief(NamedTuple):
    """The probability that each skill is known, ``[k]``, by a model of the student; and the practices done."""

    model: StudentParams
    known: Array
    time: Array


def weakest(*, skills: int = 5) -> Controller:
    """Baseline: the skill that is known least, by the answers of an average student (mastery learning)."""
    average = Tutoring(skills=skills).default_params
    return _by_belief(lambda task: (average, ()), lambda belief, values: -belief.known)


def told_values(*, horizon: int = 40) -> Controller:
    """Told the task: the practice of the highest value, a mean over the belief of values that see what is known.

    So it plans, but never practises to find out (QMDP, Littman, Cassandra and Kaelbling 1995). It is not the optimum.
    """

    def begin_fn(task: StudentParams) -> tuple[StudentParams, Array]:
        names = ("learn", "forget", "slip", "guess")
        return task, practice_values(horizon, **{name: getattr(task, name) for name in names})

    return _by_belief(begin_fn, lambda belief, values: mean_over_belief(values[belief.time], belief.known))


def _by_belief(begin: Callable[[StudentParams], Any], score: Callable[[Belief, Any], Array]) -> Controller:
    """Acts by ``score(belief, data)``; ``begin(task)`` is the model of the student, and data."""

    def begin_fn(task: StudentParams) -> tuple[Belief, Any]:
        student, data = jax.tree.map(jnp.asarray, begin(task))
        return Belief(student, student.prior, jnp.zeros((), jnp.int32)), data

    def learn_fn(memory: tuple[Belief, Any], action: Array, reward: Array, obs: Array) -> tuple[Belief, Any]:
        belief, data = memory
        student = belief.model
        chances: dict[str, Any] = {"slip": student.slip, "guess": student.guess, "learn": student.learn}
        practised = known_after_answer(belief.known, obs[-2] > 0.5, **chances)
        here = jnp.arange(belief.known.shape[0]) == action
        known = jnp.where(here, practised, belief.known * (1.0 - student.forget))
        return Belief(student, known, belief.time + 1), data

    return Controller(begin_fn, lambda key, memory, obs: jnp.argmax(score(*memory)), learn_fn)


Range = tuple[float, float]


def tutoring(
    *,
    skills: int = 5,
    horizon: int = 40,
    prior: Range = (0.05, 0.5),
    learn: Range = (0.01, 0.5),
    forget: Range = (0.005, 0.1),
    slip: Range = (0.02, 0.1),
    guess: Range = (0.05, 0.3),
) -> TaskDistribution:
    """Choose what a student practises, from answers alone: Bayesian knowledge tracing (Corbett and Anderson 1995).

    Each skill of each student has five probabilities, drawn uniformly: that it is known at first, that a practice
    teaches it, that it is forgotten in a step without practice (an extension of theirs, as in Qiu et al. 2011), of a
    slip and of a guess. The highest slip and guess are the bounds that Corbett and Anderson put on them. Only the last
    step pays: the expected number of right answers in a test. ``jaxmeta.references.tutoring_bound`` bounds it.

    The model leaves out: skills that build on each other, items of different difficulty, partial knowledge, the time
    between practices, and that students tire or lose interest.

    Args:
      skills: k, from 1 to 10.
      horizon: practices, ≥ 1.
      prior: range of the probability that a skill is known at first.
      learn: range, in a practice.
      forget: range, in a step without practice.
      slip: range of the probability of a wrong answer though the skill is known; with ``guess`` less than 1.
      guess: range of the probability of a right answer though it is not.
    """
    check_between(1, 10, skills=skills)
    ranges = {"prior": prior, "learn": learn, "forget": forget, "slip": slip, "guess": guess}
    check_ranges(**ranges)
    for name, (_, most) in ranges.items():
        if most > 1.0:
            raise ValueError(f"{name}: got {ranges[name]}; must be at most 1")
    if slip[1] + guess[1] >= 1.0:
        raise ValueError(f"slip: got {slip}; must be less than 1 with guess, {guess}")
    low, high = jnp.array(list(ranges.values()), jnp.float32).T[..., None]

    def sample_fn(key: Key) -> StudentParams:
        drawn = jax.random.uniform(key, (len(ranges), skills), jnp.float32, low, high)
        return StudentParams(**dict(zip(ranges, drawn, strict=True)), max_steps_in_episode=horizon)

    by_hand = {
        "round robin": round_robin(skills=skills),
        "weakest": weakest(skills=skills),
        "told values": told_values(horizon=horizon),
    }
    return from_gymnax(Tutoring(skills=skills), sample_fn, horizon=horizon, controllers=by_hand)
