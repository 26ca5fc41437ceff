"""Glucose: the model against an independent integrator, the risk's known values, and controllers in their order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from jaxmeta import tasks
from jaxmeta.tasks import controller_returns, medicine
from jaxmeta.tasks.medicine import GlucoseParams

PATIENT = GlucoseParams(
    effectiveness=0.012, remote_rate=0.025, sensitivity=5.2, clearance=0.0926, weight=70.0, gut_time=40.0
)


def derivative(_, body, infusion):
    """The equations in NumPy, with Fisher's numbers for a patient of 70 kg: V_I = 12 l, p₃ = 1.3e-5."""
    glucose, remote, insulin, gut = body
    return [
        -0.012 * (glucose - 110.0) - remote * glucose + gut / 40.0 / 112.0,
        -0.025 * remote + 1.3e-5 * (insulin - 15.0),
        infusion / 12.0 - 0.0926 * insulin,
        -gut / 40.0,
    ]


@pytest.mark.parametrize("infusion", [0.0, 60.0])
def test_a_step_is_the_solution_of_the_equations(infusion):
    body = np.array([180.0, 0.004, 30.0, 20_000.0])
    exact = solve_ivp(derivative, (0.0, 15.0), body, args=(infusion,), rtol=1e-10, atol=1e-10).y[:, -1]
    stepped = medicine.after_step(jnp.array(body, jnp.float32), jnp.float32(infusion), PATIENT)
    np.testing.assert_allclose(stepped, exact, rtol=2e-4)


def test_the_risk_has_its_known_values():
    """Kovatchev et al. 1997: the ends of the scale are equally bad, 112.5 mg/dl is best."""
    risk = medicine.risk(jnp.array([20.0, 112.5, 600.0, 70.0, 180.0]))
    np.testing.assert_allclose(risk, [100.0, 0.0, 100.0, 7.75, 7.75], atol=0.2)


def test_a_fasting_patient_rests_at_the_basal_rate_and_rises_without_insulin():
    body = rising = medicine.resting_body()
    for _ in range(8):
        body = medicine.after_step(body, medicine.basal_rate(PATIENT), PATIENT)
        rising = medicine.after_step(rising, jnp.float32(0.0), PATIENT)
    np.testing.assert_allclose(body, medicine.resting_body(), rtol=1e-4, atol=1e-6)
    assert rising[0] > 150.0


def test_meals_come_at_their_times_and_in_their_range():
    env, task = tasks.make("glucose").env, tasks.make("glucose").sample(jax.random.key(0))
    _, state = env.reset_env(jax.random.key(0), task)
    eaten = []
    for time in range(60):
        gut = float(state.body[3]) * np.exp(-15.0 / float(task.gut_time))
        _, state, reward, _, info = env.step_env(jax.random.key(time), state, jnp.zeros(1), task)
        # What is there more than of old is what is left of a meal after one step.
        left = (float(state.body[3]) - gut) / np.exp(-15.0 / float(task.gut_time)) / 900.0
        eaten.append(left)
        glucose = float(state.body[0])
        assert float(reward) == pytest.approx(-float(medicine.risk(state.body[0])) / 100.0)
        assert bool(info["cost"]) == (not 70.0 <= glucose <= 180.0)
    times = np.flatnonzero(np.abs(eaten) > 1.0)
    assert times.tolist() == [4, 24, 48]
    assert all(30.0 <= eaten[time] <= 80.5 for time in times)


def test_what_is_observed():
    env, task = tasks.make("glucose").env, PATIENT
    obs, state = env.reset_env(jax.random.key(0), task)
    np.testing.assert_allclose(obs, [1.1, 0.0, float(medicine.basal_rate(task)) / 100.0, 0.0, 1.0], rtol=1e-5)
    obs, state, *_ = env.step_env(jax.random.key(1), state, jnp.ones(1), task)
    angle = 2.0 * np.pi / 96.0
    fallen = float(state.body[0]) / 100.0 - 1.1
    assert fallen < 0.0
    np.testing.assert_allclose(obs, [1.1 + fallen, fallen, 1.0, np.sin(angle), np.cos(angle)], rtol=1e-4, atol=1e-6)


def test_feedback_is_better_than_none_and_prediction_by_the_own_model_is_best():
    family = tasks.make("glucose")
    batch = jax.vmap(family.sample)(jax.random.split(jax.random.key(3), 200))
    controllers = (medicine.average_basal(), medicine.pid(), medicine.average_prediction(), medicine.told_prediction())
    returns = [np.asarray(controller_returns(jax.random.key(1), family, one, batch)) for one in controllers]
    told = returns[-1]
    for worse in returns[:-1]:
        assert (told - worse).mean() > 4 * (told - worse).std() / np.sqrt(200)
    assert returns[1].mean() > returns[0].mean() + 3.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": (0.0, 80.0)}, r"weight: got \(0.0, 80.0\); must be 0 < low <= high"),
        ({"clearance": (0.1, 0.6)}, r"clearance: got \(0.1, 0.6\); must be at most 0.5"),
        ({"gut_time": (5.0, 60.0)}, r"gut_time: got \(5.0, 60.0\); must be at least 6"),
        ({"max_rate": 0.0}, "max_rate: got 0.0; must be positive"),
        ({"horizon": 0}, "horizon: got 0; must be at least 1"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        tasks.make("glucose", **settings)
