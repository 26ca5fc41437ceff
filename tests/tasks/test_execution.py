"""Order execution: the market step by step, the closed form against minimisation, and baselines against it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from jaxmeta import references, tasks
from jaxmeta.tasks import controller_returns
from jaxmeta.tasks.execution import ExecutionParams, best_schedule, equal_slices, market, told_schedule

MARKET = {"volatility": 0.95, "permanent": 0.25, "temporary": 2.5, "risk_aversion": 1.0, "interval": 1.0}


def test_the_example_of_the_paper():
    """Almgren and Chriss 2001, section 2.4: λ = 1e-6 a $ gives κ of about 0.6 a day."""
    decay = float(references.schedule_decay(**MARKET))
    assert decay == pytest.approx(0.61, abs=0.01)
    # Their condition in hyperbolic cosines.
    effective = 2.5 - 0.5 * 0.25
    assert 2.0 * (np.cosh(decay) - 1.0) == pytest.approx(0.95**2 / effective, rel=1e-5)


@pytest.mark.parametrize("risk_aversion", [0.0, 1.0, 30.0])
def test_the_closed_form_is_the_minimum(risk_aversion):
    """Against a quasi-Newton method on the cost, in NumPy, whose variables are what is held in between."""
    steps, setting = 6, {**MARKET, "risk_aversion": risk_aversion}

    def cost(inner):
        held = np.concatenate([[1.0], inner, [0.0]])
        sold = -np.diff(held)
        impact = np.sum(held[1:] * 0.25 * sold + sold * 2.5 * sold)
        return impact + risk_aversion * 0.95**2 * np.sum(held[1:] ** 2)

    found = minimize(cost, np.linspace(1.0, 0.0, steps + 1)[1:-1], options={"gtol": 1e-8})
    schedule = best_schedule(ExecutionParams(**setting), steps)
    np.testing.assert_allclose(schedule[1:-1], found.x, atol=1e-4)
    assert float(references.execution_cost(schedule, **setting)) == pytest.approx(found.fun, rel=1e-5)


def test_long_and_risky_sales_do_not_overflow():
    share = references.sold_share(jnp.array([0.0, 1e-5, 1e-3, 50.0]), jnp.array([4.0, 4.0, 4.0, 1000.0]))
    np.testing.assert_allclose(share, [0.25, 0.25, 0.25, 1.0], atol=1e-5)
    assert float(references.sold_share(jnp.float32(0.5), 1.0)) == 1.0


def test_rewards_add_up_to_the_shortfall_and_the_risk():
    """What a seller of random shares gets at the prices that it sees, against what the shares were worth at first."""
    family = tasks.make("order-execution", horizon=8)
    task = family.sample(jax.random.key(0))
    _, state = family.env.reset_env(jax.random.key(1), task)
    price, proceeds, risk, total, held = 50.0, 0.0, 0.0, 0.0, 1.0
    interval = 5.0 / 8
    for step, share in enumerate(np.random.default_rng(0).uniform(0.0, 0.5, 8)):
        action = jnp.float32(2.0 * share - 1.0)[None]
        obs, state, reward, _, _ = family.env.step_env(jax.random.key(step), state, action, task)
        sold = held * (share if step < 7 else 1.0)
        held -= sold
        proceeds += sold * (price - float(task.temporary) * sold / interval)
        price += float(obs[2])
        risk += float(task.volatility) ** 2 * interval * held**2
        total += float(reward)
        assert float(obs[1]) == pytest.approx(held, abs=1e-6)
        assert float(obs[0]) == pytest.approx(1.0 - (step + 1) / 8)
    assert held == 0.0
    assert total == pytest.approx(proceeds - 50.0 - risk, abs=1e-4)


def test_the_price_falls_by_the_permanent_impact_and_moves_by_the_volatility():
    env, task = tasks.make("order-execution").env, ExecutionParams()
    _, state = env.reset_env(jax.random.key(0), task)
    step = jax.jit(jax.vmap(lambda key: env.step_env(key, state, jnp.zeros(1), task)[0][2]))
    change = np.asarray(step(jax.random.split(jax.random.key(1), 20_000)))
    assert change.mean() == pytest.approx(-0.25 * 0.5, abs=4 * 0.475 / np.sqrt(20_000))
    assert change.std() == pytest.approx(0.95 * np.sqrt(0.25), rel=0.03)


def test_who_is_told_the_task_reaches_the_optimum_and_equal_slices_do_not():
    family = tasks.make("order-execution")
    batch = jax.vmap(family.sample)(jax.random.split(jax.random.key(0), 4_000))
    optimum = np.asarray(jax.vmap(family.optimum)(batch))
    told, slices = (
        controller_returns(jax.random.key(1), family, one(), batch) for one in (told_schedule, equal_slices)
    )
    error = np.asarray(told) - optimum
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(4_000)
    loss = np.asarray(told - slices)
    assert loss.mean() > 8 * loss.std() / np.sqrt(4_000)
    # And by as much as the formula says of equal slices.
    held = jnp.linspace(1.0, 0.0, 21)
    exact = -np.asarray(jax.vmap(lambda task: references.execution_cost(held, **market(task)))(batch))
    error = np.asarray(slices) - exact
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(4_000)
    assert (exact <= optimum + 1e-5).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizon": 0}, "horizon: got 0; must be at least 1"),
        ({"days": 0.0}, "days: got 0.0; must be positive"),
        ({"risk_aversion": -1.0}, "risk_aversion: got -1.0; must be at least 0"),
        ({"volatility": (0.0, 1.0)}, r"volatility: got \(0.0, 1.0\); must be 0 < low <= high"),
        ({"temporary": (0.01, 1.0)}, r"temporary: got \(0.01, 1.0\); must be above 0.05, half the permanent impact"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        tasks.make("order-execution", **settings)
