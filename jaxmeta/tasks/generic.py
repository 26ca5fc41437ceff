"""Any gymnax environment as a family of tasks."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces

from jaxmeta.checks import check_least
from jaxmeta.tasks.environments import typed
from jaxmeta.tasks.wrappers import scale_actions
from jaxmeta.types import Array, Key, Task, TaskDistribution


def from_gymnax(
    env: environment.Environment,
    sample: Callable[[Key], Task],
    *,
    horizon: int | None = None,
    optimum: Callable[[Task], Array] | None = None,
    sample_test: Callable[[Key], Task] | None = None,
) -> TaskDistribution:
    """A family from a gymnax environment and a distribution over its parameters.

    Bounded continuous actions are scaled to ``[−1, 1]``. Only what is in the parameters can be a task: an environment
    that draws its goal in ``reset_env`` changes the task with every episode. Python numbers among the parameters that a
    sampler gives become arrays.

    Args:
      env: a gymnax environment.
      sample: ``sample(key) -> EnvParams``, of the type of ``env.default_params``.
      horizon: steps in an episode at most; ``None`` takes the default parameters' ``max_steps_in_episode``.
      optimum: ``optimum(task) -> return`` of the best policy that knows the task, if there is one.
      sample_test: the distribution of test tasks, where it is not ``sample``.

    Raises:
      TypeError: ``env`` is not a gymnax environment, or a sampler returns another pytree than its parameters.
    """
    if not isinstance(env, environment.Environment):
        raise TypeError(f"env: got {type(env).__name__}; must be a gymnax Environment (gymnax.make returns a pair)")
    horizon = int(env.default_params.max_steps_in_episode) if horizon is None else horizon
    check_least(1, horizon=horizon)
    expected = jax.tree.structure(env.default_params)
    for name, sampler in {"sample": sample, "sample_test": sample_test}.items():
        if sampler and (sampled := jax.tree.structure(jax.eval_shape(sampler, jax.random.key(0)))) != expected:
            raise TypeError(f"{name}: returns {sampled}; must return {env.name}'s parameters, {expected}")
    space = env.action_space(env.default_params)
    bounded = isinstance(space, spaces.Box) and bool(jnp.all(jnp.isfinite(space.low) & jnp.isfinite(space.high)))

    def strong(sampler: Callable[[Key], Task]) -> Callable[[Key], Task]:
        return lambda key: typed(sampler(key))

    return TaskDistribution(
        env=scale_actions(env) if bounded else env,
        sample=strong(sample),
        horizon=horizon,
        optimum=optimum,
        sample_test=None if sample_test is None else strong(sample_test),
    )
