"""Bodies of MuJoCo on MJX and their tasks: what they see, what is rewarded, and when they have fallen.

Rewards are those of the published code that each family names. What of that code is left out everywhere is the price of
contact forces: MuJoCo 2.0 as Gym called it reported none, and Gymnasium's Ant leaves it out by default.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment

from jaxmeta.tasks.environments import EpisodeView, Plane, registered
from jaxmeta.tasks.mujoco_environment import Locomotion
from jaxmeta.tasks.mujoco_models import DERIVED, Simulator, centre_of_mass, consistent
from jaxmeta.types import Array

VARIED = ("body_mass", "body_inertia", "dof_damping", "geom_friction")
"""What is of its own in every task of a family of physics, as MuJoCo names it."""


@struct.dataclass
class GoalParams(environment.EnvParams):
    """The task: a speed in m/s, a direction (−1 or 1, or a unit vector ``[2]``), or a place ``[2]`` in m."""

    goal: Array = struct.field(default_factory=lambda: jnp.ones(()))
    max_steps_in_episode: int = 200


@struct.dataclass
class PlaneGoalParams(GoalParams):
    """The task: a unit vector, or a place in m, ``[2]``."""

    goal: Array = struct.field(default_factory=lambda: jnp.array([1.0, 0.0]))


@struct.dataclass(kw_only=True)
class PhysicsParams(environment.EnvParams):
    """The task: physics of B bodies, V joints and G geoms by MuJoCo's names, and what the engine derives from them.

    The last three follow from the others: ``mujoco_models.consistent`` computes them.
    """

    body_mass: Array
    body_inertia: Array
    dof_damping: Array
    geom_friction: Array
    body_subtreemass: Array
    body_invweight0: Array
    dof_invweight0: Array
    max_steps_in_episode: int = 200


class HalfCheetah(Locomotion):
    """Six motors of two legs in a plane: 0.05 s a control step; sees all but its place along x, 17 numbers."""

    file, frame_skip, noise, normal = "half_cheetah.xml", 5, 0.1, True

    @property
    def default_params(self) -> GoalParams:
        return GoalParams()


@registered
class HalfCheetahVelocity(HalfCheetah):
    """Run at an unknown speed g: the reward is ``−|v − g| − 0.05 Σ a²``."""

    def reward(self, before, after, action, params):
        return -jnp.abs(self.speed(before, after) - params.goal) - 0.05 * jnp.sum(action**2)

    def describe(self, params):
        return f"{float(params.goal):.2f} m/s"


@registered
class HalfCheetahDirection(HalfCheetah):
    """Run forwards (g = 1) or backwards (g = −1): the reward is ``g v − 0.05 Σ a²``."""

    def reward(self, before, after, action, params):
        return params.goal * self.speed(before, after) - 0.05 * jnp.sum(action**2)

    def describe(self, params):
        return "forwards" if float(params.goal) > 0 else "backwards"


class Ant(Locomotion):
    """Four legs with two motors each: 0.05 s a control step; drawn from above."""

    file, frame_skip, noise, normal, view = "ant.xml", 5, 0.1, True, (0, 1)

    @property
    def default_params(self) -> PlaneGoalParams:
        return PlaneGoalParams()


@registered
class AntDirection(Ant):
    """Walk in an unknown direction g: the reward is ``g·v − 0.5 Σ a² + 1`` while the torso's height is in [0.2, 1] m.

    Sees all but its place, 27 numbers.
    """

    def seen(self, motion):
        return jnp.concatenate([motion.qpos[2:], motion.qvel])

    def reward(self, before, after, action, params):
        velocity = (after.qpos[:2] - before.qpos[:2]) / self.simulator.seconds
        return jnp.dot(velocity, params.goal) - 0.5 * jnp.sum(action**2) + 1.0

    def has_fallen(self, motion):
        height = motion.qpos[2]
        # In this order what is not a number has fallen too.
        return ~((height >= 0.2) & (height <= 1.0))

    def describe(self, params):
        return f"{_degrees(params.goal):.0f}°"


@registered
class AntGoal(Ant):
    """Walk to an unknown place g: the reward is ``−|x − g₁| − |y − g₂| − 0.1 Σ a²``.

    Sees positions, its place among them, and velocities, 29 numbers.
    """

    episode_view = EpisodeView.PATH

    def seen(self, motion):
        return jnp.concatenate([motion.qpos, motion.qvel])

    def reward(self, before, after, action, params):
        return -jnp.sum(jnp.abs(after.qpos[:2] - params.goal)) - 0.1 * jnp.sum(action**2)

    def plane(self, params) -> Plane:
        return Plane(np.zeros(2), np.asarray(params.goal)[None])

    def points(self, obs) -> np.ndarray:
        return np.asarray(obs)[..., :2]

    def describe(self, params):
        x, y = np.asarray(params.goal)
        return f"to ({x:.1f}, {y:.1f}) m"


class PlanarRunner(Locomotion):
    """One or two legs in a plane, whose physics is the task: the reward is ``v + 1 − 0.001 Σ a²`` until it falls.

    Sees all but its place along x, velocities within ±10.
    """

    noise = 0.005

    @property
    def default_params(self) -> PhysicsParams:
        return PhysicsParams(**{name: getattr(self.simulator.model, name) for name in (*VARIED, *DERIVED)})

    def model_of(self, params):
        return self.simulator.model.replace(**{name: getattr(params, name) for name in (*VARIED, *DERIVED)})

    def seen(self, motion):
        return jnp.concatenate([motion.qpos[1:], jnp.clip(motion.qvel, -10.0, 10.0)])

    def reward(self, before, after, action, params):
        return self.speed(before, after) + 1.0 - 0.001 * jnp.sum(action**2)

    def describe(self, params):
        return f"{float(jnp.sum(params.body_mass)):.1f} kg"


@registered
class WalkerPhysics(PlanarRunner):
    """Two legs and six motors, 0.01 s a control step, 17 numbers seen; upright means 0.8 to 2 m high, within 1 rad."""

    file, frame_skip = "walker2d_v5.xml", 5

    def has_fallen(self, motion):
        height, angle = motion.qpos[1:3]
        return ~((height > 0.8) & (height < 2.0) & (jnp.abs(angle) < 1.0))


@registered
class HopperPhysics(PlanarRunner):
    """One leg and three motors, 0.008 s a control step, 11 numbers seen; upright means 0.7 m high, within 0.2 rad."""

    file, frame_skip = "hopper.xml", 4

    def has_fallen(self, motion):
        height, angle = motion.qpos[1:3]
        calm = jnp.all(jnp.abs(jnp.concatenate([motion.qpos[2:], motion.qvel])) < 100.0)
        return ~((height > 0.7) & (jnp.abs(angle) < 0.2) & calm)


@registered
class HumanoidDirection(Locomotion):
    """Walk in an unknown direction g on two legs, 17 motors, 0.015 s a control step.

    The reward is ``1.25 g·v − 0.1 Σ a² + 5`` with v of the centre of mass, while the torso is 1 to 2 m high. Sees
    positions but its place, and velocities, 45 numbers; Gym's 376 are these and what follows from them. Newton's method
    solves for contacts, whereas the file names one that MJX has not.
    """

    file, frame_skip, noise = "humanoid.xml", 5, 0.01

    @property
    def default_params(self) -> PlaneGoalParams:
        return PlaneGoalParams()

    def seen(self, motion):
        return jnp.concatenate([motion.qpos[2:], motion.qvel])

    def reward(self, before, after, action, params):
        moved = centre_of_mass(self.simulator, after.qpos) - centre_of_mass(self.simulator, before.qpos)
        # The published code divides a quarter of the way by the engine's step, of which a control step has five.
        velocity = moved[:2] / self.simulator.seconds
        return 1.25 * jnp.dot(velocity, params.goal) - 0.1 * jnp.sum(action**2) + 5.0

    def has_fallen(self, motion):
        height = motion.qpos[2]
        return ~((height >= 1.0) & (height <= 2.0))

    def describe(self, params):
        return f"{_degrees(params.goal):.0f}°"


def physics_of(simulator: Simulator, factors: Mapping[str, Array], **settings: Any) -> PhysicsParams:
    """The task of a model whose arrays are multiplied by ``factors``, with all that the engine derives from them."""
    physics = {name: getattr(simulator.model, name) * factors.get(name, 1.0) for name in VARIED}
    return PhysicsParams(**consistent(simulator, physics), **settings)


def _degrees(direction: Any) -> float:
    x, y = np.asarray(direction)
    return float(np.degrees(np.arctan2(y, x))) % 360.0
