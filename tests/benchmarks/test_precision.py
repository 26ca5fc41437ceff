"""Products with factors of fewer bits: what is rounded, and that nothing is afterwards."""

import jax
import jax.numpy as jnp
import precision


def test_factors_are_rounded_in_products_and_in_their_derivatives():
    # 1 + 2⁻⁹ has nine bits after the point: TF32 keeps them, bfloat16 does not.
    factor = jnp.full((2, 2), 1.0 + 2.0**-9)

    def both():
        value, slope = jax.jit(jax.value_and_grad(lambda x: jnp.sum(x @ factor)))(jnp.ones((2, 2)))
        return float(value), float(slope[0, 0])

    exact = (8.0 + 8.0 * 2.0**-9, 2.0 + 2.0 * 2.0**-9)
    with precision.rounded_factors(precision.BITS["tf32"]):
        assert both() == exact
    with precision.rounded_factors(precision.BITS["bfloat16"]):
        assert both() == (8.0, 2.0)
    assert both() == exact
