"""What the command lines share: the arguments of a run, and their checks.

Nothing heavy is imported at the top, so that ``--help`` and errors in the arguments answer at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
from pathlib import Path
from typing import Any, Literal, NoReturn

from names import ALGORITHMS, GRADIENT_SETTINGS, OWN_SETTINGS, RECURRENT, RECURRENT_SETTINGS, TASKS, UNBALANCED
from presets import ALGORITHM_PRESETS, OWN_TASK_PRESETS, TASK_PRESETS


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
    """Widths of the hidden layers, of the policy or of the model."""
    activation: Literal["relu", "silu", "tanh"] = "relu"
    """Nonlinearity of the policy, or of the model."""
    initial_log_std: float = -0.7
    """Initial log standard deviation of a Gaussian policy, in units of the action range."""
    bounded_mean: bool = False
    """A Gaussian policy's mean stays within the action range: far outside, clipped actions feel no noise."""
    experts: int = 1
    """Networks that the policy is a mixture of, weighted by a gate; 1 is a single network."""
    balance_weight: float = 0.0
    """Weight of a loss that keeps all experts in use across the tasks of a meta-batch; meta-steps take longer."""
    lifetime: int = 1
    """Episodes in a lifetime (recurrent algorithms)."""
    cell: str = "gru"
    """Recurrent layer; an unknown name lists them all (recurrent algorithms)."""
    size: int = 128
    """Features of the recurrent layer (recurrent algorithms)."""
    tabular_memory: bool = False
    """A recurrent layer for each pair of observation and action, all with the same weights, where observations are
    one-hot and actions discrete (rl2, r2d2, mql on bandits and tabular-mdp)."""
    segment: int | None = None
    """Steps differentiated together; must divide the lifetime, which is taken whole if not given (recurrent)."""
    minibatches: int = 1
    """Parts of a meta-batch with an outer step on each (adam and sgd); must divide it."""
    task_settings: tuple[str, ...] = ()
    """The family's own settings as NAME=VALUE, such as arms=10 (bernoulli-bandit)."""
    observed: tuple[int, ...] = ()
    """Entries of the observation that are seen, such as 0 2 (cartpole without velocities); all if not given."""
    repeat: int = 1
    """Steps of the environment that an action is taken for; returns stay those of all steps."""
    scaled: bool = False
    """Entries of the observation that have bounds are seen in [-1, 1] (mountain-car's velocity is at most 0.07)."""
    algorithm_settings: tuple[str, ...] = ()
    """The algorithm's own settings as NAME=VALUE, such as pull=2 (imaml) or clip=0.1 (maml-ppo); a preset's others
    stay."""
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
        "experts",
        "outer_decay",
        "epochs",
        "lifetime",
        "size",
        "segment",
        "minibatches",
        "repeat",
    )
    check_numbers(
        arguments, **dict.fromkeys((*counts, "task_chunk", "seeds"), 1), adaptation_steps=0, seed=0, observed=0
    )
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
    check_numbers(arguments, balance_weight=0)
    if arguments.balance_weight and arguments.algorithm in UNBALANCED:
        fail(f"--balance-weight: {arguments.algorithm} has no use for it; leave it out")
    if arguments.balance_weight and arguments.experts == 1:
        fail("--balance-weight: a single network has no use for it; leave it out, or give --experts")
    if arguments.tabular_memory and arguments.experts > 1:
        fail("--experts: --tabular-memory has no use for them; leave one of both out")
    if not math.isfinite(arguments.initial_log_std):
        fail(f"--initial-log-std: got {arguments.initial_log_std}; must be finite")


def seed_names(arguments: Experiment) -> list[int]:
    return list(range(arguments.seed, arguments.seed + arguments.seeds))


def defaults(arguments: Experiment) -> dict[str, Any]:
    """What an algorithm and a task change in the defaults."""
    algorithm = ALGORITHM_PRESETS.get(arguments.algorithm, {})
    if arguments.algorithm in OWN_TASK_PRESETS:
        return {**algorithm, **OWN_TASK_PRESETS[arguments.algorithm].get(arguments.task, {})}
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
