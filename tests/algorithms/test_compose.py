"""A learner or an objective of the user's own that does not keep the contract is refused when it is built."""

import re

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

import jaxmeta
from jaxmeta.learners import FastWeights, acting, whole_network
from jaxmeta.over_tasks import default_task_chunk, target_platform


def build(tasks, policy, *, learner=lambda learner: learner, objective=None):
    adaptation = whole_network(policy, jaxmeta.objectives.likelihood_ratio, optax.sgd(0.1))
    changed = learner(acting(adaptation))
    return jaxmeta.compose(
        tasks,
        changed,
        changed,
        jaxmeta.objectives.post_adaptation(changed, jaxmeta.objectives.likelihood_ratio)
        if objective is None
        else objective,
        jaxmeta.outer.by_optax(optax.sgd(0.1)),
        jaxmeta.data.linear_baseline(),
        adaptation.distribution,
        adaptation_steps=1,
        episodes=2,
        task_chunk=1,
    )


def wrong(name, change):
    def replace(learner):
        function = getattr(learner, name)
        return learner._replace(**{name: lambda *arguments: change(*function(*arguments))})

    return replace


def halved(params, inner_state):
    return FastWeights(jax.tree.map(lambda w: w[..., :1], params), inner_state)


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (
            wrong("act", lambda action, log_prob, value, phi: (action, log_prob, phi)),
            r"learner.act: must return \(action, log_prob, value, phi\), got 3 values",
        ),
        (
            wrong("act", lambda action, log_prob, value, phi: (action, log_prob[None], value, phi)),
            r"learner.act: log_prob: must have shape \(\), got \(1,\)",
        ),
        (
            wrong("act", lambda action, log_prob, value, phi: (action, log_prob, jnp.zeros(3), phi)),
            r"learner.act: value: must have shape \(\), got \(3,\)",
        ),
        (
            wrong("act", lambda action, log_prob, value, phi: (action, log_prob, value, phi.params)),
            "learner.act: must return phi as begin makes it",
        ),
        (wrong("absorb", halved), "learner.absorb: must return phi as begin makes it"),
        (
            wrong("score", lambda log_prob, value: (log_prob.sum(), value)),
            r"learner.score: log_prob: must have shape \(2, 12\), got \(\)",
        ),
        (
            wrong("score", lambda log_prob, value: (log_prob,)),
            r"learner.score: must return \(log_prob, value\), got 1 values",
        ),
    ],
)
def test_a_learner_is_asked_for_its_shapes(navigation, policy, learner, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        build(navigation, policy, learner=learner)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (lambda theta, lifetime: jnp.zeros(()), r"objective: must return \(loss, info\), got ShapeDtypeStruct"),
        (lambda theta, lifetime: (jnp.zeros(4), {}), r"objective: loss: must have shape \(\), got \(4,\)"),
        (lambda theta, lifetime: (jnp.zeros(()), jnp.zeros(())), "objective: info must be a dict of arrays"),
    ],
)
def test_an_objective_is_asked_for_its_shapes(navigation, policy, objective, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        build(navigation, policy, objective=objective)


def test_a_right_one_is_built(navigation, policy):
    assert build(navigation, policy).learner is not None


@pytest.mark.parametrize(
    ("platform", "episodes", "expected"), [("cpu", 20, 1), ("gpu", 20, 524), ("tpu", 2, 5242), ("gpu", 10**6, 1)]
)
def test_the_default_chunk_is_small_on_a_cpu_and_bounded_elsewhere(platform, episodes, expected):
    device = AbstractDevice(platform, None, platform)
    mesh = AbstractMesh((1,), ("device",), axis_types=(AxisType.Auto,), abstract_device=device)
    chunk = default_task_chunk(episodes, 100)
    with jax.sharding.use_abstract_mesh(mesh):
        assert chunk() == expected


def test_a_program_is_for_the_default_device_where_no_mesh_says_another():
    assert target_platform() == "cpu"
    with jax.default_device("tpu"):
        assert target_platform() == "tpu"
    with jax.default_device(jax.devices("cpu")[0]):
        assert target_platform() == "cpu"


def test_the_chunk_is_chosen_where_a_program_is_traced(navigation, policy, gpu):
    """Five tasks, one after the other on a CPU and together on a GPU, by one and the same algorithm."""
    algorithm = jaxmeta.maml(navigation, policy=policy, episodes=2)
    key = jax.eval_shape(lambda: jax.random.key(0))
    batch = jax.eval_shape(lambda key: jaxmeta.sample_tasks(key, navigation, 5), key)
    state = jax.eval_shape(algorithm.init, key)

    def loops() -> set[str]:
        program = jax.make_jaxpr(lambda *inputs: algorithm.step(*inputs))(key, state, batch)
        return set(re.findall(r" length=(\d+)", str(program)))

    assert "5" in loops()
    with jax.sharding.use_abstract_mesh(gpu):
        assert "5" not in loops()
