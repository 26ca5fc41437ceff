"""Action distributions as pytrees. Unbatched in the action; leading axes of the parameters are batch axes."""

from typing import NamedTuple, Protocol, Self

import jax
import jax.numpy as jnp

from jaxmeta.networks.layers import aligned
from jaxmeta.types import Array, Key

LOG_2PI = 1.8378770664093453


class Distribution(Protocol):
    """What a policy network returns. Every method keeps the leading axes ``[...]`` of the parameters.

    ``log_prob`` is a log-probability or log-density, ``kl`` is KL(self ‖ other); both and ``entropy`` are in nats,
    ``[...]``.
    """

    def sample(self, key: Key) -> Array: ...
    def mode(self) -> Array: ...
    def log_prob(self, action: Array) -> Array: ...
    def entropy(self) -> Array: ...
    def kl(self, other: Self) -> Array: ...


class Gaussian(NamedTuple):
    """Diagonal normal distribution over actions ``[..., A]``; ``log_std`` may lack leading axes of the mean."""

    mean: Array
    log_std: Array

    def sample(self, key: Key) -> Array:
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + aligned(jnp.exp(self.log_std), self.mean) * noise

    def mode(self) -> Array:
        return self.mean

    def log_prob(self, action: Array) -> Array:
        z = (action - self.mean) * aligned(jnp.exp(-self.log_std), self.mean)
        return jnp.sum(-0.5 * jnp.square(z) - aligned(self.log_std, self.mean) - 0.5 * LOG_2PI, axis=-1)

    def entropy(self) -> Array:
        log_std = jnp.broadcast_to(self.log_std, self.mean.shape)
        return jnp.sum(log_std + 0.5 * (LOG_2PI + 1.0), axis=-1)

    def kl(self, other: "Gaussian") -> Array:
        ratio = aligned(jnp.exp(2.0 * (self.log_std - other.log_std)), self.mean)
        shift = jnp.square((self.mean - other.mean) * aligned(jnp.exp(-other.log_std), self.mean))
        wider = aligned(other.log_std - self.log_std, self.mean)
        return jnp.sum(wider + 0.5 * (ratio + shift - 1.0), axis=-1)


class Categorical(NamedTuple):
    """Distribution over actions ``0 … A − 1``, by unnormalised ``logits`` ``[..., A]``."""

    logits: Array

    def sample(self, key: Key) -> Array:
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> Array:
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        log_p = jax.nn.log_softmax(self.logits)
        return jnp.take_along_axis(log_p, action[..., None], axis=-1)[..., 0]

    def entropy(self) -> Array:
        log_p = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)

    def kl(self, other: "Categorical") -> Array:
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)


class SquashedGaussian(NamedTuple):
    """A diagonal normal distribution over ``x``, seen as ``low + (high − low) (tanh x + 1) / 2``: a box's inside.

    It has no entropy in closed form; ``sample_with_log_prob`` gives an estimate of it.
    """

    inner: Gaussian
    low: Array
    high: Array

    def sample(self, key: Key) -> Array:
        return self.sample_with_log_prob(key)[0]

    def mode(self) -> Array:
        """Where the inner mode falls."""
        return self._into_box(self.inner.mean)

    def log_prob(self, action: Array) -> Array:
        """An action on the box's edge is taken for one just inside."""
        low, high = self._ends(action)
        unit = 2.0 * (action - low) / (high - low) - 1.0
        return self._log_prob(jnp.arctanh(jnp.clip(unit, -1.0 + 1e-6, 1.0 - 1e-6)))

    def sample_with_log_prob(self, key: Key) -> tuple[Array, Array]:
        """An action and its log-density, both differentiable in the parameters."""
        x = self.inner.sample(key)
        return self._into_box(x), self._log_prob(x)

    def kl(self, other: "SquashedGaussian") -> Array:
        """For two of the same box: the terms of the squashing cancel."""
        return self.inner.kl(other.inner)

    def _into_box(self, x: Array) -> Array:
        low, high = self._ends(x)
        return low + (high - low) * 0.5 * (jnp.tanh(x) + 1.0)

    def _log_prob(self, x: Array) -> Array:
        # log(1 − tanh² x), in a form that does not round to log 0.
        low, high = self._ends(x)
        squashed = 2.0 * (jnp.log(2.0) - x - jax.nn.softplus(-2.0 * x))
        return self.inner.log_prob(x) - jnp.sum(squashed + jnp.log(0.5 * (high - low)), axis=-1)

    def _ends(self, x: Array) -> tuple[Array, Array]:
        return aligned(self.low, x), aligned(self.high, x)
