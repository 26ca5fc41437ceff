"""How experts are used by the tasks of a meta-batch, and what keeps all of them in use (Shazeer et al. 2017)."""

import jax
import jax.numpy as jnp

from jaxmeta.algorithms.compose import default_task_chunk
from jaxmeta.objectives.objectives import batch_of, replay_adaptation
from jaxmeta.types import Array, Gate, Info, Learner, Lifetime, Regulariser, Theta


def expert_use(learner: Learner, gate: Gate, theta: Theta, lifetime: Lifetime) -> Array:
    """Mean probability of each expert over one task's data after adaptation, ``[experts]``; sums to 1."""
    last = batch_of(lifetime, -1)
    probabilities = gate(theta, replay_adaptation(learner, theta, lifetime), last.obs)
    return jnp.sum(probabilities * last.mask[..., None], axis=(0, 1)) / jnp.maximum(jnp.sum(last.mask), 1.0)


def imbalance(use: Array) -> Array:
    """``K Σ_k m_k² − 1``, with ``m`` the mean of ``use`` ``[N, K]`` over tasks: 0 at even use, K − 1 where one has all.

    The squared coefficient of variation of the experts' shares, which is the importance loss of Shazeer et al. 2017
    (equation 7) with the tasks of a meta-batch for their batch: a task may keep to one expert, as long as others keep
    to the others.
    """
    return use.shape[-1] * jnp.sum(jnp.square(jnp.mean(use, axis=0))) - 1.0


def load_balancing(
    learner: Learner, gate: Gate | None, *, balance_weight: float, task_chunk: int | None = None
) -> Regulariser | None:
    """``balance_weight · imbalance`` of a meta-batch, differentiated through the adaptation; ``None`` at weight 0.

    It replays the adaptation a second time beside the objective, so that a meta-step takes up to twice as long.

    Args:
      learner: replays the adaptation.
      gate: of the adapted policy, as in ``MetaAlgorithm``.
      balance_weight: ≥ 0.
      task_chunk: tasks differentiated together, ≥ 1; by default what ``default_task_chunk`` says.

    Raises:
      ValueError: a negative weight, or a positive one without a gate.
    """
    if isinstance(balance_weight, (int, float)):
        if balance_weight < 0:
            raise ValueError(f"balance_weight: got {balance_weight}; must be at least 0")
        if balance_weight == 0:
            return None
    if gate is None:
        raise ValueError(f"balance_weight: got {balance_weight}; must be 0 for a policy without experts")

    def regulariser_fn(theta: Theta, lifetimes: Lifetime) -> tuple[Array, Info]:
        chunk = default_task_chunk(*lifetimes.trajectory.mask.shape[-2:]) if task_chunk is None else task_chunk
        # Computed again for the gradient, so that memory does not grow with the tasks.
        one = jax.checkpoint(lambda lifetime: expert_use(learner, gate, theta, lifetime))
        value = imbalance(jax.lax.map(one, lifetimes, batch_size=chunk if chunk > 1 else None))
        return balance_weight * value, {"imbalance": value}

    return regulariser_fn
