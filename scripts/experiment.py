"""What the command lines share: the arguments of a run, their checks, and the objects that they stand for.

Nothing heavy is imported at the top, so that ``--help`` and errors in the arguments answer at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from presets import (
    ALGORITHM_PRESETS,
    ALGORITHMS,
    GRADIENT_SETTINGS,
    OWN_SETTINGS,
    RECURRENT,
    RECURRENT_SETTINGS,
    RECURRENT_TASK_PRESETS,
    TASK_PRESETS,
    TASKS,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import optax

    from jaxmeta.types import MetaAlgorithm, Outer, TaskDistribution


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What is trained. All of it is kept in the run's ``config.json``."""

    algorithm: str = "maml"
    """Meta-algorithm; an unknown name lists them all. Some have defaults of their own, printed when a run starts."""
    task: str = "navigation"
    """Task family; an unknown name lists them all. Some have defaults of their own, printed at the start of a run."""
    horizon: int | None = None
    """Steps in an episode at most; the family's own if not given."""
    iterations: int = 400
    """Meta-iterations."""
    meta_batch: int = 20
    """Tasks in each meta-iteration."""
    episodes: int = 20
    """Episodes in each task before each adaptation step, and after the last."""
    adaptation_steps: int = 1
    """Inner gradient steps during meta-training."""
    inner_rate: float = 0.5
    """Step size of adaptation."""
    inner_loss: Literal["likelihood-ratio", "score-function", "dice", "clipped"] = "likelihood-ratio"
    """Surrogate that adaptation descends."""
    outer: Literal["adam", "sgd", "trust-region"] = "adam"
    """Outer step."""
    outer_rate: float = 3e-3
    """Outer step size at the start (adam and sgd)."""
    outer_rate_end: float = 3e-4
    """Outer step size after --outer-decay meta-iterations; in between it falls linearly (adam and sgd)."""
    outer_decay: int = 400
    """Meta-iterations over which the outer step size falls (adam and sgd)."""
    epochs: int = 1
    """Outer steps on each meta-batch (adam and sgd); above 1 for algorithms that bound the move, maml-ppo and promp."""
    objective: Literal["post-adaptation", "after-every-step"] = "post-adaptation"
    """What the outer step improves: the return after the last adaptation step, or the mean over all of them."""
    max_divergence: float = 0.01
    """Bound on the mean KL of the post-adaptation policies, in nats (trust-region only)."""
    max_grad_norm: float | None = None
    """Longer outer gradients are shortened to this norm (adam and sgd); left as they are if not given."""
    cg_iterations: int = 10
    """Conjugate-gradient iterations (trust-region only)."""
    curvature_every: int = 5
    """Curvature is taken on every n-th time step (trust-region only)."""
    discount: float = 0.99
    """Discount factor per step."""
    trace_decay: float = 1.0
    """Lambda of the generalised advantage estimates."""
    inner_advantages: Literal["standardised", "raw"] = "standardised"
    """Advantages in the inner loss: with standard deviation 1 in each task, or in units of reward."""
    outer_advantages: Literal["standardised", "raw"] = "standardised"
    """Advantages in the outer loss: standardised, all tasks count alike; raw, a task counts by what is to be gained."""
    hidden: tuple[int, ...] = (100, 100)
    """Widths of the policy's hidden layers."""
    activation: Literal["relu", "tanh"] = "relu"
    """Nonlinearity of the policy."""
    initial_log_std: float = -0.7
    """Initial log standard deviation of a Gaussian policy, in units of the action range."""
    lifetime: int = 1
    """Episodes in a lifetime (recurrent algorithms)."""
    cell: str = "gru"
    """Recurrent layer; an unknown name lists them all (recurrent algorithms)."""
    size: int = 128
    """Features of the recurrent layer (recurrent algorithms)."""
    segment: int | None = None
    """Steps differentiated together; must divide the lifetime, which is taken whole if not given (recurrent)."""
    minibatches: int = 1
    """Parts of a meta-batch with an outer step on each (adam and sgd); must divide it."""
    task_settings: tuple[str, ...] = ()
    """The family's own settings as NAME=VALUE, such as arms=10 (bernoulli-bandit)."""
    algorithm_settings: tuple[str, ...] = ()
    """The algorithm's own settings as NAME=VALUE, such as pull=2 (imaml) or clip=0.1 (maml-ppo)."""
    task_chunk: int | None = None
    """Tasks differentiated together; chosen from the device and the sizes if not given."""
    seed: int = 0
    """First seed."""
    seeds: int = 1
    """Number of seeds, trained side by side in one program."""


def fail(message: str) -> NoReturn:
    """One line on stderr, exit status 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def check_name(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Fail on an unknown name, with the near ones."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        fail(f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}")


def check_numbers(arguments: Any, **least: float) -> None:
    """Fail on a number below its least value, or at it if that is 0.0 (a rate); and on one that is not finite."""
    for name, bound in least.items():
        value = getattr(arguments, name)
        flag = "--" + name.replace("_", "-")
        for number in value if isinstance(value, tuple) else (value,):
            if number is None:
                continue
            if not math.isfinite(number):
                fail(f"{flag}: got {number}; must be finite")
            if isinstance(bound, float) and number <= bound:
                fail(f"{flag}: got {number}; must be greater than {bound:g}")
            if isinstance(bound, int) and number < bound:
                fail(f"{flag}: got {number}; must be at least {bound}")


def check(arguments: Experiment) -> None:
    """Fail in one line on the first argument that cannot be meant."""
    check_name("task", arguments.task, TASKS)
    check_name("algorithm", arguments.algorithm, ALGORITHMS)
    counts = (
        "horizon",
        "iterations",
        "meta_batch",
        "episodes",
        "cg_iterations",
        "curvature_every",
        "hidden",
        "outer_decay",
        "epochs",
        "lifetime",
        "size",
        "segment",
        "minibatches",
    )
    check_numbers(arguments, **dict.fromkeys((*counts, "task_chunk", "seeds"), 1), adaptation_steps=0, seed=0)
    rates = ("inner_rate", "outer_rate", "outer_rate_end", "max_divergence", "max_grad_norm")
    check_numbers(arguments, **dict.fromkeys(rates, 0.0))
    for name in ("discount", "trace_decay"):
        if not 0.0 <= getattr(arguments, name) <= 1.0:
            fail(f"--{name.replace('_', '-')}: got {getattr(arguments, name)}; must be in [0, 1]")
    default = Experiment()
    recurrent = arguments.algorithm in RECURRENT
    for names, why in (
        (OWN_SETTINGS.get(arguments.algorithm, ()), "decides it by itself"),
        (GRADIENT_SETTINGS if recurrent else RECURRENT_SETTINGS, "has no use for it"),
    ):
        for name in names:
            if getattr(arguments, name) != getattr(default, name):
                fail(f"--{name.replace('_', '-')}: {arguments.algorithm} {why}; leave it out")
    if not math.isfinite(arguments.initial_log_std):
        fail(f"--initial-log-std: got {arguments.initial_log_std}; must be finite")


def seed_names(arguments: Experiment) -> list[int]:
    return list(range(arguments.seed, arguments.seed + arguments.seeds))


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
    import jax
    import optax

    import jaxmeta

    family = _literals("--task-settings", arguments.task_settings)
    if arguments.horizon is not None:
        family["horizon"] = arguments.horizon
    tasks = jaxmeta.tasks.make(arguments.task, **family)
    if arguments.algorithm == "oracle":
        tasks = jaxmeta.reveal_task(tasks)
    network = {
        "hidden": arguments.hidden,
        "activation": getattr(jax.nn, arguments.activation),
        "initial_log_std": arguments.initial_log_std,
    }
    if arguments.algorithm in RECURRENT:
        tasks = jaxmeta.as_lifetime(tasks, arguments.lifetime)
        settings = _recurrent(arguments, tasks, network)
    else:
        settings = _gradient(arguments, tasks, network)
        if adaptation_steps is not None:
            settings["adaptation_steps"] = adaptation_steps
        if episodes is not None:
            settings["episodes"] = episodes
        if rate_decay != 1.0:
            settings["inner_rate"] = optax.exponential_decay(arguments.inner_rate, 1, rate_decay)
    name = {"oracle": "multi_task"}.get(arguments.algorithm, arguments.algorithm.replace("-", "_"))
    algorithm = getattr(jaxmeta, name)
    return tasks, algorithm(tasks, **settings, **_own(arguments, algorithm, settings))


def _optimizer(arguments: Experiment) -> optax.GradientTransformation:
    import optax

    steps = arguments.outer_decay * arguments.epochs * arguments.minibatches
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


def _recurrent(arguments: Experiment, tasks: TaskDistribution, network: dict[str, Any]) -> dict[str, Any]:
    """The settings of an algorithm that learns by its memory."""
    import optax

    import jaxmeta

    network = {"horizon": tasks.horizon, "cell": arguments.cell, "size": arguments.size, **network}
    if arguments.algorithm == "r2d2":
        return {
            "policy": jaxmeta.recurrent_policy_for(tasks.env, **network),
            "segment": arguments.segment,
            "optimizer": _optimizer(arguments),
            "discount": arguments.discount,
        }
    settings: dict[str, Any] = {
        "estimator": jaxmeta.critic_baseline(arguments.discount, arguments.trace_decay),
        "task_chunk": arguments.task_chunk,
    }
    if arguments.algorithm == "varibad":
        both = jaxmeta.by_part(_optimizer(arguments), optax.adam(1e-3))
        outer = jaxmeta.by_optax(both, arguments.epochs, arguments.minibatches)
        return {**settings, "model": jaxmeta.belief_model_for(tasks.env, **network), "outer": outer}
    policy = jaxmeta.recurrent_policy_for(tasks.env, **network)
    return {**settings, "policy": policy, "segment": arguments.segment, "outer": _outer(arguments)}


def _gradient(arguments: Experiment, tasks: TaskDistribution, network: dict[str, Any]) -> dict[str, Any]:
    """The settings of an algorithm that adapts by gradient steps."""
    import jaxmeta

    inner_losses = {
        "likelihood-ratio": jaxmeta.likelihood_ratio,
        "score-function": jaxmeta.score_function,
        "dice": jaxmeta.dice(),
        "clipped": jaxmeta.clipped(),
    }
    scales = {"standardised": jaxmeta.standardised, "raw": lambda surrogate: surrogate}
    if arguments.algorithm == "cavia":
        network = {**network, "context_size": 5}
    settings: dict[str, Any] = {
        "inner_rate": arguments.inner_rate,
        "adaptation_steps": arguments.adaptation_steps,
        "episodes": arguments.episodes,
        "estimator": jaxmeta.linear_baseline(arguments.discount, arguments.trace_decay),
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


def _own(arguments: Experiment, algorithm: Callable[..., MetaAlgorithm], settings: dict[str, Any]) -> dict[str, Any]:
    """What ``--algorithm-settings`` gives: numbers whose names the algorithm's signature must have."""
    import inspect

    parameters = inspect.signature(algorithm).parameters.values()
    known = {one.name: one.default for one in parameters if isinstance(one.default, (bool, int, float))}
    known = {name: default for name, default in known.items() if name not in settings}
    found = _literals("--algorithm-settings", arguments.algorithm_settings)
    for name, value in found.items():
        if name not in known:
            has = f"has {', '.join(known)}" if known else "has no settings of its own"
            fail(f"--algorithm-settings {name}: {arguments.algorithm} {has}")
        if not isinstance(value, (int, float)) or (isinstance(known[name], int) and value % 1):
            kind = "a whole number" if isinstance(known[name], int) else "a number"
            fail(f"--algorithm-settings {name}: got {value}; must be {kind}, and is {known[name]} by default")
    return found


def defaults(arguments: Experiment) -> dict[str, Any]:
    """What an algorithm and a task change in the defaults."""
    algorithm = ALGORITHM_PRESETS.get(arguments.algorithm, {})
    if arguments.algorithm in RECURRENT:
        return {**algorithm, **RECURRENT_TASK_PRESETS[arguments.algorithm].get(arguments.task, {})}
    return {**TASK_PRESETS.get(arguments.task, {}), **algorithm}


def load(directory: Path) -> Experiment:
    """The arguments of a run, from its ``config.json``; fails in one line if there are none."""
    import json

    path = directory / "config.json"
    if not path.is_file():
        fail(f"{directory} holds no run: there is no config.json")
    try:
        stored = json.loads(path.read_text())["arguments"]
        fields = {field.name for field in dataclasses.fields(Experiment)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        unknown = sorted(set(values) - fields)
        if unknown:
            fail(f"{path} has arguments that this version does not know: {', '.join(unknown)}")
        return Experiment(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fail(f"{path} cannot be read ({type(error).__name__}); restore it, or start the run anew")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How a trained run is evaluated."""

    steps: int = 3
    """Adaptation steps K; returns are measured after 0 to K."""
    episodes: int | None = None
    """Episodes collected for each adaptation step; twice those of training if not given."""
    rate_decay: float = 0.5
    """Factor on the inner step size at each further step: its noise must shrink as the goal comes near."""
    tasks: int = 400
    """Held-out tasks."""
    task_seed: int = 0
    """Draws the held-out tasks; independent of every training seed."""
    greedy_episodes: int = 10
    """Episodes of the deterministic policy after each step."""


def check_evaluation(arguments: Evaluation) -> None:
    """Fail in one line on the first argument that cannot be meant."""
    check_numbers(arguments, steps=0, episodes=1, tasks=1, task_seed=0, greedy_episodes=1, rate_decay=0.0)


def evaluation_episodes(arguments: Experiment, episodes: int | None) -> int:
    """Episodes of an adaptation step in evaluation: as given, or twice those of training (Finn et al. 2017)."""
    return 2 * arguments.episodes if episodes is None else episodes


def evaluate_and_plot(directory: Path, arguments: Experiment, evaluation: Evaluation) -> None:
    """Write ``evaluation.json`` and the two curves into a run's directory, and print the table."""
    from jaxmeta import plots, runs
    from jaxmeta.logging import read_csv

    seeds = seed_names(arguments)
    episodes = evaluation_episodes(arguments, evaluation.episodes)
    _, training_algorithm = build(arguments)
    theta, iteration = runs.load_theta(directory, training_algorithm, seeds)
    tasks, algorithm = build(
        arguments,
        adaptation_steps=evaluation.steps,
        episodes=episodes,
        rate_decay=evaluation.rate_decay,
    )
    result = runs.evaluate_run(
        algorithm,
        tasks,
        theta,
        seeds=seeds,
        task_count=evaluation.tasks,
        task_seed=evaluation.task_seed,
        greedy_episodes=evaluation.greedy_episodes,
    )
    result = {"iteration": iteration, "protocol": {**dataclasses.asdict(evaluation), "episodes": episodes}, **result}
    runs.write_json(directory / "evaluation.json", result)
    print_table(result)
    title = f"{arguments.algorithm} on {arguments.task}, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    written = [plots.save(plots.adaptation_curve(result, title), directory / "adaptation_curve.png")]
    if (directory / "metrics.csv").exists() and (rows := read_csv(directory / "metrics.csv")):
        written.append(plots.save(plots.learning_curve(rows, title), directory / "learning_curve.png"))
    print("wrote", directory / "evaluation.json", *written)


def print_table(result: dict[str, Any]) -> None:
    """Interquartile means over seeds and tasks, with intervals, per adaptation step."""
    count = result["tasks"]["count"]
    print(f"\nreturn on {count} unseen tasks, {len(result['seeds'])} seeds: IQM [95 % interval]")
    steps = range(len(result["summary"]["sampled"]["iqm"]))
    by_episode = result["axes"][2] == "episode"
    rows = [("episode" if by_episode else "adaptation steps", [str(k + by_episode) for k in steps])]
    for name, one in (
        ("sampled policy", result["summary"]["sampled"]),
        ("deterministic policy", result["summary"]["deterministic"]),
        ("from scratch", result["references"]["from_scratch"]),
    ):
        cells = zip(one["iqm"], one["low"], one["high"], strict=True)
        rows.append((name, [f"{iqm:.2f} [{low:.2f}, {high:.2f}]" for iqm, low, high in cells]))
    for name in ("random_policy", "optimum"):
        if name in result["references"]:
            rows.append((name.replace("_", " "), [f"{result['references'][name]['iqm']:.2f}"]))
    width = 2 + max(len(cell) for _, cells in rows for cell in cells)
    for name, cells in rows:
        print(f"{name:20s}" + "".join(f"{cell:>{width}s}" for cell in cells))
