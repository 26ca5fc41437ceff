"""Spaces of observations and actions as flat vectors, and what these consist of."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from jax.tree_util import all_leaves

from jaxmeta.types import Array


class ObservationPart(NamedTuple):
    """One part of a flat observation, such as an image among other numbers.

    Attributes:
      shape: before it was flattened; an image is ``(height, width)`` or ``(height, width, channels)``.
      scale: the largest absolute value of its entries; 1 where there is no bound.
    """

    shape: tuple[int, ...]
    scale: float = 1.0

    @property
    def size(self) -> int:
        """Its entries in the flat observation."""
        return math.prod(self.shape)


def children_of(space: spaces.Space) -> dict[Any, spaces.Space] | None:
    """The spaces that a ``Dict`` or ``Tuple`` consists of, by key in sorted order or by index; ``None`` of others."""
    if isinstance(space, spaces.Dict):
        return {key: space.spaces[key] for key in sorted(space.spaces)}
    return dict(enumerate(space.spaces)) if isinstance(space, spaces.Tuple) else None


def flat_bounds(space: spaces.Space) -> tuple[Array, Array, int]:
    """Lower and upper bounds ``[D]`` and size D of the flat form of a ``Box``, ``Discrete``, ``Dict`` or ``Tuple``."""
    # Numbers also inside of jit, unless they depend on what is traced: what networks are built by.
    with jax.ensure_compile_time_eval():
        children = children_of(space)
        if children is not None:
            each = [flat_bounds(child) for child in children.values()]
            low, high = (jnp.concatenate([jnp.zeros(0), *(one[end] for one in each)]) for end in (0, 1))
        elif isinstance(leaf := _known(space), spaces.Discrete):
            low, high = jnp.zeros(leaf.n), jnp.ones(leaf.n)
        else:
            ends = (jnp.asarray(bound, jnp.float32) for bound in (leaf.low, leaf.high))
            low, high = (jnp.broadcast_to(end, leaf.shape).ravel() for end in ends)
    return low, high, low.shape[0]


def _known(space: spaces.Space) -> Any:
    """A ``Box`` or a ``Discrete``, whose choices are numbered from 0: elsewhere they may begin at another number."""
    if isinstance(space, spaces.Discrete):
        first = getattr(space, "start", 0)
        if space.n < 1 or first != 0:
            raise ValueError(f"space: got {space.n} choices from {first} on; must be at least 1 from 0 on")
    elif not isinstance(space, spaces.Box):
        raise ValueError(f"space: got {space}; must be a Box or Discrete, or a Dict or Tuple of such")
    return space


def flat_observation(obs: Any, space: spaces.Space) -> Array:
    """An observation as a float32 vector ``[D]``: discrete ones one-hot, all others ravelled, one after the other.

    Raises:
      ValueError: an observation that does not have the parts or the shapes of the space.
    """
    children = children_of(space)
    if children is not None:
        if isinstance(obs, (Mapping, Sequence)) and len(obs) != len(children):
            raise ValueError(f"env: observes {len(obs)} parts where its observation space has {len(children)}, {space}")
        parts = [flat_observation(_entry(obs, key, space), each) for key, each in children.items()]
        return jnp.concatenate([jnp.zeros(0, jnp.float32), *parts])
    shape = tuple(_known(space).shape)
    if not all_leaves([obs]) or np.shape(obs) != shape:
        got = f"shape {np.shape(obs)}" if all_leaves([obs]) else f"a {type(obs).__name__}"
        raise ValueError(f"env: observes {got} where its observation space has shape {shape}, {space}")
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(obs, space.n, dtype=jnp.float32)
    return jnp.ravel(jnp.asarray(obs, jnp.float32))


def _entry(value: Any, key: Any, space: spaces.Space) -> Any:
    """Of a mapping or a sequence, or an attribute: gymnax lets observations be either."""
    try:
        return value[key] if isinstance(value, Mapping) or isinstance(key, int) else getattr(value, key)
    except (KeyError, AttributeError):
        raise ValueError(f"env: observes no {key!r}, which its observation space has, {space}") from None


def parts_of_space(space: spaces.Space) -> tuple[ObservationPart, ...]:
    """What the flat form of a space consists of, in order."""
    children = children_of(space)
    if children is not None:
        return tuple(part for each in children.values() for part in parts_of_space(each))
    low, high, size = flat_bounds(space)
    if isinstance(space, spaces.Box) and len(space.shape) > 1:
        largest = float(np.max(np.maximum(np.abs(low), np.abs(high)))) if size else 1.0
        return (ObservationPart(tuple(space.shape), largest if 0.0 < largest < 1e6 else 1.0),)
    return (ObservationPart((size,)),)


def flat_action_space(space: spaces.Space) -> spaces.Discrete | spaces.Box:
    """The same choices as one: a ``Discrete`` over all combinations of discrete ones, or a ``Box`` of rank 1.

    Raises:
      ValueError: discrete and continuous actions together, or more than 4,096 combinations.
    """
    leaves = _action_leaves(space)
    if not leaves:
        raise ValueError(f"env: action space is {space}; must have at least one part")
    if all(isinstance(leaf, spaces.Discrete) for leaf in leaves):
        count = math.prod(_known(leaf).n for leaf in leaves)
        if count > 4096:
            raise ValueError(
                f"env: action space {space} has {count:,} combinations; at most 4,096 are taken as one action"
            )
        return spaces.Discrete(count)
    if all(isinstance(leaf, spaces.Box) for leaf in leaves):
        if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
            raise ValueError(f"env: action space is {space}; whole numbers are a Discrete each, not a Box")
        low, high, _ = flat_bounds(spaces.Tuple(leaves))
        return spaces.Box(low, high, low.shape, jnp.float32)
    raise ValueError(f"env: action space is {space}; its parts must be all Discrete or all Box")


def unflat_action(action: Array, space: spaces.Space) -> Any:
    """An action of ``flat_action_space(space)`` as the space itself has it."""
    leaves = _action_leaves(space)
    if isinstance(leaves[0], spaces.Discrete):
        values: list[Any] = list(jnp.unravel_index(action, tuple(leaf.n for leaf in leaves)))
        values = [value.astype(leaf.dtype) for value, leaf in zip(values, leaves, strict=True)]
    else:
        ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])[:-1]
        values = [x.reshape(leaf.shape) for x, leaf in zip(jnp.split(action, ends), leaves, strict=True)]
    return _rebuilt(space, iter(values))


def _action_leaves(space: spaces.Space) -> list[Any]:
    children = children_of(space)
    if children is not None:
        return [leaf for each in children.values() for leaf in _action_leaves(each)]
    # What other libraries call MultiDiscrete: an array of so many choices each.
    counts = getattr(space, "nvec", None)
    return [space] if counts is None else [spaces.Discrete(int(count)) for count in np.ravel(counts)]


def _rebuilt(space: spaces.Space, values: Any) -> Any:
    children = children_of(space)
    if children is not None:
        entries = {key: _rebuilt(each, values) for key, each in children.items()}
        return entries if isinstance(space, spaces.Dict) else tuple(entries.values())
    if (counts := getattr(space, "nvec", None)) is not None:
        shape = np.shape(counts)
        return jnp.stack([next(values) for _ in range(math.prod(shape))]).reshape(shape)
    return next(values)
