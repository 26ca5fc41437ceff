"""Adaptation that goes on in imagination: real steps adapt a policy and a model, and the model gives further steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta.checks import check_least, check_weights
from jaxmeta.data import collect_episodes, transitions_of
from jaxmeta.learners.gradient import Adaptation, FastWeights, acting
from jaxmeta.models import DynamicsModel, ImaginedTask, adapt_model
from jaxmeta.types import Array, Estimator, Key, PyTree, TaskDistribution, Theta, Trajectory


class Imagining(NamedTuple):
    """The fast state: the policy's fast state, and the adapted parameters of the model."""

    policy: FastWeights
    model: PyTree


def imagining(
    adaptation: Adaptation,
    model: DynamicsModel,
    imagined: TaskDistribution,
    estimator: Estimator,
    *,
    model_rate: float,
    model_steps: int,
    imagined_steps: int,
    imagined_weight: float,
    imagined_episodes: int,
) -> Adaptation:
    """``adaptation`` on real episodes, then ``imagined_steps`` more of it on episodes of the model adapted to the task.

    Slow weights are ``{"policy": ..., "model": ...}``. Imagined episodes start where the real ones did and are acted by
    the policy as adapted so far. They are drawn with a key that is made from the real data, so that an objective that
    replays the adaptation imagines the same; no derivative goes through the imagined data, nor to the model.

    Args:
      adaptation: of the policy, such as ``whole_network(...)``.
      model: the dynamics model.
      imagined: ``imagined_tasks`` of the model.
      estimator: advantages of the imagined episodes.
      model_rate: step size of the model's adaptation, ≥ 0.
      model_steps: gradient steps of the model on each batch of real episodes, ≥ 0.
      imagined_steps: J ≥ 0 policy steps in imagination after each real one.
      imagined_weight: weight of a policy step in imagination, ≥ 0; a real one has 1.
      imagined_episodes: episodes in each policy step in imagination, ≥ 1.
    """
    check_weights(model_rate=model_rate, imagined_weight=imagined_weight)
    check_least(0, model_steps=model_steps, imagined_steps=imagined_steps)
    check_least(1, imagined_episodes=imagined_episodes)
    learner = acting(adaptation)

    def init_fn(key: Key) -> Theta:
        key_policy, key_model = jax.random.split(key)
        return {"policy": adaptation.init(key_policy), "model": model.init(key_model)}

    def begin_fn(theta: Theta) -> Imagining:
        return Imagining(adaptation.begin(theta["policy"]), theta["model"])

    def distribution_fn(theta: Theta, phi: Imagining, obs: Array):
        return adaptation.distribution(theta["policy"], phi.policy, obs)

    def absorb_fn(theta: Theta, phi: Imagining, trajectory: Trajectory):
        data = transitions_of(trajectory)
        adapted = adapt_model(model, phi.model, data, data.mask, rate=model_rate, steps=model_steps)
        policy = adaptation.absorb(theta["policy"], phi.policy, trajectory)
        horizon = jnp.int32(imagined.horizon)
        task = ImaginedTask(model=adapted, starts=trajectory.obs[:, 0], max_steps_in_episode=horizon)

        def step_fn(policy: FastWeights, key: Key) -> tuple[FastWeights, None]:
            slow, fast, world = jax.lax.stop_gradient((theta["policy"], policy, task))
            sizes = {"episodes": imagined_episodes, "horizon": imagined.horizon}
            batch, _ = collect_episodes(key, imagined.env, world, learner, slow, fast, **sizes)
            after = adaptation.absorb(theta["policy"], policy, jax.lax.stop_gradient(estimator(batch)))
            between = lambda old, new: old + imagined_weight * (new - old)  # noqa: E731
            return after._replace(params=jax.tree.map(between, policy.params, after.params)), None

        keys = jax.random.split(key_from(trajectory), imagined_steps)
        return Imagining(jax.lax.scan(step_fn, policy, keys)[0] if imagined_steps else policy, adapted)

    return Adaptation(init_fn, begin_fn, distribution_fn, absorb_fn)


def key_from(trajectory: Trajectory) -> Key:
    """A key that differs wherever log-probabilities, rewards or observations differ."""
    key = jax.random.key(0)
    for part in (trajectory.log_prob, trajectory.reward, trajectory.obs):
        bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(part).astype(jnp.float32), jnp.uint32)
        # Sums of whole numbers, unlike those of fractions, do not depend on the order that a program takes them in.
        key = jax.random.fold_in(key, jnp.sum(bits, dtype=jnp.uint32))
    return key
