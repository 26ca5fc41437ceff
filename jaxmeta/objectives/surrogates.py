"""Policy-gradient surrogates: ``surrogate(log_prob, trajectory) -> loss``, for the inner and the outer loop alike.

All have the same gradient at the policy that acted, ``−mean over real steps of ∇log π · A``; they differ in their
second derivative, which is what an adaptation step is differentiated through. ``log_prob`` is ``[E, T]``.

Of which value the gradient is, the advantages decide: of the undiscounted value with γ = 1, of the discounted one with
advantages weighted by ``γ^t`` (``discount_weighting`` of the estimators), and else of neither. The mean over real steps
divides it by the mean length of the batch's episodes, which counts as a constant.
"""

import chex
import jax
import jax.numpy as jnp

from jaxmeta.checks import check_positive, check_unit
from jaxmeta.data import masked_mean, standardise
from jaxmeta.parts import extends
from jaxmeta.types import Array, Surrogate, Trajectory


def score_function(log_prob: Array, trajectory: Trajectory) -> Array:
    """``−mean log π(a|s) · A`` (REINFORCE, as in Finn et al. 2017).

    Its first derivative is that of the value which the advantages are of. Its second one, ``−mean ∇²log π · A``, drops
    the dependence of the sampled data on the policy: a biased meta-gradient. How large the bias is depends on the
    baseline in ``A``: one of ``b(s)`` adds ``b(s)`` times the Fisher information of the policy at ``s``.
    """
    return _loss(log_prob, trajectory)


def likelihood_ratio(log_prob: Array, trajectory: Trajectory) -> Array:
    """``−mean π(a|s) / π_acted(a|s) · A``: the low-variance-curvature surrogate of Rothfuss et al. 2019 (equation 10).

    The ratio is to the stored log-probabilities, so it stays right when ``theta`` moves on from the policy that acted.
    Its first derivative is that of the value which the advantages are of. Its second one is biased in episodes of more
    than one step: it drops how an action changes the states, and so the gradients, of later steps. A baseline that
    depends on the state and the time alone does not change the bias on average. One that is fitted to the same episodes
    adds its own, and so does bootstrapping from a value that is not exact (λ < 1).
    """
    return _loss(_ratio(log_prob, trajectory), trajectory)


def clipped(epsilon: float = 0.2) -> Surrogate:
    """PPO's pessimistic clipped ratio, Schulman et al. 2017 (equation 7), for several outer steps on one batch.

    At the policy that acted its derivatives are those of ``likelihood_ratio``; away from it they are of no value, but
    of a bound on what one step may gain.
    """
    check_positive(epsilon=epsilon)

    def surrogate_fn(log_prob: Array, trajectory: Trajectory) -> Array:
        ratio = _ratio(log_prob, trajectory)
        bounded = jnp.clip(ratio, 1.0 - epsilon, 1.0 + epsilon)
        gain = jnp.minimum(ratio * trajectory.advantage, bounded * trajectory.advantage)
        return -masked_mean(gain, trajectory.mask)

    return surrogate_fn


def dice(trace_decay: float = 1.0) -> Surrogate:
    """Loaded DiCE, Farquhar et al. 2019 (equation 13), on the stored advantages.

    ``−mean [□(w_t) − □(v_t)] A_t`` with ``w_t = λ w_{t−1} + log π_t`` and ``v_t = w_t − log π_t``, where ``□(x) =
    exp(x − stop(x))``. With λ = 1 (DiCE, Foerster et al. 2018, with a baseline) every derivative is unbiased: of the
    undiscounted value with advantages at γ = 1, of the discounted value with advantages weighted by ``γ^t``, and of
    neither with those that estimators give at γ < 1 by default: on a random MDP of 5 states at γ = 0.95 these were off
    by 10 % after one adaptation step and after two. The estimator's λ must be 1, and the baseline must depend on no
    action from its step on: one that is fitted to the same E episodes adds O(1/E). λ = 0 here is the
    low-variance-curvature surrogate; between them, bias is traded for variance.

    Args:
      trace_decay: λ in [0, 1], how far back in the episode an action is given second-order credit.
    """
    check_unit(trace_decay=trace_decay)

    def surrogate_fn(log_prob: Array, trajectory: Trajectory) -> Array:
        log_prob = log_prob * trajectory.mask

        def accumulate(trace, log_prob_t):
            trace = trace_decay * trace + log_prob_t
            return trace, trace

        with_action = jax.lax.scan(accumulate, jnp.zeros_like(log_prob[:, 0]), log_prob.T)[1].T
        return _loss(_magic_box(with_action) - _magic_box(with_action - log_prob), trajectory)

    return surrogate_fn


def standardised(surrogate: Surrogate) -> Surrogate:
    """The surrogate on advantages scaled to mean 0 and standard deviation 1 over the batch's real steps.

    In an inner loss this makes the step's length independent of the scale of a task's rewards. In an outer loss it
    makes all tasks count alike, however far they are from solved.

    Mean and standard deviation are taken as given: how they depend on the policy is not differentiated. So an inner
    loss that is standardised has a biased meta-gradient even where the surrogate's is not: by a few percent of its norm
    where it was measured. No value has this gradient: it is a value's divided by the deviation.
    """

    def surrogate_fn(log_prob: Array, trajectory: Trajectory) -> Array:
        advantage = standardise(trajectory.advantage, trajectory.mask)
        return surrogate(log_prob, trajectory._replace(advantage=advantage))

    return surrogate_fn


def _magic_box(x: Array) -> Array:
    # Value 1, derivative that of x: the subtraction cancels the value and leaves the dependence on the policy.
    return jnp.exp(x - jax.lax.stop_gradient(x))


def _ratio(log_prob: Array, trajectory: Trajectory) -> Array:
    chex.assert_equal_shape([log_prob, trajectory.log_prob])
    # Padding is masked before the exponential: exp of a stray difference could overflow, and inf · 0 is NaN.
    return jnp.exp(jnp.where(trajectory.mask > 0, log_prob - trajectory.log_prob, 0.0))


def _loss(weight: Array, trajectory: Trajectory) -> Array:
    chex.assert_equal_shape([weight, trajectory.advantage])
    return -masked_mean(weight * trajectory.advantage, trajectory.mask)


def ratio_surrogate(*, standardise: bool = True) -> Surrogate:
    """The likelihood ratio times the advantage.

    Args:
      standardise: scale advantages to standard deviation 1 in each task, so that all tasks count alike; else they stay
        in units of reward, and a task counts by how much there is to gain. The deviation counts as a constant, which
        adds a bias of a few percent to the meta-gradient of an inner loss.
    """
    return _scaled(likelihood_ratio, standardise)


@extends(ratio_surrogate)
def score_surrogate(*, standardise: bool = True) -> Surrogate:
    """The log-probability times the advantage: its second derivative is biased, more or less by the baseline."""
    return _scaled(score_function, standardise)


@extends(ratio_surrogate)
def dice_surrogate(*, trace_decay: float = 1.0, standardise: bool = True) -> Surrogate:
    """DiCE (Foerster et al. 2018), or Loaded DiCE (Farquhar et al. 2019).

    Unbiased without ``standardise``, with λ = 1 here and in the estimator, and either γ = 1 or the estimator's
    ``discount_weighting``.

    Args:
      trace_decay: λ in [0, 1], how far back an action gets second-order credit; below 1 it is Loaded DiCE.
    """
    return _scaled(dice(trace_decay), standardise)


@extends(ratio_surrogate)
def clipped_surrogate(*, epsilon: float = 0.2, standardise: bool = True) -> Surrogate:
    """The clipped likelihood ratio of PPO (Schulman et al. 2017).

    Args:
      epsilon: ε > 0; the ratio counts between 1 − ε and 1 + ε.
    """
    return _scaled(clipped(epsilon), standardise)


def _scaled(surrogate: Surrogate, standardise: bool) -> Surrogate:
    return standardised(surrogate) if standardise else surrogate
