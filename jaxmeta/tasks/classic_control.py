"""Classic control with varying physics, on gymnax's own environments."""

import jax
import jax.numpy as jnp
from gymnax.environments.classic_control import cartpole as gymnax_cartpole

from jaxmeta.tasks.generic import from_gymnax
from jaxmeta.types import Key, TaskDistribution


def cartpole(
    *,
    horizon: int = 200,
    cart_mass: tuple[float, float] = (0.5, 2.0),
    pole_mass: tuple[float, float] = (0.05, 0.2),
    half_length: tuple[float, float] = (0.25, 1.0),
    force: tuple[float, float] = (5.0, 15.0),
) -> TaskDistribution:
    """CartPole whose masses, pole length and motor force are drawn uniformly, each from its own range.

    The reward is 1 a step until the pole has fallen. The masses' ranges are those of RLlib's CartPole task family.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      cart_mass: range in kg.
      pole_mass: range in kg.
      half_length: range of half the pole's length, in m.
      force: range of the push's magnitude, in N.

    Raises:
      ValueError: a range that is empty or not positive, or a horizon below 1.
    """
    ranges = {"cart_mass": cart_mass, "pole_mass": pole_mass, "half_length": half_length, "force": force}
    for name, (low, high) in ranges.items():
        if not 0.0 < low <= high:
            raise ValueError(f"{name}: got ({low}, {high}); must be 0 < low <= high")
    bounds = jnp.array(list(ranges.values()), jnp.float32)

    def sample_fn(key: Key) -> gymnax_cartpole.EnvParams:
        cart, pole, length, push = jax.random.uniform(key, (4,), jnp.float32, bounds[:, 0], bounds[:, 1])
        return gymnax_cartpole.EnvParams(
            masscart=cart,
            masspole=pole,
            # gymnax stores the two derived quantities as parameters of their own; they must follow.
            total_mass=cart + pole,
            length=length,
            polemass_length=pole * length,
            force_mag=push,
            max_steps_in_episode=horizon,
        )

    return from_gymnax(
        gymnax_cartpole.CartPole(), sample_fn, horizon=horizon, optimum=lambda task: jnp.float32(horizon)
    )
