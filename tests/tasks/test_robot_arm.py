"""The robot arm: its dynamics against Lagrange's equations, its controllers against their purpose."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmeta
from jaxmeta import tasks
from jaxmeta.tasks import controller_returns

# The module's function has its name.
robot_arm = importlib.import_module("jaxmeta.tasks.robot_arm")
ARM = robot_arm.ArmParams(upper=0.35, fore=0.45, payload=0.7, damping=0.2)


def kinetic_energy(angles, rates, arm):
    """Of two rods of 2 kg/m, by an integral over each, and a point at the end."""
    along = (jnp.arange(1000) + 0.5) / 1000

    def speed(joint_and_share):
        def place(angles):
            first, share = joint_and_share
            second = angles[0] + angles[1]
            elbow = arm.upper * jnp.stack([jnp.cos(angles[0]), jnp.sin(angles[0])])
            return first * elbow + share * jnp.stack([jnp.cos(second), jnp.sin(second)])

        return jnp.sum(jax.jvp(place, (angles,), (rates,))[1] ** 2)

    upper = jax.vmap(lambda share: speed((share, 0.0)))(along).mean() * 2.0 * arm.upper
    fore = jax.vmap(lambda share: speed((1.0, share * arm.fore)))(along).mean() * 2.0 * arm.fore
    return 0.5 * (upper + fore + arm.payload * speed((1.0, arm.fore)))


def test_accelerations_solve_the_equations_of_lagrange():
    angles, rates = jnp.array([0.4, 1.1]), jnp.array([1.5, -2.5])
    mass, others = robot_arm.dynamics(angles, rates, ARM)
    of_rates = jax.grad(kinetic_energy, 1)
    np.testing.assert_allclose(mass, jax.jacfwd(of_rates, 1)(angles, rates, ARM), rtol=1e-4)
    # d/dt (dT/dq') = dT/dq + τ − d q', where no motor acts.
    drift = jax.grad(kinetic_energy)(angles, rates, ARM) - jax.jacfwd(of_rates)(angles, rates, ARM) @ rates
    np.testing.assert_allclose(others, drift - 0.2 * rates, rtol=1e-3, atol=1e-4)


def test_a_step_keeps_energy_without_friction_and_loses_it_with():
    angles, rates = jnp.array([0.4, 1.1]), jnp.array([2.0, -3.0])
    before = float(kinetic_energy(angles, rates, ARM))
    after = [
        float(kinetic_energy(*robot_arm.after_step(angles, rates, jnp.zeros(2), arm), arm))
        for arm in (ARM.replace(damping=0.0), ARM)
    ]
    assert after[0] == pytest.approx(before, rel=1e-4)
    assert after[1] < 0.95 * before


def test_steps_pay_and_cost_what_is_said_and_targets_move_half_way():
    env = tasks.make("robot-arm").env
    _, state = env.reset_env(jax.random.key(0), ARM)
    seen, costs = [], []
    step = jax.jit(env.step_env)
    for key in jax.random.split(jax.random.key(1), 26):
        before = state
        obs, state, reward, _, info = step(key, state, jnp.array([0.5, -2.0]), ARM)
        distance = np.linalg.norm(robot_arm.hand_of(state.angles, ARM) - before.target)
        assert float(reward) == pytest.approx(-distance - 0.01 * (0.25 + 1.0), abs=1e-5)
        np.testing.assert_allclose(obs[6:8], state.target - robot_arm.hand_of(state.angles, ARM), atol=1e-6)
        later = robot_arm.hand_of(state.angles + 1e-3 * state.rates, ARM)
        speed = np.linalg.norm(later - robot_arm.hand_of(state.angles, ARM)) / 1e-3
        assert info["cost"] == (speed > 1.0)
        seen.append(tuple(np.asarray(state.target).tolist()))
        costs.append(float(info["cost"]))
    assert len(set(seen[:24])) == 1
    assert len(set(seen)) == 2
    assert 0 < sum(costs) < 26
    assert all(0.25 <= np.hypot(*target) <= 0.55 and target[0] >= 0 for target in seen)


def test_who_is_told_the_arm_comes_to_the_target_and_beats_the_baselines():
    family = tasks.make("robot-arm")
    batch = jaxmeta.sample_tasks(jax.random.key(2), family, 300)
    spring, average, told = (
        np.mean(controller_returns(jax.random.key(3), family, one, batch)) for one in family.controllers.values()
    )
    assert spring < average - 2.0 < average < told - 0.2
    assert told == pytest.approx(-6.4, abs=0.3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"upper": (0.1, 0.4)}, r"^upper: got \(0.1, 0.4\); must be at least 0.2$"),
        ({"damping": (0.1, 0.7)}, r"^damping: got \(0.1, 0.7\); must be at most 0.5$"),
        ({"payload": (0.0, 1.0)}, r"^payload: got \(0.0, 1.0\); must be 0 < low <= high$"),
        ({"fast": 1.5}, "^fast: "),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        tasks.make("robot-arm", **settings)
