"""How many iterations of loops an accelerator goes through one after the other in a meta-step, and in which loops.

Each costs it a few microseconds, however little is done in it. Programs are traced as for an accelerator, without one,
and neither compiled nor run: what counts is what the traced program says.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

FAMILIES = {
    **dict.fromkeys(("grbal", "mb-mpo", "model-maml", "pearl", "rebal"), "pendulum"),
    **dict.fromkeys(("maml-q", "mql", "r2d2"), "cartpole"),
    **dict.fromkeys(("hyperx", "rl2", "varibad"), "bernoulli-bandit"),
    **dict.fromkeys(("maml-lagrangian", "rl2-lagrangian"), "lane-keeping"),
}
"""The family that a method is traced on; navigation where it is not said."""
PRESETS = ("rl2-bandit-500",)
CHAINS = {
    "data/rollout.py collect_episodes": "steps of acting",
    "data/rollout.py collect_lifetimes": "adaptation steps",
    "learners/imagination.py imagining.absorb_fn": "adaptation steps in imagination",
    "learners/q_learning.py q_learner.absorb_fn": "inner updates",
    "algorithms/imaml.py proximal.absorb_fn": "inner iterations",
    "algorithms/imaml.py proximal.solution": "inner iterations",
    "objectives/objectives.py _replayed": "adaptation steps replayed",
    "objectives/objectives.py after_every_step.objective_fn": "adaptation steps replayed",
    "outer/descent.py by_optax.step_fn": "epochs and minibatches",
    "outer/trust_region.py conjugate_gradient": "conjugate gradients",
    "outer/trust_region.py trust_region.step_fn": "trials of a step",
    "algorithms/replay.py gradient_updates.run_fn": "updates",
    "algorithms/mb_mpo.py mb_mpo.learn_fn": "meta-steps on models",
    "algorithms/model_maml.py on_imagined_tasks.imagine_fn": "meta-steps on models",
    "models/fitting.py fit_model": "epochs of a fit",
    "models/fitting.py fit_model.epoch_fn": "steps of an epoch",
    "models/fitting.py adapt_model": "steps of a model",
    "models/planners.py cross_entropy_method.plan_fn": "iterations of a plan",
    "models/dynamics.py open_loop": "steps of a plan",
    "networks/cells.py _gated.sequence_fn": "steps of a memory",
    "algorithms/sequence_values.py sequence_values.cut": "segments of a memory",
}
"""Loops whose iterations depend on each other by what the method is, by the file and function that they stand in."""


@dataclasses.dataclass(frozen=True)
class Sequential:
    """Count the sequential iterations of meta-steps; print a table and write JSON."""

    json: Path | None = None
    """Write the results to this file."""
    methods: tuple[str, ...] | None = None
    """Methods by their registered names, or presets; by default all methods and some presets."""
    family: str | None = None
    """Family of tasks, in place of one that suits each method."""
    tasks: int = 1000
    """Tasks in a meta-batch; methods with replay and presets keep their own number."""
    largest: int = 4
    """Loops that are kept of each, the longest first."""
    quick: bool = False
    """Three methods of eight tasks."""


@dataclasses.dataclass(frozen=True)
class Loop:
    """A loop of a traced program.

    Attributes:
      name: the file and the function that it stands in.
      length: its iterations, ≥ 2, or the most that its condition allows; ``None`` where the program does not say.
        Iterations that are unrolled into one count as one.
      exact: whether ``length`` is always reached.
      operations: in one iteration, without those of inner loops.
      inner: the loops in it.
    """

    name: str
    length: int | None
    exact: bool
    operations: int
    inner: tuple[Loop, ...]

    @property
    def counted(self) -> int:
        """The length, or 1 where it is not known."""
        return 1 if self.length is None else self.length

    @property
    def iterations(self) -> int:
        """In all; an iteration that holds other loops counts as theirs."""
        return self.counted * max(1, sum(loop.iterations for loop in self.inner))

    @property
    def needed(self) -> int:
        """Those of ``CHAINS`` alone, as if every other loop went through all its iterations at once."""
        inner = sum(loop.needed for loop in self.inner)
        return self.counted * max(1, inner) if self.name in CHAINS else inner


def loops_of(jaxpr: Any, called_in: str = "elsewhere") -> tuple[Loop, ...]:
    """The outermost loops of a ``Jaxpr``, called in some function. All branches count; one iteration is no loop."""
    return tuple(loop for equation in jaxpr.eqns for loop in _loops_in(equation, called_in))


def _loops_in(equation: Any, called_in: str) -> Iterator[Loop]:
    from jax.extend.core import jaxprs_in_params

    name, where = equation.primitive.name, _where(equation) or called_in
    if name == "scan":
        length = -(-equation.params["length"] // max(1, int(equation.params["unroll"])))
        body, exact = equation.params["jaxpr"].jaxpr, True
    elif name == "while":
        body, length, exact = equation.params["body_jaxpr"].jaxpr, _bound(equation.params["cond_jaxpr"].jaxpr), False
    else:
        for inner in jaxprs_in_params(equation.params):
            yield from loops_of(inner, where)
        return
    inner = loops_of(body, where)
    if length == 1:
        yield from inner
    elif length != 0:
        yield Loop(where, length, exact, _operations(body), inner)


def _bound(condition: Any) -> int | None:
    """The largest number that a counter from 0 may have to stay below, of those that a condition names."""
    from jax.extend.core import Literal

    against = [equation.invars[1] for equation in condition.eqns if equation.primitive.name == "lt"]
    return max((int(one.val) for one in against if isinstance(one, Literal)), default=None)


def _operations(jaxpr: Any) -> int:
    from jax.extend.core import jaxprs_in_params

    count = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name not in ("scan", "while"):
            inner = list(jaxprs_in_params(equation.params))
            count += sum(_operations(one) for one in inner) if inner else 1
    return count


def _where(equation: Any) -> str | None:
    """The file and the innermost function of the package that an equation stands in; ``None`` in other packages."""
    import jaxmeta

    root = str(Path(jaxmeta.__file__).parent)
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback else ():
        if frame.file_name.startswith(root):
            return f"{Path(frame.file_name).relative_to(root)} {frame.function_name.replace('.<locals>', '')}"
    return None


def paths(loops: tuple[Loop, ...], outer: tuple[Loop, ...] = ()) -> Iterator[tuple[Loop, ...]]:
    """The loops without inner loops, each with those around it, the outermost first."""
    for loop in loops:
        if loop.inner:
            yield from paths(loop.inner, (*outer, loop))
        else:
            yield (*outer, loop)


def row(name: str, arguments: Sequential) -> dict[str, Any]:
    """What a method or a preset goes through in one meta-step."""
    import jax

    import jaxmeta
    from jaxmeta import registry

    if name in registry.methods():
        whole = jaxmeta.experiment(name, arguments.family or FAMILIES.get(name, "navigation"))
        if arguments.quick or not whole.has("capacity"):
            whole = whole.replace(meta_batch=8 if arguments.quick else arguments.tasks)
    else:
        whole = jaxmeta.experiment(preset=name)
    tasks, algorithm = whole.build()
    count = whole.tree["meta_batch"]
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(algorithm.init, key)
    batch = jax.eval_shape(lambda key: jaxmeta.sample_tasks(key, tasks, count), key)
    batches = jax.eval_shape(algorithm.adapt, key, state.theta, batch_of_one(batch))[1].trajectory.mask.shape[0]
    with jax.sharding.use_abstract_mesh(accelerator()):
        loops = loops_of(jax.make_jaxpr(algorithm.step)(key, state, batch).jaxpr)
    total, needed = (sum(getattr(loop, which) for loop in loops) for which in ("iterations", "needed"))
    merged: dict[str, dict[str, Any]] = {}
    for path in paths(loops):
        within = " > ".join(_described(loop) for loop in path)
        found = merged.setdefault(within, {"loop": within, "iterations": 0, "operations": path[-1].operations})
        found["iterations"] += math.prod(loop.counted for loop in path)
    return {
        "method": name,
        "family": whole.family,
        "tasks": count,
        "acting": batches * tasks.horizon,
        "needed": needed,
        "iterations": total,
        "unknown": any(loop.length is None for path in paths(loops) for loop in path),
        "loops": sorted(merged.values(), key=lambda one: -one["iterations"])[: arguments.largest],
    }


def batch_of_one(batch: Any) -> Any:
    """One task of a meta-batch, for its shapes."""
    import jax

    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batch)


def accelerator() -> Any:
    """A mesh of one accelerator, which need not be there."""
    from jax.sharding import AbstractDevice, AbstractMesh, AxisType

    device = AbstractDevice(device_kind="GPU", num_cores=None, platform="gpu")
    return AbstractMesh((1,), ("device",), axis_types=(AxisType.Auto,), abstract_device=device)


def _described(loop: Loop) -> str:
    length = "?" if loop.length is None else f"{'' if loop.exact else '≤ '}{loop.length:,}"
    return f"{length} {CHAINS.get(loop.name, loop.name)}"


def main(argv: list[str] | None = None) -> None:
    arguments = tyro.cli(Sequential, args=argv)
    if arguments.tasks < 1:
        raise SystemExit(f"error: --tasks: got {arguments.tasks}; must be at least 1")
    import measure

    from jaxmeta import registry
    from jaxmeta.runs import presets

    known = [*registry.methods(), *presets.names()]
    methods = arguments.methods or (("maml", "rl2", "pearl") if arguments.quick else (*registry.methods(), *PRESETS))
    for name in methods:
        if name not in known:
            raise SystemExit(f"error: --methods: unknown method or preset {name!r}. Known: {', '.join(known)}")
    settings = {**dataclasses.asdict(arguments), "json": None}
    result: dict[str, Any] = {"machine": measure.machine(), "settings": settings, "sequential": []}
    print(f"{'method':16s}{'family':>18s}{'tasks':>7s}{'acting':>8s}{'needed':>8s}{'iterations':>12s}{'ratio':>7s}")
    for name in methods:
        one = row(name, arguments)
        result["sequential"].append(one)
        more = "at least" if one["unknown"] else ""
        print(
            f"{name:16s}{one['family']:>18s}{one['tasks']:7,d}{one['acting']:8,d}{one['needed']:8,d}"
            f"{one['iterations']:12,d}{one['iterations'] / one['needed']:7.1f} {more}"
        )
        for loop in one["loops"]:
            print(f"    {loop['iterations']:10,d} of {loop['operations']:5,d} operations: {loop['loop']}", flush=True)
    measure.write(arguments.json, result)


if __name__ == "__main__":
    main()
