"""Classic control against Gymnasium's, under the same actions and physics, and the test tasks' distance from training.

Gymnasium computes in float64 and gymnax in float32. Over 60 steps the trajectories agree within 2e-4 of a state
variable's unit, Acrobot's, whose motion is chaotic, within 5e-3 over 40.
"""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import tasks


def with_cartpole(env, task):
    env.gravity, env.masscart, env.masspole = float(task.gravity), float(task.masscart), float(task.masspole)
    env.total_mass, env.length = env.masscart + env.masspole, float(task.length)
    env.polemass_length, env.force_mag = env.masspole * env.length, float(task.force_mag)


def with_mountain_car(env, task):
    env.gravity, env.force, env.goal_position = float(task.gravity), float(task.force), float(task.goal_position)


def with_continuous_car(env, task):
    env.power, env.goal_position = float(task.power), float(task.goal_position)


def with_acrobot(env, task):
    env.AVAIL_TORQUE = np.asarray(task.available_torque, float).tolist()
    env.LINK_LENGTH_1, env.LINK_LENGTH_2 = float(task.link_length_1), float(task.link_length_2)
    env.LINK_MASS_1, env.LINK_MASS_2 = float(task.link_mass_1), float(task.link_mass_2)
    env.LINK_COM_POS_1, env.LINK_COM_POS_2 = env.LINK_LENGTH_1 / 2, env.LINK_LENGTH_2 / 2


def with_pendulum(env, task):
    env.g, env.m, env.l = float(task.g), float(task.m), float(task.l)


def start_of(name, state):
    fields = {
        "cartpole": ("x", "x_dot", "theta", "theta_dot"),
        "acrobot": ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
        "pendulum": ("theta", "theta_dot"),
    }
    return np.array([float(getattr(state, field)) for field in fields.get(name, ("position", "velocity"))])


CASES = {
    "cartpole": ("CartPole-v1", with_cartpole, 60, 2e-4, {}),
    "mountain-car": ("MountainCar-v0", with_mountain_car, 150, 2e-4, {}),
    # Gymnasium's continuous car has gravity 0.0025 written into its step.
    "mountain-car-continuous": (
        "MountainCarContinuous-v0",
        with_continuous_car,
        200,
        2e-4,
        {"gravity": (0.0025, 0.0025)},
    ),
    "acrobot": ("Acrobot-v1", with_acrobot, 40, 5e-3, {}),
    "pendulum": ("Pendulum-v1", with_pendulum, 60, 2e-4, {}),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_trajectories_agree_with_gymnasium(name, seed):
    gymnasium_name, set_physics, steps, tolerance, settings = CASES[name]
    family = tasks.make(name, **settings)
    key_task, key_reset, key_actions = jax.random.split(jax.random.key(seed), 3)
    task = jax.jit(family.sample)(key_task)
    reset, step = (jax.jit(f) for f in (family.env.reset_env, family.env.step_env))
    obs, state = reset(key_reset, task)
    reference = gymnasium.make(gymnasium_name).unwrapped
    reference.reset(seed=0)
    set_physics(reference, task)
    reference.state = start_of(name, state)
    actions = jax.vmap(family.env.action_space(task).sample)(jax.random.split(key_actions, steps))
    compared = 0
    for action in actions:
        if name.startswith("mountain-car"):
            # Along its own motion, so that the car swings up to both walls and the goal.
            along = jnp.sign(obs[1])
            action = jnp.int32(1 + along) if action.ndim == 0 else jnp.full(1, along)
        obs, state, reward, terminated, _ = step(key_reset, state, action, task)
        # A family's actions are in [−1, 1], Gymnasium's in the motor's own units.
        theirs = np.asarray(action) * (2.0 if name == "pendulum" else 1.0) if action.ndim else int(action)
        their_obs, their_reward, their_terminated, _, _ = reference.step(theirs)
        np.testing.assert_allclose(obs, their_obs, atol=tolerance)
        np.testing.assert_allclose(reward, their_reward, atol=10 * tolerance)
        assert bool(terminated) == their_terminated
        compared += 1
        if terminated:
            break
    assert compared == steps or terminated
    assert compared >= 8
    assert bool(terminated) or not name.startswith("mountain-car")


def test_the_left_wall_stops_both_cars():
    for name, push in (("mountain-car", jnp.int32(0)), ("mountain-car-continuous", jnp.array([-1.0]))):
        family = tasks.make(name)
        task = family.sample(jax.random.key(0))
        _, state = family.env.reset_env(jax.random.key(0), task)
        state = state.replace(position=jnp.float32(-1.19), velocity=jnp.float32(-0.06))
        obs, state, _, _, _ = family.env.step_env(jax.random.key(0), state, push, task)
        np.testing.assert_allclose(obs, [-1.2, 0.0])
        assert float(state.velocity) == 0.0


RANGES = {
    "cartpole": {
        "gravity": (7.0, 12.0),
        "masscart": (0.5, 2.0),
        "masspole": (0.05, 0.2),
        "length": (0.25, 1.0),
        "force_mag": (5.0, 15.0),
    },
    "mountain-car": {"gravity": (0.002, 0.003), "force": (0.0008, 0.0015), "goal_position": (0.4, 0.55)},
    "mountain-car-continuous": {"gravity": (0.002, 0.003), "power": (0.001, 0.002), "goal_position": (0.4, 0.55)},
    "acrobot": {
        "link_length_1": (0.75, 1.25),
        "link_length_2": (0.75, 1.25),
        "link_mass_1": (0.75, 1.25),
        "link_mass_2": (0.75, 1.25),
        "torque": (0.75, 1.5),
    },
    "pendulum": {"m": (0.75, 1.25), "l": (0.75, 1.25), "g": (7.0, 12.0)},
}


@pytest.mark.parametrize("name", RANGES)
def test_training_tasks_are_inside_their_ranges_and_test_tasks_outside_one(name):
    family = tasks.make(name)
    ranges = RANGES[name]
    for sampler, outside in ((family.sample, 0), (family.sample_test, 1)):
        batch = jax.jit(jax.vmap(sampler))(jax.random.split(jax.random.key(0), 500))
        fields = {field: getattr(batch, field) for field in ranges if field != "torque"}
        fields |= {"torque": batch.available_torque[:, 2]} if name == "acrobot" else {}
        fields = {field: np.asarray(values, np.float64) for field, values in fields.items()}
        beyond = {
            field: (fields[field] < low * (1 - 1e-6)) | (fields[field] > high * (1 + 1e-6))
            for field, (low, high) in ranges.items()
        }
        assert (sum(beyond.values()) == outside).all()
        # Every quantity varies over its range, and is the one outside in some test tasks.
        assert all(np.ptp(fields[field]) > 0.9 * (high - low) for field, (low, high) in ranges.items())
        assert all(values.any() == bool(outside) for values in beyond.values())
        if name == "cartpole":
            np.testing.assert_allclose(batch.total_mass, batch.masscart + batch.masspole, rtol=1e-6)
            np.testing.assert_allclose(batch.polemass_length, batch.masspole * batch.length, rtol=1e-6)
        if name == "acrobot":
            np.testing.assert_allclose(batch.link_com_pos_1, batch.link_length_1 / 2, rtol=1e-6)
            np.testing.assert_allclose(batch.link_com_pos_2, batch.link_length_2 / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("cartpole", {"gravity": (0.0, 1.0)}),
        ("cartpole", {"beyond": 1.0}),
        ("mountain-car", {"goal": (0.4, 0.6)}),
        ("mountain-car-continuous", {"beyond": 0.5}),
        ("acrobot", {"link_length": (2.0, 1.0)}),
        ("pendulum", {"horizon": 0}),
    ],
)
def test_settings_out_of_range_are_refused(name, setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}: got"):
        tasks.make(name, **setting)
