"""VariBAD: act on a learned posterior over tasks (Zintgraf et al. 2020)."""

from collections.abc import Callable
from typing import NamedTuple

from jaxmeta.algorithms.checks import check_lifetimes
from jaxmeta.algorithms.lifetime_ppo import lifetime_ppo
from jaxmeta.checks import check_least, check_weights, is_zero
from jaxmeta.data import critic_baseline
from jaxmeta.networks import BeliefModel, belief_model_for, telling_tasks
from jaxmeta.objectives import evidence_bound
from jaxmeta.outer import adam, in_turn
from jaxmeta.parts import built, part
from jaxmeta.tasks import Lifetimes
from jaxmeta.types import Array, Estimator, Lifetime, MetaAlgorithm, Objective, Outer, Theta


class Exploration(NamedTuple):
    """What makes a learner seek what it does not know.

    Attributes:
      bonus: ``bonus(theta, lifetime) -> [T]``, added to the rewards that are learned from.
      objective: what the bonus's own parameters, a part of theta, learn by.
    """

    bonus: Callable[[Theta, Lifetime], Array]
    objective: Objective


def varibad(
    tasks: Lifetimes,
    *,
    model: BeliefModel = part(belief_model_for),
    prefixes: int = 4,
    divergence_weight: float = 0.01,
    state_weight: float = 0.0,
    task_weight: float = 0.0,
    clip: float = 0.1,
    value_weight: float = 0.5,
    entropy_weight: float = 0.01,
    outer: Outer = part(adam, rate=7e-4, epochs=4, minibatches=4, max_grad_norm=0.5),
    model_outer: Outer = part(adam, rate=7e-4, minibatches=4),
    estimator: Estimator = part(critic_baseline),
    reward_scale: float = 1.0,
    task_chunk: int | None = None,
    exploration: Exploration | None = None,
) -> MetaAlgorithm:
    """A policy that sees the state and the posterior over the task; the posterior learns to predict the lifetime.

    The two share a meta-batch, but no gradient, and ``in_turn`` moves one after the other. Were they to move together,
    the posterior at a stored step would no longer be what the policy acted on, and the clipped ratio of probabilities
    would bound the wrong move. Their code trains the model on a buffer of earlier lifetimes; here it is trained on
    those of the step, of which there are hundreds.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      model: posterior, predictions and policy.
      prefixes: of a lifetime, from whose posteriors all of it is predicted, ≥ 1.
      divergence_weight: weight of the posterior's divergence from the one before, ≥ 0.
      state_weight: weight of the prediction of states, ≥ 0; where tasks differ in their dynamics, 1.
      task_weight: weight of the prediction of the task itself, which only meta-training knows, ≥ 0 (Humplik et al.
        2019). Rewards teach a posterior nothing of what it never met: after a search in vain, not what is left.
      clip: ε > 0 of the clipped surrogate.
      value_weight: weight of the critic's squared error, ≥ 0.
      entropy_weight: weight of the policy's entropy, in nats, ≥ 0.
      outer: moves the policy, ``theta["policy"]``. Its minibatches must divide the tasks of a meta-batch.
      model_outer: moves all else, after the policy. Where the policy's rate falls, the model's must too: a policy that
        hardly moves cannot follow a posterior that does.
      estimator: advantages.
      reward_scale: > 0, multiplies the rewards that advantages and values are made of, not those that are seen or
        reported. Long returns make the critic's errors outweigh the policy's gradient: about 1 / (their deviation).
      task_chunk: lifetimes differentiated together, ≥ 1; by default by their length.
      exploration: a bonus that is learned from, and how it is learned itself; none by default (``hyperx`` has one).

    Raises:
      ValueError: an argument out of its range, or a family that is not one of lifetimes.
    """
    check_lifetimes(tasks)
    check_weights(divergence_weight=divergence_weight, state_weight=state_weight, task_weight=task_weight)
    check_least(1, prefixes=prefixes)
    model = built(model, tasks.env, tasks.horizon)
    task_error = None
    if not is_zero(task_weight):
        model, task_error = telling_tasks(model, tasks)
    bound = evidence_bound(
        model,
        prefixes=prefixes,
        divergence_weight=divergence_weight,
        state_weight=state_weight,
        task_weight=task_weight,
        task_error=task_error,
    )
    return lifetime_ppo(
        tasks,
        model.policy,
        model.policy,
        clip=clip,
        value_weight=value_weight,
        entropy_weight=entropy_weight,
        outer=in_turn("policy", built(outer), built(model_outer)),
        estimator=built(estimator),
        reward_scale=reward_scale,
        task_chunk=task_chunk,
        auxiliaries=[bound] if exploration is None else [bound, exploration.objective],
        bonus=None if exploration is None else exploration.bonus,
    )
