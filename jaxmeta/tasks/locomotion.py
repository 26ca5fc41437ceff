"""Locomotion families: a speed, a direction, a place or physics of its own in every task, by MuJoCo on MJX.

Each follows a published definition, which it names. Papers' results hold for their engine and its solver: MJX with
``newton-4-8`` moves as MuJoCo does but for rounding, and ``fast`` does not. Best returns are not known.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import check_between, check_finite, check_positive
from jaxmeta.parts import extends
from jaxmeta.tasks.generic import from_gymnax, listed
from jaxmeta.tasks.locomotion_bodies import (
    AntDirection,
    AntGoal,
    GoalParams,
    HalfCheetahDirection,
    HalfCheetahVelocity,
    HopperPhysics,
    HumanoidDirection,
    PhysicsParams,
    PlanarRunner,
    PlaneGoalParams,
    WalkerPhysics,
    physics_of,
)
from jaxmeta.tasks.mujoco_models import Solver
from jaxmeta.types import Array, Key, TaskDistribution


def half_cheetah_velocity(
    *, slowest: float = 0.0, fastest: float = 2.0, horizon: int = 200, solver: Solver = "newton-4-8"
) -> TaskDistribution:
    """A half-cheetah that must run at an unknown speed, uniform on ``[0, 2]`` m/s (Finn, Abbeel and Levine 2017).

    The reward is ``−|v − g| − 0.05 Σ a²`` at mean speed v of the control step, 0.05 s; nothing ends an episode. The
    body is Gym's, as in later work. PEARL and VariBAD draw speeds of up to 3 m/s: ``half-cheetah-velocity-3``.

    Args:
      slowest: the least speed, in m/s.
      fastest: the largest, in m/s, > ``slowest``.
      horizon: steps in an episode, ≥ 1.
      solver: iterations of the engine's solver; ``fast`` is two to three times as fast, and other physics.
    """
    if not slowest < fastest:
        raise ValueError(f"fastest: got {fastest}; must be greater than slowest, {slowest}")
    check_finite(slowest=slowest, fastest=fastest)

    def sample_fn(key: Key) -> GoalParams:
        goal = jax.random.uniform(key, minval=slowest, maxval=fastest)
        return GoalParams(goal=goal, max_steps_in_episode=horizon)

    return from_gymnax(HalfCheetahVelocity(solver), sample_fn, horizon=horizon)


@extends(half_cheetah_velocity)
def half_cheetah_velocity_3(*, fastest: float = 3.0, **settings: Any) -> TaskDistribution:
    """The same with speeds uniform on ``[0, 3]`` m/s, as in the code of PEARL (Rakelly et al. 2019) and of VariBAD.

    Args:
      fastest: the largest speed, in m/s.
      **settings: the others of ``half-cheetah-velocity``.
    """
    return half_cheetah_velocity(fastest=fastest, **settings)


def half_cheetah_direction(*, horizon: int = 200, solver: Solver = "newton-4-8") -> TaskDistribution:
    """A half-cheetah that must run forwards or backwards, one as likely as the other (Finn, Abbeel and Levine 2017).

    The reward is ``g v − 0.05 Σ a²`` with g = ±1; nothing ends an episode.

    Args:
      horizon: steps in an episode, ≥ 1; ProMP's are 100.
      solver: iterations of the engine's solver; ``fast`` is two to three times as fast, and other physics.
    """

    def task_fn(goal: Array) -> GoalParams:
        return GoalParams(goal=goal, max_steps_in_episode=horizon)

    def sample_fn(key: Key) -> GoalParams:
        return task_fn(jax.random.rademacher(key, (), jnp.float32))

    return from_gymnax(HalfCheetahDirection(solver), sample_fn, horizon=horizon, every=listed(task_fn, [-1.0, 1.0]))


def ant_direction(
    *, directions: Literal["two", "all"] = "two", horizon: int = 200, solver: Solver = "newton-4-8"
) -> TaskDistribution:
    """An ant that must walk in an unknown direction g: forwards or backwards along x, or any in the plane.

    The reward is ``g·v − 0.5 Σ a² + 1``; an episode ends when the torso's height leaves [0.2, 1] m. That is the code of
    PEARL and VariBAD; Finn et al. have smaller prices.

    Args:
      directions: "two" (Ant-Fwd-Back) or "all", uniform on the circle, as in ProMP (Rothfuss et al. 2019).
      horizon: steps in an episode at most, ≥ 1.
      solver: iterations of the engine's solver; ``fast`` is other physics.
    """
    if directions not in ("two", "all"):
        raise ValueError(f"directions: got {directions!r}; must be one of two, all")

    def task_fn(direction: Array) -> PlaneGoalParams:
        return PlaneGoalParams(goal=direction, max_steps_in_episode=horizon)

    def either_fn(key: Key) -> PlaneGoalParams:
        return task_fn(jnp.array([jax.random.rademacher(key, (), jnp.float32), 0.0]))

    def any_fn(key: Key) -> PlaneGoalParams:
        return task_fn(_direction(key))

    two = directions == "two"
    every = listed(task_fn, np.array([[-1.0, 0.0], [1.0, 0.0]])) if two else None
    return from_gymnax(AntDirection(solver), either_fn if two else any_fn, horizon=horizon, every=every)


def ant_goal(*, radius: float = 3.0, horizon: int = 200, solver: Solver = "newton-4-8") -> TaskDistribution:
    """An ant that must walk to an unknown place, uniform on a disc around its start (PEARL's and VariBAD's code).

    The reward is ``−|x − g₁| − |y − g₂| − 0.1 Σ a²``; nothing ends an episode. It sees where it is, and not the goal.

    Args:
      radius: of the disc, in m, positive.
      horizon: steps in an episode, ≥ 1.
      solver: iterations of the engine's solver; ``fast`` is other physics.
    """
    check_positive(radius=radius)

    def sample_fn(key: Key) -> PlaneGoalParams:
        key_angle, key_radius = jax.random.split(key)
        goal = radius * jnp.sqrt(jax.random.uniform(key_radius)) * _direction(key_angle)
        return PlaneGoalParams(goal=goal, max_steps_in_episode=horizon)

    return from_gymnax(AntGoal(solver), sample_fn, horizon=horizon)


def humanoid_direction(*, horizon: int = 200, solver: Solver = "newton-4-8") -> TaskDistribution:
    """A humanoid that must walk in an unknown direction g, uniform on the circle (PEARL's code).

    The reward is ``1.25 g·v − 0.1 Σ a² + 5`` with v of the centre of mass and motors' controls a of at most 0.4; an
    episode ends when the torso's height leaves [1, 2] m.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      solver: iterations of the engine's solver; ``fast`` is other physics.
    """

    def sample_fn(key: Key) -> PlaneGoalParams:
        return PlaneGoalParams(goal=_direction(key), max_steps_in_episode=horizon)

    return from_gymnax(HumanoidDirection(solver), sample_fn, horizon=horizon)


def _runners(body: type[PlanarRunner], *, spread: float = 3.0, horizon: int = 200, solver: Solver = "newton-4-8"):
    """Tasks of a runner whose mass, inertia, damping and friction vary.

    Args:
      body: the runner.
      spread: s, from 0 to 10: a factor is ``1.5^u``, a damping's ``1.3^u``, with u uniform on ``[−s, s]``.
      horizon: steps in an episode at most, ≥ 1.
      solver: iterations of the engine's solver; ``fast`` is other physics.
    """
    check_between(0, 10, spread=spread)
    env = body(solver)
    model = env.simulator.model
    bases = {"body_mass": 1.5, "body_inertia": 1.5, "dof_damping": 1.3, "geom_friction": 1.5}

    def sample_fn(key: Key) -> PhysicsParams:
        factors = {
            name: base ** jax.random.uniform(key_part, getattr(model, name).shape, minval=-spread, maxval=spread)
            for key_part, (name, base) in zip(jax.random.split(key, len(bases)), bases.items(), strict=True)
        }
        return physics_of(env.simulator, factors, max_steps_in_episode=horizon)

    return from_gymnax(env, sample_fn, horizon=horizon)


@extends(_runners)
def walker_physics(**settings: Any) -> TaskDistribution:
    """A walker that must run with physics of its own: every mass, inertia, damping and friction is multiplied.

    The reward is ``v + 1 − 0.001 Σ a²`` until it falls (Walker-2D-Params of PEARL, and VariBAD's). The factors of each
    body, joint and geom are independent. What the engine derives from masses is computed anew for each task.

    Args:
      **settings: of the tasks.
    """
    return _runners(WalkerPhysics, **settings)


@extends(_runners)
def hopper_physics(**settings: Any) -> TaskDistribution:
    """A hopper that must run with physics of its own, drawn and rewarded as the walker's (``rand_param_envs``, ProMP).

    Args:
      **settings: of the tasks.
    """
    return _runners(HopperPhysics, **settings)


def _direction(key: Key) -> Array:
    """A unit vector ``[2]``, uniform on the circle."""
    angle = jax.random.uniform(key, maxval=2.0 * np.pi)
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])
