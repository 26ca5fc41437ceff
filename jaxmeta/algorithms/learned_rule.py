"""A learned update rule: a small network turns each parameter's gradient into its step (Andrychowicz et al. 2016)."""

import functools
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.maml import maml
from jaxmeta.checks import check_least
from jaxmeta.learners import Adaptation, gradient_adaptation
from jaxmeta.networks import Policy
from jaxmeta.parts import extends
from jaxmeta.types import Array, Key, MetaAlgorithm, PyTree, Surrogate, TaskDistribution

FEATURES = 4
SMALLEST = 10.0
"""Gradients below ``exp(−10)`` count as that small: p of Andrychowicz et al. 2016, appendix A."""


class RuledWeights(NamedTuple):
    """Slow weights of a learned rule: the network's, and the rule's own."""

    params: PyTree
    rule: PyTree


class Rule(nn.Module):
    """From a coordinate's features ``[..., FEATURES]`` to the log of a factor and an offset, both ``[...]``."""

    hidden: int

    @nn.compact
    def __call__(self, features: Array) -> tuple[Array, Array]:
        x = nn.tanh(nn.Dense(self.hidden)(features))
        # Zero at the start: the rule is then the inner optimiser itself.
        log_factor, offset = jnp.moveaxis(nn.Dense(2, kernel_init=nn.initializers.zeros)(x), -1, 0)
        return log_factor, offset


@extends(maml, without=("adaptation",))
def learned_rule(tasks: TaskDistribution, *, rule_hidden: int = 16, **settings) -> MetaAlgorithm:
    """``φ ← φ + u ∘ exp(f(x)) + rms(u) g(x)``, ``u`` the inner optimiser's step and ``f, g`` a meta-learned network.

    One network serves all parameters. Of each parameter it sees the gradient (logarithm and sign, as in Andrychowicz et
    al. 2016, appendix A), the running mean of the gradients over adaptation steps, and the value. The parametrisation
    by direction and magnitude is that of Metz et al. 2020, in our own form.

    Args:
      rule_hidden: hidden units of the rule's network, ≥ 1.
    """
    check_least(1, rule_hidden=rule_hidden)
    return maml(tasks, adaptation=functools.partial(ruled, rule=Rule(rule_hidden)), **settings)


def ruled(
    policy: Policy, inner_loss: Surrogate, inner_optimizer: optax.GradientTransformation, rule: Rule
) -> Adaptation:
    """Inner steps on all parameters, as a learned rule changes them."""

    def init_fn(key: Key) -> RuledWeights:
        key_policy, key_rule = jax.random.split(key)
        return RuledWeights(policy.init(key_policy), rule.init(key_rule, jnp.zeros(FEATURES)))

    def optimizer(theta: RuledWeights) -> optax.GradientTransformation:
        def init(params: PyTree) -> tuple[PyTree, PyTree]:
            return inner_optimizer.init(params), jax.tree.map(jnp.zeros_like, params)

        def update(gradient: PyTree, state: tuple[PyTree, PyTree], params: PyTree | None = None):
            inner_state, momentum = state
            updates, inner_state = inner_optimizer.update(gradient, inner_state, params)
            momentum = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, momentum, gradient)

            def change(u: Array, g: Array, m: Array, w: Array) -> Array:
                features = jnp.stack([*logarithm_and_sign(g), m / (rms(m) + 1e-8), w], axis=-1)
                log_factor, offset = cast(tuple[Array, Array], rule.apply(theta.rule, features))
                return u * jnp.exp(log_factor) + rms(u) * offset

            return jax.tree.map(change, updates, gradient, momentum, params), (inner_state, momentum)

        return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]

    apply = lambda theta, weights, obs: policy.apply(weights, obs)  # noqa: E731
    return gradient_adaptation(init_fn, lambda theta: theta.params, apply, inner_loss, optimizer)


def logarithm_and_sign(gradient: Array) -> tuple[Array, Array]:
    """``(log|g| / p, sign g)`` where ``|g| ≥ exp(−p)``, else ``(−1, exp(p) g)``: Andrychowicz et al., appendix A."""
    large = jnp.abs(gradient) >= jnp.exp(-SMALLEST)
    # The first where keeps the logarithm's derivative finite where its value is not used.
    logarithm = jnp.log(jnp.where(large, jnp.abs(gradient), 1.0)) / SMALLEST
    return jnp.where(large, logarithm, -1.0), jnp.where(large, jnp.sign(gradient), jnp.exp(SMALLEST) * gradient)


def rms(x: Array) -> Array:
    """Root of the mean square; the small number keeps its derivative finite at zero."""
    return jnp.sqrt(jnp.mean(jnp.square(x)) + 1e-16)
