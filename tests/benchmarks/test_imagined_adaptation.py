"""What adaptation in imagination is worth, by how models end episodes."""

from types import SimpleNamespace

import imagined_adaptation
import jax
import jax.numpy as jnp
import numpy as np

import jaxmeta
from jaxmeta.models import ImaginedTask

HORIZON = 6


def untrained():
    """What is read of a run, of one seed."""
    settings = {"family.horizon": HORIZON, "episodes": 2, "policy.hidden": [4], "model.hidden": [4], "model_steps": 1}
    config = jaxmeta.experiment("model-maml", "navigation-wind", **settings)
    tasks, algorithm = config.build()
    theta = jax.jit(algorithm.init)(jax.random.key(0)).theta
    thetas = jax.tree.map(lambda x: x[None], theta)
    return SimpleNamespace(tasks=tasks, algorithm=algorithm, config=config, thetas=thetas)


def test_every_kind_of_end_and_every_range_is_there():
    found = imagined_adaptation.compared(untrained(), tasks=3, task_seed=0, episodes=(2,))
    assert list(found["returns"]) == [f"{name}, 2 episodes" for name in ("real", "drawn", "never", "expected")]
    # No goal is further than half a diagonal and the steps away.
    assert all(-HORIZON * 2.0 < value < 0.0 for value in found["returns"].values())
    for errors in found["reward errors"].values():
        assert len(errors) == 5
        assert any(error is not None for error in errors)


def test_expected_ends_weigh_rewards_and_left_out_ones_do_not():
    run = untrained()
    model = jaxmeta.models.dynamics_model_for(run.tasks.env, hidden=(4,))
    params = jax.tree.map(jnp.zeros_like, jax.jit(model.init)(jax.random.key(0)))
    targets = params["scale"]["targets"]._replace(mean=jnp.array([0.0, 0.0, 5.0]), deviation=jnp.full(3, 1e-6))
    params["scale"] |= {"targets": targets, "inputs": params["scale"]["inputs"]._replace(deviation=jnp.ones(4))}
    task = ImaginedTask(model=params, starts=jnp.zeros((1, 2)), max_steps_in_episode=jnp.int32(3))
    for expected, rewards in ((True, [5.0, 2.5, 1.25]), (False, [5.0, 5.0, 5.0])):
        env, seen = imagined_adaptation.Lasting(run.tasks.env, model, expected), []
        _, state = env.reset_env(jax.random.key(0), task)
        for step in range(3):
            _, state, reward, ended, _ = env.step_env(jax.random.key(step), state, jnp.zeros(2), task)
            seen.append(float(reward))
            assert not ended
        # Log-odds of 0: each step is as likely to end the episode as not.
        np.testing.assert_allclose(seen, rewards, atol=1e-3)
