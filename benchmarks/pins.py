"""What every method computes on every family, at a small size: recorded once, and compared after a change of the code.

A pin is three meta-iterations of a pair, a method and a family, or of a named preset, all with the settings that the
command line would give it but for the counts and sizes that cost time (``AT_MOST``). Kept are every metric of each
meta-iteration, bit for bit, and the sum and the norm of the final theta; or the message of a pair that is refused.

Bits are the same on the same kind of processor, with the same version of JAX, and only there.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import gc
import itertools
import json
import math
import multiprocessing
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from jaxmeta.types import MetaAlgorithm, TaskDistribution

ITERATIONS = 3
AT_MOST = {
    # Of a run.
    "meta_batch": 4,
    "minibatches": 2,
    "epochs": 2,
    "episodes": 2,
    "horizon": 10,  # decisions: where actions are repeated, as many times more steps; see AT_LEAST too
    "lifetime": 2,
    "task_chunk": 2,
    # Of networks.
    "hidden": 8,  # of each layer; their number stays
    "size": 8,
    "rule_hidden": 8,
    "features": 8,
    # Of adaptation and of outer steps.
    "inner_updates": 2,
    "inner_batch": 4,
    "inner_iterations": 2,
    "pairs": 2,
    "prefixes": 2,
    "new_updates": 2,
    "replay_updates": 2,
    "kept": 4,
    # Of replay. Three meta-batches do not fit into the buffer, and two updates each bring a copy of the target network.
    "updates": 2,
    "batch": 4,
    "batch_tasks": 2,
    "capacity": 8,
    "target_every": 2,
    "segment": 4,  # None where that does not divide the lifetime
    "burn_in": 2,
    # Of models, and of plans with them. The first meta-iteration acts at random, the others plan.
    "members": 2,
    "patience": 1,
    "real_episodes": 1,
    "starts": 4,
    "model_steps": 2,
    "model_updates": 2,
    "model_batch": 8,
    "imagined_steps": 2,
    "imagined_episodes": 2,
    "imagined_horizon": 5,
    "imagined_updates": 2,
    "window": 4,
    "future": 4,
    "planner.horizon": 2,
    "planner.iterations": 2,
    "candidates": 8,
    "elites": 2,
    "random_iterations": 1,
}
"""What is made smaller, by the name of a setting, with or without the path before it: larger numbers become this one.

What is not here stays: rates, discounts, weights, and counts that cost little, such as those over which a schedule
falls. ``None`` stays too.
"""
LEFT_ALONE = {"mb-mpo": "model.hidden", "model-maml": "model.hidden", "hyperx": "hidden"}
"""Settings by method that stay, though one of their name is made smaller: hidden layers of further networks."""
AT_LEAST = {"t-maze": 21}
"""Horizons that a family's own definition asks for: one more than its longest corridor."""
CLOSE = 1e-5
"""Largest difference of two numbers that count as close, relative to the size of their metric."""
ROUNDING = 1e-7
"""Likewise, not relative: what rounding leaves of a mean that would be 0, as of standardised advantages."""
QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1 --xla_cpu_enable_concurrency_optimized_scheduler=false"
)
"""Flags of the tests (tests/conftest.py): compiling is most of the work, and the least optimised code will do."""

Entry = dict[str, Any]
"""``{"info": {metric: [a number a meta-iteration]}, "theta": {"count", "sum", "norm"}}``, ``{"refused": message}``, or
``{"failed": message}`` where the error is none that a user is meant to see; ``{"traced": True}`` with ``--trace``."""


@dataclasses.dataclass(frozen=True)
class Pins:
    """Record what every method computes on every family, or compare it with a record."""

    record: Path | None = None
    """Write what is computed to this JSON file, an entry a line; entries that are there already are not computed."""
    against: Path | None = None
    """Compute the entries of this file anew, and say which differ; exit status 1 if any does beyond rounding."""
    trace: bool = False
    """Trace all pairs and presets without computing anything; exit status 1 if any fails, but for those refused."""
    only: tuple[str, ...] = ()
    """Only entries whose name has one of these in it, such as maml/ or /cartpole or preset:."""
    sample: int | None = None
    """Only so many entries, drawn evenly over the methods (with --against)."""
    seed: int = 0
    """Of the draw."""
    workers: int = 2
    """Processes at a time."""
    cache: Path | None = None
    """Keep compiled programs in this directory: a program that a change of the code leaves as it was is not compiled
    again."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Pins, args=argv)
    if (arguments.record is not None) + (arguments.against is not None) + arguments.trace != 1:
        raise SystemExit("error: give one of --record, --against and --trace")
    if arguments.workers < 1 or (arguments.sample is not None and arguments.sample < 1):
        raise SystemExit("error: workers and sample must be at least 1")
    if arguments.sample is not None and arguments.against is None:
        raise SystemExit("error: --sample is of --against")
    if arguments.trace:
        return trace(arguments)
    if arguments.record is not None:
        return record(arguments, arguments.record)
    assert arguments.against is not None
    return compare(arguments, arguments.against)


def trace(arguments: Pins) -> int:
    """Trace every pair and preset; print those that are refused, and those that fail."""
    counts = collections.Counter()
    for name, entry, _ in computed(chosen(known(), arguments.only), arguments):
        kind = outcome(entry).partition(":")[0]
        counts[kind] += 1
        if kind != "traced":
            print(f"{name}: {outcome(entry)}", flush=True)
    print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    return 1 if counts["failed"] else 0


def record(arguments: Pins, path: Path) -> int:
    """Compute what the file does not have, and write the file anew after each entry."""
    entries = read(path) if path.exists() else {}
    wanted = chosen(known(), arguments.only)
    missing = [name for name in wanted if name not in entries]
    print(f"{len(wanted)} entries, {len(wanted) - len(missing)} of them in {path}", flush=True)
    for done, (name, entry, seconds) in enumerate(computed(missing, arguments), 1):
        entries[name] = entry
        write(path, entries)
        print(f"{done}/{len(missing)} {name}: {outcome(entry)}, {seconds:.1f} s", flush=True)
    counts = collections.Counter(outcome(entries[name]).partition(":")[0] for name in wanted)
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return 0


def compare(arguments: Pins, path: Path) -> int:
    """Compute entries of the file anew, and print those that are not what they were."""
    entries = read(path)
    names = chosen(list(entries), arguments.only)
    if arguments.sample is not None:
        names = drawn(names, arguments.sample, arguments.seed)
    counts = collections.Counter()
    started = time.perf_counter()
    for done, (name, entry, _) in enumerate(computed(names, arguments), 1):
        verdict, why = compared(entries[name], entry)
        counts[verdict] += 1
        if verdict != "bit-equal":
            print(f"{name}: {verdict}{why and ': '}{why}", flush=True)
        if done % 50 == 0 and done < len(names):
            print(f"({done}/{len(names)} after {time.perf_counter() - started:.0f} s)", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    return 1 if counts["different"] or counts["other metrics"] else 0


def known() -> list[str]:
    """The names of all pairs, and of all presets."""
    from jaxmeta import registry
    from jaxmeta.runs import presets

    pairs = itertools.product(registry.methods(), registry.families())
    return [*(f"{method}/{family}" for method, family in pairs), *(f"preset:{name}" for name in presets.names())]


def shrunken(method: str | None, family: str | None, preset: str | None) -> tuple[TaskDistribution, MetaAlgorithm, int]:
    """What a command line stands for, at the sizes of ``AT_MOST``; all that knows how that is built is here.

    Args:
      method: its name on the command line.
      family: likewise.
      preset: its name, in place of both.

    Returns:
      The family, the algorithm, and the tasks in a meta-batch.

    Raises:
      ValueError: a pair that is refused.
    """
    import jaxmeta

    whole = jaxmeta.experiment(method, family, preset=preset or "pair")
    repeat = whole.tree["repeat"]

    def smaller(tree: Any, path: str) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        for name, value in tree.items():
            full = f"{path}{name}"
            if isinstance(value, dict):
                changed[name] = smaller(value, f"{full}.")
            elif full == LEFT_ALONE.get(whole.method):
                continue
            elif full == "family.horizon":
                limit = max(AT_MOST["horizon"] * repeat, AT_LEAST.get(whole.family, 1))
                changed[name] = min(value, limit)
            elif full in AT_MOST or (name in AT_MOST and path != "family."):
                changed[name] = limited(full if full in AT_MOST else name, value)
        return changed

    changed = {"iterations": ITERATIONS, **smaller(whole.tree, "")}
    if changed.get("segment") is not None:
        steps = changed["lifetime"] * -(-changed["family"]["horizon"] // repeat) - changed.get("burn_in", 0)
        changed["segment"] = None if steps % changed["segment"] else changed["segment"]
    whole = whole.replace(**changed)
    tasks, algorithm = whole.build()
    return tasks, algorithm, whole.tree["meta_batch"]


def limited(name: str, value: Any) -> Any:
    """A parameter's value, or that of ``AT_MOST`` if it is smaller; of a tuple, each number."""
    if isinstance(value, tuple):
        return tuple(limited(name, each) for each in value)
    return value if value is None else min(value, AT_MOST[name])


def computed(names: Sequence[str], arguments: Pins) -> Iterator[tuple[str, Entry, float]]:
    """Name, entry and seconds of each of ``names``, in the order in which they are done."""
    # New processes for every hundred: what JAX keeps of programs that are no longer used grows slowly.
    for first in range(0, len(names), 100):
        pool = concurrent.futures.ProcessPoolExecutor(
            arguments.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare,
            initargs=(arguments.cache,),
        )
        try:
            futures = {pool.submit(pin, name, arguments.trace): name for name in names[first : first + 100]}
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], *future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare(cache: Path | None) -> None:
    """What a process does first, before JAX starts."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICKLY}".strip()
    gc.set_threshold(100_000, 50, 100)
    import jax

    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache.resolve()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pin(name: str, trace_alone: bool = False) -> tuple[Entry, float]:
    """The entry of a name, and the seconds that it took."""
    started = time.perf_counter()
    import jax
    import numpy as np

    import jaxmeta

    jax.clear_caches()
    try:
        tasks, algorithm, meta_batch = shrunken(*parts(name))
        run = jax.jit(
            lambda key: jaxmeta.meta_train(key, algorithm, tasks, iterations=ITERATIONS, meta_batch=meta_batch)
        )
        if trace_alone:
            run.trace(jax.random.key(0))
            return {"traced": True}, time.perf_counter() - started
        state, info = run(jax.random.key(0))
    except ValueError as error:
        return {"refused": " ".join(str(error).split())}, time.perf_counter() - started
    except Exception as error:
        # One pair that breaks must not end the recording of all others.
        return {"failed": " ".join(f"{type(error).__name__}: {error}".split())}, time.perf_counter() - started
    # The shortest text that stands for a number of 32 bits stands for no other.
    info = {key: [float(str(x)) for x in np.asarray(values).ravel()] for key, values in info.items()}
    leaves = [np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(state.meta.theta)]
    # Rounded once, so that the order of the leaves does not matter.
    theta = {
        "count": sum(leaf.size for leaf in leaves),
        "sum": math.fsum(itertools.chain.from_iterable(leaf.tolist() for leaf in leaves)),
        "norm": math.sqrt(math.fsum(itertools.chain.from_iterable(np.square(leaf).tolist() for leaf in leaves))),
    }
    return {"info": info, "theta": theta}, time.perf_counter() - started


def parts(name: str) -> tuple[str | None, str | None, str | None]:
    """Method, family and preset of an entry's name."""
    if name.startswith("preset:"):
        return None, None, name.removeprefix("preset:")
    method, _, family = name.partition("/")
    return method, family, None


def outcome(entry: Entry) -> str:
    for kind in ("refused", "failed"):
        if kind in entry:
            return f"{kind}: {entry[kind]}"
    return "traced" if "traced" in entry else "computed"


def chosen(names: Sequence[str], only: Sequence[str]) -> list[str]:
    """The names that have one of ``only`` in them, or all."""
    found = [name for name in names if not only or any(part in name for part in only)]
    if not found:
        raise SystemExit(f"error: no entry has {' or '.join(only)} in its name" if only else "error: no entries")
    return found


def drawn(names: Sequence[str], count: int, seed: int) -> list[str]:
    """So many names by lot: one of each method in turn (presets are one method), until there are enough."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(parts(name)[0] or "preset", []).append(name)
    source = random.Random(seed)
    shuffled = [source.sample(group, len(group)) for group in source.sample(list(groups.values()), len(groups))]
    rounds = itertools.zip_longest(*shuffled)
    return [name for one in rounds for name in one if name is not None][:count]


def compared(old: Entry, new: Entry) -> tuple[str, str]:
    """A verdict on an entry, and what there is to say about it."""
    if "info" not in old or "info" not in new:
        before, now = outcome(old), outcome(new)
        if before == now:
            return "bit-equal", ""
        same_kind = before.partition(":")[0] == now.partition(":")[0] == "refused"
        return "refused in other words" if same_kind else "different", f"{before!r}, now {now!r}"
    # A record may be of metrics alone, where theta has other parts than when it was made.
    before, now = numbers(old), numbers(new if "theta" in old else {"info": new["info"]})
    shared = [name for name in before if name in now]
    if any(len(before[name]) != len(now[name]) for name in shared):
        return "different", "metrics of other lengths"
    first, worst, changed = "", "bit-equal", 0
    # By meta-iteration, so that what is named first is a cause and no effect; theta comes last.
    places = [(index, name) for name in shared for index in range(len(before[name]))]
    places.sort(key=lambda place: (place[1].startswith("theta "), place[0]))
    for index, name in places:
        a, b = before[name][index], now[name][index]
        if a == b or (math.isnan(a) and math.isnan(b)):
            continue
        changed += 1
        size = max((abs(x) for x in (*before[name], *now[name]) if math.isfinite(x)), default=0.0)
        near = abs(a - b) <= CLOSE * size + ROUNDING
        where = "" if name.startswith("theta ") else f" of meta-iteration {index + 1}"
        said = f"{name}{where}: {a!r}, now {b!r}"
        if near and worst == "bit-equal":
            first, worst = said, f"within {CLOSE:g}"
        elif not near and worst != "different":
            # A small difference that came before is where to look.
            first, worst = f"{first}; then {said}" if first else said, "different"
    why = f"{first} ({changed} of {len(places)} numbers)" if changed else ""
    if before.keys() != now.keys():
        gone, came = sorted(before.keys() - now.keys()), sorted(now.keys() - before.keys())
        named = f"metrics no longer there: {', '.join(gone) or 'none'}; new: {', '.join(came) or 'none'}"
        worst, why = "other metrics" if worst == "bit-equal" else worst, f"{why}; {named}" if why else named
    return worst, why


def numbers(entry: Entry) -> dict[str, list[float]]:
    """All numbers of an entry, by name."""
    return {**entry["info"], **{f"theta {name}": [float(value)] for name, value in entry.get("theta", {}).items()}}


def read(path: Path) -> dict[str, Entry]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {path} cannot be read ({type(error).__name__})") from error


def write(path: Path, entries: dict[str, Entry]) -> None:
    """An entry a line, sorted; the file is never seen half written."""
    lines = [f"{json.dumps(name)}: {json.dumps(entries[name], sort_keys=True)}" for name in sorted(entries)]
    beside = path.with_suffix(".part")
    beside.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    beside.replace(path)


if __name__ == "__main__":
    raise SystemExit(main())
