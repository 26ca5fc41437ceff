"""The task family and the algorithm that the arguments of a run stand for."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

from experiment import Experiment, fail
from names import EXTENDS, OWN_SETTINGS, PLANNING, RECURRENT, UNBALANCED, UPDATES

if TYPE_CHECKING:
    import optax

    from jaxmeta.learners import OnlineModel
    from jaxmeta.networks.beliefs import BeliefModel
    from jaxmeta.networks.recurrent import RecurrentPolicy
    from jaxmeta.types import MetaAlgorithm, Outer, TaskDistribution


def build(
    arguments: Experiment,
    *,
    adaptation_steps: int | None = None,
    episodes: int | None = None,
    rate_decay: float = 1.0,
) -> tuple[TaskDistribution, MetaAlgorithm]:
    """The task family and the algorithm that the arguments stand for.

    Args:
      arguments: checked.
      adaptation_steps: instead of the arguments' own, for evaluation.
      episodes: likewise.
      rate_decay: factor on the inner step size at each adaptation step after the first.
    """
    import optax

    import jaxmeta

    family = _literals("--task-settings", arguments.task_settings)
    if arguments.horizon is not None:
        family["horizon"] = arguments.horizon
    tasks = jaxmeta.tasks.make(arguments.task, **family)
    if arguments.observed:
        tasks = jaxmeta.observe_only(tasks, arguments.observed)
    if arguments.repeat > 1:
        tasks = jaxmeta.repeat_actions(tasks, arguments.repeat)
    if arguments.scaled:
        tasks = jaxmeta.scale_observations(tasks)
    if arguments.algorithm == "oracle":
        tasks = jaxmeta.reveal_task(tasks)
    if arguments.algorithm in RECURRENT:
        tasks = jaxmeta.as_lifetime(tasks, arguments.lifetime)
        settings = (_planning if arguments.algorithm in PLANNING else _recurrent)(arguments, tasks)
        if arguments.algorithm == "mql":
            # In evaluation alone: meta-training does not adapt.
            settings["adaptation_steps"] = 1 if adaptation_steps is None else adaptation_steps
    else:
        settings = {"maml-q": _maml_q, "pearl": _pearl}.get(arguments.algorithm, _gradient)(arguments, tasks)
        if adaptation_steps is not None:
            settings["adaptation_steps"] = adaptation_steps
        if episodes is not None and "episodes" in settings:
            settings["episodes"] = episodes
        if rate_decay != 1.0 and "inner_rate" in settings and arguments.algorithm != "maml-q":
            settings["inner_rate"] = optax.exponential_decay(arguments.inner_rate, 1, rate_decay)
    if arguments.algorithm not in UNBALANCED:
        settings["balance_weight"] = arguments.balance_weight
    name = {"oracle": "multi_task"}.get(arguments.algorithm, arguments.algorithm.replace("-", "_"))
    algorithm = getattr(jaxmeta, name)
    return tasks, algorithm(tasks, **settings, **_own(arguments, settings))


def _network(arguments: Experiment) -> dict[str, Any]:
    import jax

    return {
        "hidden": arguments.hidden,
        "activation": getattr(jax.nn, arguments.activation),
        "initial_log_std": arguments.initial_log_std,
        "bounded_mean": arguments.bounded_mean,
        "experts": arguments.experts,
    }


def _memory(arguments: Experiment, tasks: TaskDistribution) -> dict[str, Any]:
    return {"horizon": tasks.horizon, "cell": arguments.cell, "size": arguments.size, **_network(arguments)}


def _recurrent_policy(arguments: Experiment, tasks: TaskDistribution) -> RecurrentPolicy:
    """What RL², R2D2 and MQL act by, in a family of lifetimes."""
    import jaxmeta

    settings = _memory(arguments, tasks)
    if not arguments.tabular_memory:
        return jaxmeta.recurrent_policy_for(tasks.env, **settings)
    shared = inspect.signature(jaxmeta.tabular_policy_for).parameters
    settings = {name: value for name, value in settings.items() if name in shared}
    try:
        return jaxmeta.tabular_policy_for(tasks.env, **settings)
    except ValueError as error:
        fail(f"--tabular-memory: {error}")


def belief_model(arguments: Experiment, tasks: TaskDistribution) -> BeliefModel:
    """What VariBAD and HyperX learn of tasks, a family of lifetimes."""
    import jaxmeta

    return jaxmeta.belief_model_for(tasks.env, **_memory(arguments, tasks))


def _optimizer(arguments: Experiment) -> optax.GradientTransformation:
    import optax

    # Some algorithms make many steps in a meta-iteration: their number is a setting of their own.
    name = UPDATES.get(arguments.algorithm)
    updates = 1
    if name is not None:
        own = {one.name: one for one in _parameters(arguments.algorithm)}
        given = _literals("--algorithm-settings", arguments.algorithm_settings).get(name, own[name].default)
        # What is not a whole number is refused with the other settings.
        updates = given if isinstance(given, int) else own[name].default
        # Those on imagined tasks come after one on real ones.
        updates += name == "imagined_updates"
    steps = arguments.outer_decay * arguments.epochs * arguments.minibatches * updates
    schedule = optax.linear_schedule(arguments.outer_rate, arguments.outer_rate_end, steps)
    optimizer = optax.sgd(schedule) if arguments.outer == "sgd" else optax.adam(schedule)
    if arguments.max_grad_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(arguments.max_grad_norm), optimizer)


def _outer(arguments: Experiment) -> Outer:
    import jaxmeta

    if arguments.outer != "trust-region":
        return jaxmeta.by_optax(_optimizer(arguments), arguments.epochs, arguments.minibatches)
    return jaxmeta.trust_region(
        arguments.max_divergence,
        cg_iterations=arguments.cg_iterations,
        curvature_every=arguments.curvature_every,
    )


def _recurrent(arguments: Experiment, tasks: TaskDistribution) -> dict[str, Any]:
    """The settings of an algorithm that learns by its memory."""
    import jaxmeta

    if arguments.algorithm in ("mql", "r2d2"):
        return {
            "policy": _recurrent_policy(arguments, tasks),
            "segment": arguments.segment,
            "optimizer": _optimizer(arguments),
            "discount": arguments.discount,
        }
    settings: dict[str, Any] = {
        "estimator": jaxmeta.critic_baseline(discount=arguments.discount, trace_decay=arguments.trace_decay),
        "task_chunk": arguments.task_chunk,
    }
    if arguments.algorithm in ("hyperx", "varibad"):
        # The model by the same rates, once over each meta-batch: a policy cannot follow what moves faster than it does.
        policy, model = dataclasses.replace(arguments, max_grad_norm=0.5), dataclasses.replace(arguments, epochs=1)
        outer = jaxmeta.in_turn("policy", _outer(policy), _outer(model))
        return {**settings, "model": belief_model(arguments, tasks), "outer": outer}
    policy = _recurrent_policy(arguments, tasks)
    return {**settings, "policy": policy, "segment": arguments.segment, "outer": _outer(arguments)}


def _planning(arguments: Experiment, tasks: TaskDistribution) -> dict[str, Any]:
    """The settings of an algorithm that plans."""
    layer = {"cell": arguments.cell, "size": arguments.size} if arguments.algorithm == "rebal" else {}
    return {**_layers(arguments), **layer, "optimizer": _optimizer(arguments), "discount": arguments.discount}


def _layers(arguments: Experiment) -> dict[str, Any]:
    return {name: value for name, value in _network(arguments).items() if name in ("hidden", "activation")}


def online_model(arguments: Experiment, tasks: TaskDistribution) -> OnlineModel:
    """The model that GrBAL or ReBAL plans with, whose parameters are ``theta["online"]``."""
    import jaxmeta

    given = _literals("--algorithm-settings", arguments.algorithm_settings)
    network = {**_layers(arguments), "probabilistic": given.get("probabilistic", False)}
    recurrent = arguments.algorithm == "rebal"
    make = jaxmeta.recurrent_model if recurrent else jaxmeta.windowed_model
    known = inspect.signature(make).parameters
    own = {name: value for name, value in given.items() if name in known}
    layer = {"cell": arguments.cell, "size": arguments.size} if recurrent else {}
    return make(tasks.env, **own, **layer, **network)


def _maml_q(arguments: Experiment, tasks: TaskDistribution) -> dict[str, Any]:
    """The settings of MAML with action values inside."""
    import jaxmeta

    return {
        "inner_rate": arguments.inner_rate,
        "adaptation_steps": arguments.adaptation_steps,
        "episodes": arguments.episodes,
        "policy": jaxmeta.policy_for(tasks.env, **_network(arguments)),
        "optimizer": _optimizer(arguments),
        "discount": arguments.discount,
        "task_chunk": arguments.task_chunk,
    }


def _pearl(arguments: Experiment, tasks: TaskDistribution) -> dict[str, Any]:
    """The settings of PEARL, which adapts by its posterior after each episode."""
    import jaxmeta

    return {
        "model": jaxmeta.latent_model_for(tasks.env, **_layers(arguments), experts=arguments.experts),
        "adaptation_steps": arguments.adaptation_steps,
        "optimizer": _optimizer(arguments),
        "discount": arguments.discount,
    }


def _gradient(arguments: Experiment, tasks: TaskDistribution) -> dict[str, Any]:
    """The settings of an algorithm that adapts by gradient steps."""
    import jaxmeta

    inner_losses = {
        "likelihood-ratio": jaxmeta.likelihood_ratio,
        "score-function": jaxmeta.score_function,
        "dice": jaxmeta.dice(),
        "clipped": jaxmeta.clipped(),
    }
    scales = {"standardised": jaxmeta.standardised, "raw": lambda surrogate: surrogate}
    network = _network(arguments)
    if arguments.algorithm == "cavia":
        network["context_size"] = 5
    settings: dict[str, Any] = {
        "inner_rate": arguments.inner_rate,
        "adaptation_steps": arguments.adaptation_steps,
        "episodes": arguments.episodes,
        "estimator": jaxmeta.linear_baseline(discount=arguments.discount, trace_decay=arguments.trace_decay),
        "policy": jaxmeta.policy_for(tasks.env, **network),
    }
    own = OWN_SETTINGS.get(arguments.algorithm, ())
    if "inner_loss" not in own:
        settings["inner_loss"] = scales[arguments.inner_advantages](inner_losses[arguments.inner_loss])
    if "outer_advantages" not in own:
        settings["outer_loss"] = scales[arguments.outer_advantages](jaxmeta.likelihood_ratio)
    if "objective" not in own:
        objectives = {"post-adaptation": jaxmeta.post_adaptation, "after-every-step": jaxmeta.after_every_step}
        settings["objective"] = objectives[arguments.objective]
    if arguments.algorithm == "es-maml":
        settings["outer_optimizer"] = _optimizer(arguments)
    else:
        settings["task_chunk"] = arguments.task_chunk
    if "outer" not in own:
        settings["outer"] = _outer(arguments)
    return settings


def _literals(flag: str, given: tuple[str, ...]) -> dict[str, Any]:
    """Settings written as NAME=VALUE; what is no number, tuple or truth value is text."""
    import ast

    found = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not text:
            fail(f"{flag} {each}: give it as NAME=VALUE")
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[name] = text
    return found


def _parameters(name: str) -> list[inspect.Parameter]:
    """Those of an algorithm, by its name on the command line, and of the one that it extends."""
    import jaxmeta

    both = (name, EXTENDS[name]) if name in EXTENDS else (name,)
    functions = [getattr(jaxmeta, each.replace("-", "_").replace("oracle", "multi_task")) for each in both]
    return [one for function in functions for one in inspect.signature(function).parameters.values()]


def _own(arguments: Experiment, settings: dict[str, Any]) -> dict[str, Any]:
    """What ``--algorithm-settings`` gives: numbers whose names the algorithm's signature must have."""
    optional = ("float | None", "int | None")
    is_number = lambda one: isinstance(one.default, (bool, int, float)) or str(one.annotation) in optional  # noqa: E731
    numbers = [one for one in _parameters(arguments.algorithm) if is_number(one)]
    known = {one.name: one.default for one in numbers if one.name not in settings}
    whole = {one.name for one in numbers if isinstance(one.default, int) or str(one.annotation) == "int | None"}
    found = _literals("--algorithm-settings", arguments.algorithm_settings)
    for name, value in found.items():
        if name not in known:
            has = f"has {', '.join(known)}" if known else "has no settings of its own"
            fail(f"--algorithm-settings {name}: {arguments.algorithm} {has}")
        if not isinstance(value, (int, float)) or (name in whole and value % 1):
            kind = "a whole number" if name in whole else "a number"
            fail(f"--algorithm-settings {name}: got {value}; must be {kind}, and is {known[name]} by default")
    return found
