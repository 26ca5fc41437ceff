"""Action distributions as pytrees. Unbatched in the action; leading axes of the parameters are batch axes."""

from typing import NamedTuple, Protocol, Self

import jax
import jax.numpy as jnp

from jaxmeta.types import Array, Key

LOG_2PI = 1.8378770664093453


class Distribution(Protocol):
    """What a policy network returns. The leading axes ``[...]`` of the parameters are kept by every method."""

    def sample(self, key: Key) -> Array: ...

    def mode(self) -> Array: ...

    def log_prob(self, action: Array) -> Array: ...

    def entropy(self) -> Array: ...

    def kl(self, other: Self) -> Array: ...


class Gaussian(NamedTuple):
    """Diagonal normal distribution over actions ``[..., A]``."""

    mean: Array
    log_std: Array

    def sample(self, key: Key) -> Array:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def mode(self) -> Array:
        return self.mean

    def log_prob(self, action: Array) -> Array:
        """Log-density, in nats, ``[...]``."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * jnp.square(z) - self.log_std - 0.5 * LOG_2PI, axis=-1)

    def entropy(self) -> Array:
        log_std = jnp.broadcast_to(self.log_std, self.mean.shape)
        return jnp.sum(log_std + 0.5 * (LOG_2PI + 1.0), axis=-1)

    def kl(self, other: "Gaussian") -> Array:
        """KL(self ‖ other), in nats, ``[...]``."""
        ratio = jnp.exp(2.0 * (self.log_std - other.log_std))
        shift = jnp.square((self.mean - other.mean) * jnp.exp(-other.log_std))
        return jnp.sum(other.log_std - self.log_std + 0.5 * (ratio + shift - 1.0), axis=-1)


class Categorical(NamedTuple):
    """Distribution over actions ``0 … A − 1``, by unnormalised ``logits`` ``[..., A]``."""

    logits: Array

    def sample(self, key: Key) -> Array:
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> Array:
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        """Log-probability, in nats, ``[...]``."""
        log_p = jax.nn.log_softmax(self.logits)
        return jnp.take_along_axis(log_p, action[..., None], axis=-1)[..., 0]

    def entropy(self) -> Array:
        log_p = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_p) * log_p, axis=-1)

    def kl(self, other: "Categorical") -> Array:
        """KL(self ‖ other), in nats, ``[...]``."""
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)
