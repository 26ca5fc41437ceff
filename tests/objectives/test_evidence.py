"""The evidence lower bound, by hand."""

import types

import jax
import jax.numpy as jnp
import numpy as np

import jaxmeta
from jaxmeta.networks import Gaussian


def test_the_bound_by_hand():
    """Posteriors with no spread to speak of, two steps, predictions that are the latent itself."""
    tiny = -30.0
    means = jnp.array([[1.0], [3.0]])
    log_std = jnp.array([[0.0], [0.0]])
    model = types.SimpleNamespace(
        beliefs=lambda theta, obs: Gaussian(means, jnp.full_like(means, tiny) if theta == "certain" else log_std),
        predict=lambda theta, latent, obs, action: (
            jnp.full(obs.shape[0], latent[0]),
            jnp.broadcast_to(latent, (obs.shape[0], 1)),
        ),
    )
    row = lambda *numbers: jnp.array([[numbers]], jnp.float32)  # noqa: E731
    obs = jnp.array([[[[0.5, 0.0], [2.0, 0.0]]]])
    zeros = row(0.0, 0.0)
    trajectory = jaxmeta.Trajectory(
        obs, zeros, zeros, zeros, row(1.0, 5.0), zeros, zeros, row(1.0, 1.0), zeros, zeros, zeros
    )
    lifetime = jaxmeta.Lifetime(trajectory, jnp.zeros(()), jax.random.key(0), None)

    def bound(theta, lifetime, **weights):
        weights = {"divergence_weight": 0.0, "state_weight": 0.0} | weights
        return jaxmeta.objectives.evidence_bound(model, prefixes=9, **weights)(theta, lifetime)[0]

    # Latent 1 misses the rewards (1, 5) by 0 and 4, latent 3 by 2 and 2; half the squares, mean over the two.
    rewards = 0.5 * ((0 + 16) + (4 + 4)) / 2
    np.testing.assert_allclose(bound("certain", lifetime), rewards, rtol=1e-5)
    # The state to predict is 2, after the first step only.
    states = 0.5 * (1 + 1) / 2
    np.testing.assert_allclose(bound("certain", lifetime, state_weight=1.0), rewards + states, rtol=1e-5)
    ended = lifetime._replace(trajectory=trajectory._replace(obs=obs.at[..., 1, 1].set(1.0)))
    np.testing.assert_allclose(bound("certain", ended, state_weight=1.0), rewards, rtol=1e-5)
    # KL of N(1, 1) from N(0, 1) and of N(3, 1) from N(1, 1): a half, and two.
    difference = bound("uncertain", lifetime, divergence_weight=2.0) - bound("uncertain", lifetime)
    np.testing.assert_allclose(difference, 2.0 * (0.5 + 2.0) / 2, rtol=1e-5)
    # Latents 1 and 3 miss the task, 6, by 5 and 3.
    told = bound(
        "certain",
        lifetime._replace(task=jnp.array(6.0)),
        task_weight=10.0,
        task_error=lambda theta, latent, task: jnp.abs(latent[0] - task),
    )
    np.testing.assert_allclose(told - rewards, 10.0 * (5 + 3) / 2, rtol=1e-5)
