"""Meta-SGD: a learned step size for every parameter (Li et al. 2017)."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.maml import maml
from jaxmeta.learners import Adaptation, gradient_adaptation
from jaxmeta.networks import Policy
from jaxmeta.parts import extends
from jaxmeta.types import Key, MetaAlgorithm, PyTree, Surrogate, TaskDistribution


class SteppedWeights(NamedTuple):
    """Slow weights of Meta-SGD: the network's, and a factor on the step of each."""

    params: PyTree
    rates: PyTree


@extends(maml, without=("adaptation",))
def meta_sgd(tasks: TaskDistribution, *, initial_rates: float | PyTree = 1.0, **settings) -> MetaAlgorithm:
    """``φ = θ − α β ∘ ∇L(θ)`` with both ``θ`` and ``β`` meta-learned (Li et al. 2017, equation 2; their α is our α β).

    Args:
      initial_rates: β at the start, as a factor on ``inner_rate``: a number, or a pytree like the policy's parameters.

    Raises:
      ValueError: ``initial_rates`` is a pytree of another structure, or of other shapes.
    """
    return maml(tasks, adaptation=functools.partial(learned_rates, initial_rates=initial_rates), **settings)


def learned_rates(
    policy: Policy, inner_loss: Surrogate, inner_optimizer: optax.GradientTransformation, initial_rates: PyTree | float
) -> Adaptation:
    """Inner steps on all parameters, each multiplied by a learned factor of its own."""
    expected = jax.eval_shape(policy.init, jax.random.key(0))
    if jax.tree.structure(initial_rates) == jax.tree.structure(0.0) and not jnp.shape(initial_rates):
        initial_rates = jax.tree.map(lambda leaf: jnp.full(leaf.shape, initial_rates, leaf.dtype), expected)
    elif jax.tree.map(jnp.shape, initial_rates) != jax.tree.map(jnp.shape, expected):
        shapes = jax.tree.map(jnp.shape, expected)
        raise ValueError(f"initial_rates: must be a number, or a pytree with the parameters' shapes, {shapes}")

    def init_fn(key: Key) -> SteppedWeights:
        return SteppedWeights(policy.init(key), initial_rates)

    def optimizer(theta: SteppedWeights) -> optax.GradientTransformation:
        scale = optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, theta.rates))
        return optax.chain(inner_optimizer, scale)

    apply = lambda theta, weights, obs: policy.apply(weights, obs)  # noqa: E731
    return gradient_adaptation(init_fn, lambda theta: theta.params, apply, inner_loss, optimizer)
