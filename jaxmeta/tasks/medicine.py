"""Insulin for a patient with type 1 diabetes, whose body is not known."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least, check_positive, check_ranges, check_unit
from jaxmeta.tasks import drawing
from jaxmeta.tasks.controllers import Controller
from jaxmeta.tasks.environments import ContinuousEnvironment, TimedState, registered, runge_kutta
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Array, Key, TaskDistribution

STEP, SUBSTEPS = 15.0, 5
"""Minutes between two decisions, and the Runge-Kutta steps that they are cut into, of 3 minutes each."""
BASAL_GLUCOSE, BASAL_INSULIN = 110.0, 15.0
"""Where a patient rests at its basal rate: mg/dl, and mU/l in plasma."""
LOWEST, HIGHEST = 20.0, 600.0
"""The range of glucose, mg/dl, that the risk is defined for."""
MEALS = (60.0, 360.0, 720.0)
"""Minutes after 6 o'clock, when a day begins: 7, 12 and 18 o'clock."""
INSULIN_VOLUME, GLUCOSE_VOLUME, ABSORBED = 12.0 / 70.0, 1.6, 0.9
"""Of distribution, l/kg and dl/kg; and the share of a meal's carbohydrate that reaches the blood."""


@struct.dataclass
class GlucoseState(TimedState):
    """``body``: glucose (mg/dl), remote insulin (1/min), plasma insulin (mU/l), glucose in the gut (mg), ``[4]``.

    Of the step before there are its glucose and its infusion (mU/min).
    """

    body: Array
    glucose_before: Array
    infusion: Array


@struct.dataclass
class GlucoseParams(environment.EnvParams):
    """The task, one patient; but for ``meal``, a range in g, ``max_rate``, mU/min, and ``cost_limit``, the family's.

    ``effectiveness`` is p₁ (1/min), ``remote_rate`` p₂ (1/min), ``sensitivity`` p₃ / p₂ (10⁻⁴ l/mU/min),
    ``clearance`` n (1/min), ``weight`` is in kg, ``gut_time`` in min.
    """

    effectiveness: float = 0.015
    remote_rate: float = 0.02
    sensitivity: float = 5.0
    clearance: float = 0.09
    weight: float = 75.0
    gut_time: float = 45.0
    meal: tuple[float, float] = (30.0, 80.0)
    max_rate: float = 100.0
    cost_limit: float = 28.8
    max_steps_in_episode: int = 96


def risk(glucose: Array) -> Array:
    """The risk ``10 f²`` of a blood glucose in mg/dl, ``f = 1.509 ((ln G)^1.084 − 5.381)`` (Kovatchev et al. 1997).

    It is 0 at 112.5 mg/dl, and 100 at 20 and at 600.
    """
    return 10.0 * (1.509 * (jnp.log(glucose) ** 1.084 - 5.381)) ** 2


def basal_rate(task: GlucoseParams) -> Array:
    """The infusion that keeps a fasting patient at ``BASAL_GLUCOSE``, mU/min; 16.7 mU/min are 1 U/h."""
    return jnp.asarray(task.clearance * INSULIN_VOLUME * task.weight * BASAL_INSULIN, jnp.float32)


def resting_body() -> Array:
    """The body of a fasting patient at its basal rate."""
    return jnp.array([BASAL_GLUCOSE, 0.0, BASAL_INSULIN, 0.0], jnp.float32)


def meal_at(time: Array, carbohydrate: Array) -> Array:
    """What the gut gets at a step of the day, mg, if a meal has so much carbohydrate, g; 0 between meals."""
    return 1000.0 * ABSORBED * carbohydrate * jnp.any(jnp.array(MEALS) == STEP * time)


def flow(body: Array, infusion: Array, task: GlucoseParams) -> Array:
    """``d body / d minute`` of Bergman's minimal model, with an infusion instead of a pancreas, and a gut.

    ``G' = −p₁ (G − G_b) − X G + Q / (t V_G)``, ``X' = −p₂ X + p₃ (I − I_b)``, ``I' = −n I + U / V_I``, ``Q' = −Q / t``.
    """
    glucose, remote, insulin, gut = body
    absorbed = gut / task.gut_time
    change = (
        -task.effectiveness * (glucose - BASAL_GLUCOSE) - remote * glucose + absorbed / (GLUCOSE_VOLUME * task.weight),
        task.remote_rate * (1e-4 * task.sensitivity * (insulin - BASAL_INSULIN) - remote),
        infusion / (INSULIN_VOLUME * task.weight) - task.clearance * insulin,
        -absorbed,
    )
    return jnp.stack(change)


def after_step(body: Array, infusion: Array, task: GlucoseParams) -> Array:
    """The body after a step at a constant infusion, by the fourth-order Runge-Kutta method."""
    body = runge_kutta(lambda body: flow(body, infusion, task), body, STEP, SUBSTEPS)
    return body.at[0].set(jnp.clip(body[0], LOWEST, HIGHEST))


@registered
class Glucose(ContinuousEnvironment):
    """An action is an insulin infusion for 15 minutes; the reward is minus a hundredth of the risk that it leads to.

    The observation is the glucose and its change in the last step, both in 100 mg/dl, the last infusion as a share of
    the highest, and the time of the day as sine and cosine. A step outside 70 to 180 mg/dl costs 1.
    """

    @property
    def default_params(self) -> GlucoseParams:
        return GlucoseParams()

    def first_state(self, key, params):
        body, zero = resting_body(), jnp.zeros((), jnp.int32)
        return GlucoseState(time=zero, body=body, glucose_before=body[0], infusion=basal_rate(params))

    def transition(self, key, state, action, params):
        infusion = jnp.clip(action[0], 0.0, params.max_rate)
        low, high = params.meal
        eaten = meal_at(state.time, jax.random.uniform(key, minval=low, maxval=high))
        body = after_step(state.body.at[3].add(eaten), infusion, params)
        next_state = GlucoseState(time=state.time + 1, body=body, glucose_before=state.body[0], infusion=infusion)
        return next_state, -risk(body[0]) / 100.0

    def cost(self, state, params):
        return (state.body[0] < 70.0) | (state.body[0] > 180.0)

    def get_obs(self, state, params=None, key=None):
        params = self.default_params if params is None else params
        glucose = state.body[0]
        share = jnp.minimum(state.infusion / params.max_rate, 1.0)
        # A day begins at 6 o'clock: the angle is that from then on.
        angle = 2.0 * jnp.pi * STEP * state.time / 1440.0
        change = glucose - state.glucose_before
        seen = (glucose / 100.0, change / 100.0, share, jnp.sin(angle), jnp.cos(angle))
        return jnp.stack(seen).astype(jnp.float32)

    def action_space(self, params=None) -> spaces.Box:
        return spaces.Box(0.0, (params or self.default_params).max_rate, (1,), jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        # With room for rounding.
        highest = 1.01 * HIGHEST / 100.0
        low = jnp.array([0.0, -highest, 0.0, -1.01, -1.01], jnp.float32)
        high = jnp.array([highest, highest, 1.0, 1.01, 1.01], jnp.float32)
        return spaces.Box(low, high, (5,), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        largest = float(jnp.finfo(jnp.float32).max)
        number = spaces.Box(0.0, largest, (), jnp.float32)
        return {"body": spaces.Box(-largest, largest, (4,), jnp.float32), "glucose_before": number, "infusion": number}

    def render(self, state, params):
        """What the glucose would be in the next six hours, at a patient's basal rate and without insulin."""

        @jax.jit
        def forecast(rate):
            def step(body, _):
                return after_step(body, rate, params), body[0]

            return jax.lax.scan(step, state.body, length=24)[1]

        lines = {"basal rate": forecast(basal_rate(params)), "no insulin": forecast(0.0)}
        return drawing.figure(drawing.curves, lines, (0, state.body[0]), what="glucose, mg/dl", time="step ahead")


def average_basal(*, max_rate: float = 100.0) -> Controller:
    """Baseline: the basal rate of an average patient, always."""
    action = _scaled(basal_rate(GlucoseParams()), max_rate)
    return Controller(lambda task: (), lambda key, memory, obs: action)


PID_GAINS = (0.8, 0.1, 2.0)
"""mU/min for each mg/dl above rest, for each mg/dl that this lasted an hour, and for each mg/dl of rise in a step."""


def pid(*, max_rate: float = 100.0) -> Controller:
    """Baseline: proportional, integral and derivative feedback (as in Steil et al. 2006) around the average basal rate.

    The gains are the best on average over the family, of a coarse grid.
    """
    basal = basal_rate(GlucoseParams())

    def act_fn(key: Key, integral: Array, obs: Array) -> Array:
        proportional, integrating, derivative = PID_GAINS
        error, rise = 100.0 * obs[0] - BASAL_GLUCOSE, 100.0 * obs[1]
        return _scaled(basal + proportional * error + integrating * integral + derivative * rise, max_rate)

    def learn_fn(integral: Array, action: Array, reward: Array, obs: Array) -> Array:
        # Without a bound, the time after a meal would be paid back by a long want of glucose.
        return jnp.clip(integral + (100.0 * obs[0] - BASAL_GLUCOSE) * STEP / 60.0, -100.0, 100.0)

    return Controller(lambda task: jnp.zeros(()), act_fn, learn_fn)


def average_prediction(*, max_rate: float = 100.0) -> Controller:
    """Baseline: ``told_prediction`` with the model of an average patient, whoever the patient is."""
    return _prediction(lambda task: GlucoseParams(), max_rate)


def told_prediction(*, max_rate: float = 100.0) -> Controller:
    """Told the task: prediction by the patient's own model, whose state is estimated from what was seen.

    It takes the infusion of the lowest risk in the next three hours if the basal rate follows and meals are of mean
    size. By what glucose rises more than was predicted, the meal was larger. It is good, but not optimal.
    """
    return _prediction(lambda task: task, max_rate)


class Estimate(NamedTuple):
    """A model of a patient, ``body`` as it is now according to it, and the time in steps."""

    model: GlucoseParams
    body: Array
    time: Array


def _prediction(model: Callable[[GlucoseParams], GlucoseParams], max_rate: float) -> Controller:
    levels, ahead = jnp.linspace(0.0, max_rate, 11), 12

    def begin_fn(task: GlucoseParams) -> Estimate:
        known = jax.tree.map(jnp.asarray, model(task))
        return Estimate(known, resting_body(), jnp.zeros((), jnp.int32))

    def predicted(known: GlucoseParams, body: Array, rate: Array, time: Array) -> Array:
        return after_step(body.at[3].add(meal_at(time, jnp.mean(jnp.stack(known.meal)))), rate, known)

    def act_fn(key: Key, memory: Estimate, obs: Array) -> Array:
        known, body, now = memory
        first = jnp.arange(ahead)[:, None] == 0

        def step(bodies, inputs):
            rates, later = inputs
            bodies = jax.vmap(predicted, (None, 0, 0, None))(known, bodies, rates, now + later)
            return bodies, risk(bodies[:, 0])

        rates = jnp.where(first, levels, basal_rate(known))
        bodies = jnp.broadcast_to(body, (len(levels), 4))
        risks = jax.lax.scan(step, bodies, (rates, jnp.arange(ahead)))[1]
        return _scaled(levels[jnp.argmin(jnp.sum(risks, axis=0))], max_rate)

    def learn_fn(memory: Estimate, action: Array, reward: Array, obs: Array) -> Estimate:
        known, body, now = memory
        body = predicted(known, body, 0.5 * (action[0] + 1.0) * max_rate, now)
        glucose, gut = 100.0 * obs[0], body[3]
        # Of what was eaten this share has reached the blood after a step.
        share = -jnp.expm1(-STEP / known.gut_time)
        eaten = (glucose - body[0]) * GLUCOSE_VOLUME * known.weight / share
        body = body.at[0].set(glucose).at[3].set(jnp.maximum(gut + (1.0 - share) * eaten, 0.0))
        return Estimate(known, body, now + 1)

    return Controller(begin_fn, act_fn, learn_fn)


def _scaled(rate: Array, max_rate: float) -> Array:
    """An infusion as an action of the family, which is in [−1, 1]."""
    return jnp.clip(2.0 * rate / max_rate - 1.0, -1.0, 1.0)[None]


Range = tuple[float, float]


def glucose(
    *,
    horizon: int = 96,
    effectiveness: Range = (0.01, 0.02),
    remote_rate: Range = (0.01, 0.03),
    sensitivity: Range = (2.5, 7.5),
    clearance: Range = (0.06, 0.12),
    weight: Range = (50.0, 100.0),
    gut_time: Range = (30.0, 60.0),
    meal: Range = (30.0, 80.0),
    max_rate: float = 100.0,
    outside: float = 0.3,
) -> TaskDistribution:
    """Keep the glucose of a patient in range through a day with three meals, by the rate of an insulin infusion.

    The minimal model (Bergman, Phillips and Cobelli 1981) in the form for diabetes of Fisher 1991: its first two
    equations, an infusion in place of the pancreas, and meals that are absorbed exponentially. A patient's quantities
    are drawn uniformly; the ranges are ours, around the values of Fisher (p₂ 0.025, p₃/p₂ 5.2e-4, n 0.093, V_I 12 l).
    The reward is minus a hundredth of Kovatchev's risk after a step. A day begins fasting at 6 o'clock; meals are at 7,
    12 and 18 o'clock, their sizes are uniform and not announced. Glucose is kept within 20 to 600 mg/dl. A step outside
    70 to 180 mg/dl costs 1; an international consensus asks for at most 30 % of these (Battelino et al. 2019).

    The model leaves out: the delay and the noise of sensors, insulin under the skin, glucagon and its rescue from low
    glucose, loss by the kidneys, exercise, stress, and how sensitivity changes through a day. It is no medical device.

    Args:
      horizon: steps of 15 minutes, ≥ 1.
      effectiveness: range of p₁, 1/min: how glucose returns by itself.
      remote_rate: range of p₂, 1/min: how fast insulin comes to act.
      sensitivity: range of p₃ / p₂, 10⁻⁴ l/mU/min: how strongly it acts.
      clearance: range of n, 1/min: how fast it leaves the plasma; at most 0.5, for the steps of integration.
      weight: range in kg; volumes are in proportion.
      gut_time: range of the mean time that carbohydrate takes to the blood, min, at least 6.
      meal: range of a meal's carbohydrate, g.
      max_rate: highest infusion, mU/min, > 0.
      outside: share of an episode's steps outside 70 to 180 mg/dl, at most, in [0, 1]: the limit of the costs.
    """
    check_least(1, horizon=horizon)
    check_unit(outside=outside)
    check_positive(max_rate=max_rate)
    ranges = {"effectiveness": effectiveness, "remote_rate": remote_rate, "sensitivity": sensitivity}
    ranges |= {"clearance": clearance, "weight": weight, "gut_time": gut_time}
    check_ranges(**ranges, meal=meal)
    if clearance[1] > 0.5:
        raise ValueError(f"clearance: got {clearance}; must be at most 0.5")
    if gut_time[0] < 6.0:
        raise ValueError(f"gut_time: got {gut_time}; must be at least 6")
    low, high = jnp.array(list(ranges.values()), jnp.float32).T

    def sample_fn(key: Key) -> GlucoseParams:
        drawn = dict(zip(ranges, jax.random.uniform(key, low.shape, jnp.float32, low, high), strict=True))
        return GlucoseParams(
            **drawn, meal=meal, max_rate=max_rate, cost_limit=outside * horizon, max_steps_in_episode=horizon
        )

    by_hand = {
        "average basal": average_basal(max_rate=max_rate),
        "PID": pid(max_rate=max_rate),
        "average prediction": average_prediction(max_rate=max_rate),
        "told prediction": told_prediction(max_rate=max_rate),
    }
    limit_of = lambda task: task.cost_limit  # noqa: E731
    return from_gymnax(Glucose(), sample_fn, horizon=horizon, cost_limit=limit_of, controllers=by_hand)
