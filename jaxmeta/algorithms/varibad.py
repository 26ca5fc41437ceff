"""VariBAD: act on a learned posterior over tasks (Zintgraf et al. 2020)."""

from collections.abc import Sequence

from jaxmeta.algorithms.contract import check_lifetimes
from jaxmeta.algorithms.lifetime_ppo import lifetime_ppo
from jaxmeta.checks import check_least, check_weights, is_zero
from jaxmeta.networks import BeliefModel, belief_model_for, telling_tasks
from jaxmeta.objectives import evidence_bound
from jaxmeta.outer import adam, in_turn
from jaxmeta.parts import built, extends, part
from jaxmeta.tasks import Lifetimes
from jaxmeta.types import MetaAlgorithm, Objective, Outer


@extends(lifetime_ppo)
def varibad(
    tasks: Lifetimes,
    *,
    model: BeliefModel = part(belief_model_for),
    prefixes: int = 4,
    divergence_weight: float = 0.01,
    state_weight: float = 0.0,
    task_weight: float = 0.0,
    clip: float = 0.1,
    outer: Outer = part(adam, rate=7e-4, epochs=4, minibatches=4, max_grad_norm=0.5),
    model_outer: Outer = part(adam, rate=7e-4, minibatches=4),
    auxiliaries: Sequence[Objective] = (),
    **settings,
) -> MetaAlgorithm:
    """A policy that sees the state and the posterior over the task; the posterior learns to predict the lifetime.

    The two share a meta-batch, but no gradient, and ``in_turn`` moves one after the other. Were they to move together,
    the posterior at a stored step would no longer be what the policy acted on, and the clipped ratio of probabilities
    would bound the wrong move. Their code trains the model on a buffer of earlier lifetimes; here it is trained on
    those of the step, of which there are hundreds.

    Args:
      tasks: a family of lifetimes, ``as_lifetime(family, episodes)``.
      model: networks of the posterior, of the predictions and of the policy.
      prefixes: number of prefixes of a lifetime whose posteriors must predict all of it, ≥ 1.
      divergence_weight: weight of the posterior's divergence from the one before, ≥ 0.
      state_weight: weight of the prediction of states, ≥ 0; 1 where tasks differ in their dynamics.
      task_weight: weight of the prediction of the task itself, which only meta-training knows, ≥ 0 (Humplik et al.
        2019). It helps where rewards are sparse: they do not teach the posterior which tasks a vain search leaves.
      outer: optimiser of the policy. Its minibatches must divide the number of tasks in a meta-batch.
      model_outer: optimiser of all else, after the policy. Where the policy's step size falls, this one must too: a
        policy that hardly moves cannot follow a posterior that does.

    Raises:
      ValueError: a family that is not one of lifetimes.
    """
    check_lifetimes(tasks)
    check_weights(divergence_weight=divergence_weight, state_weight=state_weight, task_weight=task_weight)
    check_least(1, prefixes=prefixes)
    model = built(model, tasks.env, tasks.horizon)
    model, task_error = (model, None) if is_zero(task_weight) else telling_tasks(model, tasks)
    bound = evidence_bound(
        model,
        prefixes=prefixes,
        divergence_weight=divergence_weight,
        state_weight=state_weight,
        task_weight=task_weight,
        task_error=task_error,
    )
    outer = in_turn("policy", built(outer), built(model_outer))
    auxiliaries = [bound, *auxiliaries]
    return lifetime_ppo(tasks, model.policy, model.policy, clip=clip, outer=outer, auxiliaries=auxiliaries, **settings)
