"""Shared by all tests: a compilation cache that survives between runs, and a small MAML on navigation."""

import gc
import os
import types
from pathlib import Path

# Compiling is most of what tests of short simulations take, and the least optimised code is fast enough for them: so it
# takes a quarter as long, mostly by leaving fusions to LLVM alone. Read by XLA when it starts, in this process and in
# those that tests start.
QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1 --xla_cpu_enable_concurrency_optimized_scheduler=false"
)
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICKLY}".strip()

import chex  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from jax.sharding import AbstractDevice, AbstractMesh, AxisType  # noqa: E402

import jaxmeta  # noqa: E402

LONGEST = (
    "benchmarks/test_precision.py",
    "benchmarks/test_devices.py",
    "runs/test_hosts.py",
    "docs/test_examples.py",
    "algorithms/test_every_method.py",
    "algorithms/test_contract.py",
    "commands/test_train.py",
    "algorithms/test_model_based.py",
    "runs/test_presets.py",
    "studies/test_meta_gradients.py",
)
"""Files that begin first, so that no worker waits for another at the end; before them the one that clears caches."""

# Programs and what they were traced from stay in memory: looking through them for garbage finds little.
gc.set_threshold(100_000, 50, 100)
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
# Where in the source an operation comes from: read by nobody here, and a fifth of the time that compiling takes.
jax.config.update("jax_traceback_in_locations_limit", 0)


def pytest_collection_modifyitems(items):
    order = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="session")
def gpu():
    """A mesh of one GPU, which need not be there: what is traced under it is traced as for a GPU."""
    device = AbstractDevice("", None, "gpu")
    return AbstractMesh((1,), ("device",), axis_types=(AxisType.Auto,), abstract_device=device)


@pytest.fixture(scope="session")
def navigation():
    return jaxmeta.tasks.make("navigation", horizon=12)


@pytest.fixture(scope="session")
def policy(navigation):
    return jaxmeta.networks.policy_for(navigation.env, hidden=(8,), activation="tanh", initial_log_std=0.0)


@pytest.fixture(scope="session")
def small_maml(navigation, policy):
    return jaxmeta.maml(navigation, policy=policy, episodes=4, inner_rate=0.1)


@pytest.fixture(scope="session")
def adapted(navigation, small_maml):
    """Slow weights, keys and five tasks, what they adapt to, and lifetimes, leaves [5, 2, 4, 12, ...]."""
    theta = jax.jit(small_maml.init)(jax.random.key(0)).theta
    batch = jaxmeta.sample_tasks(jax.random.key(1), navigation, 5)
    keys = jax.random.split(jax.random.key(2), 5)
    phi, lifetimes = jax.jit(jax.vmap(small_maml.adapt, (0, None, 0)))(keys, theta, batch)
    return types.SimpleNamespace(theta=theta, keys=keys, tasks=batch, phi=phi, lifetimes=lifetimes)


@pytest.fixture(scope="session")
def collected(adapted):
    """Slow weights, and lifetimes of five tasks, leaves [5, 2, 4, 12, ...]."""
    return adapted.theta, adapted.lifetimes


@pytest.fixture(scope="session")
def better_arm():
    """Four pulls of two arms, which pay with 0.9 and 0.1, or 0.1 and 0.9: a probe of memory.

    Without memory 2 is the best return; 0.5 + 3 · 0.82 is reached by staying with what paid and leaving what did not.
    ``better_arm.learned(algorithm, iterations)`` trains two seeds side by side, holds the algorithm to the contract
    (one trace, stable types), and gives each entry of ``Info`` as its mean over the last quarter, ``[2]``.
    """
    tasks = jaxmeta.tasks.as_lifetime(jaxmeta.tasks.make("dependent-bandit", horizon=4, level="easy"), 1)

    def learned(algorithm, iterations):
        chex.clear_trace_counter()
        step = jax.jit(jax.vmap(chex.assert_max_traces(jaxmeta.runs.meta_iteration(algorithm, tasks, 64), n=1)))
        initial = jax.jit(jax.vmap(lambda seed: jaxmeta.runs.init_state(jax.random.key(seed), algorithm)))
        states = initial(jax.numpy.arange(2))
        infos = []
        for _ in range(iterations):
            before = jax.tree.map(jax.typeof, states)
            states, info = step(states)
            assert jax.tree.map(jax.typeof, states) == before
            infos.append(info)
        assert {"loss", "grad_norm", "skipped", "return_pre", "return_post", "env_steps"} <= set(infos[0])
        late = infos[-iterations // 4 :]
        return {name: np.mean([info[name] for info in late], axis=0) for name in infos[0]}

    return types.SimpleNamespace(tasks=tasks, learned=learned)
