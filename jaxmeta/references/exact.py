"""Exact values and meta-gradients of softmax policies in small, known MDPs.

A policy is a table of logits θ, ``[S, A]``: ``π(a | s) = softmax(logits[s])[a]``. Its value solves a linear system, so
it is a differentiable function of the logits. So is the value after ``k`` steps of gradient ascent on it; its gradient
is what sampled meta-gradients should be on average. All functions work in the precision of their inputs;
``in_float64`` runs them in double precision. They refuse an MDP with γ outside [0, 1], with γ = 1 and an infinite
horizon, or with a horizon below 1.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxmeta.checks import check_least, check_unit
from jaxmeta.elimination import solve
from jaxmeta.references.tabular_simulation import draw_mdp
from jaxmeta.types import Array, Key, PyTree


@struct.dataclass
class MDP:
    """A known Markov decision process; ``horizon`` is static, so that an MDP can pass through ``jit``.

    Attributes:
      transition: ``P(s' | s, a)``, ``[S, A, S]``.
      reward: expected reward of an action in a state, ``[S, A]``.
      start: distribution of the first state, ``[S]``.
      discount: γ in [0, 1]; below 1 if the horizon is infinite.
      horizon: steps in an episode, T ≥ 1; ``None`` is infinite.
    """

    transition: Array
    reward: Array
    start: Array
    discount: Array | float
    horizon: int | None = struct.field(pytree_node=False, default=None)


def bandit_mdp(mean_rewards: Array) -> MDP:
    """A bandit as an MDP of one state and horizon 1, from what each arm pays on average, ``[A]``."""
    chex.assert_rank(mean_rewards, 1)
    mean_rewards = jnp.asarray(mean_rewards)
    ones = jnp.ones_like(mean_rewards)
    return MDP(ones[None, :, None], mean_rewards[None], ones[:1], 1.0, 1)


def random_mdp(key: Key, states: int, actions: int, *, discount: float = 0.95, horizon: int | None = None) -> MDP:
    """Transitions from a flat Dirichlet, mean rewards from N(1, 1), start in state 0 (Duan et al. 2016).

    Args:
      key: PRNG key.
      states: S ≥ 1; Farquhar et al. 2019 check their derivatives with 5.
      actions: A ≥ 1; there 4.
      discount: γ in [0, 1].
      horizon: T ≥ 1, or ``None`` for an infinite one.
    """
    check_least(1, states=states, actions=actions)
    transition, reward = draw_mdp(key, states, actions)
    mdp = MDP(transition, reward, jax.nn.one_hot(0, states, dtype=reward.dtype), discount, horizon)
    _check(mdp)
    return mdp


def state_values(logits: Array, mdp: MDP) -> Array:
    """Value of each state: ``V = (I − γ P_π)⁻¹ r_π``, with ``P_π(s' | s) = Σ_a π(a | s) P(s' | s, a)``.

    With a finite horizon the state is the pair of time and state, whose transition matrix leads from ``(t, s)`` to
    ``(t + 1, s')`` and from the last time to nowhere. It is nilpotent, so the system has one solution at any γ.

    Returns:
      ``[S]`` if the horizon is infinite, else ``[T, S]``: the row of time ``t`` has ``T − t`` steps to go.
    """
    _check(mdp)
    chex.assert_rank(logits, 2)
    chex.assert_shape(
        [mdp.transition, mdp.reward, mdp.start], [(*logits.shape, len(logits)), logits.shape, logits.shape[:1]]
    )
    policy = jax.nn.softmax(logits)
    transition = jnp.einsum("sa,sax->sx", policy, mdp.transition)
    reward = jnp.sum(policy * mdp.reward, axis=1)
    if mdp.horizon is not None:
        transition = jnp.kron(jnp.eye(mdp.horizon, k=1, dtype=transition.dtype), transition)
        reward = jnp.tile(reward, mdp.horizon)
    values = solve(jnp.eye(len(reward), dtype=transition.dtype) - mdp.discount * transition, reward)
    return values if mdp.horizon is None else values.reshape(mdp.horizon, -1)


def policy_value(logits: Array, mdp: MDP) -> Array:
    """Expected discounted return of a policy: ``V(θ) = E Σ_t γ^t r_t = Σ_s start(s) V(s)``, a scalar."""
    values = state_values(logits, mdp)
    return jnp.dot(mdp.start, values if mdp.horizon is None else values[0])


def policy_gradient(logits: Array, mdp: MDP) -> Array:
    """``∇V(θ)``, exact, ``[S, A]``; each state's entries sum to 0, as a shift of the logits changes no probability."""
    return jax.grad(policy_value)(logits, mdp)


def adapted_logits(logits: Array, mdp: MDP, rate: Array | float, steps: int) -> Array:
    """``θ_k``, where ``θ_{i+1} = θ_i + α ∇V(θ_i)`` and ``θ_0 = θ``: gradient ascent without sampling.

    Args:
      logits: of the policy before adaptation, θ.
      mdp: the decision process.
      rate: α, the step size on the gradient of the *return*. A surrogate that is a mean over the T steps of an episode
        has 1/T of its gradient, so it needs T times the rate for the same step.
      steps: k ≥ 0.
    """
    check_least(0, steps=steps)
    _check(mdp)
    ascend = lambda _, logits: logits + rate * policy_gradient(logits, mdp)  # noqa: E731
    return jax.lax.fori_loop(0, steps, ascend, jnp.asarray(logits))


def meta_value(logits: Array, mdp: MDP, rate: Array | float, steps: int) -> Array:
    """``V(θ_k)``: the value of the ``adapted_logits``, whose arguments it takes (Finn et al. 2017, equation 4)."""
    return policy_value(adapted_logits(logits, mdp, rate, steps), mdp)


def meta_gradient(logits: Array, mdp: MDP, rate: Array | float, steps: int) -> Array:
    """``∇_θ V(θ_k) = Π_{i<k} (I + α ∇²V(θ_i)) ∇V(θ_k)``, ``[S, A]``, through all steps of ``adapted_logits``.

    Foerster et al. 2018 and Farquhar et al. 2019 compare derivatives of sampled surrogates with it.
    """
    return jax.grad(meta_value)(logits, mdp, rate, steps)


def in_float64(function: Callable[..., PyTree], *arguments: Any) -> PyTree:
    """``function(*arguments)`` in double precision, for this call only; the result's arrays are numpy's, float64.

    Args:
      function: any of this module's functions, or a function of yours that calls them.
      *arguments: pytrees; their floating-point arrays become float64.
    """

    def widen(leaf: Any) -> Any:
        is_array = isinstance(leaf, (np.ndarray, jax.Array))
        return np.asarray(leaf, np.float64) if is_array and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    wide = jax.tree.map(widen, arguments)
    with jax.enable_x64(True):
        # Traced as a whole: operation by operation, each would be compiled on its own.
        return jax.tree.map(np.asarray, jax.jit(lambda: function(*wide))())


def _check(mdp: MDP) -> None:
    if mdp.horizon is not None and mdp.horizon < 1:
        raise ValueError(f"horizon: got {mdp.horizon}; must be at least 1, or None")
    check_unit(discount=mdp.discount)
    if mdp.horizon is None and isinstance(mdp.discount, (int, float)) and mdp.discount == 1.0:
        raise ValueError("discount: got 1.0; must be below 1 where the horizon is infinite")
