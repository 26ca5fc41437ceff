"""Episodes that somebody recorded in the world, and how a learner adapts to them."""

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxmeta.types import Array, MetaAlgorithm, Phi, PyTree, Theta, Trajectory


def recorded(
    obs: PyTree,
    action: PyTree,
    reward: Array,
    *,
    cost: Array | None = None,
    lengths: Array | None = None,
    terminated: Array | None = None,
) -> Trajectory:
    """Recorded episodes as a trajectory that ``adapt_on`` takes.

    Args:
      obs: observations before each action and after the last one, leaves ``[E, T + 1, ...]``.
      action: actions, ``[E, T, ...]``, in the terms of the family's action space.
      reward: rewards after each action, ``[E, T]``.
      cost: what each step cost apart from its reward, ``[E, T]``, where the family tells costs.
      lengths: steps of each episode, 0 to T, ``[E]``; by default T. What is stored after them counts for nothing.
      terminated: whether each episode ended in its environment, ``[E]``, and was not cut off; by default none did.

    Returns:
      The trajectory, leaves ``[E, T, ...]``; log-probabilities, values and advantages are 0.

    Raises:
      ValueError: arrays whose shapes do not belong together, or lengths out of their range.
    """
    reward = jnp.asarray(reward, jnp.float32)
    if reward.ndim != 2 or 0 in reward.shape:
        raise ValueError(f"reward: got shape {reward.shape}; must be [episodes, steps], at least one of each")
    episodes, steps = reward.shape
    cost = None if cost is None else jnp.asarray(cost, jnp.float32)
    if cost is not None and cost.shape != reward.shape:
        raise ValueError(f"cost: got shape {cost.shape}; must be that of the rewards, {reward.shape}")
    obs, action = (jax.tree.map(jnp.asarray, tree, is_leaf=lambda x: isinstance(x, list)) for tree in (obs, action))
    for name, tree, count in (("obs", obs, steps + 1), ("action", action, steps)):
        for leaf in jax.tree.leaves(tree):
            if leaf.shape[:2] != (episodes, count):
                raise ValueError(f"{name}: got shape {leaf.shape}; must begin with {(episodes, count)}")
    lengths = jnp.full(episodes, steps) if lengths is None else jnp.asarray(lengths)
    terminated = jnp.zeros(episodes) if terminated is None else jnp.asarray(terminated, jnp.float32)
    for name, array in (("lengths", lengths), ("terminated", terminated)):
        if array.shape != (episodes,):
            raise ValueError(f"{name}: got shape {array.shape}; must be {(episodes,)}")
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(f"lengths: got {lengths.dtype}; must be whole numbers")
    # Where they are known by now: under jit nobody can tell.
    if not isinstance(lengths, Tracer) and not bool(jnp.all((lengths >= 0) & (lengths <= steps))):
        raise ValueError(f"lengths: got {lengths.tolist()}; must be from 0 to {steps}")
    time = jnp.arange(steps)
    mask = (time < lengths[:, None]).astype(jnp.float32)
    last = (time == lengths[:, None] - 1).astype(jnp.float32)
    # A finished episode stays where it ended, as in what is collected.
    places = jnp.minimum(jnp.arange(steps + 1), lengths[:, None])
    stays = lambda x: jax.vmap(lambda row, place: row[place])(x, places)  # noqa: E731
    real = lambda x: jnp.where(mask.reshape(mask.shape + (1,) * (x.ndim - 2)) > 0, x, jnp.zeros_like(x))  # noqa: E731
    obs = jax.tree.map(stays, obs)
    zeros = jnp.zeros_like(reward)
    return Trajectory(
        obs=jax.tree.map(lambda x: x[:, :-1], obs),
        action=jax.tree.map(real, action),
        log_prob=zeros,
        value=zeros,
        reward=real(reward),
        terminated=last * terminated[:, None],
        truncated=last * (1.0 - terminated[:, None]),
        mask=mask,
        final_obs=jax.tree.map(lambda x: x[:, -1], obs),
        advantage=zeros,
        value_target=zeros,
        cost=() if cost is None else real(cost),
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


def check_recorded(trajectory: Trajectory, like: Trajectory) -> None:
    """Refuse a trajectory whose observations or actions are not those of a family, or whose numbers are not finite.

    Args:
      trajectory: leaves ``[E, T, ...]``, of any number of episodes and steps.
      like: of the family, shapes are enough, leaves ``[E, T, ...]``.

    Raises:
      ValueError: names the entry, and says what it must be.
    """
    if jnp.ndim(trajectory.mask) != 2:
        raise ValueError(f"mask: got shape {jnp.shape(trajectory.mask)}; must be [episodes, steps]")
    for name, lead in (("obs", 2), ("action", 2), ("final_obs", 1), ("reward", 2), ("cost", 2)):
        given, right = (getattr(one, name) for one in (trajectory, like))
        if name == "cost" and isinstance(given, tuple):
            continue  # Whoever learns from costs refuses episodes without them.
        shapes = [[jnp.shape(leaf)[lead:] for leaf in jax.tree.leaves(tree)] for tree in (given, right)]
        if jax.tree.structure(given) != jax.tree.structure(right) or shapes[0] != shapes[1]:
            got, must = (", ".join(map(str, each)) for each in shapes)
            raise ValueError(f"{name}: got shape {got or 'none'} at each step; the family's is {must}")
        known = [leaf for leaf in jax.tree.leaves(given) if not isinstance(leaf, Tracer)]
        if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in known):
            raise ValueError(f"{name}: holds numbers that are not finite")


def absorbs(algorithm: MetaAlgorithm, theta: Theta, trajectory: Trajectory) -> bool:
    """Whether a method learns from whole episodes; one that does not adapts by acting alone. Shapes are enough."""
    phi = jax.eval_shape(algorithm.learner.begin, theta)
    absorb = lambda phi, theta, trajectory: algorithm.learner.absorb(theta, phi, trajectory)  # noqa: E731
    jaxpr = jax.make_jaxpr(absorb)(phi, theta, trajectory).jaxpr
    # The fast state's leaves are the first of the inputs, and all of the outputs.
    return any(before is not after for before, after in zip(jaxpr.invars, jaxpr.outvars, strict=False))


def needs_costs(algorithm: MetaAlgorithm, theta: Theta, trajectory: Trajectory) -> bool:
    """Whether a method refuses episodes whose costs are not known: those that keep to a limit. Shapes are enough."""
    phi = jax.eval_shape(algorithm.learner.begin, theta)
    try:
        jax.eval_shape(algorithm.learner.absorb, theta, phi, trajectory._replace(cost=()))
    except ValueError:
        return True
    return False
