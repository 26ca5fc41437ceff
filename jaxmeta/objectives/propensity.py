"""How far stored data resembles that of a new task: odds by logistic regression, and their effective sample size."""

import chex
import jax
import jax.numpy as jnp

from jaxmeta.elimination import solve
from jaxmeta.types import Array


def logistic_regression(
    features: Array, label: Array, weight: Array, *, ridge: float = 1.0, steps: int = 8
) -> tuple[Array, Array]:
    """``min_{b, c} Σ weight · −log p(label | b · x + c) + ridge/2 ‖b‖²`` by Newton's steps from 0.

    Args:
      features: x, ``[N, D]``.
      label: 0 or 1, ``[N]``.
      weight: how often each row counts, ≥ 0, ``[N]``.
      ridge: > 0; the intercept is not held back.
      steps: ≥ 1.

    Returns:
      The coefficients b, ``[D]``, and the intercept c, a scalar.
    """
    chex.assert_rank([features, label, weight], [2, 1, 1])
    rows = jnp.concatenate([features, jnp.ones((features.shape[0], 1))], axis=1)
    # The curvature along the intercept vanishes where all predictions are certain, or no row counts.
    penalty = jnp.append(jnp.full(features.shape[1], ridge), 0.0)
    least = jnp.append(jnp.zeros(features.shape[1]), 1e-6)

    def newton(solution: Array, _: None) -> tuple[Array, None]:
        chance = jax.nn.sigmoid(rows @ solution)
        gradient = rows.T @ (weight * (chance - label)) + penalty * solution
        curvature = (rows.T * (weight * chance * (1.0 - chance))[None]) @ rows + jnp.diag(penalty + least)
        return solution - solve(curvature, gradient), None

    solution, _ = jax.lax.scan(newton, jnp.zeros(rows.shape[1]), length=steps)
    return solution[:-1], solution[-1]


def new_task_odds(
    new: Array, old: Array, new_mask: Array, old_mask: Array, *, ridge: float = 1.0, limit: float = 10.0
) -> Array:
    """``p(new task | x) / p(old data | x)`` of the old rows, as if both were equally many (Fakoor et al. 2020, eq. 16).

    Each feature is standardised over all rows. New and old rows have the same total weight in the regression: where
    they cannot be told apart, the odds are 1.

    Args:
      new: contexts of the new task, ``[N, D]``.
      old: contexts of the data that is replayed, ``[M, D]``.
      new_mask: 1 for rows that count, ``[N]``.
      old_mask: likewise, ``[M]``.
      ridge: of the regression, > 0.
      limit: larger odds are cut off here, > 0.

    Returns:
      ``[M]``, 0 where the mask is 0.
    """
    rows = jnp.concatenate([new, old])
    counted = jnp.concatenate([new_mask, old_mask])
    share = counted / jnp.maximum(jnp.sum(counted), 1.0)
    centred = rows - (share @ rows)[None]
    # The small number keeps a feature that is the same in all rows at 0.
    rows = centred / jnp.sqrt(share @ jnp.square(centred) + 1e-8)[None]
    label = jnp.concatenate([jnp.ones(new.shape[0]), jnp.zeros(old.shape[0])])
    halves = [mask / jnp.maximum(jnp.sum(mask), 1.0) for mask in (new_mask, old_mask)]
    weight = 0.5 * jnp.sum(counted) * jnp.concatenate(halves)
    coefficients, intercept = logistic_regression(rows, label, weight, ridge=ridge)
    log_odds = rows[new.shape[0] :] @ coefficients + intercept
    return jnp.exp(jnp.minimum(log_odds, jnp.log(limit))) * old_mask


def effective_sample_size(weight: Array, mask: Array) -> Array:
    """``(Σ w)² / (n Σ w²)`` of n samples, in [0, 1]: 1 where all count alike, 1/n where one does; 0 without any.

    Args:
      weight: ≥ 0, ``[M]``.
      mask: 1 for a sample that counts, ``[M]``.
    """
    weight = weight * mask
    squares = jnp.sum(mask) * jnp.sum(jnp.square(weight))
    return jnp.where(squares > 0, jnp.square(jnp.sum(weight)) / jnp.where(squares > 0, squares, 1.0), 0.0)
