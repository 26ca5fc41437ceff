"""Images among flat observations: seen by convolutions, by every method that acts on them."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment, spaces

import jaxmeta
from jaxmeta.networks import as_it_is, cnn
from jaxmeta.networks.encoders import patches
from jaxmeta.parts import part
from jaxmeta.tasks import ObservationPart

PARTS = (ObservationPart((2,)), ObservationPart((5, 4, 3), 255.0), ObservationPart((1,)))


def test_an_image_goes_through_convolutions_and_all_else_passes_by():
    module = cnn(PARTS, channels=(6,), units=7).module
    inputs = jax.random.uniform(jax.random.key(0), (2, 3, 2 + 60 + 1 + 4), maxval=255.0)
    params = module.init(jax.random.key(1), inputs)
    features = module.apply(params, inputs)
    assert features.shape == (2, 3, 2 + 7 + 1 + 4)
    np.testing.assert_array_equal(features[..., :2], inputs[..., :2])
    np.testing.assert_array_equal(features[..., 9:], inputs[..., 62:])
    weights = params["params"]
    image = inputs[..., 2:62].reshape(6, 5, 4, 3) / 255.0
    layer = weights["image1_channels0"]
    convolution = {"params": {"kernel": layer["kernel"].reshape(3, 3, 3, 6), "bias": layer["bias"]}}
    seen = nn.relu(nn.Conv(6, (3, 3), padding=1).apply(convolution, image)).reshape(6, -1)
    expected = nn.relu(seen @ weights["image1_units"]["kernel"] + weights["image1_units"]["bias"])
    np.testing.assert_allclose(features[..., 2:9].reshape(6, 7), expected, rtol=1e-5, atol=1e-6)


def test_a_step_of_two_is_that_of_a_convolution():
    image = jax.random.normal(jax.random.key(0), (2, 20, 17, 1))
    kernel = jax.random.normal(jax.random.key(1), (9, 4))
    conv = nn.Conv(4, (3, 3), 2, padding=1, use_bias=False)
    expected = conv.apply({"params": {"kernel": kernel.reshape(3, 3, 1, 4)}}, image)
    np.testing.assert_allclose(patches(image, 2) @ kernel, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("parts", [(ObservationPart((9,)),), (ObservationPart((1, 1)),), (ObservationPart((2, 30)),)])
def test_what_has_no_image_in_it_is_read_as_it_is(parts):
    assert cnn(parts).module is None
    assert as_it_is().module is None


@pytest.mark.parametrize(("settings", "message"), [({"channels": (0,)}, "^channels: "), ({"units": 0}, "^units: ")])
def test_layers_without_units_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        cnn(PARTS, **settings)


@struct.dataclass
class Side(environment.EnvParams):
    side: jax.Array | int = 0
    max_steps_in_episode: int = 2


class Spots(environment.Environment):
    """A bright spot is anywhere in the task's half of a picture: action 1 pays on the right, action 0 on the left."""

    def __init__(self, continuous=False):
        super().__init__()
        self.continuous = continuous

    default_params = Side()

    def reset_env(self, key, params):
        return self.seen(key, params), environment.EnvState(time=0)

    def step_env(self, key, state, action, params):
        wanted = 2.0 * params.side - 1.0
        reward = action[0] * wanted if self.continuous else jnp.where(action == params.side, 1.0, 0.0)
        return self.seen(key, params), environment.EnvState(time=state.time + 1), reward, jnp.zeros((), bool), {}

    def seen(self, key, params):
        row, column = jax.random.randint(key, (2,), 0, jnp.array([6, 3]))
        return jnp.zeros((6, 6, 1), jnp.uint8).at[row, column + 3 * params.side, 0].set(255)

    def is_truncated(self, state, params):
        return state.time >= params.max_steps_in_episode

    def action_space(self, params=None):
        return spaces.Box(-1.0, 1.0, (1,)) if self.continuous else spaces.Discrete(2)

    def observation_space(self, params=None):
        return spaces.Box(0, 255, (6, 6, 1), jnp.uint8)


def spots(continuous=False):
    sample = lambda key: Side(side=jax.random.randint(key, (), 0, 2))  # noqa: E731
    return jaxmeta.from_gymnax(Spots(continuous), sample)


ENCODER = part(cnn, channels=(4,), units=8)


def test_a_policy_learns_what_it_sees():
    tasks = spots()
    policy = jaxmeta.networks.policy_for(tasks.env, hidden=(8,), encoder=ENCODER)
    outer = jaxmeta.outer.adam(rate=0.03)
    algorithm = jaxmeta.multi_task(tasks, policy=policy, episodes=16, outer=outer)
    train = lambda key: jaxmeta.meta_train(key, algorithm, tasks, iterations=60, meta_batch=8)  # noqa: E731
    _, infos = jax.jit(train)(jax.random.key(0))
    assert float(infos["return_post"][:5].mean()) < 1.4
    assert float(infos["return_post"][-5:].mean()) > 1.8


def test_methods_build_their_networks_around_it():
    """By shapes, and with the weights of the convolutions among the slow weights."""
    tasks, lifetimes = spots(), jaxmeta.as_lifetime(spots(), 1)
    net = jaxmeta.networks
    own = {"hidden": (4,), "encoder": ENCODER}
    memory = net.recurrent_policy_for(lifetimes.env, 2, size=4, encoder=ENCODER, experts=2)
    belief = net.belief_model_for(lifetimes.env, 2, size=4, decoder=(4,), **own)
    latent = net.latent_model_for(spots(continuous=True).env, latent=2, inference=(4,), experts=2, **own)
    methods = [
        (jaxmeta.anil, tasks, {"policy": net.policy_for(tasks.env, **own), "episodes": 2}),
        (jaxmeta.cavia, tasks, {"policy": net.policy_for(tasks.env, 2, experts=2, **own), "episodes": 2}),
        (jaxmeta.maml_q, tasks, {"policy": net.policy_for(tasks.env, **own)}),
        (jaxmeta.rl2, lifetimes, {"policy": memory}),
        (jaxmeta.r2d2, lifetimes, {"policy": memory._replace(gate=None)}),
        (jaxmeta.varibad, lifetimes, {"model": belief}),
        (jaxmeta.pearl, spots(continuous=True), {"model": latent}),
    ]
    for method, family, settings in methods:
        algorithm = method(family, **settings)
        theta = jax.eval_shape(algorithm.init, jax.random.key(0)).theta
        names = {getattr(step, "key", "") for path, _ in jax.tree_util.tree_leaves_with_path(theta) for step in path}
        assert {"image0_channels0", "image0_units"} <= names, method.__name__


def test_each_network_s_weights_are_drawn_on_their_own():
    lifetimes = jaxmeta.as_lifetime(spots(), 1)
    belief = jaxmeta.networks.belief_model_for(lifetimes.env, 2, size=4, decoder=(4,), hidden=(4,), encoder=ENCODER)
    params = jax.jit(belief.policy.init)(jax.random.key(0))
    leaves = jax.tree_util.tree_leaves_with_path(params)
    kernels = [x for path, x in leaves if "channels0']['kernel" in jax.tree_util.keystr(path)]
    assert len(kernels) == 5
    assert not any(np.allclose(kernels[i], kernels[j]) for i, j in itertools.combinations(range(5), 2))


def test_the_head_of_a_network_that_sees_is_its_output_layer_alone():
    policy = jaxmeta.networks.policy_for(spots().env, hidden=(), encoder=ENCODER)
    params = jax.jit(policy.init)(jax.random.key(0))
    heads = jax.tree_util.tree_leaves_with_path(policy.head(params))
    assert sorted(jax.tree_util.keystr(path) for path, head in heads if head) == [
        "['params']['MLP_0']['Dense_0']['bias']",
        "['params']['MLP_0']['Dense_0']['kernel']",
    ]


def test_models_do_not_predict_images_and_say_what_to_do():
    with pytest.raises(ValueError, match=r"images, which no model here predicts; flatten_observations\(tasks\)"):
        jaxmeta.models.dynamics_model_for(spots().env)
    assert jaxmeta.models.dynamics_model_for(jaxmeta.tasks.flatten_observations(spots()).env, hidden=(4,)) is not None


def test_a_baseline_of_many_pixels_fits_some_combinations_of_them():
    obs = jax.random.uniform(jax.random.key(0), (4, 30, 400))
    features = jaxmeta.data.least_squares.linear_features(obs, jnp.ones((4, 30)))
    assert features.shape == (4, 30, 2 * 64 + 3)
    assert bool(jnp.all(jnp.isfinite(features)))
    assert float(jnp.std(features[..., :64])) == pytest.approx(1.0, abs=0.05)
