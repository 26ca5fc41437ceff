"""What all bodies of MuJoCo on MJX share: how an episode begins, what a control step is, and how they are drawn.

The bodies are Gymnasium's XML files, which gymnax brings. The task is in the parameters and is never observed: one
model serves all tasks of a batch.
"""

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import spaces

from jaxmeta.checks import check_action
from jaxmeta.tasks import drawing
from jaxmeta.tasks.environments import TaskEnvironment, TimedState
from jaxmeta.tasks.mujoco_models import Motion, Simulator, Solver, advance, host_model, mujoco, simulator
from jaxmeta.types import Array

LIMIT = float(jnp.finfo(jnp.float32).max)
FASTEST = 1000.0
"""Speed in rad/s or m/s beyond which a body is no body any more: those that move as MuJoCo's stay far below."""


@struct.dataclass
class LocomotionState(TimedState):
    """Positions ``[Q]`` and velocities ``[V]`` as MuJoCo orders them, in m, rad and seconds, and the solver's start."""

    qpos: Array
    qvel: Array
    warmstart: Array


class Locomotion(TaskEnvironment, abc.ABC):
    """A body that motors move. A class says which, what it sees, what is rewarded, and when it has fallen.

    Actions are the motors' controls in the model's range. An episode begins at the model's own posture, with a uniform
    ``noise`` in all positions and, in all velocities, a normal one of that standard deviation or (``normal`` false) the
    same uniform one.

    Where the solver fails, as "fast" may, a velocity is beyond 1,000 or not a number. The body is then put back at rest
    in the model's posture, and the step has reward 0: MuJoCo itself does so, from 10¹⁰ on.
    """

    file: str
    frame_skip: int
    noise: float
    normal: bool = False
    has_film = True
    view: tuple[int, int] = (0, 2)
    """The axes of the drawing: from the side, or from above."""

    def __init__(self, solver: Solver = "newton-4-8"):
        self.simulator: Simulator = simulator(self.file, self.frame_skip, solver)

    @abc.abstractmethod
    def reward(self, before: Motion, after: Motion, action: Array, params: Any) -> Array:
        """Of the control step from ``before`` to ``after``."""

    def has_fallen(self, motion: Motion) -> Array:
        """Whether the episode ends here."""
        return jnp.zeros((), bool)

    def seen(self, motion: Motion) -> Array:
        """The observation ``[D]``."""
        return jnp.concatenate([motion.qpos[1:], motion.qvel])

    def model_of(self, params: Any) -> Any:
        """The model that steps a task."""
        return self.simulator.model

    def reset_env(self, key, params):
        key_position, key_velocity = jax.random.split(key)
        model = self.simulator.model
        qpos = model.qpos0 + jax.random.uniform(key_position, (model.nq,), minval=-self.noise, maxval=self.noise)
        if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE:
            qpos = qpos.at[3:7].divide(jnp.linalg.norm(qpos[3:7]))
        if self.normal:
            qvel = self.noise * jax.random.normal(key_velocity, (model.nv,))
        else:
            qvel = jax.random.uniform(key_velocity, (model.nv,), minval=-self.noise, maxval=self.noise)
        state = LocomotionState(jnp.zeros((), jnp.int32), qpos, qvel, jnp.zeros(model.nv))
        return self.get_obs(state, params), state

    def step_env(self, key, state, action, params):
        check_action(self, action)
        before, control = _motion(state), jnp.asarray(action, jnp.float32)
        after = advance(self.simulator, self.model_of(params), before, control)
        possible = jnp.all(jnp.abs(after.qvel) < FASTEST) & jnp.all(jnp.isfinite(after.qpos))
        rest = Motion(self.simulator.model.qpos0, jnp.zeros_like(after.qvel), jnp.zeros_like(after.qvel))
        after = jax.tree.map(lambda new, old: jnp.where(possible, new, old), after, rest)
        state = LocomotionState(state.time + 1, *after)
        reward = jnp.where(possible, self.reward(before, after, control, params), 0.0)
        terminated = self.has_fallen(after)
        info = {"discount": jnp.where(terminated, jnp.float32(0.0), jnp.float32(1.0))}
        return self.get_obs(state, params), state, reward, terminated, info

    def is_terminated(self, state, params):
        return self.has_fallen(_motion(state))

    def get_obs(self, state, params=None, key=None):
        return self.seen(_motion(state))

    @property
    def num_actions(self) -> int:
        return self.simulator.model.nu

    def action_space(self, params=None) -> spaces.Box:
        low, high = np.asarray(host_model(self.file).actuator_ctrlrange, np.float32).T
        return spaces.Box(low, high, low.shape, jnp.float32)

    def observation_space(self, params=None) -> spaces.Box:
        model = self.simulator.model
        still = Motion(model.qpos0, jnp.zeros(model.nv), jnp.zeros(model.nv))
        return spaces.Box(-LIMIT, LIMIT, jax.eval_shape(self.seen, still).shape, jnp.float32)

    def state_space(self, params=None) -> spaces.Dict:
        params, model = params or self.default_params, self.simulator.model
        parts = {"qpos": model.nq, "qvel": model.nv, "warmstart": model.nv}
        boxes = {name: spaces.Box(-LIMIT, LIMIT, (size,), jnp.float32) for name, size in parts.items()}
        return spaces.Dict({**boxes, "time": spaces.Discrete(int(params.max_steps_in_episode) + 1)})

    def describe(self, params: Any) -> str:
        """A task in a few words."""
        return f"goal {np.array2string(np.asarray(params.goal), precision=2)}"

    def render(self, state, params):
        """The body's limbs, from the side or from above; ``film`` has MuJoCo's own pictures."""
        host = host_model(self.file)
        data = mujoco.MjData(host)
        data.qpos[:] = np.asarray(state.qpos)
        mujoco.mj_kinematics(host, data)
        limbs = host.geom_type != mujoco.mjtGeom.mjGEOM_PLANE
        length = np.where(host.geom_type == mujoco.mjtGeom.mjGEOM_CAPSULE, host.geom_size[:, 1], 0.0)
        half = data.geom_xmat.reshape(-1, 3, 3)[:, :, 2] * length[:, None]
        ends = np.stack([data.geom_xpos - half, data.geom_xpos + half], axis=1)[limbs][..., self.view]
        settings = {"what": self.describe(params), "ground": 2 in self.view}
        return drawing.figure(drawing.limbs, ends, host.geom_size[limbs, 0], **settings)

    def film(self, states, *paths):
        from jaxmeta.tasks.filming import film

        return film(self, states, *paths)

    def speed(self, before: Motion, after: Motion) -> Array:
        """The mean speed along x in a control step, m/s."""
        return (after.qpos[0] - before.qpos[0]) / self.simulator.seconds


def _motion(state: LocomotionState) -> Motion:
    return Motion(state.qpos, state.qvel, state.warmstart)
