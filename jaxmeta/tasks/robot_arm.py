"""Reaching: move a planar arm of unknown lengths, payload and friction to a target."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least, check_ranges, check_unit
from jaxmeta.tasks import drawing
from jaxmeta.tasks.controllers import Controller
from jaxmeta.tasks.environments import ContinuousEnvironment, TimedState, registered, runge_kutta
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Array, Key, TaskDistribution

STEP, SUBSTEPS = 0.05, 4
"""Seconds of a step, and the Runge-Kutta steps that it is cut into."""
DENSITY = 2.0
"""Mass of a metre of a link, kg."""
TORQUES = (4.0, 2.0)
"""Torques of the shoulder and the elbow at an action of 1, N m."""
START, SPREAD = (0.0, 1.5), 0.1
"""Angles of the joints that an episode begins around, and how far from them at most, rad."""
NEAREST, FARTHEST = 0.25, 0.55
"""Distances of targets from the shoulder, m, that every arm of the default ranges reaches."""
HELD = 25
"""Steps that a target stays where it is."""
EFFORT = 0.01
"""What the square of each entry of an action takes from the reward."""
FAST = 1.0
"""Speed of the hand from which on a step costs 1, m/s."""


@struct.dataclass
class ArmState(TimedState):
    """``angles`` of the shoulder and the elbow (rad), their ``rates`` (rad/s) and the ``target`` (m), each ``[2]``."""

    angles: Array
    rates: Array
    target: Array


@struct.dataclass
class ArmParams(environment.EnvParams):
    """The task: ``upper`` and ``fore``, lengths of the links (m), ``payload`` (kg), ``damping`` (N m s/rad).

    ``cost_limit`` is the family's.
    """

    upper: float = 0.4
    fore: float = 0.4
    payload: float = 0.5
    damping: float = 0.15
    cost_limit: float = 5.0
    max_steps_in_episode: int = 50


def hand_of(angles: Array, task: ArmParams) -> Array:
    """Where the hand is, ``[2]``, m."""
    first, second = angles[0], angles[0] + angles[1]
    upper, fore = jnp.asarray(task.upper), jnp.asarray(task.fore)
    return jnp.stack([upper * jnp.cos(first) + fore * jnp.cos(second), upper * jnp.sin(first) + fore * jnp.sin(second)])


def dynamics(angles: Array, rates: Array, task: ArmParams) -> tuple[Array, Array]:
    """The mass matrix ``[2, 2]`` and all torques ``[2]`` but those of the motors (Spong et al. 2006, section 7.4).

    ``M(q) q'' = τ − C(q, q') q' − d q'``: the links are uniform rods, the payload is a point at the hand, and the arm
    moves in a horizontal plane.
    """
    upper, fore, payload = task.upper, task.fore, task.payload
    first, second = DENSITY * upper, DENSITY * fore
    near = second * fore**2 / 3.0 + payload * fore**2
    far = first * upper**2 / 3.0 + (second + payload) * upper**2 + near
    coupling = (0.5 * second + payload) * upper * fore
    both = near + coupling * jnp.cos(angles[1])
    mass = jnp.stack(
        [jnp.stack([far + 2.0 * coupling * jnp.cos(angles[1]), both]), jnp.stack([both, jnp.asarray(near)])]
    )
    bend = coupling * jnp.sin(angles[1])
    turning = jnp.stack([bend * (2.0 * rates[0] + rates[1]) * rates[1], -bend * rates[0] ** 2])
    return mass, turning - task.damping * rates


def after_step(angles: Array, rates: Array, torque: Array, task: ArmParams) -> tuple[Array, Array]:
    """Angles and rates after a step at constant torques, by the fourth-order Runge-Kutta method."""

    def flow(state: Array) -> Array:
        mass, others = dynamics(state[:2], state[2:], task)
        # By the formula: a solver of linear systems costs many times as much.
        (a, b), (c, d), (x, y) = mass[0], mass[1], torque + others
        accelerations = jnp.stack([d * x - b * y, a * y - c * x]) / (a * d - b * c)
        return jnp.concatenate([state[2:], accelerations])

    state = runge_kutta(flow, jnp.concatenate([angles, rates]), STEP, SUBSTEPS)
    return state[:2], state[2:]


@registered
class RobotArm(ContinuousEnvironment):
    """An action is the torques of both joints, in [−1, 1]; nothing terminates.

    The observation is the cosines and the sines of both angles, their rates (rad/s), the way from the hand to the
    target and the target (m). The reward is minus the distance of the hand from the target, and ``EFFORT`` for each
    square of an action. A step in which the hand comes to be faster than ``FAST`` costs 1.
    """

    actions = 2

    @property
    def default_params(self) -> ArmParams:
        return ArmParams()

    def first_state(self, key, params):
        key_angles, key_target = jax.random.split(key)
        angles = jnp.array(START) + SPREAD * jax.random.uniform(key_angles, (2,), jnp.float32, -1.0, 1.0)
        return ArmState(time=jnp.zeros((), jnp.int32), angles=angles, rates=jnp.zeros(2), target=a_target(key_target))

    def transition(self, key, state, action, params):
        action = jnp.clip(action, -1.0, 1.0)
        angles, rates = after_step(state.angles, state.rates, jnp.array(TORQUES) * action, params)
        distance = jnp.linalg.norm(hand_of(angles, params) - state.target)
        reward = -distance - EFFORT * jnp.sum(action**2)
        time = state.time + 1
        target = jnp.where(time % HELD == 0, a_target(key), state.target)
        return state.replace(time=time, angles=angles, rates=rates, target=target), reward

    def cost(self, state, params):
        return jnp.linalg.norm(jacobian(state.angles, params) @ state.rates) > FAST

    def get_obs(self, state, params=None, key=None):
        params = self.default_params if params is None else params
        way = state.target - hand_of(state.angles, params)
        return jnp.concatenate([jnp.cos(state.angles), jnp.sin(state.angles), state.rates, way, state.target])

    def observation_space(self, params=None) -> spaces.Box:
        limit = float(jnp.finfo(jnp.float32).max)
        bounds = jnp.array([1.0] * 4 + [limit] * 4 + [FARTHEST] * 2, jnp.float32)
        return spaces.Box(-bounds, bounds, (10,), jnp.float32)

    def state_parts(self, params) -> dict[str, spaces.Space]:
        limit = float(jnp.finfo(jnp.float32).max)
        pair = spaces.Box(-limit, limit, (2,), jnp.float32)
        return {"angles": pair, "rates": pair, "target": spaces.Box(-FARTHEST, FARTHEST, (2,), jnp.float32)}

    def render(self, state, params):
        """The arm and the target."""
        elbow = params.upper * jnp.stack([jnp.cos(state.angles[0]), jnp.sin(state.angles[0])])
        joints = jnp.stack([jnp.zeros(2), elbow, hand_of(state.angles, params)])
        return drawing.figure(drawing.links, joints, goal=state.target)


def a_target(key: Key) -> Array:
    """A place in the half ring in front of the shoulder, ``[2]``, m."""
    key_radius, key_side = jax.random.split(key)
    radius = jax.random.uniform(key_radius, minval=NEAREST, maxval=FARTHEST)
    side = jax.random.uniform(key_side, minval=-0.5 * jnp.pi, maxval=0.5 * jnp.pi)
    return radius * jnp.stack([jnp.cos(side), jnp.sin(side)])


def jacobian(angles: Array, task: ArmParams) -> Array:
    """``d hand / d angles``, ``[2, 2]``."""
    return jax.jacfwd(hand_of)(angles, task)


def _seen(obs: Array) -> tuple[Array, Array, Array, Array]:
    """Angles, rates, the way to the target, and the target."""
    return jnp.arctan2(obs[2:4], obs[:2]), obs[4:6], obs[6:8], obs[8:]


SPRING, BRAKE = 40.0, 1.2
"""N/m and N m s/rad of ``spring``: the best on average over the family, of a coarse grid."""
STIFFNESS, DAMPED, LEAST = 80.0, 20.0, 0.01
"""1/s² and 1/s of ``told_torques``, the best of a coarse grid; and 1/kg that keep it from infinite torques."""


def spring() -> Controller:
    """Baseline: a spring from the hand to the target, by the Jacobian of an average arm, and a brake in each joint."""

    def act_fn(key: Key, memory: tuple, obs: Array) -> Array:
        angles, rates, way, _ = _seen(obs)
        torque = SPRING * jacobian(angles, ArmParams()).T @ way - BRAKE * rates
        return jnp.clip(torque / jnp.array(TORQUES), -1.0, 1.0)

    return Controller(lambda task: (), act_fn)


def average_torques() -> Controller:
    """Baseline: ``told_torques`` with the model of an average arm, whatever the arm is."""
    return _computed(lambda task: ArmParams())


def told_torques() -> Controller:
    """Told the task: torques that make the hand a damped spring, whatever the arm weighs (Khatib 1987).

    Good, but not optimal: it knows the arm, but neither the bounds of its torques nor the price of effort.
    """
    return _computed(lambda task: task)


def _computed(model: Callable[[ArmParams], ArmParams]) -> Controller:
    def act_fn(key: Key, arm: ArmParams, obs: Array) -> Array:
        angles, rates, way, _ = _seen(obs)
        (mass, others), turned = dynamics(angles, rates, arm), jacobian(angles, arm)
        # The inverse of the hand's mass; stretched out, the arm cannot move it any farther.
        lightness = turned @ jnp.linalg.solve(mass, turned.T) + LEAST * jnp.eye(2)
        force = jnp.linalg.solve(lightness, STIFFNESS * way - DAMPED * turned @ rates)
        return jnp.clip((turned.T @ force - others) / jnp.array(TORQUES), -1.0, 1.0)

    return Controller(lambda task: jax.tree.map(jnp.asarray, model(task)), act_fn)


Range = tuple[float, float]


def robot_arm(
    *,
    horizon: int = 50,
    upper: Range = (0.3, 0.5),
    fore: Range = (0.3, 0.5),
    payload: Range = (0.05, 1.0),
    damping: Range = (0.05, 0.3),
    fast: float = 0.1,
) -> TaskDistribution:
    """Move the hand of a planar arm with two joints to a target, by torques: the dynamics of Spong et al. 2006.

    The lengths of both links, what the hand carries and the friction of the joints are drawn uniformly. The target is
    seen, and another one after each 25 steps. An episode begins at rest. A step pays minus the distance from the target
    in m, less ``0.01`` for each square of an action, and costs 1 if the hand is then faster than 1 m/s, as people
    around a robot might ask for. No optimum is known.

    The model leaves out: gravity (the plane is horizontal), joints that end somewhere, motors that lag or heat up, dry
    friction, links that bend, gears with play, contact with anything, and sensors: angles and rates are observed.

    Args:
      horizon: steps of 0.05 s, ≥ 1.
      upper: range of the upper link's length, m, at least 0.2.
      fore: range of the forearm's length, m, at least 0.2.
      payload: range of the mass in the hand, kg, > 0.
      damping: range of each joint's friction, N m s/rad, > 0 and at most 0.5.
      fast: share of an episode's steps in which the hand is faster than 1 m/s, at most, in [0, 1]: the limit of the
        costs.
    """
    check_least(1, horizon=horizon)
    check_unit(fast=fast)
    ranges = {"upper": upper, "fore": fore, "payload": payload, "damping": damping}
    check_ranges(**ranges)
    for name in ("upper", "fore"):
        # Shorter links turn faster than the steps of integration can follow.
        if ranges[name][0] < 0.2:
            raise ValueError(f"{name}: got {ranges[name]}; must be at least 0.2")
    if damping[1] > 0.5:
        raise ValueError(f"damping: got {damping}; must be at most 0.5")
    low, high = jnp.array(list(ranges.values()), jnp.float32).T

    def sample_fn(key: Key) -> ArmParams:
        drawn = dict(zip(ranges, jax.random.uniform(key, low.shape, jnp.float32, low, high), strict=True))
        return ArmParams(**drawn, cost_limit=fast * horizon, max_steps_in_episode=horizon)

    return from_gymnax(
        RobotArm(),
        sample_fn,
        horizon=horizon,
        cost_limit=lambda task: task.cost_limit,
        controllers={"spring": spring(), "average torques": average_torques(), "told torques": told_torques()},
    )
