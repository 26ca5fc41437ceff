"""The learner that adapts action values by temporal-difference steps on its own episodes."""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxmeta.checks import check_least, check_unit
from jaxmeta.data import n_step_returns, next_observations, places_at, rescaled, unscaled
from jaxmeta.learners.recurrent import act_epsilon_greedily, score_epsilon_greedily
from jaxmeta.mixed_mode import inner_gradient
from jaxmeta.networks import Policy
from jaxmeta.types import Array, Key, Learner, Phi, PyTree, Theta, Trajectory


class NStepTransitions(NamedTuple):
    """Steps of one task and the parts of their n-step targets, leaves ``[M, ...]``.

    Attributes:
      obs: before the step.
      action: of the step.
      total: discounted rewards of the n steps from there on.
      factor: of the value at ``next_obs``: the discount of n steps, or 0 after a termination.
      next_obs: after those steps.
      mask: 1 for a real step.
    """

    obs: Array
    action: Array
    total: Array
    factor: Array
    next_obs: Array
    mask: Array


def q_learner(
    policy: Policy,
    *,
    inner_optimizer: optax.GradientTransformation,
    inner_updates: int = 4,
    inner_batch: int = 128,
    discount: float = 0.99,
    n_step: int = 1,
    double: bool = True,
    epsilon: float | Array = 0.0,
) -> Learner:
    """``φ ← φ − α ∇ ½ mean (y − Q_φ(s, a))²``, some times on each batch of episodes; acts ε-greedily.

    The values that are learned are ``h(Q)`` (see ``rescaled``), and ``y = h(R + γⁿ Q'(s'))``, with ``Q'`` by the
    weights that the batch was begun with. A step's gradient holds ``y`` fixed, but ``absorb`` as a function of its
    arguments does not: its derivative is that of the whole adaptation.

    Args:
      policy: its logits are ``h(Q)``; its parameters are theta.
      inner_optimizer: of the steps, begun anew at each batch; must be differentiable.
      inner_updates: steps on a batch of episodes, ≥ 0.
      inner_batch: transitions of each, spread evenly over the batch's real steps, others at each step, ≥ 1.
      discount: γ in [0, 1].
      n_step: n ≥ 1, of the targets.
      double: the learned weights choose the target's action (van Hasselt et al. 2016); otherwise those that give its
        value do.
      epsilon: share of random actions, in [0, 1].
    """
    check_least(0, inner_updates=inner_updates)
    check_least(1, inner_batch=inner_batch, n_step=n_step)
    check_unit(discount=discount, epsilon=epsilon)

    def act_fn(key: Key, theta: Theta, phi: Phi, obs: Array):
        return *act_epsilon_greedily(key, action_values(policy, phi, obs), epsilon), phi

    def score_fn(theta: Theta, phi: Phi, trajectory: Trajectory):
        return score_epsilon_greedily(action_values(policy, phi, trajectory.obs), trajectory.action, epsilon)

    def loss(weights: PyTree, target: Array, part: NStepTransitions) -> Array:
        return 0.5 * jnp.mean(jnp.square(td_errors(policy, weights, target, part)))

    def absorb_fn(theta: Theta, phi: Phi, trajectory: Trajectory) -> Phi:
        data = n_step_transitions(trajectory, discount, n_step)

        def step(carry: tuple[PyTree, PyTree], index: Array) -> tuple[tuple[PyTree, PyTree], None]:
            weights, state = carry
            points = (jnp.arange(inner_batch) + (index + 0.5) / inner_updates) / inner_batch
            part = at_shares(data, points)
            target = td_targets(policy, weights if double else phi, phi, part)

            steps, state = inner_optimizer.update(inner_gradient(loss)(weights, target, part), state, weights)
            return (cast(PyTree, optax.apply_updates(weights, steps)), state), None

        (adapted, _), _ = jax.lax.scan(step, (phi, inner_optimizer.init(phi)), jnp.arange(inner_updates))
        return adapted

    return Learner(policy.init, lambda theta: theta, act_fn, absorb_fn, score_fn)


def action_values(policy: Policy, weights: PyTree, obs: Array) -> Array:
    """``h(Q)`` of all actions, ``[..., actions]``."""
    return jax.tree.leaves(policy.apply(weights, obs))[0]


def td_targets(policy: Policy, selector: PyTree, evaluator: PyTree, data: NStepTransitions) -> Array:
    """``h(R + γⁿ Q_evaluator(s', argmax Q_selector(s')))``, ``[M]``."""
    best = jnp.argmax(action_values(policy, selector, data.next_obs), axis=-1)
    later = jnp.take_along_axis(action_values(policy, evaluator, data.next_obs), best[:, None], axis=-1)[:, 0]
    return rescaled(data.total + data.factor * unscaled(later))


def td_errors(policy: Policy, weights: PyTree, target: Array, data: NStepTransitions) -> Array:
    """``y − h(Q(s, a))``, ``[M]``, with the targets ``y``."""
    taken = jnp.take_along_axis(action_values(policy, weights, data.obs), data.action[:, None], axis=-1)[:, 0]
    return target - taken


def n_step_transitions(trajectory: Trajectory, discount: float, n_step: int) -> NStepTransitions:
    """All steps of a batch of episodes ``[..., T, ...]``, one after the other, ``[M, ...]``."""
    batch = trajectory
    rows = lambda x: x.reshape(-1, *x.shape[batch.mask.ndim - 1 :])  # noqa: E731
    episodes = (rows(batch.reward), rows(batch.terminated), rows(batch.truncated))
    total, factor, last = jax.vmap(n_step_returns, (0, 0, 0, None, None))(*episodes, discount, n_step)
    next_obs = jax.vmap(lambda obs, last: obs[last])(rows(next_observations(batch)), last)
    stored = NStepTransitions(rows(batch.obs), rows(batch.action), total, factor, next_obs, rows(batch.mask))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), stored)


def at_shares(data: NStepTransitions, shares: Array) -> NStepTransitions:
    """The real transitions at these shares, in [0, 1), of all of them: leaves ``[count, ...]``."""
    places = places_at(shares, jnp.cumsum(data.mask))
    return jax.tree.map(lambda x: x[places], data)
