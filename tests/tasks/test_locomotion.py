"""Families on MJX: the motion is C MuJoCo's, rewards are what the papers say, and derived physics is never stale."""

import copy
import re
import subprocess
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxmeta
from jaxmeta import registry, tasks
from jaxmeta.commands import pictures
from jaxmeta.data import episode_states

if "half-cheetah-velocity" not in registry.FAMILIES:
    pytest.skip("MuJoCo or MJX is not installed", allow_module_level=True)

import mujoco
from locomotion import axes_of_mujoco, differences

from jaxmeta.tasks import filming, locomotion_bodies as bodies
from jaxmeta.tasks.mujoco_models import DERIVED, SOLVERS, Motion, Solver, consistent, host_model, mjx, moved, simulator


@pytest.mark.parametrize("body", [bodies.HalfCheetahVelocity, bodies.HopperPhysics])
def test_motion_is_that_of_mujoco(body):
    """The half-cheetah by MuJoCo's Euler, the hopper by Runge and Kutta; both meet the ground."""
    found = np.array(list(differences(body(), tuple(range(1, 16))).values()))
    assert found[:, 0].max() < 1e-5
    assert found[:, 1].max() < 5e-4


def test_settings_out_of_range_are_one_line():
    for settings, message in (
        ({"solver": "slow"}, "solver: got 'slow'; must be one of newton-4-8, fast"),
        ({"fastest": 0.0}, "fastest: got 0.0; must be greater than slowest, 0.0"),
        ({"slowest": float("nan")}, "slowest: got nan; must be finite"),
        ({"horizon": 0}, "horizon: got 0; must be at least 1"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            tasks.make("half-cheetah-velocity", **settings)
    for name, settings, message in (
        ("ant-goal", {"radius": 0.0}, "radius: got 0.0; must be positive"),
        ("ant-direction", {"directions": "three"}, "directions: got 'three'; must be one of two, all"),
        ("walker-physics", {"spread": -1.0}, "spread: got -1.0; must be at least 0"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            tasks.make(name, **settings)
    assert set(SOLVERS) == set(typing.get_args(Solver))


def test_speeds_are_those_of_each_paper():
    keys = jax.random.split(jax.random.key(0), 1000)
    for name, fastest in (("half-cheetah-velocity", 2.0), ("half-cheetah-velocity-3", 3.0)):
        goals = np.asarray(jax.vmap(tasks.make(name).sample)(keys).goal)
        assert goals.min() >= 0.0
        assert 0.98 * fastest < goals.max() < fastest
        assert abs(goals.mean() - fastest / 2) < 0.1


def motion_at(*qpos, size=9):
    """A motion of which only the first positions matter; nothing moves."""
    return Motion(jnp.array(qpos, jnp.float32), jnp.zeros(size), jnp.zeros(size))


def test_rewards_of_the_half_cheetah_are_those_of_finn():
    action, before, after = jnp.full(6, 0.5), motion_at(1.0), motion_at(1.05)  # 0.05 m in 0.05 s are 1 m/s
    velocity, direction = bodies.HalfCheetahVelocity(), bodies.HalfCheetahDirection()
    assert velocity.simulator.seconds == pytest.approx(0.05)
    goal = bodies.GoalParams(goal=jnp.float32(1.5))
    assert float(velocity.reward(before, after, action, goal)) == pytest.approx(-0.5 - 0.05 * 1.5, abs=1e-5)
    for sign in (-1.0, 1.0):
        goal = bodies.GoalParams(goal=jnp.float32(sign))
        assert float(direction.reward(before, after, action, goal)) == pytest.approx(sign - 0.05 * 1.5, abs=1e-5)


def test_a_body_whose_engine_fails_is_put_back():
    env = bodies.HalfCheetahVelocity()
    task, (_, state) = env.default_params, env.reset_env(jax.random.key(0), env.default_params)
    step = jax.jit(lambda state: env.step_env(jax.random.key(1), state, jnp.zeros(6), task))
    for speed in (1e8, float("nan")):
        obs, after, reward, terminated, _ = step(state.replace(qvel=state.qvel.at[4].set(speed)))
        np.testing.assert_array_equal(after.qpos, env.simulator.model.qpos0)
        np.testing.assert_array_equal(obs, np.concatenate([after.qpos[1:], np.zeros(9)]))
        assert (float(reward), bool(terminated), int(after.time)) == (0.0, False, 1)
    assert float(step(state)[2]) < 0.0


def test_the_goal_is_not_observed():
    family = tasks.make("half-cheetah-velocity")
    batch = family.sample(jax.random.key(0)), family.sample(jax.random.key(1))
    first, second = (family.env.reset_env(jax.random.key(2), task)[0] for task in batch)
    assert batch[0].goal != batch[1].goal
    np.testing.assert_array_equal(first, second)


def test_rewards_of_the_ant_are_those_of_pearl():
    action, before, after = jnp.full(8, 0.5), motion_at(0.0, 0.0, 0.5), motion_at(0.05, 0.1, 0.5)  # 1 and 2 m/s
    direction, goal = bodies.AntDirection(), bodies.AntGoal()
    task = bodies.PlaneGoalParams(goal=jnp.array([0.6, 0.8]))
    assert float(direction.reward(before, after, action, task)) == pytest.approx(0.6 + 1.6 - 1.0 + 1.0, abs=1e-5)
    task = bodies.PlaneGoalParams(goal=jnp.array([1.0, -2.0]))
    assert float(goal.reward(before, after, action, task)) == pytest.approx(-0.95 - 2.1 - 0.2, abs=1e-5)
    heights = {0.1: True, 0.21: False, 0.99: False, 1.1: True, float("nan"): True}
    for height, fallen in heights.items():
        assert bool(direction.has_fallen(motion_at(0.0, 0.0, height))) == fallen
        assert not bool(goal.has_fallen(motion_at(0.0, 0.0, height)))


def test_rewards_of_runners_are_those_of_random_parameters():
    walker, hopper = bodies.WalkerPhysics(), bodies.HopperPhysics()
    for env, motors in ((walker, 6), (hopper, 3)):
        moved = motion_at(2.0 * env.simulator.seconds, 1.25, 0.0)
        reward = env.reward(motion_at(0.0, 1.25, 0.0), moved, jnp.full(motors, 0.5), env.default_params)
        assert float(reward) == pytest.approx(2.0 + 1.0 - 0.001 * 0.25 * motors, abs=1e-4)
    assert walker.simulator.seconds == pytest.approx(0.01)
    assert hopper.simulator.seconds == pytest.approx(0.008)
    for height, angle, walker_fallen, hopper_fallen in (
        (1.25, 0.1, False, False),
        (1.25, 0.5, False, True),
        (1.25, -1.1, True, True),
        (0.75, 0.0, True, False),
        (0.6, 0.0, True, True),
        (2.1, 0.0, True, False),
        (float("nan"), 0.0, True, True),
    ):
        motion = motion_at(0.0, height, angle)
        assert (bool(walker.has_fallen(motion)), bool(hopper.has_fallen(motion))) == (walker_fallen, hopper_fallen)
    spinning = motion_at(0.0, 1.25, 0.0)._replace(qvel=jnp.full(6, 101.0))
    assert bool(hopper.has_fallen(spinning))


def test_rewards_of_the_humanoid_are_those_of_pearl():
    env = bodies.HumanoidDirection()
    before = Motion(env.simulator.model.qpos0, jnp.zeros(23), jnp.zeros(23))
    after = before._replace(qpos=before.qpos.at[:2].add(jnp.array([0.015, -0.03])))  # 1 and −2 m/s
    task = bodies.PlaneGoalParams(goal=jnp.array([0.6, 0.8]))
    reward = float(env.reward(before, after, jnp.full(17, 0.4), task))
    assert reward == pytest.approx(1.25 * (0.6 - 1.6) - 0.1 * 17 * 0.16 + 5.0, abs=1e-3)
    assert not bool(env.has_fallen(before))
    assert bool(env.has_fallen(before._replace(qpos=before.qpos.at[2].set(0.9))))


@pytest.mark.parametrize(("name", "file"), [("walker-physics", "walker2d_v5.xml"), ("hopper-physics", "hopper.xml")])
def test_what_follows_from_physics_is_what_mujoco_computes(name, file):
    family = tasks.make(name)
    batch = jax.tree.map(np.asarray, jax.jit(jax.vmap(family.sample))(jax.random.split(jax.random.key(0), 3)))
    stale = host_model(file)
    for index in range(3):
        host = copy.copy(stale)
        for varied in bodies.VARIED:
            drawn, before = getattr(batch, varied)[index], getattr(stale, varied)
            factor = drawn[before > 0] / before[before > 0]
            assert factor.max() <= 1.5**3 * 1.0001
            assert len(np.unique(factor.round(4))) > 1
            getattr(host, varied)[:] = drawn
        mujoco.mj_setConst(host, mujoco.MjData(host))
        for derived in DERIVED:
            np.testing.assert_allclose(getattr(batch, derived)[index], getattr(host, derived), rtol=1e-4, atol=1e-6)
        assert np.max(np.abs(host.body_invweight0 / np.maximum(stale.body_invweight0, 1e-9) - 1.0)[1:]) > 0.1


@pytest.mark.parametrize("file", ["ant.xml", "half_cheetah.xml", "humanoid.xml"])
def test_what_follows_from_a_file_is_what_it_has(file):
    found, host = jax.jit(lambda: consistent(simulator(file, 5, "newton-4-8"), {}))(), host_model(file)
    for derived in DERIVED:
        np.testing.assert_allclose(found[derived], getattr(host, derived), rtol=1e-4, atol=1e-6)


def test_a_free_body_is_turned_as_mujoco_turns_it():
    host, generator = host_model("ant.xml"), np.random.default_rng(0)
    model = simulator("ant.xml", 5, "newton-4-8").model
    for size in (0.0, 1e-6, 1.0):
        expected, velocity = host.qpos0.copy(), size * generator.normal(size=host.nv)
        expected[3:7] = [0.5, 0.5, -0.5, 0.5]
        start = jnp.asarray(expected, jnp.float32)
        mujoco.mj_integratePos(host, expected, velocity, 0.1)
        found = moved(model, start, jnp.asarray(0.1 * velocity, jnp.float32))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def frame_of_contact(tilt):
    """The axes of the contact of a capsule with the ground, ``tilt`` degrees from upright, in MJX and in MuJoCo."""
    host = mujoco.MjModel.from_xml_string(
        f"""<mujoco><worldbody><geom type="plane" size="1 1 1"/>
        <body pos="0 0 0.15" axisangle="1 0.5 0 {tilt}"><freejoint/>
        <geom type="capsule" size="0.1 0.2"/></body></worldbody></mujoco>"""
    )
    data = mujoco.MjData(host)
    mujoco.mj_forward(host, data)
    model = mjx.put_model(host)
    found = mjx.collision(model, mjx.kinematics(model, mjx.make_data(model)))
    return np.asarray(found.contact.frame[0]), data.contact.frame[0].reshape(3, 3)


def test_why_the_ant_differs():
    """Friction is a pyramid that follows the capsule; MJX turns it elsewhere where that is steep (mujoco#2774).

    With MuJoCo's axes the ant moves as in MuJoCo.
    """
    ours, theirs = frame_of_contact(tilt=70.0)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    ours, theirs = frame_of_contact(tilt=15.0)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
    assert np.abs(ours[1] @ theirs[1]) < 0.9
    with axes_of_mujoco():
        np.testing.assert_allclose(*frame_of_contact(tilt=15.0), atol=1e-5)
        found = differences(bodies.AntDirection(), (5, 10))
    assert found[5][0] < 1e-5
    assert found[10][0] < 1e-4


def test_directions_and_places_are_those_of_each_family():
    keys = jax.random.split(jax.random.key(0), 1000)
    either = np.asarray(jax.vmap(tasks.make("ant-direction").sample)(keys).goal)
    assert {tuple(goal) for goal in either.tolist()} == {(-1.0, 0.0), (1.0, 0.0)}
    for family in (tasks.make("ant-direction", directions="all"), tasks.make("humanoid-direction")):
        assert family.every is None
        any_way = np.asarray(jax.vmap(family.sample)(keys).goal)
        np.testing.assert_allclose(np.linalg.norm(any_way, axis=1), 1.0, rtol=1e-5)
        assert np.abs(any_way.mean(axis=0)).max() < 0.1
    places = np.linalg.norm(jax.vmap(tasks.make("ant-goal").sample)(keys).goal, axis=1)
    assert 2.9 < places.max() < 3.0
    assert abs(np.mean(places < 3.0 / np.sqrt(2.0)) - 0.5) < 0.05  # uniform on the disc


def random_states(family, steps=12):
    """The states of an episode of random actions."""
    learner = jaxmeta.learners.uniform_learner(family.env)
    task = family.sample(jax.random.key(0))
    states = lambda task: episode_states(jax.random.key(1), family.env, task, learner, (), (), horizon=steps)  # noqa: E731
    return jax.jit(states)(task)


@pytest.fixture(scope="module")
def filmed():
    family = tasks.make("half-cheetah-velocity", horizon=12)
    return family, *random_states(family)


def test_the_states_of_an_episode_begin_with_its_first(filmed):
    _, states, count = filmed
    assert count == 13
    np.testing.assert_array_equal(states.time, range(13))


def test_films_are_png_gif_and_mp4(filmed, tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    family, states, _ = filmed
    assert family.env.has_film
    paths = [tmp_path / f"film.{form}" for form in ("png", "gif", "mp4")]
    try:
        assert family.env.film(states, *paths) == paths
    except RuntimeError as error:
        pytest.skip(str(error))
    with Image.open(paths[0]) as picture:
        assert picture.size == (6 * filming.WIDTH, filming.HEIGHT)
        moments = np.split(np.asarray(picture), 6, axis=1)
    assert all((moment != moments[0]).any() for moment in moments[1:])
    with Image.open(paths[1]) as picture:
        assert (picture.n_frames, picture.info["duration"]) == (13, 50)  # 20 control steps a second
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(paths[2]), *raw]
    pixels = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    frames = pixels.reshape(-1, filming.HEIGHT, filming.WIDTH, 3)
    assert len(frames) == 13
    assert np.abs(frames[0].astype(float) - moments[0]).mean() < 5


def test_what_cannot_be_filmed_is_one_line(filmed, tmp_path, monkeypatch):
    family, states, _ = filmed
    with pytest.raises(ValueError, match=r"^film: got film.avi; must end in .png, .gif or .mp4$"):
        family.env.film(states, tmp_path / "film.avi")
    with pytest.raises(ValueError, match=r"^film: got states of another environment; must be those of a locomotion"):
        family.env.film({"x": jnp.zeros(3)}, tmp_path / "film.png")
    first = jax.tree.map(lambda leaf: leaf[0], states)
    with pytest.raises(ValueError, match=r"^film: got positions \(9,\); must be \[T, 9\], those of one episode$"):
        family.env.film(first, tmp_path / "film.png")

    def no_screen(*size):
        raise ImportError("libEGL")

    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setattr(mujoco, "GLContext", no_screen)
    message = (
        "film: no OpenGL that draws without a window (ImportError); install libEGL, or OSMesa and set MUJOCO_GL=osmesa"
    )
    with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
        family.env.film(states, tmp_path / "film.png")
    assert not list(tmp_path.iterdir())


def test_a_run_is_filmed(tmp_path):
    """Of a lifetime too, whose states are those of a wrapper."""
    chosen = jaxmeta.experiment("rl2", "half-cheetah-velocity", lifetime=2, family={"horizon": 3}, policy={"size": 4})
    family, method = chosen.build()
    theta = jax.jit(method.init)(jax.random.key(0)).theta
    task = family.sample(jax.random.key(1))
    states = pictures.adapted_states(jax.random.key(2), family, method, theta, task)
    assert states.inner.qpos.shape == (7, 9)
    try:
        family.env.film(states, tmp_path / "film.gif")
    except RuntimeError as error:
        pytest.skip(str(error))
    assert (tmp_path / "film.gif").stat().st_size > 5_000
