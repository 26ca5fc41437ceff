"""What training would take, from the analysis of the compiled program: nothing is run, and nothing is written."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import jaxprs_in_params

from jaxmeta.over_tasks import target_platform
from jaxmeta.runs.experiment import Experiment
from jaxmeta.runs.loop import sample_tasks
from jaxmeta.runs.memory import fitting_chunk
from jaxmeta.runs.program import Program, prepared
from jaxmeta.types import MetaAlgorithm, TaskDistribution

SETTINGS = (
    "precision",
    "task_chunk",
    "segment",
    "adaptation_steps",
    "episodes",
    "capacity",
    "batch",
    "batch_tasks",
    "meta_batch",
)
"""Settings that memory depends on, beside the sizes of networks and of lifetimes."""


def plan(
    experiment: Experiment,
    *,
    devices: int | None = None,
    seed_chunk: int | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """What training an experiment would take, and if that does not fit into memory, what would.

    Args:
      experiment: what would be trained.
      devices: as of ``Saving``.
      seed_chunk: as of ``Saving``.
      announce: called with lines worth telling once.

    Returns:
      Names and plain values: bytes on each device (``bytes``, ``memory``), whether they fit (``None`` where nobody
      says how much memory there is), environment steps of all seeds at most, and under ``instead`` what was tried where
      they do not fit.
    """
    tasks, algorithm = experiment.build()
    program = _program(experiment, devices, seed_chunk, announce)
    tree, seeds = experiment.tree, len(experiment.seeds)
    each = environment_steps(algorithm, tasks, tree["meta_batch"])
    steps = None if each is None else seeds * each
    return {
        "method": experiment.method,
        "family": experiment.family,
        "settings": {name: tree[name] for name in SETTINGS if name in tree},
        "horizon": tasks.horizon,
        "iterations": tree["iterations"],
        "env_steps_per_iteration": steps,
        "env_steps": None if steps is None else steps * tree["iterations"],
        "seeds": seeds,
        "device": jax.devices()[0].device_kind,
        "devices": program.devices,
        "compile_seconds": program.seconds,
        **_memory(program),
        "instead": [] if program.fits else list(alternatives(experiment, program, devices)),
    }


def _program(
    experiment: Experiment, devices: int | None, seed_chunk: int | None, announce: Callable = lambda line: None
) -> Program:
    tasks, algorithm = experiment.build()
    sizes = {"seeds": experiment.seeds, "meta_batch": experiment.tree["meta_batch"], "devices": devices}
    with experiment.located():
        # An array that is larger than all memory is told with all others.
        how = {"seed_chunk": seed_chunk, "announce": announce, "check": lambda program: None}
        return prepared(algorithm, tasks, **sizes, **how)


def _memory(program: Program) -> dict[str, Any]:
    bytes_of = {**program.needs._asdict(), "total": program.needs.total}
    fits = None if program.memory is None else program.fits
    return {"seed_chunk": program.seed_chunk, "bytes": bytes_of, "memory": program.memory, "fits": fits}


def alternatives(experiment: Experiment, program: Program, devices: int | None = None) -> Iterator[dict[str, Any]]:
    """What smaller chunks of seeds, of tasks and of time would take, each beside those before it, until one fits.

    Yields:
      ``settings``, those of the experiment that are others, and as of ``plan`` ``seed_chunk``, ``bytes``, ``memory``
      and ``fits``; only where it takes less than what was tried before.
    """
    changes: dict[str, Any] = {}
    for name in ("seed_chunk", "task_chunk", "segment"):
        smaller = _smaller(experiment, program, name)
        if smaller is None:
            continue
        tried = changes if name == "seed_chunk" else {**changes, name: smaller}
        chunk = smaller if name == "seed_chunk" else program.seed_chunk
        found = _program(experiment.replace(**tried), devices, chunk)
        if found.needs.total < program.needs.total:
            changes, program = tried, found
            yield {"settings": changes, **_memory(program)}
        if program.fits:
            return


def _smaller(experiment: Experiment, program: Program, name: str) -> int | None:
    """A smaller value of a setting that should fit, or else the smallest; ``None`` where there is none."""
    tree, horizon = experiment.tree, experiment.build()[0].horizon
    most = {"seed_chunk": len(experiment.seeds), "task_chunk": tree["meta_batch"], "segment": horizon}[name]
    now = program.seed_chunk if name == "seed_chunk" else tree.get(name) or most
    if (name != "seed_chunk" and name not in tree) or now == 1:
        return None
    if name == "task_chunk" and tree[name] is None and target_platform() == "cpu":
        # What methods take by themselves there is no more than a few.
        return 1
    smaller = fitting_chunk(program.needs, program.memory, now, most)
    return smaller if name != "segment" else max(size for size in range(1, smaller + 1) if horizon % size == 0)


def environment_steps(algorithm: MetaAlgorithm, tasks: TaskDistribution, meta_batch: int) -> int | None:
    """Environment steps of a meta-iteration in which no episode ends early; ``None`` where that cannot be told."""
    key = jax.random.key(0)
    batch = jax.eval_shape(lambda key: sample_tasks(key, tasks, meta_batch), key)
    state = jax.eval_shape(algorithm.init, key)
    program = jax.make_jaxpr(lambda *inputs: algorithm.step(*inputs)[1]["env_steps"])(key, state, batch).jaxpr
    # They are counted as the sum of a mask, which has an entry for each.
    return _summands(program, program.outvars[0])


def _summands(program: Any, result: Any) -> int | None:
    """The size of the array whose sum a result of a program is."""
    for equation in program.eqns:
        if result in equation.outvars:
            inner = list(jaxprs_in_params(equation.params))
            if equation.primitive.name == "reduce_sum":
                return math.prod(equation.invars[0].aval.shape)
            if len(inner) == 1:
                return _summands(inner[0], inner[0].outvars[equation.outvars.index(result)])
    return None
