"""Shared by all tests: a compilation cache that survives between runs, and a small MAML on navigation."""

import functools
from pathlib import Path

import jax
import pytest

import jaxmeta

jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

# Compiling is most of what tests of short simulations take, and the least optimised code is fast enough for them.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.fixture
def compile_quickly(monkeypatch):
    """Functions that are compiled inside of the library's functions, or of the test, are optimised little."""
    monkeypatch.setattr(jax, "jit", functools.partial(jax.jit, compiler_options=QUICKLY))


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
