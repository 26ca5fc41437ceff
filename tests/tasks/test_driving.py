"""Lane keeping: the car against its published matrices and an exact integrator, the regulator against optimisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.optimize import minimize

import jaxmeta
from jaxmeta import tasks
from jaxmeta.tasks import controller_returns, driving
from jaxmeta.tasks.driving import CarParams

CAR = CarParams(mass=1.5, cornering=60.0, lag=0.15, speed=20.0)


def matrices(mass, cornering, lag, speed):
    """Equation 2.45 of Rajamani 2012, entry by entry, with a steering angle that lags as the fifth state."""
    front, rear = 1.1, 1.58
    inertia = mass * 1.35**2
    both, moment = 4.0 * cornering, 2.0 * cornering * (front - rear)
    second = 2.0 * cornering * (front**2 + rear**2)
    a = np.array(
        [
            [0.0, 1.0, 0.0, 0.0, 0.0],
            [0.0, -both / (mass * speed), both / mass, -moment / (mass * speed), 2.0 * cornering / mass],
            [0.0, 0.0, 0.0, 1.0, 0.0],
            [
                0.0,
                -moment / (inertia * speed),
                moment / inertia,
                -second / (inertia * speed),
                2 * cornering * front / inertia,
            ],
            [0.0, 0.0, 0.0, 0.0, -1.0 / lag],
        ]
    )
    return a, np.array([0.0, 0.0, 0.0, 0.0, 0.05 / lag])


def test_a_step_is_the_solution_of_the_published_equations():
    a, b = matrices(1500.0, 60_000.0, 0.15, 20.0)
    whole = expm(0.05 * np.block([[a, b[:, None]], [np.zeros((1, 6))]]))
    errors = np.array([0.4, -0.2, 0.03, 0.1, -0.01])
    exact = (whole @ np.append(errors, 0.7))[:5]
    stepped = driving.after_step(jnp.array(errors, jnp.float32), jnp.float32(0.7), CAR)
    np.testing.assert_allclose(stepped, exact, rtol=1e-3, atol=1e-5)


def test_the_regulator_is_the_minimum_over_all_actions():
    """Without noise, against a quasi-Newton method over the actions of a whole episode."""
    horizon, start = 12, np.array([0.5, 0.0, 0.02, 0.0, 0.0])
    step = jax.jit(driving.after_step)
    a = np.asarray(jax.jacfwd(driving.after_step)(jnp.zeros(5), jnp.float32(0.0), CAR), float)
    b = np.asarray(step(jnp.zeros(5), jnp.float32(1.0), CAR), float)

    def cost(actions):
        errors, total = start, 0.0
        for action in actions:
            errors = a @ errors + b * action
            total += errors[0] ** 2 + 10.0 * errors[2] ** 2 + action**2
        return total

    found = minimize(cost, np.zeros(horizon), options={"gtol": 1e-9})
    best = driving.regulator_of(CAR, horizon)
    assert float(start @ best.cost_to_go[0] @ start) == pytest.approx(found.fun, rel=1e-4)
    assert float(-best.gain[0] @ start) == pytest.approx(found.x[0], abs=1e-3)


def test_a_step_pays_minus_its_cost_and_has_gusts():
    env = tasks.make("lane-keeping").env
    obs, state = env.reset_env(jax.random.key(0), CAR)
    assert (np.abs(obs) <= np.array(driving.START)).all()
    step = jax.jit(jax.vmap(lambda key: env.step_env(key, state, jnp.array([0.5]), CAR)))
    later, _, reward, *_ = step(jax.random.split(jax.random.key(1), 10_000))
    np.testing.assert_allclose(reward, -(later[:, 0] ** 2) - 10.0 * later[:, 2] ** 2 - 0.25, rtol=1e-4)
    steady = driving.after_step(obs, jnp.float32(0.5), CAR)
    np.testing.assert_allclose(np.mean(later, axis=0), steady, atol=4 * 0.05 / 100)
    np.testing.assert_allclose(np.std(later, axis=0), [0.0, 0.05, 0.0, 0.0, 0.0], atol=0.002)


def test_who_is_told_the_car_reaches_the_optimum_and_others_do_not():
    family = tasks.make("lane-keeping")
    batch = jax.vmap(family.sample)(jax.random.split(jax.random.key(0), 2_000))
    optimum = np.asarray(jax.jit(jax.vmap(family.optimum))(batch))
    told, average, pd = (
        np.asarray(controller_returns(jax.random.key(1), family, one, batch))
        for one in (driving.told_regulator(), driving.average_regulator(), driving.pd())
    )
    error = told - optimum
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(2_000)
    for worse in (average, pd):
        assert (told - worse).mean() > 6 * (told - worse).std() / np.sqrt(2_000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mass": (0.5, 2.0)}, r"mass: got \(0.5, 2.0\); must be at least 1"),
        ({"cornering": (10.0, 300.0)}, r"cornering: got \(10.0, 300.0\); must be at most 200"),
        ({"lag": (0.01, 0.2)}, r"lag: got \(0.01, 0.2\); must be at least 0.02"),
        ({"speed": 5.0}, "speed: got 5.0; must be at least 10"),
        ({"horizon": 0}, "horizon: got 0; must be at least 1"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        tasks.make("lane-keeping", **settings)


def test_wrappers_add_costs_up_and_drop_the_controllers_of_other_observations():
    family = jaxmeta.tasks.make("lane-keeping")
    repeated = jaxmeta.tasks.repeat_actions(family, 3)
    assert not repeated.controllers
    assert not jaxmeta.tasks.observe_only(family, (0, 2)).controllers
    assert jaxmeta.tasks.as_lifetime(family, 2).controllers is family.controllers
    task = repeated.sample(jax.random.key(0))
    _, state = repeated.env.reset_env(jax.random.key(1), task)
    away = state.replace(errors=state.errors.at[0].set(5.0))
    assert repeated.env.step_env(jax.random.key(2), away, jnp.zeros(1), task)[4]["cost"] == 3.0
