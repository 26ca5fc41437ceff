"""Locomotion: control steps per second under random actions, and how far MJX is from C MuJoCo, by body and solver.

Speed is of the family at one batch size, each environment a task of its own; what falls is not set up again. For the
agreement both engines begin alike and get the same random controls, and MuJoCo solves as the model's file says. The ant
is compared once more with MuJoCo's axes of contact in MJX.
"""

import contextlib
import copy
import dataclasses
import importlib.metadata
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

BODIES = {
    "half-cheetah-velocity": "half-cheetah",
    "ant-direction": "ant",
    "walker-physics": "walker",
    "hopper-physics": "hopper",
    "humanoid-direction": "humanoid",
}
"""A family of each body."""


@dataclasses.dataclass(frozen=True)
class Locomotion:
    """Time every body with each solver, and compare it with C MuJoCo; print a table, write JSON."""

    json: Path | None = None
    """Write the results to this file."""
    families: tuple[str, ...] = tuple(BODIES)
    """Families to time, one for each body."""
    batch: int = 64
    """Environments that step together."""
    steps: int = 20
    """Control steps of each environment in a call."""
    repeats: int = 3
    """Timed calls; the median is reported."""
    compared: tuple[int, ...] = (5, 10, 40)
    """Control steps after which the two engines are compared."""


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Locomotion, args=argv)
    import measure

    from jaxmeta import tasks
    from jaxmeta.tasks.mujoco_models import SOLVERS

    versions = {name: importlib.metadata.version(name) for name in ("mujoco", "mujoco-mjx", "jax")}
    result: dict[str, Any] = {"machine": measure.machine(), "versions": versions, "rows": []}
    result["settings"] = {**dataclasses.asdict(arguments), "json": None}
    print(result["machine"], versions)
    for name in arguments.families:
        for solver in SOLVERS:
            family: Any = tasks.make(name, solver=solver)
            row = {"family": name, "solver": solver, **speed(family, arguments)}
            row |= {"differences": differences(family.env.unwrapped, arguments.compared)}
            result["rows"].append(row)
            print(row, flush=True)
    if "ant-direction" in arguments.families:
        from jaxmeta.tasks.locomotion_bodies import AntDirection

        with axes_of_mujoco():
            result["ant_with_axes_of_mujoco"] = differences(AntDirection(), arguments.compared)
        print("ant, MuJoCo's axes of contact in MJX", result["ant_with_axes_of_mujoco"])
    measure.write(arguments.json, result)


def speed(family: Any, arguments: Locomotion) -> dict[str, Any]:
    """Seconds to compile, and control steps per second."""
    import jax
    import jax.numpy as jnp
    import measure

    from jaxmeta import sample_tasks

    env, batch = family.env, arguments.batch

    def one_step(key, state, task):
        key_act, key_env = jax.random.split(key)
        action = env.action_space(task).sample(key_act)
        obs, state, reward, _, _ = env.step_env(key_env, state, action, task)
        return state, (jnp.sum(obs), reward)

    def call(key, state, some):
        def scan_step(state, key):
            return jax.vmap(one_step)(jax.random.split(key, batch), state, some)

        return jax.lax.scan(scan_step, state, jax.random.split(key, arguments.steps))

    some = sample_tasks(jax.random.key(0), family, batch)
    _, state = jax.vmap(env.reset_env)(jax.random.split(jax.random.key(1), batch), some)
    program, seconds = measure.compiled(call, jax.random.key(2), state, some)
    times = measure.seconds(program, jax.random.key(2), state, some, repeats=arguments.repeats)
    rate = batch * arguments.steps / measure.median(times)
    return {"compile_seconds": seconds, "seconds": times, "steps_per_second": rate}


@contextlib.contextmanager
def axes_of_mujoco() -> Iterator[None]:
    """Inside the ``with`` block MJX lays the axes of a capsule's contact with the ground along the capsule, as MuJoCo.

    By itself it does so only where that is less than 60° steep (github.com/google-deepmind/mujoco/issues/2774).
    """
    import jax.numpy as jnp
    import mujoco.mjx._src.collision_driver as driver  # pyright: ignore[reportMissingImports]
    from mujoco.mjx import GeomType  # pyright: ignore[reportMissingImports]

    pair = (GeomType.PLANE, GeomType.CAPSULE)
    original = driver._COLLISION_FUNC[pair]

    def collide(model: Any, data: Any, key: Any, geoms: Any) -> Any:
        distance, place, frame = original(model, data, key, geoms)
        # Two contacts of each pair.
        capsule, normal = jnp.repeat(data.geom_xmat[geoms[:, 1], :, 2], 2, axis=0), frame[:, 0]
        along = capsule - normal * jnp.sum(normal * capsule, axis=1, keepdims=True)
        along = along / jnp.linalg.norm(along, axis=1, keepdims=True)
        return distance, place, jnp.stack([normal, along, jnp.cross(normal, along)], axis=1)

    collide.ncon = original.ncon  # pyright: ignore[reportFunctionMemberAccess]
    driver._COLLISION_FUNC[pair] = collide
    try:
        yield
    finally:
        driver._COLLISION_FUNC[pair] = original


def differences(env: Any, compared: tuple[int, ...]) -> dict[int, list[float]]:
    """The largest difference of any position, and of any velocity, after some control steps."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxmeta.tasks.mujoco_models import Motion, advance, host_model, mujoco

    ours, host = env.simulator, copy.copy(host_model(env.file))
    host.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    generator, data = np.random.default_rng(0), mujoco.MjData(host)
    data.qpos += generator.uniform(-env.noise, env.noise, host.nq)
    mujoco.mj_normalizeQuat(host, data.qpos)
    data.qvel = env.noise * generator.normal(size=host.nv)
    motion = Motion(*(jnp.asarray(x, jnp.float32) for x in (data.qpos, data.qvel, np.zeros(host.nv))))
    step = jax.jit(lambda motion, control: advance(ours, ours.model, motion, control))
    found, (low, high) = {}, host.actuator_ctrlrange.T
    for count, control in enumerate(generator.uniform(low, high, (max(compared), host.nu)), 1):
        motion = step(motion, jnp.asarray(control, jnp.float32))
        data.ctrl = control
        for _ in range(env.frame_skip):
            mujoco.mj_step(host, data)
        if count in compared:
            pairs = ((motion.qpos, data.qpos), (motion.qvel, data.qvel))
            found[count] = [float(np.max(np.abs(np.asarray(a) - b))) for a, b in pairs]
    return found


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s")
