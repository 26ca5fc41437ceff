"""Spaces of observations and actions as flat vectors, and what these consist of."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

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
    children = children_of(space)
    if children is not None:
        lows, highs, sizes = zip(*(flat_bounds(each) for each in children.values()), strict=True)
        return jnp.concatenate(lows), jnp.concatenate(highs), sum(sizes)
    if isinstance(space, spaces.Discrete):
        return jnp.zeros(space.n), jnp.ones(space.n), space.n
    if not isinstance(space, spaces.Box):
        raise ValueError(f"space: got {space}; must be a Box or Discrete, or a Dict or Tuple of such")
    ends = (jnp.asarray(bound, jnp.float32) for bound in (space.low, space.high))
    low, high = (jnp.broadcast_to(end, space.shape).ravel() for end in ends)
    return low, high, low.shape[0]


def flat_observation(obs: Any, space: spaces.Space) -> Array:
    """An observation as a float32 vector ``[D]``: discrete ones one-hot, all others ravelled, one after the other."""
    children = children_of(space)
    if children is not None:
        return jnp.concatenate([flat_observation(_entry(obs, key), each) for key, each in children.items()])
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(obs, space.n, dtype=jnp.float32)
    return jnp.ravel(jnp.asarray(obs, jnp.float32))


def _entry(value: Any, key: Any) -> Any:
    """Of a mapping or a sequence, or an attribute: gymnax lets observations be either."""
    return value[key] if isinstance(value, Mapping) or isinstance(key, int) else getattr(value, key)


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
    if all(isinstance(leaf, spaces.Discrete) for leaf in leaves):
        count = math.prod(leaf.n for leaf in leaves)
        if count > 4096:
            raise ValueError(
                f"env: action space {space} has {count:,} combinations; at most 4,096 are taken as one action"
            )
        return spaces.Discrete(count)
    if all(isinstance(leaf, spaces.Box) for leaf in leaves):
        low, high = (jnp.concatenate(ends) for ends in zip(*(flat_bounds(leaf)[:2] for leaf in leaves), strict=True))
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
