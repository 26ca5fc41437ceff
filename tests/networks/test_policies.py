"""Means stay within bounds; one expert is the plain network, equal experts are too; the gate's derivative is known."""

import types

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxmeta
from jaxmeta.algorithms.anil import head_only
from jaxmeta.networks.layers import feedforward

TANH = {"activation": jnp.tanh}


@pytest.fixture(scope="module")
def lifetimes(navigation):
    return jaxmeta.tasks.as_lifetime(navigation, 2)


def paths(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves}


def test_one_expert_is_the_network_that_old_checkpoints_hold(navigation):
    policy = jaxmeta.networks.policy_for(navigation.env, hidden=(8,), experts=1, **TANH)
    params = jax.jit(policy.init)(jax.random.key(0))
    layers = {f"params/MLP_0/Dense_{n}/{name}" for n in (0, 1) for name in ("kernel", "bias")}
    assert paths(params) == layers | {"params/log_std"}
    obs = jnp.array([[0.3, -0.2], [0.1, 0.5]])
    first, last = (params["params"]["MLP_0"][f"Dense_{n}"] for n in (0, 1))
    expected = jnp.tanh(obs @ first["kernel"] + first["bias"]) @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(policy.apply(params, obs).mean, expected, rtol=1e-6)
    assert policy.gate is None


@pytest.mark.parametrize("experts", [1, 3])
def test_a_bounded_mean_stays_within_the_actions_and_moves_there_as_it_did(experts):
    """Actions between -1 and 3: near their middle, 1, the mean is the network's own, far out it is the bound."""
    env = jaxmeta.tasks.make("navigation").env
    space = jaxmeta.tasks.make("navigation").env.action_space(env.default_params)
    wide = types.SimpleNamespace(
        default_params=env.default_params,
        observation_space=env.observation_space,
        action_space=lambda params: type(space)(jnp.array([-1.0, -1.0]), 3.0, space.shape, space.dtype),
    )
    free, bounded = (
        jaxmeta.networks.policy_for(wide, hidden=(8,), experts=experts, bounded_mean=one) for one in (False, True)
    )
    params = jax.jit(free.init)(jax.random.key(0))
    chex.assert_trees_all_equal(params, jax.jit(bounded.init)(jax.random.key(0)))
    for obs in jnp.array([[0.3, -0.2], [3e4, -2e4]]):
        mean, own = bounded.apply(params, obs).mean, free.apply(params, obs).mean
        np.testing.assert_allclose(mean, 1.0 + 2.0 * np.tanh((own - 1.0) / 2.0), rtol=1e-5, atol=1e-6)
        assert np.all(mean >= -1.0)
        assert np.all(mean <= 3.0)
    assert np.any(np.abs(own - 1.0) > 2.0)
    unbounded = types.SimpleNamespace(
        **{**vars(wide), "action_space": lambda params: type(space)(-jnp.inf, 3.0, space.shape, space.dtype)}
    )
    with pytest.raises(ValueError, match=r"^bounded_mean: the action space has no bounds$"):
        jaxmeta.networks.policy_for(unbounded, bounded_mean=True)


def test_every_network_that_acts_may_bound_its_mean(navigation, lifetimes):
    """Weights that lead far out, and the mean is still an action."""
    obs = jnp.ones(lifetimes.env.observation_space(lifetimes.env.default_params).shape)
    sizes = {"horizon": lifetimes.horizon, "size": 4, "hidden": (5,)}
    for bounded in (False, True):
        recurrent = jaxmeta.networks.recurrent_policy_for(lifetimes.env, **sizes, bounded_mean=bounded)
        belief = jaxmeta.networks.belief_model_for(lifetimes.env, **sizes, bounded_mean=bounded).policy
        for policy in (recurrent, belief):
            params = jax.tree.map(lambda x: jnp.full_like(x, 5.0), jax.jit(policy.init)(jax.random.key(1)))
            mean = policy.step(params, policy.begin(params), obs)[0].mean
            assert np.all(np.abs(mean) <= 1.0) == bounded


def test_one_expert_has_no_gate_in_any_network(lifetimes, navigation):
    recurrent = jaxmeta.networks.recurrent_policy_for(lifetimes.env, horizon=lifetimes.horizon, size=4, hidden=(5,))
    belief = jaxmeta.networks.belief_model_for(lifetimes.env, horizon=lifetimes.horizon, size=4).policy
    context = jaxmeta.networks.latent_model_for(navigation.env)
    for network in (recurrent, belief, context):
        assert network.gate is None
        params = jax.eval_shape(network.init, jax.random.key(0))
        assert "Mixture_0" not in str(paths(params))
        assert "gate" not in str(paths(params))


def copies(single, mixed, count):
    """The mixture's parameters, each expert with the single network's weights."""
    return {**mixed, "experts": jax.tree.map(lambda x: jnp.repeat(x[None], count, axis=0), single)}


@pytest.mark.parametrize("task", ["navigation", "bernoulli-bandit"])
def test_equal_experts_are_one_network_whatever_the_gate_says(task):
    env = jaxmeta.tasks.make(task).env
    single, mixed = (jaxmeta.networks.policy_for(env, hidden=(8,), context_size=3, experts=count) for count in (1, 3))
    params, other = (jax.jit(policy.init)(jax.random.key(seed)) for seed, policy in enumerate((single, mixed)))
    other["params"]["Mixture_0"] = copies(params["params"]["MLP_0"], other["params"]["Mixture_0"], 3)
    size = env.observation_space(env.default_params).shape[0]
    obs, context = jax.random.normal(jax.random.key(2), (5, 4, size)), jnp.array([0.5, -1.0, 2.0])
    expected, got = single.apply(params, obs, context), mixed.apply(other, obs, context)
    assert type(got) is type(expected)
    chex.assert_trees_all_close(got, expected, atol=1e-5)
    gates = mixed.gate(other, obs, context)
    np.testing.assert_allclose(jnp.sum(gates, axis=-1), np.ones((5, 4)), rtol=1e-5)
    assert np.ptp(gates, axis=-1).min() > 1e-3
    assert np.any(np.abs(gates - mixed.gate(other, obs, -context)) > 1e-3)


def test_the_gates_derivative_is_that_of_two_linear_experts():
    """``f = (3x, x)`` and ``g = softmax(x log 3, 0) = (3/4, 1/4)`` at ``x = 1``: 2.5, and ``± g₁ g₂ (f₁ − f₂) x``."""
    mixture = feedforward((1,), jnp.tanh, 2)
    params = mixture.init(jax.random.key(0), jnp.ones(1))["params"]
    params["experts"]["Dense_0"]["kernel"] = jnp.array([[[3.0]], [[1.0]]])
    params["gate"]["Dense_0"]["kernel"] = jnp.array([[jnp.log(3.0), 0.0]])

    def output(params, x=1.0):
        return mixture.apply({"params": params}, jnp.array([x]))[0]

    value, gradient = jax.value_and_grad(output)(params)
    np.testing.assert_allclose(value, 2.5, rtol=1e-6)
    np.testing.assert_allclose(gradient["gate"]["Dense_0"]["kernel"], [[0.375, -0.375]], rtol=1e-5)
    np.testing.assert_allclose(gradient["gate"]["Dense_0"]["bias"], [0.375, -0.375], rtol=1e-5)
    np.testing.assert_allclose(gradient["experts"]["Dense_0"]["kernel"], [[[0.75]], [[0.25]]], rtol=1e-5)


def test_the_head_of_experts_is_their_last_layers_and_the_gates(navigation):
    policy = jaxmeta.networks.policy_for(navigation.env, hidden=(8,), experts=2)
    params = jax.jit(policy.init)(jax.random.key(0))
    marked = {path for path in paths(params) if "Dense_1" in path or "log_std" in path}
    assert len(marked) == 5
    on = jax.tree.map(lambda mark, leaf: leaf if mark else None, policy.head(params), params)
    assert paths(on) == marked
    fast = head_only(policy, jaxmeta.objectives.likelihood_ratio, optax.sgd(0.1)).begin(params).params
    assert paths(fast) == marked


def test_the_gate_along_a_lifetime_is_that_of_each_step_and_of_segments(lifetimes):
    policy = jaxmeta.networks.recurrent_policy_for(
        lifetimes.env, horizon=lifetimes.horizon, size=4, hidden=(5,), experts=3
    )
    params = jax.jit(policy.init)(jax.random.key(0))
    obs = jax.random.normal(
        jax.random.key(1), (lifetimes.horizon, lifetimes.env.observation_space(lifetimes.env.default_params).shape[0])
    )
    memory = policy.begin(params)
    gates, _ = policy.gate(params, memory, obs)
    assert gates.shape == (lifetimes.horizon, 3)
    assert np.ptp(gates, axis=0).max() > 1e-4
    one = jaxmeta.networks.in_segments(policy, 4).gate(params, memory, obs)[0]
    np.testing.assert_allclose(one, gates, atol=1e-6)
    changed = policy.gate(params, memory, obs.at[5:].add(1.0))[0]
    np.testing.assert_allclose(changed[:5], gates[:5], atol=1e-6)
    # What a step acts by is the experts' sum with these weights.
    last = params["actor"]["params"]["Mixture_0"]["experts"]["Dense_1"]
    lifted = jax.tree.map(jnp.zeros_like, last)
    lifted["bias"] = jnp.stack([jnp.full(2, 1.0), jnp.full(2, 2.0), jnp.full(2, 4.0)])
    params["actor"]["params"]["Mixture_0"]["experts"]["Dense_1"] = lifted
    np.testing.assert_allclose(
        policy.sequence(params, memory, obs)[0].mean[:, 0], gates @ jnp.array([1.0, 2.0, 4.0]), rtol=1e-5
    )


def test_the_gates_of_beliefs_and_latents_see_them(lifetimes, navigation):
    model = jaxmeta.networks.latent_model_for(navigation.env, latent=2, hidden=(8,), inference=(4,), experts=3)
    params, obs = jax.jit(model.init)(jax.random.key(0)), jnp.zeros((4, 2))
    gates = [model.gate(params, jnp.array(latent), obs) for latent in ([0.0, 0.0], [2.0, -1.0])]
    assert gates[0].shape == (4, 3)
    assert np.all(np.abs(gates[0] - gates[1]).max(axis=-1) > 1e-3)
    assert model.actor(params, jnp.zeros(2), obs).mode().shape == (4, 2)
    policy = jaxmeta.networks.belief_model_for(lifetimes.env, horizon=lifetimes.horizon, size=4, experts=3).policy
    params = jax.jit(policy.init)(jax.random.key(0))
    size = lifetimes.env.observation_space(lifetimes.env.default_params).shape[0]
    # The same last observation, after two histories.
    ends = [
        policy.gate(params, policy.begin(params), jnp.stack([jnp.full(size, start), jnp.ones(size)]))[0][-1]
        for start in (0.0, 3.0)
    ]
    assert np.abs(ends[0] - ends[1]).max() > 1e-5


@pytest.mark.parametrize("build", ["policy", "recurrent", "belief", "context"])
def test_less_than_one_expert_is_refused(build, lifetimes, navigation):
    sequence = {"horizon": lifetimes.horizon, "experts": 0}
    builders = {
        "policy": lambda: jaxmeta.networks.policy_for(navigation.env, experts=0),
        "recurrent": lambda: jaxmeta.networks.recurrent_policy_for(lifetimes.env, **sequence),
        "belief": lambda: jaxmeta.networks.belief_model_for(lifetimes.env, **sequence),
        "context": lambda: jaxmeta.networks.latent_model_for(navigation.env, experts=0),
    }
    with pytest.raises(ValueError, match=r"^experts: got 0; must be at least 1$"):
        builders[build]()


class Net(nnx.Module):
    def __init__(self, rngs):
        self.layer = nnx.Linear(2, 2, rngs=rngs)
        self.log_std = nnx.Param(jnp.zeros(2))

    def __call__(self, obs):
        return jaxmeta.networks.Gaussian(jnp.tanh(self.layer(obs)), self.log_std[...])


@jax.tree_util.register_pytree_node_class
class Tree:
    """As equinox has modules: a pytree that is called with one observation, functions among its leaves."""

    def __init__(self, weights, activation):
        self.weights, self.activation = weights, activation

    def tree_flatten(self):
        return (self.weights, self.activation), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        return cls(*leaves)

    def __call__(self, obs):
        assert obs.shape == (2,)
        return jaxmeta.networks.Gaussian(self.activation(self.weights @ obs), jnp.zeros(2))


@pytest.mark.parametrize(
    ("policy", "weights"),
    [
        (jaxmeta.networks.from_nnx(Net), lambda params: params["layer"]["kernel"].T),
        (
            jaxmeta.networks.from_equinox(lambda key: Tree(jax.random.normal(key, (2, 2)), jnp.tanh)),
            lambda params: params[0],
        ),
    ],
    ids=["nnx", "equinox"],
)
def test_modules_of_other_libraries_are_policies(policy, weights, navigation):
    params, other = (jax.jit(policy.init)(jax.random.key(seed)) for seed in (0, 1))
    assert not np.allclose(weights(params), weights(other))
    obs = jax.random.normal(jax.random.key(2), (4, 3, 2))
    np.testing.assert_allclose(policy.apply(params, obs).mean, jnp.tanh(obs @ weights(params).T), rtol=1e-5, atol=1e-6)
    jaxmeta.maml(navigation, policy=policy, episodes=2)  # asks all of the contract


class Normed(nn.Module):
    @nn.compact
    def __call__(self, obs):
        return nn.BatchNorm(use_running_average=False)(obs)


def test_modules_that_are_no_policies_yet_say_what_to_wrap_them_in(navigation):
    for module, way in ((nn.Dense(2), "from_module"), (Net(nnx.Rngs(0)), "from_nnx")):
        with pytest.raises(TypeError, match=rf"^policy: got the module \w+; wrap it: jaxmeta.networks.{way}\("):
            jaxmeta.maml(navigation, policy=module)
    with pytest.raises(TypeError, match="must be a flax linen module"):
        jaxmeta.networks.from_module(Net(nnx.Rngs(0)), (2,))
    with pytest.raises(ValueError, match=r"^module: keeps batch_stats beside its parameters"):
        jaxmeta.networks.from_module(Normed(), (2,))
    with pytest.raises(ValueError, match=r"^make: the module keeps \('mean',\) beside its parameters"):
        jaxmeta.networks.from_nnx(lambda rngs: nnx.BatchNorm(2, rngs=rngs))
