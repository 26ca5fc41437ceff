"""Every algorithm through the contract: jitted, vmapped over seeds, traced once, types stable, and it learns."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta

OPTAX = functools.partial(jaxmeta.outer.by_optax, optax.adam(1e-2))
ALGORITHMS = {
    "anil": lambda tasks, **settings: jaxmeta.anil(tasks, outer=OPTAX(), **settings),
    "cavia": lambda tasks, policy, **settings: jaxmeta.cavia(
        tasks, outer=OPTAX(), policy=jaxmeta.networks.policy_for(tasks.env, hidden=(8,), context_size=3), **settings
    ),
    "e-maml": lambda tasks, **settings: jaxmeta.e_maml(tasks, outer=OPTAX(), **settings),
    "es-maml": lambda tasks, **settings: jaxmeta.es_maml(tasks, optimizer=optax.adam(3e-2), pairs=4, **settings),
    "fomaml": lambda tasks, **settings: jaxmeta.fomaml(tasks, outer=OPTAX(), **settings),
    "imaml": lambda tasks, **settings: jaxmeta.imaml(tasks, outer=OPTAX(), **settings),
    "learned-rule": lambda tasks, **settings: jaxmeta.learned_rule(tasks, outer=OPTAX(), **settings),
    "maml-dice": lambda tasks, **settings: jaxmeta.maml(
        tasks, outer=OPTAX(), inner_loss=jaxmeta.objectives.dice(), **settings
    ),
    "maml-ppo": lambda tasks, **settings: jaxmeta.maml_ppo(tasks, outer=OPTAX(epochs=3), **settings),
    "maml-two-steps-rematerialised-in-chunks": lambda tasks, **settings: jaxmeta.maml(
        tasks,
        outer=OPTAX(),
        adaptation_steps=2,
        adaptation=lambda *parts: jaxmeta.learners.rematerialised(jaxmeta.learners.whole_network(*parts)),
        task_chunk=4,
        **settings,
    ),
    "maml-vpg-adam-inside": lambda tasks, inner_rate, **settings: jaxmeta.maml_vpg(
        tasks, outer=OPTAX(), inner_rate=0.03, inner_optimizer=lambda rate: optax.adam(rate, eps_root=1e-8), **settings
    ),
    "meta-sgd": lambda tasks, **settings: jaxmeta.meta_sgd(tasks, outer=OPTAX(), **settings),
    "oracle": lambda tasks, policy, **settings: jaxmeta.multi_task(
        jaxmeta.tasks.reveal_task(tasks),
        outer=OPTAX(),
        policy=jaxmeta.networks.policy_for(jaxmeta.tasks.reveal_task(tasks).env, hidden=(8,)),
        **settings,
    ),
    "promp": lambda tasks, **settings: jaxmeta.promp(tasks, outer=OPTAX(epochs=3), **settings),
    "reptile": lambda tasks, **settings: jaxmeta.reptile(tasks, **settings),
    "trpo-maml": lambda tasks, **settings: jaxmeta.trpo_maml(
        tasks, outer=jaxmeta.outer.trust_region(max_divergence=0.05, curvature_every=2), **settings
    ),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_contract(name, navigation, policy):
    algorithm = ALGORITHMS[name](navigation, policy=policy, episodes=8, inner_rate=0.3)
    chex.clear_trace_counter()
    step = jaxmeta.runs.meta_iteration(algorithm, navigation, 8)
    counted = jax.jit(jax.vmap(chex.assert_max_traces(step, n=1)))
    initial = jax.jit(jax.vmap(lambda seed: jaxmeta.runs.init_state(jax.random.key(seed), algorithm)))
    states = initial(jnp.arange(2))
    infos = []
    for _ in range(40):
        before = jax.tree.map(jax.typeof, states)
        states, info = counted(states)
        assert jax.tree.map(jax.typeof, states) == before
        infos.append(info)
    post = np.array([info["return_post"] for info in infos])
    assert {"loss", "grad_norm", "skipped", "return_pre", "return_post", "env_steps"} <= set(infos[0])
    assert np.all(np.isfinite(post))
    assert np.all(post[-8:].mean(0) > post[:8].mean(0) + 0.3), (post[:8].mean(0), post[-8:].mean(0))


def test_a_trained_policy_adapts_to_unseen_goals_better_than_a_fresh_one(navigation, policy):
    algorithm = jaxmeta.maml(navigation, policy=policy, episodes=10, inner_rate=0.5, outer=OPTAX())
    state, _ = jax.jit(lambda key: jaxmeta.meta_train(key, algorithm, navigation, iterations=80, meta_batch=10))(
        jax.random.key(0)
    )
    batch = jaxmeta.sample_tasks(jax.random.key(9), navigation, 50)
    keys = jax.random.split(jax.random.key(10), 50)

    adapt = jax.jit(jax.vmap(algorithm.adapt, (0, None, 0)))

    def gain(theta):
        _, lifetimes = adapt(keys, theta, batch)
        returns = jaxmeta.data.episode_returns(lifetimes.trajectory).mean(axis=(0, 2))
        return float(returns[1] - returns[0]), float(returns[1])

    trained_gain, trained = gain(state.meta.theta)
    _, fresh = gain(jax.jit(algorithm.init)(jax.random.key(1)).theta)
    assert trained_gain > 0.3
    assert trained > fresh + 0.5


def test_a_non_finite_update_is_left_out_and_counted(navigation, policy):
    def poisoned(log_prob, trajectory):
        return jnp.sum(log_prob) * jnp.inf

    algorithm = jaxmeta.maml(navigation, policy=policy, episodes=2, outer_loss=poisoned)
    state = jax.jit(algorithm.init)(jax.random.key(0))
    new_state, info = jax.jit(algorithm.step)(
        jax.random.key(1), state, jaxmeta.sample_tasks(jax.random.key(2), navigation, 2)
    )
    assert float(info["skipped"]) == 1.0
    chex.assert_trees_all_equal(new_state, state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inner_rate": 0.0}, "inner_rate: got 0.0; must be positive"),
        ({"episodes": 0}, "episodes: got 0; must be at least 1"),
        ({"adaptation_steps": -1}, "adaptation_steps: got -1; must be at least 0"),
        ({"task_chunk": 0}, "task_chunk: got 0; must be at least 1"),
    ],
)
def test_bad_settings_are_named(navigation, settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        jaxmeta.maml(navigation, **settings)
