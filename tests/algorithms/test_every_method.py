"""The contract of a whole method, asked of every one that is registered: of shapes, and of programs not compiled."""

import re

import jax
import jax.numpy as jnp
import pytest

import jaxmeta
from jaxmeta import registry

DISCRETE = ("maml-q", "mql", "r2d2")
CONSTRAINED = ("maml-lagrangian", "rl2-lagrangian")


def described(tree):
    return jax.tree.map(lambda leaf: (leaf.dtype, leaf.shape, getattr(leaf, "weak_type", False)), tree)


@pytest.fixture
def strict():
    """No array is broadcast to more axes unless the code says so, as a user may ask of the whole process."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("method", registry.methods())
def test_states_steps_and_adaptation_are_what_the_contract_says(method):
    family = "cartpole" if method in DISCRETE else "lane-keeping" if method in CONSTRAINED else "pendulum"
    tasks, algorithm = jaxmeta.experiment(method, family, preset=None, **{"family.horizon": 20}).build()
    key = jax.random.key(0)
    batch = jax.eval_shape(lambda key: jaxmeta.sample_tasks(key, tasks, 4), key)

    state = jax.eval_shape(algorithm.init, key)
    step = jax.jit(algorithm.step).trace(key, state, batch)
    after, info = step.out_info
    assert described(after) == described(state)
    # For other devices than those at hand: all of it is theirs, and nothing is done on the host or in 64 bits.
    program = step.lower(lowering_platforms=("cuda", "tpu")).as_text()
    assert re.findall(r"callback|infeed|outfeed|stablehlo\.(?:send|recv)|xf64|<f64>", program) == []
    # A weak type would trace the whole trainer a second time.
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))
    assert {"loss", "grad_norm", "skipped", "return_pre", "return_post", "env_steps"} <= set(info)
    assert all(leaf.shape == () for leaf in jax.tree.leaves(info))

    # Theta is all that adapting to a new task needs; what it gives is what the learner begins with.
    task = jax.eval_shape(tasks.sample, key)
    phi, lifetime = jax.eval_shape(algorithm.adapt, key, state.theta, task)
    assert described(phi) == described(jax.eval_shape(algorithm.learner.begin, state.theta))
    obs, _ = jax.eval_shape(tasks.env.reset_env, key, task)
    for learner in (algorithm.learner, algorithm.greedy):
        _, _, _, later = jax.eval_shape(learner.act, key, state.theta, phi, obs)
        assert described(later) == described(phi)
    assert lifetime.trajectory.mask.ndim == 3


PARTS = {
    "a bounded mixture": ("maml", "pendulum", {"policy": {"bounded_mean": True, "experts": 2}}),
    "a context": ("cavia", "navigation", {"estimator.discount_weighting": True}),
    "a transformer": ("rl2", "pendulum", {"policy.cell": "transformer"}),
    "parallel scans": ("rl2", "pendulum", {"policy.cell": "linear"}),
    "long short-term memory": ("rl2", "pendulum", {"policy.cell": "lstm"}),
    "a memory of pairs": ("rl2", "tabular-mdp", {"policy": "tabular"}),
    "images": ("rl2", "meta-maze", {}),
}


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("name", PARTS)
def test_no_part_of_a_method_broadcasts_arrays_silently(name):
    method, family, settings = PARTS[name]
    tasks, algorithm = jaxmeta.experiment(method, family, preset=None, **settings, **{"family.horizon": 20}).build()
    key = jax.random.key(0)
    batch = jax.eval_shape(lambda key: jaxmeta.sample_tasks(key, tasks, 4), key)
    jax.eval_shape(algorithm.step, key, jax.eval_shape(algorithm.init, key), batch)


# Each makes arrays of its own; what the others are made of is among them.
ARRAYS = {
    "maml": {},
    "trpo-maml": {},
    "es-maml": {},
    "rl2": {"policy": "tabular"},
    "r2d2": {},
    "pearl": {},
    "grbal": {},
    "rebal": {},
    "mb-mpo": {},
    "model-maml": {},
}


@pytest.mark.parametrize("method", ARRAYS)
def test_with_64_bit_numbers_switched_on_a_state_keeps_its_types(method):
    """As other libraries switch them on for the whole process."""
    family = "tabular-mdp" if ARRAYS[method] else "cartpole" if method in DISCRETE else "pendulum"
    short = {"family.states": 3} if ARRAYS[method] else {"family.horizon": 20}
    with jax.enable_x64(True):
        tasks, algorithm = jaxmeta.experiment(method, family, preset=None, **short, **ARRAYS[method]).build()
        key = jax.random.key(0)
        batch = jax.eval_shape(lambda key: jaxmeta.sample_tasks(key, tasks, 4), key)
        state = jax.eval_shape(algorithm.init, key)
        assert described(jax.eval_shape(algorithm.step, key, state, batch)[0]) == described(state)


@pytest.mark.parametrize("method", ["maml", "trpo-maml"])
def test_parameters_of_16_bits_stay_so(method):
    tasks, algorithm = jaxmeta.experiment(method, "pendulum", preset=None, **{"family.horizon": 20}).build()
    key = jax.random.key(0)

    def stepped(key):
        few = lambda x: x.astype(jnp.bfloat16)  # noqa: E731
        state = jax.tree.map(lambda x: few(x) if x.dtype == jnp.float32 else x, algorithm.init(key))
        return state, algorithm.step(key, state, jaxmeta.sample_tasks(key, tasks, 4))[0]

    before, after = jax.eval_shape(stepped, key)
    assert described(after) == described(before)
