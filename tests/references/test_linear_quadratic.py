"""The regulator where its answer is known; in several dimensions it is tested on cars."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import references


def test_a_scalar_regulator_has_the_golden_ratio():
    """A = B = Q = r = 1: P, with the cost of the state itself, tends to the golden ratio (Bertsekas 2017)."""
    one = jnp.ones((1, 1))
    best = references.regulator(one, jnp.ones(1), one, 1.0, 0.5 * one, 40)
    golden = 0.5 * (1.0 + np.sqrt(5.0))
    assert float(best.cost_to_go[0, 0, 0]) + 1.0 == pytest.approx(golden, rel=1e-5)
    assert float(best.gain[0, 0]) == pytest.approx(golden - 1.0, rel=1e-5)
    assert float(best.noise_cost) == pytest.approx(0.5 * float(jnp.sum(best.cost_to_go[1:]) + 40.0), rel=1e-5)
