"""Films of MuJoCo's bodies, drawn by MuJoCo itself without a window: PNG, GIF and MP4."""

import math
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmeta.tasks.drawing import ffmpeg
from jaxmeta.tasks.mujoco_environment import Locomotion, LocomotionState
from jaxmeta.tasks.mujoco_models import host_model, mujoco

WIDTH, HEIGHT = 480, 320
"""Pixels of a frame; MP4 wants multiples of 16."""
RATE = 30.0
"""Frames a second, at most."""
SHOWN = 6
"""Frames that a PNG has side by side."""


def film(env: Locomotion, states: Any, *paths: str | Path) -> list[Path]:
    """Write an episode's states as a film, once to each path, in the format that its ending says.

    A PNG has six moments side by side. A film runs as fast as the body does.

    Args:
      env: the body, under all wrappers.
      states: leaves ``[T, ...]``, a ``LocomotionState`` or what wrappers put around it.
      *paths: ending in ``.png``, ``.gif`` or ``.mp4``.

    Returns:
      The paths.

    Raises:
      ValueError: another ending, or states of another environment.
      ImportError: an MP4 where imageio-ffmpeg is missing.
      RuntimeError: no OpenGL that draws without a window, or an MP4 that ffmpeg cannot write.
    """
    written = [Path(path) for path in paths]
    for path in written:
        if path.suffix not in (".png", ".gif", ".mp4"):
            raise ValueError(f"film: got {path.name}; must end in .png, .gif or .mp4")
    qpos = np.asarray(_positions(states))
    if qpos.ndim != 2 or qpos.shape[1] != env.simulator.model.nq:
        raise ValueError(
            f"film: got positions {qpos.shape}; must be [T, {env.simulator.model.nq}], those of one episode"
        )
    every = math.ceil(1.0 / (RATE * env.simulator.seconds))
    rate = 1.0 / (every * env.simulator.seconds)
    moments = np.linspace(0, len(qpos) - 1, min(SHOWN, len(qpos))).round().astype(int)
    moving = np.arange(0, len(qpos), every)
    drawn = sorted({*moments, *(moving if any(path.suffix != ".png" for path in written) else ())})
    frames = dict(zip(drawn, _frames(env, qpos[drawn]), strict=True))
    for path in written:
        if path.suffix == ".png":
            _write_png(path, np.concatenate([frames[moment] for moment in moments], axis=1))
        else:
            write = _write_gif if path.suffix == ".gif" else _write_mp4
            write(path, [frames[moment] for moment in moving], rate)
    return written


def _positions(states: Any) -> Any:
    """The positions in a state, however deep wrappers have put it."""
    inside = jax.tree.leaves(states, is_leaf=lambda node: isinstance(node, LocomotionState))
    found = [node for node in inside if isinstance(node, LocomotionState)]
    if len(found) != 1:
        raise ValueError("film: got states of another environment; must be those of a locomotion family")
    return found[0].qpos


def _frames(env: Locomotion, qpos: np.ndarray) -> Iterator[np.ndarray]:
    """Pictures ``[HEIGHT, WIDTH, 3]`` at positions ``[T, Q]``, by a camera that follows the body."""
    host = host_model(env.file)
    data = mujoco.MjData(host)
    context = _context()
    try:
        options, perturbation = mujoco.MjvOption(), mujoco.MjvPerturb()
        scene, drawing = (
            mujoco.MjvScene(host, maxgeom=1000),
            mujoco.MjrContext(host, mujoco.mjtFontScale.mjFONTSCALE_100),
        )
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, drawing)
        camera, shape = mujoco.MjvCamera(), mujoco.MjrRect(0, 0, WIDTH, HEIGHT)
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = host.camera("track").id
        for each in qpos:
            data.qpos[:] = each
            mujoco.mj_forward(host, data)
            mujoco.mjv_updateScene(host, data, options, perturbation, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
            mujoco.mjr_render(shape, scene, drawing)
            picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
            mujoco.mjr_readPixels(picture, None, shape, drawing)
            # OpenGL counts rows from the bottom.
            yield picture[::-1].copy()
        drawing.free()
    finally:
        context.free()


def _context() -> Any:
    """An OpenGL context without a window: what ``MUJOCO_GL`` names, and EGL where nothing is named and no screen is."""
    headless = platform.system() == "Linux" and not os.environ.get("DISPLAY") and not os.environ.get("MUJOCO_GL")
    try:
        if headless:
            from mujoco.egl import GLContext  # pyright: ignore[reportMissingImports]
        else:
            GLContext = mujoco.GLContext
        context = GLContext(WIDTH, HEIGHT)
        context.make_current()
    # OpenGL's packages raise errors of every kind where a library is missing.
    except Exception as error:
        raise RuntimeError(
            f"film: no OpenGL that draws without a window ({type(error).__name__}); install libEGL, "
            "or OSMesa and set MUJOCO_GL=osmesa"
        ) from error
    return context


def _write_png(path: Path, picture: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(picture).save(path)


def _write_gif(path: Path, frames: list[np.ndarray], rate: float) -> None:
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    # A GIF counts hundredths of a second.
    first.save(path, save_all=True, append_images=others, duration=round(100.0 / rate) * 10, loop=0)


def _write_mp4(path: Path, frames: list[np.ndarray], rate: float) -> None:
    form = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", f"{rate}", "-i", "-"]
    command = [ffmpeg(), "-y", "-loglevel", "error", *form, "-pix_fmt", "yuv420p", str(path)]
    made = subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), capture_output=True)
    if made.returncode:
        raise RuntimeError(f"film: {path.name} cannot be written ({made.stderr.decode(errors='replace').strip()})")
