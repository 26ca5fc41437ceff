"""Recurrent action values, from stretches of lifetimes that are stored with the memories they began with."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.checks import check_least
from jaxmeta.data import n_step_targets, rescaled, unscaled
from jaxmeta.learners import duelling
from jaxmeta.networks import RecurrentPolicy
from jaxmeta.over_tasks import over_tasks
from jaxmeta.types import Array, PyTree, TaskDistribution, Trajectory


class Sequence(NamedTuple):
    """A stretch of a lifetime, leaves ``[W, ...]``, and the memory before its first step."""

    obs: Array
    action: Array
    reward: Array
    done: Array
    mask: Array
    learned: Array
    memory: PyTree


class SequenceValues(NamedTuple):
    """How lifetimes become sequences, and the errors of action values on them.

    Attributes:
      cut: ``cut(network, trajectory) -> Sequence`` of one lifetime ``[1, T, ...]``: leaves ``[count, W, ...]``.
      errors: ``errors(network, target, sequence) -> (error, counted)`` of one sequence: its temporal-difference errors,
        ``[W]``, and where they count.
      loss: ``loss(network, target, sequences, weight) -> (loss, (errors, counted))`` of sequences ``[B]``: the mean of
        their weighted mean squares, halved.
    """

    cut: Callable[[PyTree, Trajectory], Sequence]
    errors: Callable[[PyTree, PyTree, Sequence], tuple[Array, Array]]
    loss: Callable[[PyTree, PyTree, Sequence, Array], tuple[Array, tuple[Array, Array]]]


def sequence_values(
    tasks: TaskDistribution,
    policy: RecurrentPolicy,
    *,
    discount: float,
    n_step: int,
    burn_in: int,
    segment: int | None,
    time_ends: bool,
) -> SequenceValues:
    """Double Q-learning with a duelling recurrent network; the arguments are those of ``r2d2``."""
    segment = tasks.horizon - burn_in if segment is None else segment
    check_least(1, n_step=n_step, segment=segment)
    check_least(0, burn_in=burn_in)
    if tasks.horizon <= burn_in or (tasks.horizon - burn_in) % segment:
        rest = f"the lifetime's {tasks.horizon} steps" + (f" but for {burn_in} of burn-in" if burn_in else "")
        raise ValueError(f"segment: got {segment}; must divide {rest}")
    window, count = burn_in + segment, (tasks.horizon - burn_in) // segment

    def cut(network: PyTree, trajectory: Trajectory) -> Sequence:
        data = jax.tree.map(lambda x: x[0], trajectory)

        def forward(memory: PyTree, part: Array) -> tuple[PyTree, PyTree]:
            return policy.sequence(network, memory, part)[2], memory

        _, memory = jax.lax.scan(
            forward, policy.begin(network), data.obs[: count * segment].reshape(count, segment, -1)
        )
        first, place = jnp.arange(count) * segment, jnp.arange(window)[None]
        steps = first[:, None] + place
        done = jnp.maximum(data.terminated, data.truncated) if time_ends else data.terminated
        learned = (place >= burn_in) | (first == 0)[:, None]
        obs, action, reward, done, mask = (x[steps] for x in (data.obs, data.action, data.reward, done, data.mask))
        return Sequence(obs, action, reward, done, mask, learned.astype(jnp.float32), memory)

    def errors(network: PyTree, target: PyTree, sequence: Sequence) -> tuple[Array, Array]:
        replayed = (policy.sequence(each, sequence.memory, sequence.obs) for each in (network, target))
        online, frozen = (duelling(distribution, value) for distribution, value, _ in replayed)
        best = jnp.argmax(online, axis=-1)
        value = unscaled(jnp.take_along_axis(frozen, best[:, None], axis=-1)[:, 0])
        target_value = rescaled(n_step_targets(sequence.reward, sequence.done, sequence.mask, value, discount, n_step))
        taken = jnp.take_along_axis(online, sequence.action[:, None], axis=-1)[:, 0]
        # The state after the last step, of the sequence or of the lifetime, is not in it.
        known = jnp.maximum(jnp.append(sequence.mask[1:], 0.0), sequence.done)
        return jax.lax.stop_gradient(target_value) - taken, sequence.mask * sequence.learned * known

    def loss(network: PyTree, target: PyTree, sequences: Sequence, weight: Array):
        of_one = lambda both, sequence: errors(both[0], both[1], sequence)  # noqa: E731
        error, counted = over_tasks(of_one, sequences, shared=(network, target))
        each = 0.5 * jnp.sum(jnp.square(error) * counted, axis=1) / jnp.maximum(jnp.sum(counted, axis=1), 1.0)
        return jnp.mean(weight * each), (error, counted)

    return SequenceValues(cut, errors, loss)
