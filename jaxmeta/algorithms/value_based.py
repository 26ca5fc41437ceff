"""What algorithms share that learn action values from a replay buffer."""

from typing import NamedTuple, cast

import jax.numpy as jnp
import optax

from jaxmeta.data.buffers import Buffer
from jaxmeta.types import Array, PyTree, Trajectory


class ReplayState(NamedTuple):
    """What the algorithm keeps beside the slow weights."""

    optimizer: PyTree
    target: PyTree
    buffer: Buffer
    iteration: Array


def annealed(start: float, end: float, progress: Array) -> Array:
    """``start`` at a progress of 0, ``end`` from 1 on, and a straight line in between."""
    return start + (end - start) * jnp.clip(progress, 0.0, 1.0)


def unestimated(trajectory: Trajectory) -> Trajectory:
    """The estimator of who needs no advantages."""
    return trajectory


def clipped_adam(optimizer: optax.GradientTransformation | None) -> optax.GradientTransformation:
    """What was given, or else Adam at 1e-3 with gradients clipped at norm 10."""
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(1e-3)) if optimizer is None else optimizer


def moved(
    optimizer: optax.GradientTransformation, gradient: PyTree, state: PyTree, weights: PyTree
) -> tuple[PyTree, PyTree]:
    """The weights after one step of an optimiser, and its state."""
    moves, state = optimizer.update(gradient, state, weights)
    return cast(PyTree, optax.apply_updates(weights, moves)), state
