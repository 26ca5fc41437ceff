"""The only environment-time scan: ``E`` parallel episodes in one task; and lifetimes of ``K + 1`` such batches."""

import chex
import jax
import jax.numpy as jnp
from gymnax.environments import environment

from jaxmeta.checks import check_least
from jaxmeta.data.buffers import Transitions
from jaxmeta.over_tasks import Chunk, default_task_chunk, over_tasks
from jaxmeta.tasks import LifetimeEnv, kept_types
from jaxmeta.types import Array, Estimator, Key, Learner, Lifetime, Phi, PyTree, Task, Theta, Trajectory


def collect_episodes(
    key: Key,
    env: environment.Environment,
    task: Task,
    learner: Learner,
    theta: Theta,
    phi: Phi,
    *,
    episodes: int,
    horizon: int,
) -> tuple[Trajectory, Phi]:
    """Act for ``episodes`` parallel episodes of at most ``horizon`` steps each in one task.

    An episode that ends early is padded with ``mask`` 0 up to the horizon; one that does not is truncated there.
    Parallel episodes share one fast state, so with ``episodes > 1`` the learner's ``act`` must leave it as it is.

    Args:
      key: PRNG key.
      env: a gymnax environment; ``reset_env`` and ``step_env`` are used, so nothing resets by itself.
      task: the environment's parameters.
      learner: acts through ``learner.act``.
      theta: slow weights.
      phi: fast state.
      episodes: E ≥ 1.
      horizon: T ≥ 1, in environment steps.

    Returns:
      The trajectory, leaves ``[E, T, ...]``, its advantages zero; and the fast state after the last step.

    Raises:
      ValueError: ``act`` changes the fast state of parallel episodes, or a step's cost is not a scalar.
    """
    check_least(1, episodes=episodes, horizon=horizon)

    def advance(key, phi, state, obs, alive):
        key_act, key_env = jax.random.split(key)
        action, log_prob, value, phi = learner.act(key_act, theta, phi, obs)
        next_obs, next_state, reward, terminated, info = env.step_env(key_env, state, action, task)
        truncated = env.is_truncated(next_state, task) & ~terminated
        # A finished episode stays where it ended, so that obs[t + 1] is always the state that obs[t] led to.
        next_state = kept_types(next_state, state)
        next_state = jax.tree.map(lambda new, old: jnp.where(alive, new, old), next_state, state)
        next_obs = jax.tree.map(lambda new, old: jnp.where(alive, new, old).astype(old.dtype), next_obs, obs)
        # Those of no length are filled in below: they have no time axis, or are not known yet.
        later, cost = jnp.zeros(0), info.get("cost", ())
        if (shape := jax.tree.map(jnp.shape, cost)) != ():
            raise ValueError(f"env: {env.name}'s info['cost'] has shape {shape}; must be a scalar")
        step = Trajectory(
            obs, action, log_prob, value, reward, terminated, truncated, alive, later, later, later, cost=cost
        )
        return phi, next_state, next_obs, alive & ~terminated & ~truncated, step

    # The fast state enters and leaves unbatched: a batched copy of adapted weights per episode would turn each
    # layer's matrix product into E small ones.
    advance_all = jax.vmap(advance, (0, None, 0, 0, 0), (None if episodes > 1 else 0, 0, 0, 0, 0))

    def scan_step(carry, inputs):
        phi, state, obs, alive = carry
        key_time, last = inputs
        phi_next, state, obs, alive, step = advance_all(jax.random.split(key_time, episodes), phi, state, obs, alive)
        if episodes == 1:
            phi_next = jax.tree.map(lambda x: x[0], phi_next)
        mask = step.mask.astype(jnp.float32)
        stored = step._replace(
            reward=step.reward.astype(jnp.float32) * mask,
            terminated=step.terminated * mask,
            truncated=jnp.maximum(step.truncated, last & ~step.terminated) * mask,
            mask=mask,
            cost=jax.tree.map(lambda cost: cost.astype(jnp.float32) * mask, step.cost),
        )
        return (phi_next, state, obs, alive), stored

    key_reset, key_steps = jax.random.split(key)
    obs, state = jax.vmap(env.reset_env, (0, None))(jax.random.split(key_reset, episodes), task)
    obs, state = jax.tree.map(jnp.asarray, (obs, state))
    carry = (phi, state, obs, jnp.ones(episodes, bool))
    inputs = (jax.random.split(key_steps, horizon), jnp.arange(horizon) == horizon - 1)
    try:
        (phi, _, final_obs, _), stored = jax.lax.scan(scan_step, carry, inputs)
    except ValueError as error:
        if "out_axes" not in str(error):
            raise
        raise ValueError(
            f"episodes: got {episodes}, but the learner's act moves its fast state; such a learner needs episodes=1 "
            "(more tasks give more parallel lifetimes)"
        ) from error
    stored = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), stored)
    zeros = jnp.zeros_like(stored.reward)
    return stored._replace(final_obs=final_obs, advantage=zeros, value_target=zeros), phi


def episode_states(
    key: Key, env: environment.Environment, task: Task, learner: Learner, theta: Theta, phi: Phi, *, horizon: int
) -> tuple[PyTree, Array]:
    """The states of one episode, for films of it: the first, and those that its steps led to.

    Args:
      key: PRNG key.
      env: a gymnax environment.
      task: the environment's parameters.
      learner: acts through ``learner.act``.
      theta: slow weights.
      phi: fast state.
      horizon: T ≥ 1, in environment steps.

    Returns:
      States, leaves ``[T + 1, ...]``, and how many of them the episode has: those after its end are its last one.
    """
    check_least(1, horizon=horizon)

    def scan_step(carry, key):
        phi, state, obs, alive = carry
        key_act, key_env = jax.random.split(key)
        action, _, _, phi = learner.act(key_act, theta, phi, obs)
        next_obs, next_state, _, terminated, _ = env.step_env(key_env, state, action, task)
        new = jax.tree.map(jnp.asarray, (kept_types(next_state, state), next_obs))
        state, obs = jax.tree.map(lambda new, old: jnp.where(alive, new, old).astype(old.dtype), new, (state, obs))
        ended = terminated | env.is_truncated(next_state, task)
        return (phi, state, obs, alive & ~ended), (state, alive)

    key_reset, key_steps = jax.random.split(key)
    obs, first = jax.tree.map(jnp.asarray, env.reset_env(key_reset, task))
    carry = (phi, first, obs, jnp.ones((), bool))
    _, (states, alive) = jax.lax.scan(scan_step, carry, jax.random.split(key_steps, horizon))
    states = jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), first, states)
    return states, 1 + jnp.sum(alive)


def collect_lifetimes(
    keys: Key,
    env: environment.Environment,
    tasks: Task,
    learner: Learner,
    theta: Theta,
    estimator: Estimator,
    *,
    adaptation_steps: int,
    episodes: int,
    horizon: int,
    task_chunk: Chunk | None = None,
) -> tuple[Phi, Lifetime]:
    """Collect, adapt, …, collect in ``N`` tasks: ``K`` adaptation steps and the data after the last, without gradients.

    All tasks act together; they absorb ``task_chunk`` at a time, so that activations stay in the cache of a CPU.

    Args:
      keys: PRNG keys, ``[N]``.
      env: a gymnax environment; ``learner``, ``theta`` and ``horizon`` too are those of ``collect_episodes``.
      tasks: the environment's parameters, leaves ``[N, ...]``.
      estimator: fills in the advantages of each batch of episodes.
      adaptation_steps: K ≥ 0.
      episodes: E ≥ 1, in each of the ``K + 1`` batches.
      task_chunk: tasks that absorb together, ≥ 1; by default ``default_task_chunk``.

    Returns:
      The fast states after ``K`` steps, leaves ``[N, ...]``, and the lifetimes, leaves ``[N, K + 1, E, T, ...]``.
    """
    check_least(0, adaptation_steps=adaptation_steps)
    task_chunk = default_task_chunk(episodes, horizon) if task_chunk is None else task_chunk
    count = keys.shape[0]
    all_keys = jax.vmap(lambda key: jax.random.split(key, adaptation_steps + 2), out_axes=1)(keys)
    step_keys, spare_keys = all_keys[:-1], all_keys[-1]

    def collect_one(theta, key, task, phi):
        return collect_episodes(key, env, task, learner, theta, phi, episodes=episodes, horizon=horizon)

    def collect(keys, phi):
        trajectory, phi = over_tasks(collect_one, keys, tasks, phi, shared=theta)
        return over_tasks(estimator, trajectory, task_chunk=task_chunk), phi

    collect = jax.jit(collect)  # Traced once, for before adaptation and after it.

    def adaptation_step(phi, keys):
        trajectory, phi = collect(keys, phi)
        return over_tasks(learner.absorb, phi, trajectory, shared=theta, task_chunk=task_chunk), trajectory

    phi = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))), learner.begin(theta))
    phi, before = jax.lax.scan(adaptation_step, phi, step_keys[:-1])
    last, phi = collect(step_keys[-1], phi)
    trajectory = jax.tree.map(lambda xs, x: jnp.concatenate([jnp.moveaxis(xs, 0, 1), x[:, None]], axis=1), before, last)
    returns = jnp.mean(episode_returns(last), axis=-1)
    peers = (jnp.sum(returns) - returns) / max(count - 1, 1)
    phi, trajectory, peers = jax.lax.stop_gradient((phi, trajectory, peers))
    return phi, Lifetime(trajectory, peers, spare_keys, tasks)


def collect_lifetime(
    key: Key,
    env: environment.Environment,
    task: Task,
    learner: Learner,
    theta: Theta,
    estimator: Estimator,
    **sizes: int,
) -> tuple[Phi, Lifetime]:
    """``collect_lifetimes`` of one task: ``key``, ``task`` and the results have no leading axis."""
    one_key, one_task = jax.tree.map(lambda x: jnp.asarray(x)[None], (key, task))
    results = collect_lifetimes(one_key, env, one_task, learner, theta, estimator, **sizes)
    return jax.tree.map(lambda x: x[0], results)


def stage_returns(env: environment.Environment, trajectory: Trajectory) -> Array:
    """Mean undiscounted return at each stage of learning in one task, ``[stages]``, from leaves ``[K + 1, E, T, ...]``.

    The stages are the batches of episodes, each after one more adaptation step; or, in a ``LifetimeEnv``, the episodes
    of the batches' lifetimes, one after the other.
    """
    if not isinstance(env, LifetimeEnv):
        return jnp.mean(episode_returns(trajectory), axis=-1)
    by_episode = jax.vmap(jax.vmap(lambda obs, reward: env.episode_returns(obs, reward)))
    return jnp.mean(by_episode(trajectory.obs, trajectory.reward * trajectory.mask), axis=1).reshape(-1)


def stage_costs(env: environment.Environment, trajectory: Trajectory) -> Array:
    """``stage_returns`` of the costs: of an episode at each stage of learning in one task, ``[stages]``.

    Raises:
      ValueError: a family that tells no cost.
    """
    if isinstance(trajectory.cost, tuple):
        raise ValueError(f"env: {env.name} tells no cost; step_env must give it as info['cost']")
    return stage_returns(env, trajectory._replace(reward=trajectory.cost))


def episode_returns(trajectory: Trajectory, discount: float = 1.0) -> Array:
    """Discounted sum of rewards of each episode, ``[..., E]`` from a reward of ``[..., E, T]``."""
    chex.assert_equal_shape([trajectory.reward, trajectory.mask])
    weights = jnp.broadcast_to(discount ** jnp.arange(trajectory.reward.shape[-1]), trajectory.reward.shape)
    return jnp.sum(trajectory.reward * trajectory.mask * weights, axis=-1)


def next_observations(trajectory: Trajectory) -> Array:
    """What each step led to, ``[..., E, T, ...]``: of a real step always a real observation."""
    time = trajectory.mask.ndim - 1
    # A finished episode stays where it ended, so that the next entry is always where a step led to.

    def shifted(obs: Array, final: Array) -> Array:
        later = jax.lax.slice_in_dim(obs, 1, None, axis=time)
        return jnp.concatenate([later, jnp.expand_dims(final, time)], axis=time)

    return jax.tree.map(shifted, trajectory.obs, trajectory.final_obs)


def transitions_of(trajectory: Trajectory) -> Transitions:
    """All steps of a trajectory, ``[..., E, T, ...]``, one after the other, leaves ``[M, ...]``."""
    lead = trajectory.mask.ndim
    own = {name: getattr(trajectory, name) for name in Transitions._fields if name != "next_obs"}
    stored = Transitions(**own, next_obs=next_observations(trajectory))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[lead:]), stored)
