import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta.data import advantages as estimators
from jaxmeta.types import Trajectory


def test_returns_stop_at_an_episode_end_in_the_middle():
    reward, end = jnp.array([1.0, 2.0, 4.0, 8.0]), jnp.array([0.0, 1.0, 0.0, 0.0])
    got = estimators.discounted_returns(reward, end, 0.5)
    np.testing.assert_allclose(got, [1 + 0.5 * 2, 2, 4 + 0.5 * 8, 8])


def test_advantages_bootstrap_through_truncation_but_not_through_termination():
    # By hand, γ = 0.5, λ = 0.5. Step 1 terminates, step 2 is truncated, step 3 runs on to the end of the window.
    got = estimators.generalised_advantages(
        reward=jnp.array([1.0, 2.0, 3.0, 4.0]),
        value=jnp.array([0.5, 1.0, 1.5, 2.0]),
        next_value=jnp.array([1.0, 9.0, 4.0, 6.0]),
        terminated=jnp.array([0.0, 1.0, 0.0, 0.0]),
        truncated=jnp.array([0.0, 0.0, 1.0, 0.0]),
        discount=0.5,
        trace_decay=0.5,
    )
    last = 4 + 0.5 * 6 - 2
    truncated = 3 + 0.5 * 4 - 1.5
    terminated = 2 - 1.0
    first = (1 + 0.5 * 1 - 0.5) + 0.25 * terminated
    np.testing.assert_allclose(got, [first, terminated, truncated, last])


def test_advantages_with_full_traces_are_returns_minus_values():
    rng = np.random.default_rng(0)
    reward, value = jnp.array(rng.normal(size=(2, 6)), jnp.float32)
    zeros = jnp.zeros(6)
    next_value = jnp.append(value[1:], 0.0)
    got = estimators.generalised_advantages(reward, value, next_value, zeros, zeros, 0.9, 1.0)
    np.testing.assert_allclose(got, estimators.discounted_returns(reward, zeros, 0.9) - value, rtol=1e-5, atol=1e-5)


def test_an_accelerator_computes_the_same_without_a_loop(gpu):
    rng = np.random.default_rng(0)
    reward, end = jnp.array(rng.normal(size=200), jnp.float32), jnp.array(rng.uniform(size=200) < 0.05, jnp.float32)
    expected = estimators.discounted_returns(reward, end, 0.99)
    with jax.sharding.use_abstract_mesh(gpu):
        assert "scan" not in str(jax.make_jaxpr(estimators.discounted_returns)(reward, end, 0.99))
        got = estimators.discounted_returns(reward, end, 0.99)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_standardise_ignores_padding():
    x, mask = jnp.array([1.0, 3.0, 100.0]), jnp.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(estimators.standardise(x, mask), [-1.0, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(estimators.standardise(jnp.ones(3), jnp.ones(3)), 0.0)


def _trajectory(reward, terminated, mask):
    zeros = jnp.zeros_like(reward)
    truncated = zeros.at[:, -1].set(mask[:, -1] * (1 - terminated[:, -1]))
    obs = jnp.zeros((*reward.shape, 2))
    return Trajectory(obs, zeros, zeros, zeros, reward, terminated, truncated, mask, obs[:, 0], zeros, zeros)


def test_linear_baseline_targets_are_returns_inside_the_episode():
    reward = jnp.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    terminated = jnp.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    mask = jnp.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    got = estimators.linear_baseline(discount=0.5)(_trajectory(reward, terminated, mask))
    np.testing.assert_allclose(got.value_target, [[1.5, 1.0, 0.0], [1.75, 1.5, 1.0]])
    assert float(got.advantage[0, 2]) == 0.0
    # With λ = 1 the advantage is the return minus a baseline that fits these returns up to the ridge term.
    np.testing.assert_allclose(jnp.sum(got.advantage), 0.0, atol=1e-3)
    assert float(jnp.abs(got.advantage).max()) > 1e-3


@pytest.mark.parametrize(("name", "value"), [("discount", 1.5), ("trace_decay", -0.1)])
def test_bad_settings_are_named(name, value):
    with pytest.raises(ValueError, match=rf"^{name}: got {value}; must be in \[0, 1\]$"):
        estimators.linear_baseline(**{name: value})
