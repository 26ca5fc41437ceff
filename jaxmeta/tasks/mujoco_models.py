"""MuJoCo's models stepped by MJX: which solver, what changes in a control step, and what follows from other masses."""

import contextlib
import copy
import functools
import importlib
import importlib.util
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.types import Array

try:
    # MJX prints that another engine, which nobody asked for, is not there.
    with contextlib.redirect_stdout(io.StringIO()):
        mujoco: Any = importlib.import_module("mujoco")
        mjx: Any = importlib.import_module("mujoco.mjx")
except ImportError as error:
    missing = error.name or "mujoco-core"
    raise ImportError(f'locomotion: {missing} is missing; pip install "jaxmeta[locomotion]"') from error
except (AttributeError, RuntimeError) as error:
    chosen = os.environ.get("MUJOCO_GL")
    raise ImportError(
        f"locomotion: MuJoCo has no OpenGL for MUJOCO_GL={chosen}; choose another, or unset it"
    ) from error

Solver = Literal["newton-4-8", "fast"]
SOLVERS = {"newton-4-8": (4, 8), "fast": (1, 4)}
"""Iterations of Newton's method and of its line search, by the name of the setting."""
DERIVED = ("body_subtreemass", "body_invweight0", "dof_invweight0")
"""What MJX takes from a model that follows from masses, inertia and posture."""
STAGES = ((0.0, 1.0 / 6.0), (0.5, 1.0 / 3.0), (0.5, 1.0 / 3.0), (1.0, 1.0 / 6.0))
"""Of the Runge-Kutta method of order 4: how far along the slope before, and the weight of the slope there."""


class Motion(NamedTuple):
    """What changes: positions ``[Q]`` and velocities ``[V]`` in MuJoCo's order, and the solver's first guess ``[V]``.

    Units are m, rad and seconds.
    """

    qpos: Array
    qvel: Array
    warmstart: Array


class Simulator(NamedTuple):
    """A model as MJX steps it.

    Attributes:
      model: MJX's model; a task may replace some of its arrays.
      data: MJX's data of the model at rest.
      frame_skip: steps of the engine in a control step.
    """

    model: Any
    data: Any
    frame_skip: int

    @property
    def seconds(self) -> float:
        """Of a control step."""
        return float(self.model.opt.timestep) * self.frame_skip


@functools.cache
def host_model(file: str) -> Any:
    """The ``MjModel`` of one of Gymnasium's XML files, for MuJoCo itself.

    Raises:
      FileNotFoundError: Gymnasium is there without the file.
    """
    spec = importlib.util.find_spec("gymnasium")
    folders = spec.submodule_search_locations if spec else None
    paths = [Path(folder) / "envs" / "mujoco" / "assets" / file for folder in folders or ()]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise FileNotFoundError(f"locomotion: Gymnasium's {file} is missing; pip install gymnasium")
    handler = mujoco.get_mju_user_warning()
    # Of the half-cheetah's file MuJoCo says that one of its words is deprecated, and writes a log file for it.
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    finally:
        mujoco.set_mju_user_warning(handler)


@functools.cache
def simulator(file: str, frame_skip: int, solver: str) -> Simulator:
    """One of Gymnasium's models, put to where JAX computes; ``solver`` is one of ``SOLVERS``.

    Raises:
      ValueError: a solver that there is not.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver: got {solver!r}; must be one of {', '.join(SOLVERS)}")
    host = copy.copy(host_model(file))
    host.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    host.opt.iterations, host.opt.ls_iterations = SOLVERS[solver]
    # What is kept must be arrays, whoever traces when it is first asked for.
    with jax.ensure_compile_time_eval():
        model = mjx.put_model(host)
        return Simulator(model, mjx.make_data(model), frame_skip)


def advance(simulator: Simulator, model: Any, motion: Motion, control: Array) -> Motion:
    """The motion after a control step with ``control`` ``[U]``, by the integrator that the model names.

    ``model`` is the simulator's, or one with other arrays.
    """
    step = _runge_kutta if model.opt.integrator == mjx.IntegratorType.RK4 else _euler

    def substep(motion: Motion, _: None) -> tuple[Motion, None]:
        return step(simulator, model, motion, control), None

    return jax.lax.scan(substep, motion, length=simulator.frame_skip)[0]


def _data(simulator: Simulator, motion: Motion, control: Array) -> Any:
    return simulator.data.replace(qpos=motion.qpos, qvel=motion.qvel, qacc_warmstart=motion.warmstart, ctrl=control)


def _euler(simulator: Simulator, model: Any, motion: Motion, control: Array) -> Motion:
    data = mjx.step(model, _data(simulator, motion, control))
    return Motion(data.qpos, data.qvel, data.qacc_warmstart)


def _runge_kutta(simulator: Simulator, model: Any, motion: Motion, control: Array) -> Motion:
    """MuJoCo's step of order 4, its stages in a loop: MJX spells them out, which takes longer to compile.

    The turn of a free body is of order 4 as well, as in MuJoCo 4; MJX adds up angular velocities of frames that differ.
    """
    timestep = model.opt.timestep

    def stage(carry: tuple[Array, Array, Array, Array, Array], tableau: Array):
        rate, acceleration, warmstart, rates, accelerations = carry
        along, weight = tableau
        by = timestep * along * rate
        qvel = motion.qvel + timestep * along * acceleration
        here = Motion(moved(model, motion.qpos, by), qvel, warmstart)
        data = mjx.forward(model, _data(simulator, here, control))
        rate = _turning(model, by, qvel)
        sums = rates + weight * rate, accelerations + weight * data.qacc
        return (rate, data.qacc, data.qacc_warmstart, *sums), None

    nothing = jnp.zeros_like(motion.qvel)
    start = (nothing, nothing, motion.warmstart, nothing, nothing)
    (_, _, warmstart, rate, acceleration), _ = jax.lax.scan(stage, start, jnp.array(STAGES))
    return Motion(moved(model, motion.qpos, timestep * rate), motion.qvel + timestep * acceleration, warmstart)


def _turning(model: Any, by: Array, qvel: Array) -> Array:
    """How fast ``by`` ``[V]``, the way since the step began, grows: ``qvel``, but for the turn u of a free body.

    ``du/dt = ω + ½ u × ω + ¹⁄₁₂ u × (u × ω)`` (Bortz 1971, and Munthe-Kaas 1998).
    """
    if model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE:
        return qvel
    turn = jnp.cross(by[3:6], qvel[3:6])
    return qvel.at[3:6].add(0.5 * turn + jnp.cross(by[3:6], turn) / 12.0)


def moved(model: Any, qpos: Array, by: Array) -> Array:
    """Positions after a small motion ``[V]``: of slides and hinges, which may follow one free body."""
    if model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE:
        return qpos + by
    turned = quaternion_product(qpos[3:7], rotation(by[3:6]))
    return jnp.concatenate([qpos[:3] + by[:3], turned / jnp.linalg.norm(turned), qpos[7:] + by[6:]])


def rotation(vector: Array) -> Array:
    """The unit quaternion ``[4]``, real part first, of a rotation about ``vector`` ``[3]`` by its length in rad."""
    square = jnp.sum(vector**2)
    # The derivative of a length is not finite at 0.
    angle = jnp.sqrt(jnp.where(square > 0.0, square, 1.0))
    part = jnp.where(square > 0.0, jnp.sin(0.5 * angle) / angle, 0.5)
    return jnp.concatenate([jnp.where(square > 0.0, jnp.cos(0.5 * angle), 1.0)[None], part * vector])


def quaternion_product(first: Array, second: Array) -> Array:
    """The product ``[4]`` of two quaternions, real parts first."""
    real = first[0] * second[0] - jnp.dot(first[1:], second[1:])
    return jnp.append(real, first[0] * second[1:] + second[0] * first[1:] + jnp.cross(first[1:], second[1:]))


def consistent(simulator: Simulator, physics: Mapping[str, Array]) -> dict[str, Array]:
    """``physics``, arrays of the model by MuJoCo's names, with all of what MJX derives from them at ``qpos0``.

    The engine regularises contacts and limits by how much bodies and joints resist: of M, the inertia matrix at
    ``qpos0``, and J, the Jacobian of a body's centre of mass, ``body_invweight0`` are the means over the axes of the
    diagonal of ``J M⁻¹ Jᵀ``, and ``dof_invweight0`` is the diagonal of ``M⁻¹``, its mean where a free body moves or
    turns. ``body_subtreemass`` is the mass of a body and of all that hangs on it. MuJoCo's ``mj_setConst`` computes the
    same on the host; here tasks are drawn inside compiled programs.

    Args:
      simulator: the model that is changed.
      physics: such as ``body_mass`` ``[B]`` in kg, ``body_inertia`` ``[B, 3]`` in kg m².

    Returns:
      ``physics`` and ``body_subtreemass`` ``[B]``, ``body_invweight0`` ``[B, 2]``, ``dof_invweight0`` ``[V]``.
    """
    model = simulator.model.replace(**physics)
    masses = list(model.body_mass)
    for body in range(model.nbody - 1, 0, -1):
        masses[model.body_parentid[body]] += masses[body]
    model = model.replace(body_subtreemass=jnp.stack(masses))
    data = mjx.kinematics(model, simulator.data.replace(qpos=model.qpos0))
    data = mjx.crb(model, mjx.com_pos(model, data))
    inverse = jnp.linalg.inv(mjx.full_m(model, data))

    def resistance(body: int) -> Array:
        along = (jacobian.T for jacobian in mjx.jac(model, data, data.xipos[body], jnp.int32(body)))
        return jnp.stack([jnp.trace(axes @ inverse @ axes.T) / 3.0 for axes in along])

    moving = [resistance(body) if model.body_weldid[body] else jnp.zeros(2) for body in range(model.nbody)]
    dofs = jnp.diag(inverse)
    if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE:
        dofs = jnp.concatenate([jnp.repeat(jnp.mean(dofs[:6].reshape(2, 3), axis=1), 3), dofs[6:]])
    return {**physics, **dict(zip(DERIVED, (model.body_subtreemass, jnp.stack(moving), dofs), strict=True))}


def centre_of_mass(simulator: Simulator, qpos: Array) -> Array:
    """The centre of all mass ``[3]`` at positions ``[Q]``."""
    model = simulator.model
    places = mjx.kinematics(model, simulator.data.replace(qpos=qpos)).xipos
    return model.body_mass @ places / jnp.sum(model.body_mass)
