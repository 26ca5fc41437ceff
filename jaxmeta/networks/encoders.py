"""How networks read a flat observation: images through convolutions, all else as it is."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax.numpy as jnp

from jaxmeta.checks import check_least
from jaxmeta.networks.layers import check_widths
from jaxmeta.tasks import ObservationPart
from jaxmeta.types import Array, Key, PyTree


class Encoder(NamedTuple):
    """The first layers of a network.

    Attributes:
      module: maps inputs ``[..., I]`` to features ``[..., F]``; ``None`` where the network reads inputs as they are.
    """

    module: nn.Module | None

    def init(self, key: Key, inputs: Array, name: str = "images") -> dict[str, PyTree]:
        """The module's parameters by that name; none where there is no module."""
        return {} if self.module is None else {name: self.module.init(key, inputs)}

    def read(self, params: PyTree, inputs: Array, name: str = "images") -> Array:
        """Features of inputs ``[..., I]`` by the parameters of that name among ``params``."""
        return inputs if self.module is None else cast(Array, self.module.apply(params[name], inputs))


class Convolutions(nn.Module):
    """Each image among the parts of a flat input through convolutions of its own; all other entries as they are.

    Entries beyond the parts, such as a context, are kept as well. Convolutions are 3 × 3; they halve an image while its
    shorter side is above 16. Pixels are divided by the largest value that they can take.
    """

    parts: Sequence[ObservationPart]
    channels: Sequence[int]
    units: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        features, start = [], 0
        for index, part in enumerate(self.parts):
            x = inputs[..., start : start + part.size]
            features.append(self._seen(x, part, index) if is_image(part) else x)
            start += part.size
        return jnp.concatenate([*features, inputs[..., start:]], axis=-1)

    def _seen(self, x: Array, part: ObservationPart, index: int) -> Array:
        # One leading axis, and one channel where the image has none.
        shape = (*part.shape, 1)[:3]
        lead, x = x.shape[:-1], x.reshape(-1, *shape) / part.scale
        for layer, channels in enumerate(self.channels):
            step = 2 if min(x.shape[1:3]) > 16 else 1
            x = nn.relu(nn.Dense(channels, name=f"image{index}_channels{layer}")(patches(x, step)))
        x = nn.relu(nn.Dense(self.units, name=f"image{index}_units")(x.reshape(x.shape[0], -1)))
        return x.reshape(*lead, self.units)


def patches(image: Array, step: int) -> Array:
    """The 3 × 3 neighbourhoods of every ``step``-th pixel of ``[B, H, W, C]``, zeros around it: ``[B, H', W', 9 C]``.

    A dense layer of them is a convolution. Under a ``vmap`` over weights that is a batch of matrix products, where a
    convolution would become one of many groups, which is many times slower.
    """
    height, width = image.shape[1:3]
    padded = jnp.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = [(row, column) for row in range(3) for column in range(3)]
    return jnp.concatenate([padded[:, i : i + height : step, j : j + width : step] for i, j in shifts], axis=-1)


class Reading(nn.Module):
    """A network, an MLP or a mixture, that reads its inputs through ``images`` first."""

    images: nn.Module
    network: nn.Module

    def __call__(self, inputs: Array) -> Array:
        return self.network(self.images(inputs))

    def probabilities(self, inputs: Array) -> Array:
        """The gate's, of a mixture."""
        return self.network.probabilities(self.images(inputs))


def reading(encoder: Encoder, network: nn.Module) -> nn.Module:
    """The network itself, or reading through the encoder's module first."""
    return network if encoder.module is None else Reading(encoder.module, network)


def is_image(part: ObservationPart) -> bool:
    """Whether a part of an observation is ``(height, width)`` or ``(height, width, channels)``, of at least 3 × 3."""
    return len(part.shape) in (2, 3) and min(part.shape[:2]) >= 3


def cnn(parts: tuple[ObservationPart, ...], *, channels: tuple[int, ...] = (16, 32), units: int = 128) -> Encoder:
    """A small convolutional network for each image of an observation; observations without one are read as they are.

    Args:
      parts: of the observation.
      channels: widths of the convolutions, 3 × 3 each, with a step of 2 where the image is larger than 16.
      units: features of an image, ≥ 1.
    """
    check_widths(channels=channels)
    check_least(1, units=units)
    return Encoder(Convolutions(parts, channels, units) if any(map(is_image, parts)) else None)


def as_it_is() -> Encoder:
    """Every entry of an observation is a number like any other, also those of an image."""
    return Encoder(None)
