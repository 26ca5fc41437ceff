"""Precision of matrix products: it is on all of them, wherever they are traced, and belongs to a run."""

import json

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import jaxprs_in_params
from jax.lax import DotAlgorithmPreset, Precision

import jaxmeta
from jaxmeta.runs.directory import StartError, check_directory
from jaxmeta.runs.run import FORMAT

SIZES = {"family": {"horizon": 5}, "meta_batch": 2, "episodes": 2, "policy": {"hidden": (8,)}}


def experiment(**settings):
    return jaxmeta.experiment("maml", "navigation", **{**SIZES, **settings})


def precisions(function, *arguments):
    """Those of all matrix products in a function's program."""
    found, left = set(), [jax.make_jaxpr(function)(*arguments).jaxpr]
    while left:
        for equation in left.pop().eqns:
            if equation.primitive.name == "dot_general":
                found.add(equation.params["precision"])
            left += jaxprs_in_params(equation.params)
    return found


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("float32", (Precision.HIGHEST,) * 2),
        ("tf32", (Precision.HIGH,) * 2),
        ("bfloat16", DotAlgorithmPreset.BF16_BF16_F32),
    ],
)
def test_all_products_of_training_and_of_adaptation_have_it(precision, expected):
    tasks, algorithm = experiment(precision=precision).build()
    key = jax.random.key(0)
    batch = jax.eval_shape(lambda key: jaxmeta.sample_tasks(key, tasks, 2), key)
    state = jax.eval_shape(algorithm.init, key)
    assert precisions(algorithm.step, key, state, batch) == {expected}
    one = jax.eval_shape(tasks.sample, key)
    assert precisions(algorithm.adapt, key, state.theta, one) == {expected}
    phi = jax.eval_shape(algorithm.greedy.begin, state.theta)
    assert precisions(algorithm.greedy.act, key, state.theta, phi, jnp.zeros(2)) == {expected}
    after = jax.eval_shape(algorithm.step, key, state, batch)[0]
    assert {leaf.dtype for leaf in jax.tree.leaves(after.theta)} == {jnp.dtype("float32")}


def test_a_run_is_not_gone_on_with_at_another_precision(tmp_path):
    config = {"format": FORMAT, "experiment": experiment().config(), "versions": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    check_directory(experiment(), tmp_path, overwrite=False, resume=True)
    with pytest.raises(StartError, match=r"other settings: precision \(tf32 there, float32 here\)$"):
        check_directory(experiment(precision="float32"), tmp_path, overwrite=False, resume=True)


def test_an_unknown_precision_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^precision: got 'half'; must be one of float32, tf32, bfloat16$"):
        experiment(precision="half")
