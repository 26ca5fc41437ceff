"""ES-MAML: an outer step without derivatives (Song et al. 2020, Simple Hessian-free meta-learning)."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from jaxmeta.algorithms.compose import guarded, summarise
from jaxmeta.algorithms.contract import check_contract
from jaxmeta.algorithms.maml import maml
from jaxmeta.checks import check_adaptation_steps, check_least, check_positive
from jaxmeta.data import collect_lifetime, episode_returns, linear_baseline
from jaxmeta.learners import act_by_mode, acting, gate_of_adapted, whole_network
from jaxmeta.networks import Policy, policy_for
from jaxmeta.objectives import ratio_surrogate
from jaxmeta.outer import adam_updates
from jaxmeta.over_tasks import Devices, by_all_devices, on_each_device, over_tasks
from jaxmeta.parts import built, extends, part
from jaxmeta.types import Array, Estimator, Key, MetaAlgorithm, MetaState, Surrogate, Task, TaskDistribution, Theta


@extends(maml, without=("inner_optimizer", "outer", "outer_loss", "objective", "task_chunk", "adaptation"))
def es_maml(
    tasks: TaskDistribution,
    *,
    inner_rate: float | Callable[[Array], Array] = 0.5,
    adaptation_steps: int = 1,
    episodes: int = 5,
    deviation: float = 0.02,
    pairs: int = 4,
    inner_loss: Surrogate = part(ratio_surrogate),
    optimizer: optax.GradientTransformation = part(adam_updates, rate=1e-2),
    estimator: Estimator = part(linear_baseline),
    policy: Policy = part(policy_for),
) -> MetaAlgorithm:
    """``∇ ≈ mean (R(θ + σε) − R(θ − σε)) ε / 2σ``, with ``R`` the return after adaptation (their algorithm 2).

    Every task of a meta-batch gets ``pairs`` perturbations of its own, each with its mirror image under the same random
    numbers; the differences are divided by their root mean square. Nothing is differentiated but the inner loss, once:
    the memory is that of the trajectories.

    Args:
      deviation: standard deviation σ > 0 of the perturbations.
      pairs: pairs of mirrored perturbations in each task, ≥ 1.
      optimizer: optimiser of the slow weights θ, along the estimate.
    """
    check_positive(inner_rate=inner_rate, deviation=deviation)
    check_adaptation_steps(adaptation_steps=adaptation_steps)
    check_least(1, episodes=episodes, pairs=pairs)
    estimator, optimizer = built(estimator), built(optimizer)
    parts = (built(policy, tasks.env), built(inner_loss), optax.sgd(cast(Any, inner_rate)))
    adapting, gate = whole_network(*parts), gate_of_adapted(whole_network, *parts)
    learner = acting(adapting)
    check_contract(tasks, learner, estimator=estimator, adaptation_steps=adaptation_steps, episodes=episodes)
    sizes = {"adaptation_steps": adaptation_steps, "episodes": episodes, "horizon": tasks.horizon}

    def init_fn(key: Key) -> MetaState:
        theta = learner.init(key)
        return MetaState(theta, optimizer.init(theta))

    def adapt_fn(key: Key, theta: Theta, task: Task):
        return collect_lifetime(key, tasks.env, task, learner, theta, estimator, **sizes)

    def step_fn(key: Key, state: MetaState, batch: Task):
        count = jax.tree.leaves(batch)[0].shape[0] * pairs
        batch = jax.tree.map(lambda leaf: jnp.repeat(leaf, pairs, axis=0), batch)
        key_noise, key_act = jax.random.split(key)
        normal = lambda key, leaf: jax.random.normal(key, (count, *leaf.shape), leaf.dtype)  # noqa: E731
        noise = jax.tree.map(normal, optax.tree.split_key_like(key_noise, state.theta), state.theta)

        def lifetimes(sign: float):
            thetas = jax.tree.map(lambda leaf, noise: leaf[None] + sign * deviation * noise, state.theta, noise)
            # The same random numbers on both sides.
            return over_tasks(adapt_fn, jax.random.split(jax.random.clone(key_act), count), thetas, batch)[1]

        both = lifetimes(1.0), lifetimes(-1.0)
        above, below = (jnp.mean(episode_returns(side.trajectory)[:, -1], axis=-1) for side in both)
        difference = 0.5 * (above - below)
        # Scale-free, as rank-based fitness is; the small number keeps equal returns from becoming 0 / 0.
        weight = difference / (jnp.sqrt(jnp.mean(jnp.square(difference))) + 1e-8)

        def estimate(devices: Devices, _: None, weight: Array, noise: Theta) -> Theta:
            each = lambda noise: (-jnp.tensordot(weight, noise, 1) / count).astype(noise.dtype)  # noqa: E731
            return devices.add(jax.tree.map(each, noise))

        gradient = by_all_devices(estimate, None, weight, noise)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.theta)
        new = MetaState(optax.apply_updates(state.theta, updates), opt_state)
        join = lambda _, *sides: jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *sides)  # noqa: E731
        merged = on_each_device(join, None, *both)
        info = {"loss": -0.5 * jnp.mean(above + below), "grad_norm": optax.global_norm(gradient)}
        return guarded(state, new, {**info, **summarise(tasks, merged)})

    return MetaAlgorithm(init_fn, step_fn, adapt_fn, learner, acting(adapting, act_by_mode), estimator, gate)
