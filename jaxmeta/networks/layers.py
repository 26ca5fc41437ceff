"""What networks are made of: dense layers, and mixtures of experts of them."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmeta import registry
from jaxmeta.types import Array

Activation = Callable[[Array], Array]
ACTIVATIONS = ("elu", "gelu", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "tanh")
"""Names in ``jax.nn`` that ``activation_for`` knows."""


def activation_for(activation: str | Activation) -> Activation:
    """A nonlinearity by its name in ``jax.nn``; a function is given back as it is."""
    if not isinstance(activation, str):
        return activation
    registry.check("activation", activation, ACTIVATIONS)
    return getattr(jax.nn, activation)


def check_widths(**widths: Sequence[int]) -> None:
    """Raise a ``ValueError`` on layers of which one has no unit."""
    for name, given in widths.items():
        if any(width < 1 for width in given):
            raise ValueError(f"{name}: got {tuple(given)}; every width must be at least 1")


def aligned(x: Array, like: Array) -> Array:
    """``x`` with as many axes as ``like``: those that are missing lead, each of length 1."""
    return jnp.expand_dims(x, range(like.ndim - x.ndim))


class MLP(nn.Module):
    """Dense layers of the given widths, an activation after each but the last."""

    widths: Sequence[int]
    activation: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for index, width in enumerate(self.widths):
            x = nn.Dense(width, kernel_init=nn.initializers.glorot_uniform())(x)
            if index + 1 < len(self.widths):
                x = self.activation(x)
        return x


class Mixture(nn.Module):
    """``Σ_k g_k(x) f_k(x)``: K MLPs, weighted by the softmax of another one's outputs (Jacobs et al. 1991)."""

    count: int
    widths: Sequence[int]
    activation: Callable[[Array], Array] = nn.relu

    def setup(self):
        axes = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "in_axes": None, "out_axes": -2}
        self.experts = nn.vmap(MLP, **axes, axis_size=self.count)(self.widths, self.activation)
        self.gate = MLP((*self.widths[:-1], self.count), self.activation)

    def __call__(self, x: Array) -> Array:
        return jnp.sum(self.probabilities(x)[..., None] * self.experts(x), axis=-2)

    def probabilities(self, x: Array) -> Array:
        """The gate's, ``[..., K]``."""
        return jax.nn.softmax(self.gate(x))


def feedforward(widths: Sequence[int], activation: Callable[[Array], Array], experts: int) -> nn.Module:
    """An MLP, or above one expert a ``Mixture`` of such MLPs and a gate of the same hidden layers."""
    return MLP(widths, activation) if experts == 1 else Mixture(experts, widths, activation)
