"""Replay buffers: rings of fixed size, arrays on the device, drawn from by priority. Pure functions.

Where tasks are shared out over devices, each device has the part of a ring that its tasks filled, and draws its share
of a batch from that part; see ``on_each_device``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import check_least
from jaxmeta.over_tasks import devices_for, on_each_device, target_platform
from jaxmeta.types import Array, Key, PyTree


class Transitions(NamedTuple):
    """Steps of one task in any order, leaves ``[M, ...]``: the fields of a ``Trajectory``, and where each step led.

    ``next_obs`` holds the observations after each action, ``[M, O]``.
    """

    obs: Array
    action: Array
    reward: Array
    next_obs: Array
    terminated: Array
    mask: Array


class Buffer(NamedTuple):
    """A ring of items.

    Attributes:
      data: the items, leaves ``[capacity, ...]``.
      priority: how often each is drawn, relative to the others, ``[capacity]``; 0 where nothing is stored.
      round: of items that is written next, in the ring, a whole number.
    """

    data: PyTree
    priority: Array
    round: Array


def empty_buffer(item: PyTree, capacity: int) -> Buffer:
    """A buffer without items, of ``capacity`` ≥ 1; ``item`` is one item, or its shapes and types."""
    check_least(1, capacity=capacity)
    data = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), item)
    return Buffer(data, jnp.zeros(capacity), jnp.zeros((), jnp.int32))


def append(buffer: Buffer, items: PyTree, priority: Array) -> Buffer:
    """Write a round of items, over the oldest round where the ring is full.

    The ring holds as many whole rounds as there is room for. The first item of each round stands beside the first of
    the others, and so on: so the items of one device's tasks are in one part of the ring, and a draw that is uniform is
    the same on any number of devices.

    Args:
      buffer: not full, or its oldest items are lost.
      items: leaves ``[B, ...]``, with ``B`` at most the capacity, and the same each time.
      priority: ``[B]``, > 0.
    """
    capacity, count = buffer.priority.shape[0], priority.shape[0]
    if count > capacity:
        raise ValueError(f"capacity: got {capacity}; must be at least the {count} items that are written at once")
    rounds = capacity // count

    def write(now: Array, kept: tuple[PyTree, Array], new: tuple[PyTree, Array]) -> tuple[PyTree, Array]:
        # Where the rounds do not fill the ring, what is left over is spread, so that the places are those of any number
        # of devices, and a run may go on with another.
        places = np.arange(new[1].shape[0]) * capacity // count + now % rounds
        return jax.tree.map(lambda old, one: old.at[places].set(one), kept, new)

    data, priority = on_each_device(write, buffer.round, (buffer.data, buffer.priority), (items, priority))
    return Buffer(data, priority, (buffer.round + 1) % rounds)


def draw(key: Key, buffer: Buffer, count: int) -> tuple[PyTree, Array, Array]:
    """Draw items in proportion to their priorities, with replacement, one from each of ``count`` ≥ 1 equal strata.

    Each device draws an equal share of them from its own part of the ring. The buffer must hold at least one item.
    Returned are the items, leaves ``[count, ...]``; their places on their device ``[count]``; and the probability of
    each place ``[count]``.
    """

    def take(_: PyTree, data: PyTree, priority: Array, shares: Array) -> tuple[PyTree, Array, Array]:
        total, strata = jnp.cumsum(priority), shares.shape[0]
        places = places_at((jnp.arange(strata) + shares) / strata, total)
        return jax.tree.map(lambda x: x[places], data), places, priority[places] / total[-1]

    shares = jax.random.uniform(key, (count,))
    items, places, probability = on_each_device(take, (), buffer.data, buffer.priority, shares)
    return items, places, probability / devices_for(buffer.priority.shape[0], count)


def draw_places(key: Key, cumulative: Array, count: int) -> Array:
    """``count`` ≥ 1 places, drawn with replacement in proportion to weights ≥ 0, ``[count]``.

    ``cumulative`` is ``jnp.cumsum(weight)``, ``[M]``; where all of it is 0, the first place is drawn.
    """
    return places_at(jax.random.uniform(key, (count,)), cumulative)


def places_at(shares: Array, cumulative: Array) -> Array:
    """The places ``[count]`` up to which weights, of these cumulative sums ``[M]``, make up shares in [0, 1) of all."""
    total = cumulative[-1]
    # Rounding must not put a share at the very end, which is beyond the last place of a positive weight.
    reached = jnp.minimum(shares * total, jnp.nextafter(total, jnp.zeros_like(total)))
    # A loop is twice as fast on a CPU. An accelerator pays for each turn of it.
    method = "scan" if target_platform() == "cpu" else "scan_unrolled"
    return jnp.where(total > 0, jnp.searchsorted(cumulative, reached, side="right", method=method), 0)


def reprioritise(buffer: Buffer, places: Array, priority: Array) -> Buffer:
    """New priorities ``[count]``, > 0, for the items at ``places``, as ``draw`` returns them."""
    write = lambda _, kept, places, new: kept.at[places].set(new)  # noqa: E731
    return buffer._replace(priority=on_each_device(write, (), buffer.priority, places, priority))


def importance_weights(buffer: Buffer, probability: Array, exponent: float) -> Array:
    """``(M p)^−β`` of drawn items, over the largest of them, ``[count]`` (Schaul et al. 2016, section 3.4).

    Args:
      buffer: what they were drawn from, of M stored items.
      probability: of each, as ``draw`` returns it, ``[count]``.
      exponent: β in [0, 1]; 1 corrects the bias of the priorities fully.
    """
    weight = (jnp.sum(buffer.priority > 0) * probability) ** -exponent
    return weight / jnp.max(weight)
