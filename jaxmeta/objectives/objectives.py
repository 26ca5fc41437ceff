"""What the outer loop minimises: functions of ``theta`` and one task's lifetime, and their mean over tasks."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta.data import masked_mean
from jaxmeta.networks import Distribution
from jaxmeta.over_tasks import Chunk, mean_over_chunks, mean_over_tasks, over_tasks, sum_in_chunk
from jaxmeta.types import Array, Divergence, Learner, Lifetime, Objective, Phi, Surrogate, Theta, Trajectory


def batch_of(lifetime: Lifetime, index: int) -> Trajectory:
    """The ``index``-th batch of episodes of a lifetime, leaves ``[E, T, ...]``."""
    return jax.tree.map(lambda x: x[index], lifetime.trajectory)


def replay_adaptation(learner: Learner, theta: Theta, lifetime: Lifetime) -> Phi:
    """The fast state after all but the last batch were absorbed, as a differentiable function of ``theta``."""
    return _replayed(learner, theta, lifetime, lambda phi, batch: None)[0]


def _replayed(
    learner: Learner, theta: Theta, lifetime: Lifetime, term: Callable[[Phi, Trajectory], Any]
) -> tuple[Phi, Any]:
    """The adapted fast state, and ``term`` of each batch absorbed and of the state that acted in it, ``[K]``."""

    def step(phi: Phi, batch: Trajectory) -> tuple[Phi, Any]:
        return learner.absorb(theta, phi, batch), term(phi, batch)

    before = jax.tree.map(lambda x: x[:-1], lifetime.trajectory)
    # A scan, not a Python loop: the size of the program does not grow with K, and what a learner recomputes for the
    # gradient (``rematerialised``) is not merged with what it computed before.
    return jax.lax.scan(step, learner.begin(theta), before)


def _loss_on(learner: Learner, surrogate: Surrogate, theta: Theta, phi: Phi, batch: Trajectory) -> Array:
    return surrogate(learner.score(theta, phi, batch)[0], batch)


def post_adaptation(learner: Learner, surrogate: Surrogate) -> Objective:
    """``surrogate`` on the last batch, under the policy that adaptation leads to (Finn et al. 2017, equation 4)."""

    def objective_fn(theta: Theta, lifetime: Lifetime):
        adapted = replay_adaptation(learner, theta, lifetime)
        return _loss_on(learner, surrogate, theta, adapted, batch_of(lifetime, -1)), {}

    return objective_fn


def after_every_step(learner: Learner, surrogate: Surrogate) -> Objective:
    """Mean of ``surrogate`` after each of the ``K`` adaptation steps, on the batch that step's policy collected.

    The multi-step loss of Antoniou et al. 2019 (MAML++, equation 3) with equal weights: a policy that is good after one
    step stays good after the next. With ``K = 1`` it is ``post_adaptation``; without a step it is a ``ValueError``.
    """

    def objective_fn(theta: Theta, lifetime: Lifetime):
        if lifetime.trajectory.mask.shape[0] < 2:
            raise ValueError("adaptation_steps: got 0; must be at least 1 where the objective is after every step")

        def step(phi: Phi, batches: tuple[Trajectory, Trajectory]) -> tuple[Phi, Array]:
            phi = learner.absorb(theta, phi, batches[0])
            return phi, _loss_on(learner, surrogate, theta, phi, batches[1])

        absorbed = jax.tree.map(lambda x: x[:-1], lifetime.trajectory)
        judged = jax.tree.map(lambda x: x[1:], lifetime.trajectory)
        return jnp.mean(jax.lax.scan(step, learner.begin(theta), (absorbed, judged))[1]), {}

    return objective_fn


def after_adaptation() -> Callable[[Learner, Surrogate], Objective]:
    """The return after the last adaptation step."""
    return post_adaptation


def during_adaptation() -> Callable[[Learner, Surrogate], Objective]:
    """The mean of the returns after each adaptation step (Antoniou et al. 2019)."""
    return after_every_step


def with_sampling_term(learner: Learner, surrogate: Surrogate, *, weight: float) -> Objective:
    """``post_adaptation`` and credit for the data that adaptation was done on: E-MAML (Stadie et al. 2018, equation 7).

    Adds ``−weight (R − b) / T · Σ log π(a|s)`` over all actions before adaptation, with ``R`` the mean return after it,
    ``b`` that of the other tasks in the meta-batch, and ``T`` the horizon. ``surrogate``, a mean over real steps, is
    multiplied by their share of ``T`` steps: that makes it a sum over an episode's steps divided by ``T``, so that both
    terms are of returns, however long episodes are. At weight 1, with a learner whose inner loss takes the data as
    given (``score_function``) and outer advantages at γ = 1 that are not standardised, the gradient is that of the
    expected undiscounted return after adaptation on as many episodes, divided by ``T``.
    """

    def objective_fn(theta: Theta, lifetime: Lifetime):
        adapted, scores = _replayed(
            learner, theta, lifetime, lambda phi, batch: jnp.sum(learner.score(theta, phi, batch)[0] * batch.mask)
        )
        last = batch_of(lifetime, -1)
        episodes, horizon = last.mask.shape
        gain = jnp.sum(last.reward * last.mask) / episodes - lifetime.peer_return
        # A length that is drawn with the episodes must not divide them: the mean of a ratio is not the ratio of means.
        loss = _loss_on(learner, surrogate, theta, adapted, last) * jnp.sum(last.mask) / (episodes * horizon)
        return loss - weight * gain / horizon * jnp.sum(scores), {}

    return objective_fn


def with_inner_penalty(learner: Learner, surrogate: Surrogate, *, weight: float) -> Objective:
    """``post_adaptation`` and ``weight · KL(π_acted ‖ π)`` on the data before adaptation: ProMP's.

    Over several outer steps on one meta-batch the policies that adaptation starts from must not leave those that
    collected (Rothfuss et al. 2019, equation 13). The divergence is estimated from the actions taken, as the mean of
    ``r − 1 − log r`` with ``r = π(a|s) / π_acted(a|s)``: unbiased and never negative.
    """

    def objective_fn(theta: Theta, lifetime: Lifetime):
        def divergence(phi: Phi, batch: Trajectory) -> Array:
            log_ratio = (learner.score(theta, phi, batch)[0] - batch.log_prob) * batch.mask
            return masked_mean(jnp.expm1(log_ratio) - log_ratio, batch.mask)

        adapted, divergences = _replayed(learner, theta, lifetime, divergence)
        loss, total = _loss_on(learner, surrogate, theta, adapted, batch_of(lifetime, -1)), jnp.sum(divergences)
        return loss + weight * total, {"inner_divergence": total}

    return objective_fn


def towards_adapted(learner: Learner, surrogate: Surrogate) -> Objective:
    """``½ ‖θ − stop(φ_K)‖²``, whose gradient is Reptile's step, ``θ − φ_K`` (Nichol et al. 2018, algorithm 1).

    The learner's fast weights must have theta's structure; ``surrogate`` is not used.
    """

    def objective_fn(theta: Theta, lifetime: Lifetime):
        adapted = jax.lax.stop_gradient(replay_adaptation(learner, theta, lifetime)).params
        squares = jax.tree.map(lambda slow, fast: jnp.sum(jnp.square(slow - fast)), theta, adapted)
        return 0.5 * jax.tree.reduce(jnp.add, squares), {}

    return objective_fn


def adapted_divergence(
    learner: Learner,
    distribution: Callable[[Theta, Phi, Array], Any],
    theta: Theta,
    lifetimes: Lifetime,
    task_chunk: Chunk,
) -> Divergence:
    """Mean KL from the post-adaptation policies of ``theta`` to those of another theta, at the last batch's states.

    Args:
      learner: replays the adaptation.
      distribution: ``(theta, phi, obs) -> action distribution``.
      theta: the slow weights that collected.
      lifetimes: leaves ``[N, K + 1, E, T, ...]``.
      task_chunk: tasks evaluated together.
    """

    def adapted(theta: Theta, lifetime: Lifetime) -> Distribution:
        return distribution(theta, replay_adaptation(learner, theta, lifetime), batch_of(lifetime, -1).obs)

    def mean_kl(reference: Distribution, now: Distribution, lifetime: Lifetime, every: int = 1) -> Array:
        mask = batch_of(lifetime, -1).mask
        # Every n-th term counts; the network and the adaptation read all steps, or it would be another policy's.
        return masked_mean(reference.kl(now), mask * (jnp.arange(mask.shape[-1]) % every == 0)[None])

    references = over_tasks(adapted, lifetimes, shared=theta, task_chunk=task_chunk)

    def one_value(new_theta: Theta, lifetime: Lifetime, reference: Distribution):
        return mean_kl(reference, adapted(new_theta, lifetime), lifetime), {}

    def value_fn(new_theta: Theta) -> Array:
        return mean_over_tasks(one_value, task_chunk)(new_theta, lifetimes, references)[0]

    def one_curvature(every: int, at: tuple[Theta, Theta], lifetime: Lifetime):
        # The gradient of the KL vanishes where the two policies are equal, so its Hessian there is exactly JᵀFJ, with J
        # the derivative through the adaptation and F the Hessian in the distribution's own parameters. That spares the
        # third derivatives which forward-over-reverse would compute only to multiply them by zero.
        def adapt(theta: Theta) -> Distribution:
            return adapted(theta, lifetime)

        theta, vector = at
        now, moved = jax.jvp(adapt, (theta,), (vector,))
        gradient = jax.grad(lambda other: mean_kl(now, other, lifetime, every))
        cotangent = jax.jvp(gradient, (now,), (moved,))[1]
        return jax.vjp(adapt, theta)[1](cotangent)[0], {}

    def curvature_fn(vector: Theta, every: int) -> Theta:
        one = functools.partial(one_curvature, every)
        of_chunk = lambda at, tasks: sum_in_chunk(one, at, tasks)  # noqa: E731
        return mean_over_chunks(of_chunk, (theta, vector), (lifetimes,), task_chunk)[0]

    return Divergence(value_fn, curvature_fn)
