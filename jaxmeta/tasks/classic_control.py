"""Classic control with varying physics, on gymnax's own environments.

Every quantity is drawn uniformly from a range of its own. Test tasks lie outside the training ranges: one quantity, at
random, is above or below its range, by up to ``beyond`` times the range's end; the others stay inside.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment
from gymnax.environments.classic_control import (
    acrobot as gymnax_acrobot,
    cartpole as gymnax_cartpole,
    continuous_mountain_car as gymnax_continuous_car,
    mountain_car as gymnax_car,
    pendulum as gymnax_pendulum,
)

from jaxmeta.checks import check_action, check_ranges
from jaxmeta.parts import extends
from jaxmeta.tasks import drawing
from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.tasks.wrappers import Rendered, Wrapper
from jaxmeta.types import Array, Key, Task, TaskDistribution

Range = tuple[float, float]


def cartpole(
    *,
    horizon: int = 200,
    cart_mass: Range = (0.5, 2.0),
    pole_mass: Range = (0.05, 0.2),
    half_length: Range = (0.25, 1.0),
    force: Range = (5.0, 15.0),
    gravity: Range = (7.0, 12.0),
    beyond: float = 0.5,
) -> TaskDistribution:
    """CartPole (Barto, Sutton and Anderson 1983) with its masses, pole length, motor force and gravity drawn.

    The reward is 1 a step until the pole has fallen. The masses' ranges are those of RLlib's CartPole task family.
    ``optimum`` is the horizon, which no policy exceeds.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      cart_mass: range in kg.
      pole_mass: range in kg.
      half_length: range of half the pole's length, in m.
      force: range of the push's magnitude, in N.
      gravity: range in m/s².
      beyond: how far test tasks go outside a range, in (0, 0.9].
    """
    masses = {"cart_mass": cart_mass, "pole_mass": pole_mass}
    ranges = masses | {"half_length": half_length, "force": force, "gravity": gravity}

    def task_fn(cart, pole, length, force, gravity) -> gymnax_cartpole.EnvParams:
        # gymnax stores the two derived quantities as parameters of their own; they must follow.
        derived = {"total_mass": cart + pole, "polemass_length": pole * length}
        values = {"gravity": gravity, "masscart": cart, "masspole": pole, "length": length, "force_mag": force}
        return gymnax_cartpole.EnvParams(**values, **derived, max_steps_in_episode=horizon)

    def draw(state, params):
        track = float(params.x_threshold)
        return drawing.figure(drawing.cart, state.x, state.theta, half_length=params.length, track=track)

    env = Rendered(gymnax_cartpole.CartPole(), draw)
    return _family(env, task_fn, ranges, horizon, beyond, optimum=lambda task: jnp.float32(horizon))


def _cars(
    env: environment.Environment,
    task_fn: Callable[..., Task],
    *,
    horizon: int = 200,
    gravity: Range = (0.002, 0.003),
    force: Range = (0.0008, 0.0015),
    goal: Range = (0.4, 0.55),
    beyond: float = 0.05,
) -> TaskDistribution:
    """Tasks ``task_fn(gravity, force, goal)`` of a car on the hill; the goals stay on its track.

    Args:
      env: the car.
      task_fn: the parameters of a task.
      horizon: steps in an episode at most, ≥ 1.
      gravity: range, per step².
      force: range of the motor's pull, per step².
      goal: range of the goal's position, at most 0.57, since the track ends at 0.6.
      beyond: how far test tasks go outside a range, in (0, 0.05], so that goals stay on the track.
    """
    if not 0.0 < goal[0] <= goal[1] <= 0.57:
        raise ValueError(f"goal: got {goal}; must be 0 < low <= high <= 0.57")
    if not 0.0 < beyond <= 0.05:
        raise ValueError(f"beyond: got {beyond}; must be in (0, 0.05]")

    def draw(state, params):
        low, high = params.min_position, params.max_position
        return drawing.figure(drawing.hill, state.position, goal=params.goal_position, low=low, high=high)

    def sized_fn(gravity, force, goal) -> Task:
        return task_fn(gravity, force, goal).replace(max_steps_in_episode=horizon)

    ranges = {"gravity": gravity, "force": force, "goal": goal}
    return _family(Rendered(env, draw), sized_fn, ranges, horizon, beyond)


@extends(_cars)
def mountain_car(**settings: Any) -> TaskDistribution:
    """MountainCar (Moore 1990) with its gravity, motor force and goal drawn. The reward is −1 a step until the goal."""

    def task_fn(gravity, force, goal) -> gymnax_car.EnvParams:
        return gymnax_car.EnvParams(gravity=gravity, force=force, goal_position=goal)

    return _cars(gymnax_car.MountainCar(), task_fn, **settings)


@extends(_cars)
def mountain_car_continuous(*, force: Range = (0.001, 0.002), **settings: Any) -> TaskDistribution:
    """MountainCarContinuous with its gravity, motor force and goal drawn.

    The reward is 100 at the goal, less ``0.1 a²`` a step. Gymnasium's episodes have 999 steps.

    Args:
      force: range of the motor's pull at full action, per step².
      **settings: the others of ``mountain_car``.
    """

    def task_fn(gravity, force, goal) -> gymnax_continuous_car.EnvParams:
        return gymnax_continuous_car.EnvParams(gravity=gravity, power=force, goal_position=goal)

    car = WalledCar(gymnax_continuous_car.ContinuousMountainCar())
    return _cars(car, task_fn, force=force, **settings)


def acrobot(
    *,
    horizon: int = 200,
    link_length: Range = (0.75, 1.25),
    link_mass: Range = (0.75, 1.25),
    torque: Range = (0.75, 1.5),
    beyond: float = 0.25,
) -> TaskDistribution:
    """Acrobot (Sutton 1996) with the length and mass of either link and the motor's torque drawn.

    The reward is −1 a step until ``−cos θ₁ − cos(θ₁ + θ₂) > 1``: the line at height 1 for links of 1 m, and a condition
    on the angles alone whatever the links, as in gymnax and Gymnasium. A link's centre of mass is at half its length.
    One moment of inertia for both links, 1, stays. Gymnasium's episodes have 500 steps.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      link_length: range of each link's length, in m; the second one's enters through its centre of mass.
      link_mass: range of each link's mass, in kg.
      torque: range of the torque's magnitude, in N m.
      beyond: how far test tasks go outside a range, in (0, 0.9].
    """
    check_ranges(link_length=link_length, link_mass=link_mass)
    lengths = {"first_length": link_length, "second_length": link_length}
    ranges = lengths | {"first_mass": link_mass, "second_mass": link_mass, "torque": torque}

    def task_fn(first_length, second_length, first_mass, second_mass, torque) -> gymnax_acrobot.EnvParams:
        return gymnax_acrobot.EnvParams(
            available_torque=torque * jnp.array([-1.0, 0.0, 1.0]),
            link_length_1=first_length,
            link_length_2=second_length,
            link_mass_1=first_mass,
            link_mass_2=second_mass,
            # The centres of mass are parameters of their own in gymnax; they must follow.
            link_com_pos_1=first_length / 2.0,
            link_com_pos_2=second_length / 2.0,
            max_steps_in_episode=horizon,
        )

    def draw(state, params):
        angles = np.cumsum([float(state.joint_angle1), float(state.joint_angle2)])
        lengths = np.array([[float(params.link_length_1)], [float(params.link_length_2)]])
        bends = np.cumsum(lengths * np.stack([np.sin(angles), -np.cos(angles)], axis=-1), axis=0)
        return drawing.figure(drawing.links, np.concatenate([np.zeros((1, 2)), bends]))

    return _family(Rendered(gymnax_acrobot.Acrobot(), draw), task_fn, ranges, horizon, beyond)


def pendulum(
    *,
    horizon: int = 200,
    mass: Range = (0.75, 1.25),
    length: Range = (0.75, 1.25),
    gravity: Range = (7.0, 12.0),
    beyond: float = 0.25,
) -> TaskDistribution:
    """Pendulum (Gymnasium's Pendulum-v1) with its mass, length and gravity drawn.

    The reward is ``−(θ² + 0.1 θ̇² + 0.001 u²)`` with θ from upright, before the move; nothing terminates an episode.

    Args:
      horizon: steps in an episode, ≥ 1.
      mass: range in kg.
      length: range in m.
      gravity: range in m/s².
      beyond: how far test tasks go outside a range, in (0, 0.9].
    """

    def task_fn(mass, length, gravity) -> gymnax_pendulum.EnvParams:
        return gymnax_pendulum.EnvParams(m=mass, l=length, g=gravity, max_steps_in_episode=horizon)

    def draw(state, params):
        angle, length = float(state.theta), float(params.l)
        return drawing.figure(drawing.links, [[0.0, 0.0], [-length * np.sin(angle), length * np.cos(angle)]])

    env = Rendered(gymnax_pendulum.Pendulum(), draw)
    return _family(env, task_fn, {"mass": mass, "length": length, "gravity": gravity}, horizon, beyond)


class WalledCar(Wrapper):
    """A car that stops at the left wall, as in Gymnasium: gymnax's continuous car keeps its speed there."""

    def step_env(self, key, state, action, params):
        check_action(self, action)
        obs, next_state, reward, terminated, info = self.env.step_env(key, state, action, params)
        at_wall = (next_state.position <= params.min_position) & (next_state.velocity < 0)
        velocity = jnp.where(at_wall, 0.0, next_state.velocity)
        return obs.at[1].set(velocity), next_state.replace(velocity=velocity), reward, terminated, info


def _family(
    env: environment.Environment,
    task_fn: Callable[..., Task],
    ranges: dict[str, Range],
    horizon: int,
    beyond: float,
    *,
    optimum: Callable[[Task], Array] | None = None,
) -> TaskDistribution:
    """Tasks ``task_fn(*values)``, of a value in each of the ``ranges``."""
    check_ranges(**ranges)
    if not 0.0 < beyond <= 0.9:
        raise ValueError(f"beyond: got {beyond}; must be in (0, 0.9]")
    low, high = jnp.array(list(ranges.values()), jnp.float32).T

    def sample_fn(key: Key) -> Task:
        return task_fn(*jax.random.uniform(key, low.shape, jnp.float32, low, high))

    def sample_test_fn(key: Key) -> Task:
        key_inside, key_which, key_side, key_outside = jax.random.split(key, 4)
        inside = jax.random.uniform(key_inside, low.shape, jnp.float32, low, high)
        # (0, 1] rather than [0, 1), so that a test task is never on the end of the training range.
        excess = beyond * (1.0 - jax.random.uniform(key_outside, low.shape))
        outside = jnp.where(jax.random.bernoulli(key_side), high * (1.0 + excess), low * (1.0 - excess))
        which = jax.random.randint(key_which, (), 0, low.shape[0])
        return task_fn(*jnp.where(jnp.arange(low.shape[0]) == which, outside, inside))

    return from_gymnax(env, sample_fn, horizon=horizon, optimum=optimum, sample_test=sample_test_fn)
