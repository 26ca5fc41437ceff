"""Recommendation: a user of unknown taste, and items that are alike in known ways."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment

from jaxmeta.checks import check_least, check_positive
from jaxmeta.references import LinearBelief, drawn_preference, linear_posterior, linear_prior
from jaxmeta.tasks.bandits import Bandit, bandit_family
from jaxmeta.tasks.controllers import Controller
from jaxmeta.tasks.environments import TimedState, registered
from jaxmeta.types import Array, Key, TaskDistribution


def item_features(items: int, dimension: int) -> np.ndarray:
    """Unit vectors ``[items, dimension]``, uniform on the sphere: the same ones always, so they are not the task."""
    # NumPy promises that this generator's numbers never change.
    drawn = np.random.RandomState(0).standard_normal((items, dimension))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def mean_ratings(features: np.ndarray, preference: Array) -> Array:
    """``x_a · θ`` of every item, ``[items]``."""
    # A sum, not a matrix product: an accelerator would round those to fewer digits.
    return jnp.sum(features * preference, axis=-1)


@struct.dataclass
class TasteParams(environment.EnvParams):
    """The task: ``preference`` ``[dimension]``; ``noise`` is the standard deviation of a rating."""

    preference: Array = struct.field(default_factory=lambda: jnp.ones(5))
    noise: float = 1.0
    max_steps_in_episode: int = 50


@registered
class Recommendation(Bandit):
    """Item ``a`` is rated ``features[a] · preference + noise · ε``, ε standard normal."""

    def __init__(self, *, items: int = 20, dimension: int = 5):
        check_least(1, dimension=dimension)
        check_least(2, items=items)
        super().__init__(arms=items)
        self.features = item_features(items, dimension)

    @property
    def default_params(self) -> TasteParams:
        return TasteParams(preference=jnp.ones(self.features.shape[1]))

    def transition(self, key, state, action, params):
        rating = self.expected_rewards(params)[action] + params.noise * jax.random.normal(key)
        return TimedState(time=state.time + 1), rating

    def expected_rewards(self, params):
        return mean_ratings(self.features, params.preference)


def greedy(*, items: int = 20, dimension: int = 5, noise: float = 1.0) -> Controller:
    """Baseline: the item of the highest expected rating under the exact belief, whose mean starts at 0."""
    return _by_belief(lambda key, belief: belief.mean, items, dimension, noise)


def thompson(*, items: int = 20, dimension: int = 5, noise: float = 1.0) -> Controller:
    """Baseline: the best item under a draw from the exact belief (Thompson 1933, Agrawal and Goyal 2013)."""
    return _by_belief(drawn_preference, items, dimension, noise)


def _by_belief(
    preference: Callable[[Key, LinearBelief], Array], items: int, dimension: int, noise: float
) -> Controller:
    features = item_features(items, dimension)

    def act_fn(key: Key, belief: LinearBelief, obs: Array) -> Array:
        return jnp.argmax(mean_ratings(features, preference(key, belief)))

    def learn_fn(belief: LinearBelief, action: Array, reward: Array, obs: Array) -> LinearBelief:
        return linear_posterior(belief, jnp.asarray(features)[action], reward, noise)

    return Controller(lambda task: linear_prior(dimension), act_fn, learn_fn)


def told_taste(*, items: int = 20, dimension: int = 5) -> Controller:
    """Told the task: the item that the user likes best."""
    features = item_features(items, dimension)
    return Controller(lambda task: jnp.argmax(mean_ratings(features, task.preference)), lambda key, best, obs: best)


def recommendation(*, items: int = 20, dimension: int = 5, horizon: int = 50, noise: float = 1.0) -> TaskDistribution:
    """A linear bandit: ratings ``x_a · θ`` plus normal noise, θ from N(0, I) (Rusmevichientong and Tsitsiklis 2010).

    The items' features ``x_a`` are fixed unit vectors, so that one rating tells of all items, and each rating's mean is
    standard normal. ``optimum`` recommends the best item always.

    The model leaves out: that users tire of what they see often; tastes that drift; contexts; items that come and go;
    lists of several items; and ratings that are missing where a user does not care.

    Args:
      items: k ≥ 2.
      dimension: of a preference, D ≥ 1.
      horizon: recommendations to one user, ≥ 1.
      noise: standard deviation of a rating around its mean, > 0.
    """
    check_positive(noise=noise)

    def sample_fn(key: Key) -> TasteParams:
        preference = jax.random.normal(key, (dimension,))
        return TasteParams(preference=preference, noise=noise, max_steps_in_episode=horizon)

    sizes = {"items": items, "dimension": dimension}
    by_hand = {
        "greedy": greedy(**sizes, noise=noise),
        "Thompson": thompson(**sizes, noise=noise),
        "told taste": told_taste(**sizes),
    }
    return bandit_family(Recommendation(**sizes), sample_fn, horizon)._replace(controllers=by_hand)
