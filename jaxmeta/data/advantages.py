"""Returns, advantages and baselines. Pure and unbatched; callers vmap over episodes.

**Of which value the gradient is.** ``Σ_t ∇log π_t · A_t`` with ``A_t = Σ_{t' ≥ t} γ^{t'−t} r_t' − b(s_t)`` is the
gradient of neither value where γ < 1: each step's rewards are discounted from that step on, but all steps count alike.
With γ = 1 it is the gradient of the undiscounted value ``E Σ_t r_t``; with ``γ^t A_t`` (``discount_weighted``) it is
that of the discounted value ``E Σ_t γ^t r_t``, at any γ. Both hold with λ = 1 and a baseline that depends on no action
from its step on.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from jaxmeta.checks import check_between, check_unit
from jaxmeta.data.least_squares import fit_linear, linear_features
from jaxmeta.over_tasks import target_platform
from jaxmeta.types import Array, Estimator, Trajectory


def discounted_returns(reward: Array, end: Array, discount: float) -> Array:
    """Return-to-go ``G_t = r_t + γ (1 − end_t) G_{t+1}`` inside each episode of one sequence, ``[T]``.

    Args:
      reward: ``[T]``.
      end: 1 at the last step of an episode, however it ended, ``[T]``.
      discount: γ in [0, 1].
    """
    return _backward_sums(reward, 1.0 - end, discount)


def _backward_sums(x: Array, goes_on: Array, decay: float) -> Array:
    """``y_t = x_t + decay · goes_on_t · y_{t+1}``, 0 beyond the sequence, ``[T]``."""
    chex.assert_rank([x, goes_on], 1)
    if target_platform() != "cpu":
        # On a CPU it takes two to four times as long as the loop; an accelerator would pay for each turn of that.
        join = lambda later, sooner: (sooner[0] + sooner[1] * later[0], sooner[1] * later[1])  # noqa: E731
        return jax.lax.associative_scan(join, (x, decay * goes_on), reverse=True)[0]

    def step(future, inputs):
        x_t, goes_on_t = inputs
        total = x_t + decay * goes_on_t * future
        return total, total

    return jax.lax.scan(step, jnp.zeros_like(x[0]), (x, goes_on), reverse=True)[1]


def generalised_advantages(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    discount: float,
    trace_decay: float,
) -> Array:
    """Generalised advantage estimates, Schulman et al. 2016 (equation 16).

    ``δ_t = r_t + γ (1 − terminated_t) V(s_{t+1}) − V(s_t)``; ``A_t = δ_t + γ λ (1 − end_t) A_{t+1}``, where an episode
    ends by either flag, but only ``terminated`` stops the bootstrap.

    Args:
      reward: ``[T]``.
      value: ``V(s_t)``, ``[T]``.
      next_value: ``V(s_{t+1})``, of the state truly reached (not of a reset), ``[T]``.
      terminated: ``[T]``, 0 or 1.
      truncated: ``[T]``, 0 or 1.
      discount: γ in [0, 1].
      trace_decay: λ in [0, 1].
    """
    chex.assert_equal_shape([reward, value, next_value, terminated, truncated])
    delta = reward + discount * (1.0 - terminated) * next_value - value
    return _backward_sums(delta, (1.0 - terminated) * (1.0 - truncated), discount * trace_decay)


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean of ``x`` where ``mask`` is 1; 0 if nowhere."""
    return jnp.sum(x * mask) / jnp.maximum(jnp.sum(mask), 1.0)


def standardise(x: Array, mask: Array) -> Array:
    """Subtract the mean and divide by the standard deviation of the real steps; padding becomes 0."""
    mean = masked_mean(x, mask)
    variance = masked_mean(jnp.square(x - mean), mask)
    # The epsilon keeps a batch of equal advantages at zero instead of 0/0.
    return (x - mean) / (jnp.sqrt(variance) + 1e-8) * mask


def linear_baseline(*, discount: float = 0.99, trace_decay: float = 1.0, discount_weighting: bool = False) -> Estimator:
    """Advantages against a linear baseline that is fitted to each batch's own returns (Duan et al. 2016).

    The baseline models the return that remains *inside* the episode, so it is zero after the last step, however the
    episode ended: there is no value to bootstrap from. With λ = 1 the policy gradient is that of the undiscounted value
    at γ = 1, of the discounted value with ``discount_weighting``, and else of neither. It is biased by O(1/E), since
    the baseline is fitted to the same E episodes; by more where λ < 1 and the baseline is not the value.

    Args:
      discount: γ in [0, 1].
      trace_decay: λ in [0, 1].
      discount_weighting: multiply the advantage of step t by γ^t, so that gradients are those of the discounted value.
    """
    check_unit(discount=discount, trace_decay=trace_decay)
    advantages_of = functools.partial(generalised_advantages, discount=discount, trace_decay=trace_decay)

    def estimate_fn(trajectory: Trajectory) -> Trajectory:
        mask, terminated, truncated = trajectory.mask, trajectory.terminated, trajectory.truncated
        reward, end = trajectory.reward * mask, jnp.maximum(terminated, truncated)
        returns = jax.vmap(discounted_returns, (0, 0, None))(reward, end, discount)
        value = fit_linear(linear_features(trajectory.obs, mask), returns, mask) * mask
        next_value = jnp.pad(value[:, 1:], ((0, 0), (0, 1))) * (1.0 - end)
        advantage = jax.vmap(advantages_of)(reward, value, next_value, terminated, truncated)
        return trajectory._replace(advantage=advantage * mask, value_target=returns * mask)

    return discount_weighted(estimate_fn, discount) if discount_weighting else estimate_fn


def critic_baseline(
    *, discount: float = 0.99, trace_decay: float = 0.95, discount_weighting: bool = False
) -> Estimator:
    """Generalised advantages against the values that the learner's critic gave while it acted.

    After a lifetime's last step the value is 0, whatever ended it. Ends of episodes inside a lifetime do not cut the
    advantages, so that an early step is credited for its use in later episodes. With λ = 1 the policy gradient is that
    of a lifetime's undiscounted value at γ = 1, of its discounted value with ``discount_weighting``, and else of
    neither; with λ < 1 it is biased by the critic's errors. Where the learner has no critic there is no baseline.

    Args:
      discount: γ in [0, 1].
      trace_decay: λ in [0, 1].
      discount_weighting: multiply the advantage of step t of the lifetime by γ^t, so that gradients are those of the
        discounted value.
    """
    check_unit(discount=discount, trace_decay=trace_decay)
    advantages_of = functools.partial(generalised_advantages, discount=discount, trace_decay=trace_decay)

    def estimate_fn(trajectory: Trajectory) -> Trajectory:
        mask = trajectory.mask
        reward, value, no_end = trajectory.reward * mask, trajectory.value * mask, jnp.zeros_like(mask)
        advantage = jax.vmap(advantages_of)(reward, value, jnp.pad(value[:, 1:], ((0, 0), (0, 1))), no_end, no_end)
        return trajectory._replace(advantage=advantage * mask, value_target=(advantage + value) * mask)

    return discount_weighted(estimate_fn, discount) if discount_weighting else estimate_fn


def identity_estimator(trajectory: Trajectory) -> Trajectory:
    """The estimator of methods that need no advantages: the trajectory as it is."""
    return trajectory


def discount_weighted(estimator: Estimator, discount: float) -> Estimator:
    """``estimator`` with the advantage of step t times ``γ^t``: gradients of the discounted value (Sutton et al. 1999).

    DiCE is unbiased at γ < 1 with these advantages only: the objective of Foerster et al. 2018 weights the reward of
    step t by ``γ^t``. Late steps then count for little, and most code leaves the weights out. Targets of a critic stay.

    Args:
      estimator: fills in advantages ``[E, T]`` with the same discount, from each row's first step on.
      discount: γ in [0, 1].
    """
    check_unit(discount=discount)

    def estimate_fn(trajectory: Trajectory) -> Trajectory:
        trajectory = estimator(trajectory)
        weights = discount ** jnp.arange(trajectory.advantage.shape[-1])
        return trajectory._replace(advantage=weights[None] * trajectory.advantage)

    return estimate_fn


def scaled_rewards(estimator: Estimator, scale: float) -> Estimator:
    """``estimator`` on rewards times ``scale``; the trajectory keeps its own rewards."""

    def estimate_fn(trajectory: Trajectory) -> Trajectory:
        reward = trajectory.reward
        return estimator(trajectory._replace(reward=scale * reward))._replace(reward=reward)

    return estimate_fn


def n_step_targets(reward: Array, terminated: Array, mask: Array, value: Array, discount: float, steps: int) -> Array:
    """``r_t + γ r_{t+1} + … + γⁿ V(s_{t+n})`` in one sequence, ``[T]``, cut after a termination and a last real step.

    Args:
      reward: ``[T]``.
      terminated: 1 at a step that nothing follows, ``[T]``.
      mask: 1 for a real step, ``[T]``.
      value: ``V(s_t)``, ``[T]``. That of the last real step is its target too, unless that step terminated.
      discount: γ in [0, 1].
      steps: n from 1 to 1,000; near the last real step, as many as there are.
    """
    chex.assert_rank([reward, terminated, mask, value], 1)
    _check_n_step(steps)
    followed = jnp.maximum(jnp.append(mask[1:], 0.0), terminated) > 0
    target = value
    for _ in range(steps):
        later = reward + discount * (1.0 - terminated) * jnp.append(target[1:], 0.0)
        # The last state's value stands for all that comes after the last real step.
        target = jnp.where(followed, later, value)
    return target


def n_step_returns(
    reward: Array, terminated: Array, truncated: Array, discount: float, steps: int
) -> tuple[Array, Array, Array]:
    """``r_t + … + γ^{m−1} r_{t+m−1}``, the factor of the next state's value, and each sum's last step; all ``[T]``.

    m is n, or less where an episode ends. The factor is ``γ^m``, and 0 after a termination: the target is
    ``sum + factor * V``, with V the value of the state that the last step led to.

    Args:
      reward: of one sequence, ``[T]``.
      terminated: 1 at a step that nothing follows, ``[T]``.
      truncated: 1 at a step after which the data stops but not the task, ``[T]``.
      discount: γ in [0, 1].
      steps: n from 1 to 1,000.
    """
    chex.assert_rank([reward, terminated, truncated], 1)
    _check_n_step(steps)
    time = jnp.arange(reward.shape[0])
    goes_on = (1.0 - jnp.maximum(terminated, truncated)) * (time < reward.shape[0] - 1)
    first = discount * (1.0 - terminated)
    total, factor, last = reward, first, time
    for _ in range(steps - 1):
        total = reward + discount * goes_on * jnp.append(total[1:], 0.0)
        factor = jnp.where(goes_on > 0, discount * jnp.append(factor[1:], 0.0), first)
        last = jnp.where(goes_on > 0, jnp.append(last[1:], 0), time)
    return total, factor, last


def _check_n_step(steps: int) -> None:
    # The program has a part for each step.
    check_between(1, 1000, n_step=steps)


def rescaled(x: Array, epsilon: float = 1e-3) -> Array:
    """``h(x) = sign(x) (√(|x| + 1) − 1) + εx``: large values are compressed (Pohlen et al. 2018)."""
    return jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1.0) - 1.0) + epsilon * x


def unscaled(x: Array, epsilon: float = 1e-3) -> Array:
    """The inverse of ``rescaled``."""
    root = (jnp.sqrt(1.0 + 4.0 * epsilon * (jnp.abs(x) + 1.0 + epsilon)) - 1.0) / (2.0 * epsilon)
    return jnp.sign(x) * (jnp.square(root) - 1.0)
