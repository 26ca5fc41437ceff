"""Episodes that somebody recorded in the world, and how a learner adapts to them."""

import jax
import jax.numpy as jnp

from jaxmeta.types import Array, MetaAlgorithm, Phi, PyTree, Theta, Trajectory


def recorded(
    obs: PyTree, action: PyTree, reward: Array, *, lengths: Array | None = None, terminated: Array | None = None
) -> Trajectory:
    """Recorded episodes as a trajectory that ``adapt_on`` takes.

    Args:
      obs: observations before each action and after the last one, leaves ``[E, T + 1, ...]``.
      action: actions, ``[E, T, ...]``, in the terms of the family's action space.
      reward: rewards after each action, ``[E, T]``.
      lengths: steps of each episode, 0 to T, ``[E]``; by default T. What is stored after them counts for nothing.
      terminated: whether each episode ended in its environment, ``[E]``, and was not cut off; by default none did.

    Returns:
      The trajectory, leaves ``[E, T, ...]``; log-probabilities, values and advantages are 0.

    Raises:
      ValueError: arrays whose shapes do not belong together.
    """
    reward = jnp.asarray(reward, jnp.float32)
    if reward.ndim != 2:
        raise ValueError(f"reward: got shape {reward.shape}; must be [episodes, steps]")
    episodes, steps = reward.shape
    for name, tree, count in (("obs", obs, steps + 1), ("action", action, steps)):
        for leaf in jax.tree.leaves(tree):
            if jnp.shape(leaf)[:2] != (episodes, count):
                raise ValueError(f"{name}: got shape {jnp.shape(leaf)}; must begin with {(episodes, count)}")
    lengths = jnp.full(episodes, steps) if lengths is None else jnp.asarray(lengths)
    terminated = jnp.zeros(episodes) if terminated is None else jnp.asarray(terminated, jnp.float32)
    for name, array in (("lengths", lengths), ("terminated", terminated)):
        if array.shape != (episodes,):
            raise ValueError(f"{name}: got shape {array.shape}; must be {(episodes,)}")
    time = jnp.arange(steps)
    mask = (time < lengths[:, None]).astype(jnp.float32)
    last = (time == lengths[:, None] - 1).astype(jnp.float32)
    # A finished episode stays where it ended, as in what is collected.
    places = jnp.minimum(jnp.arange(steps + 1), lengths[:, None])
    stays = lambda x: jax.vmap(lambda row, place: row[place])(jnp.asarray(x), places)  # noqa: E731
    obs = jax.tree.map(stays, obs)
    zeros = jnp.zeros_like(reward)
    return Trajectory(
        obs=jax.tree.map(lambda x: x[:, :-1], obs),
        action=jax.tree.map(jnp.asarray, action),
        log_prob=zeros,
        value=zeros,
        reward=reward * mask,
        terminated=last * terminated[:, None],
        truncated=last * (1.0 - terminated[:, None]),
        mask=mask,
        final_obs=jax.tree.map(lambda x: x[:, -1], obs),
        advantage=zeros,
        value_target=zeros,
    )


def adapt_on(algorithm: MetaAlgorithm, theta: Theta, phi: Phi, trajectory: Trajectory) -> Phi:
    """The fast state after episodes that somebody recorded; pure.

    The episodes count as those of the policy that ``phi`` acts by: log-probabilities and values are filled in from it,
    and advantages by the method's own estimator. Episodes of quite another policy bias a policy gradient.

    Args:
      algorithm: adapts.
      theta: slow weights.
      phi: fast state before; at first ``algorithm.learner.begin(theta)``.
      trajectory: from ``recorded``, leaves ``[E, T, ...]``.
    """
    log_prob, value = algorithm.learner.score(theta, phi, trajectory)
    filled = trajectory._replace(log_prob=log_prob * trajectory.mask, value=value * trajectory.mask)
    return algorithm.learner.absorb(theta, phi, algorithm.estimator(filled))


def absorbs(algorithm: MetaAlgorithm, theta: Theta, trajectory: Trajectory) -> bool:
    """Whether a method learns from whole episodes; one that does not adapts by acting alone. Shapes are enough."""
    phi = jax.eval_shape(algorithm.learner.begin, theta)
    absorb = lambda phi: algorithm.learner.absorb(theta, phi, trajectory)  # noqa: E731
    jaxpr = jax.make_jaxpr(absorb)(phi).jaxpr
    return any(before is not after for before, after in zip(jaxpr.invars, jaxpr.outvars, strict=True))
