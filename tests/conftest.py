"""Shared by all tests: a compilation cache that survives between runs, and a small MAML on navigation."""

import os
from pathlib import Path

# Compiling is most of what tests of short simulations take, and the least optimised code is fast enough for them. Read
# by XLA when it starts, in this process and in those that tests start.
QUICKLY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICKLY}".strip()

import jax  # noqa: E402
import pytest  # noqa: E402

import jaxmeta  # noqa: E402

jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(scope="session")
def navigation():
    return jaxmeta.tasks.make("navigation", horizon=12)


@pytest.fixture(scope="session")
def policy(navigation):
    return jaxmeta.policy_for(navigation.env, hidden=(8,), activation=jax.numpy.tanh)


@pytest.fixture(scope="session")
def small_maml(navigation, policy):
    return jaxmeta.maml(navigation, policy=policy, episodes=4, inner_rate=0.1)


@pytest.fixture(scope="session")
def collected(navigation, small_maml):
    """Slow weights, and lifetimes of five tasks, leaves [5, 2, 4, 12, ...]."""
    theta = small_maml.init(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(1), navigation, 5)
    keys = jax.random.split(jax.random.key(2), 5)
    _, lifetimes = jax.jit(jax.vmap(small_maml.adapt, (0, None, 0)))(keys, theta, batch)
    return theta, lifetimes
