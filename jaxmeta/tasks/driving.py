"""Lane keeping: steer a car of unknown load on a road of unknown grip."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_finite, check_least, check_ranges, check_unit
from jaxmeta.references import Regulator, regulator
from jaxmeta.tasks import drawing
from jaxmeta.tasks.controllers import Controller
from jaxmeta.tasks.environments import ContinuousEnvironment, TimedState, registered, runge_kutta
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Array, Key, TaskDistribution

STEP, SUBSTEPS = 0.05, 2
"""Seconds of a step, and the Runge-Kutta steps that it is cut into."""
FRONT, REAR, GYRATION = 1.1, 1.58, 1.35
"""Distances of the axles from the centre of mass, and the radius of gyration about the upright axis, m."""
STEERING = 0.05
"""The steering angle of an action of 1, rad."""
WEIGHTS = (1.0, 0.0, 10.0, 0.0, 0.0)
"""What the squares of the errors cost after a step; the square of an action costs 1."""
START = (0.5, 0.0, 0.02, 0.0, 0.0)
"""How far from 0 an episode begins at most."""
SLACK = 0.4
"""Metres from the middle that a car may be off without a cost."""
GUST = 0.05
"""Standard deviation of what a gust adds to the lateral speed in a step, m/s."""


@struct.dataclass
class CarState(TimedState):
    """``errors`` ``[5]``: lateral (m), its rate, of heading (rad), its rate; and the steering angle (rad)."""

    errors: Array


@struct.dataclass
class CarParams(environment.EnvParams):
    """The task: ``mass`` (t), ``cornering`` stiffness of each tyre (kN/rad), steering ``lag`` (s).

    ``speed``, in m/s, and ``cost_limit`` are the family's.

    Mass and stiffness, and the axles above, are by default those of Rajamani's passenger car.
    """

    mass: float = 1.573
    cornering: float = 80.0
    lag: float = 0.2
    speed: float = 25.0
    cost_limit: float = 5.0
    max_steps_in_episode: int = 100


def flow(errors: Array, action: Array, task: CarParams) -> Array:
    """``d errors / d second`` on a straight road (Rajamani 2012, equation 2.45), and of a steering that lags."""
    _, lateral_rate, heading, heading_rate, steering = errors
    stiffness, inertia = 2.0 * task.cornering, task.mass * GYRATION**2
    # Slip angles of the front and the rear tyres.
    front = steering + heading - (lateral_rate + FRONT * heading_rate) / task.speed
    rear = heading - (lateral_rate - REAR * heading_rate) / task.speed
    change = (
        lateral_rate,
        stiffness * (front + rear) / task.mass,
        heading_rate,
        stiffness * (FRONT * front - REAR * rear) / inertia,
        (STEERING * action - steering) / task.lag,
    )
    return jnp.stack(change)


def after_step(errors: Array, action: Array, task: CarParams) -> Array:
    """The errors after a step without a gust, by the fourth-order Runge-Kutta method: linear in all but the task."""
    return runge_kutta(lambda errors: flow(errors, action, task), errors, STEP, SUBSTEPS)


@registered
class LaneKeeping(ContinuousEnvironment):
    """An action in [−1, 1] is the angle that the steering goes to; the observation is the errors of ``CarState``.

    The reward is minus a quadratic form of errors and action; a step further than ``SLACK`` from the middle costs 1.
    Nothing terminates.
    """

    @property
    def default_params(self) -> CarParams:
        return CarParams()

    def first_state(self, key, params):
        errors = jnp.array(START) * jax.random.uniform(key, (5,), jnp.float32, -1.0, 1.0)
        return CarState(time=jnp.zeros((), jnp.int32), errors=errors)

    def transition(self, key, state, action, params):
        action = jnp.clip(action[0], -1.0, 1.0)
        errors = after_step(state.errors, action, params).at[1].add(GUST * jax.random.normal(key))
        reward = -jnp.sum(jnp.array(WEIGHTS) * errors**2) - action**2
        return CarState(time=state.time + 1, errors=errors), reward

    def cost(self, state, params):
        return jnp.abs(state.errors[0]) > SLACK

    def get_obs(self, state, params=None, key=None):
        return state.errors

    def observation_space(self, params=None) -> spaces.Box:
        limit = float(jnp.finfo(jnp.float32).max)
        return spaces.Box(-limit, limit, (5,), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        return {"errors": self.observation_space(params)}

    def render(self, state, params):
        """Where the car goes in the next three seconds, steered by its regulator and with the wheel let go."""
        gain = regulator_of(params, 100).gain[0]

        @jax.jit
        def forecast(gain):
            def step(errors, _):
                return after_step(errors, -jnp.dot(gain, errors), params), errors[0]

            return jax.lax.scan(step, state.errors, length=60)[1]

        lines = {"regulator": forecast(gain), "let go": forecast(jnp.zeros(5))}
        return drawing.figure(drawing.curves, lines, (0, state.errors[0]), what="lateral error, m", time="step ahead")


def regulator_of(task: CarParams, horizon: int) -> Regulator:
    """The regulator of a car, from the matrices of its own step."""
    a, b = jax.jacfwd(after_step, (0, 1))(jnp.zeros(5), jnp.zeros(()), task)
    gusts = jnp.diag(jnp.array([0.0, GUST**2, 0.0, 0.0, 0.0]))
    return regulator(a, b, jnp.diag(jnp.array(WEIGHTS)), 1.0, gusts, horizon)


PD_GAINS = (0.2, 0.2, 3.0)
"""Action for each metre of lateral error, each m/s of its rate, each rad of heading: the best of a coarse grid."""


def pd() -> Controller:
    """Baseline: proportional and derivative feedback of the lateral error, and of the heading."""
    gain = jnp.array([PD_GAINS[0], PD_GAINS[1], PD_GAINS[2], 0.0, 0.0])
    return Controller(lambda task: gain, lambda key, gain, obs: -jnp.dot(gain, obs)[None])


def average_regulator(*, horizon: int = 100) -> Controller:
    """Baseline: ``told_regulator`` with the matrices of an average car, whatever the car is."""
    return _regulated(lambda task: CarParams(), horizon)


def told_regulator(*, horizon: int = 100) -> Controller:
    """Told the task: the linear-quadratic regulator of the car's own matrices."""
    return _regulated(lambda task: task, horizon)


def _regulated(model: Callable[[CarParams], CarParams], horizon: int) -> Controller:
    def begin_fn(task: CarParams) -> tuple[Array, Array]:
        return regulator_of(model(task), horizon).gain, jnp.zeros((), jnp.int32)

    def act_fn(key: Key, memory: tuple[Array, Array], obs: Array) -> Array:
        gain, time = memory
        return -jnp.dot(gain[time], obs)[None]

    return Controller(begin_fn, act_fn, lambda memory, action, reward, obs: (memory[0], memory[1] + 1))


Range = tuple[float, float]


def lane_keeping(
    *,
    horizon: int = 100,
    mass: Range = (1.2, 2.2),
    cornering: Range = (20.0, 100.0),
    lag: Range = (0.05, 0.6),
    speed: float = 25.0,
    outside: float = 0.05,
) -> TaskDistribution:
    """Keep a car in the middle of a straight lane in gusts of wind: the dynamic bicycle model (Rajamani 2012).

    Mass, cornering stiffness and the lag of the steering are drawn uniformly. A step of 0.05 s costs ``e² + 10 ψ² +
    a²`` for the lateral error e in m and the heading error ψ in rad after it, and the action a, of which 1 is 0.05 rad.
    ``optimum`` is that of the linear-quadratic regulator without bounds on actions, which hardly ever meets them.

    The model leaves out: curves and other traffic, tyres that let go (they are linear here), load that shifts between
    wheels, brakes and engine, and sensors: the state is observed.

    Args:
      horizon: steps of 0.05 s, ≥ 1.
      mass: range in t, at least 1.
      cornering: range of each tyre's stiffness, kN/rad, at most 200: little is an icy road.
      lag: range of the steering's time constant, s, at least 0.02.
      speed: constant, m/s, at least 10.
      outside: share of an episode's steps more than 0.4 m from the middle, at most, in [0, 1]: the limit of the costs.
    """
    check_least(1, horizon=horizon)
    check_finite(speed=speed)
    check_least(10, speed=speed)
    check_unit(outside=outside)
    ranges = {"mass": mass, "cornering": cornering, "lag": lag}
    check_ranges(**ranges)
    # Faster motions than these would need shorter steps of integration.
    if mass[0] < 1.0:
        raise ValueError(f"mass: got {mass}; must be at least 1")
    if cornering[1] > 200.0:
        raise ValueError(f"cornering: got {cornering}; must be at most 200")
    if lag[0] < 0.02:
        raise ValueError(f"lag: got {lag}; must be at least 0.02")
    low, high = jnp.array(list(ranges.values()), jnp.float32).T

    def sample_fn(key: Key) -> CarParams:
        drawn = dict(zip(ranges, jax.random.uniform(key, low.shape, jnp.float32, low, high), strict=True))
        return CarParams(**drawn, speed=speed, cost_limit=outside * horizon, max_steps_in_episode=horizon)

    def optimum_fn(task: CarParams) -> Array:
        best = regulator_of(task, horizon)
        # The mean of xᵀ P x over the uniform box in which episodes begin.
        return -jnp.sum(jnp.diag(best.cost_to_go[0]) * jnp.array(START) ** 2 / 3.0) - best.noise_cost

    by_hand = {
        "PD": pd(),
        "average regulator": average_regulator(horizon=horizon),
        "told regulator": told_regulator(horizon=horizon),
    }
    limit_of = lambda task: task.cost_limit  # noqa: E731
    return from_gymnax(
        LaneKeeping(), sample_fn, horizon=horizon, optimum=optimum_fn, cost_limit=limit_of, controllers=by_hand
    )
