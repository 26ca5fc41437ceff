"""Learners that adapt by gradient steps: activations that are computed again change nothing."""

import chex
import jax
import optax

import jaxmeta
from jaxmeta.learners import acting, rematerialised, whole_network

LOSS = jaxmeta.objectives.standardised(jaxmeta.objectives.likelihood_ratio)


def test_rematerialising_changes_no_gradient(policy, collected):
    theta, lifetimes = collected
    lifetime = jax.tree.map(lambda x: x[0], lifetimes)
    plain = whole_network(policy, LOSS, optax.sgd(0.3))
    kept, again = (
        jax.jit(jax.grad(lambda t, a=adapting: jaxmeta.objectives.post_adaptation(acting(a), LOSS)(t, lifetime)[0]))(
            theta
        )
        for adapting in (plain, rematerialised(plain))
    )
    chex.assert_trees_all_close(kept, again, rtol=1e-5, atol=1e-5)
