"""Policy networks: flax modules that map observations ``[..., O]`` to an action distribution with the same lead."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces

from jaxmeta.distributions import Categorical, Distribution, Gaussian
from jaxmeta.types import Array, Key, PyTree


class Policy(NamedTuple):
    """A policy as two pure functions; anything with these two fits, flax or not.

    Attributes:
      init: ``init(key) -> params``.
      apply: ``apply(params, obs) -> distribution``; ``obs`` is ``[..., O]``. With a context,
        ``apply(params, obs, context)``, where ``context`` is ``[C]``, the same for all observations.
      head: ``head(params) -> pytree of bool`` of the same structure: which parameters are the output layer's; ``None``
        where nobody says.
      context_size: C, the length of the context that ``apply`` takes as well; 0 where it takes none.
    """

    init: Callable[[Key], PyTree]
    apply: Callable[..., Distribution]
    head: Callable[[PyTree], PyTree] | None = None
    context_size: int = 0


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


class GaussianPolicy(nn.Module):
    """MLP mean and a state-independent ``log_std`` parameter, as in Finn et al. 2017."""

    action_size: int
    hidden: Sequence[int] = (100, 100)
    activation: Callable[[Array], Array] = nn.relu
    initial_log_std: float = 0.0
    minimum_log_std: float = math.log(1e-6)

    @nn.compact
    def __call__(self, obs: Array, context: Array | None = None) -> Gaussian:
        mean = MLP((*self.hidden, self.action_size), self.activation)(_with_context(obs, context))
        log_std = self.param("log_std", nn.initializers.constant(self.initial_log_std), (self.action_size,))
        return Gaussian(mean, jnp.maximum(log_std, self.minimum_log_std))


class CategoricalPolicy(nn.Module):
    """MLP logits."""

    num_actions: int
    hidden: Sequence[int] = (100, 100)
    activation: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, obs: Array, context: Array | None = None) -> Categorical:
        return Categorical(MLP((*self.hidden, self.num_actions), self.activation)(_with_context(obs, context)))


def from_module(
    module: Any,
    observation_shape: Sequence[int],
    *,
    head: Callable[[PyTree], PyTree] | None = None,
    context_size: int = 0,
) -> Policy:
    """A ``Policy`` from a flax linen module that maps observations to a distribution.

    Args:
      module: called with observations, and with a context if there is one.
      observation_shape: of one observation.
      head: ``head(params) -> pytree of bool``, which parameters are the output layer's.
      context_size: length of the context, ≥ 0.

    Raises:
      ValueError: ``context_size`` below 0.
    """
    if context_size < 0:
        raise ValueError(f"context_size: got {context_size}; must be at least 0")
    inputs = (jnp.zeros(tuple(observation_shape)), *([jnp.zeros(context_size)] if context_size else []))
    return Policy(lambda key: module.init(key, *inputs), module.apply, head, context_size)


def policy_for(
    env: environment.Environment,
    *,
    hidden: Sequence[int] = (100, 100),
    activation: Callable[[Array], Array] = nn.relu,
    initial_log_std: float = 0.0,
    context_size: int = 0,
) -> Policy:
    """A policy that fits an environment's spaces: Gaussian for ``Box`` actions, categorical for ``Discrete`` ones.

    Args:
      env: a gymnax environment.
      hidden: widths of the hidden layers.
      activation: the nonlinearity between layers.
      initial_log_std: initial log standard deviation of a Gaussian policy, in the units of the action space.
      context_size: length of a context vector that is put beside the observation, ≥ 0; 0 is none.

    Returns:
      The policy. Its head is the output layer, and a Gaussian's standard deviation.

    Raises:
      ValueError: a width below 1, a negative context size, or spaces of another kind.
    """
    if any(width < 1 for width in hidden):
        raise ValueError(f"hidden: got {tuple(hidden)}; every width must be at least 1")
    params = env.default_params
    action_space, observation_space = env.action_space(params), env.observation_space(params)
    if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 1:
        raise ValueError(f"env: observation space is {observation_space}; policy_for needs a Box of rank 1")
    if isinstance(action_space, spaces.Discrete):
        module = CategoricalPolicy(action_space.n, tuple(hidden), activation)
    elif isinstance(action_space, spaces.Box) and len(action_space.shape) == 1:
        module = GaussianPolicy(action_space.shape[0], tuple(hidden), activation, initial_log_std)
    else:
        raise ValueError(f"env: action space is {action_space}; policy_for needs Discrete, or a Box of rank 1")
    output = {f"Dense_{len(hidden)}", "log_std"}

    def head(params: PyTree) -> PyTree:
        def is_head(path: tuple[Any, ...], _: Array) -> bool:
            return any(getattr(part, "key", None) in output for part in path)

        return jax.tree_util.tree_map_with_path(is_head, params)

    return from_module(module, observation_space.shape, head=head, context_size=context_size)


def _with_context(obs: Array, context: Array | None) -> Array:
    """Observations ``[..., O]`` with the context ``[C]`` beside each."""
    if context is None:
        return obs
    return jnp.concatenate([obs, jnp.broadcast_to(context, (*obs.shape[:-1], context.shape[-1]))], axis=-1)


def count_parameters(params: PyTree) -> int:
    """Number of scalars in a parameter pytree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
