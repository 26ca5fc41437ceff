"""Meta-training: the pure loop, to be jitted and vmapped whole, and the host's loop around compiled chunks of it."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxmeta.checks import check_least
from jaxmeta.data import Buffer
from jaxmeta.over_tasks import AXIS, target_platform, task_mesh
from jaxmeta.runs import hosts
from jaxmeta.runs.memory import check_memory
from jaxmeta.tasks import listed_count
from jaxmeta.types import Array, Info, Key, MetaAlgorithm, MetaState, PyTree, Task, TaskDistribution

SEEDS = "seeds"
"""The axis of a mesh that seeds are shared out over."""
TEST_KEY = 2**31 - 1
"""Seeds the tasks of evaluation; meta-training draws its own from the run's seeds."""


class TrainState(NamedTuple):
    """The whole state of a run: with it, and nothing else, training continues bit for bit."""

    key: Key
    meta: MetaState
    iteration: Array


def init_state(key: Key, algorithm: MetaAlgorithm) -> TrainState:
    """The state before the first meta-iteration."""
    key_init, key_train = jax.random.split(key)
    return TrainState(key_train, algorithm.init(key_init), jnp.zeros((), jnp.int32))


def sample_tasks(key: Key, tasks: TaskDistribution, count: int) -> Task:
    """``count`` tasks as one pytree with leading axis ``[N]``."""
    return jax.vmap(tasks.sample)(jax.random.split(key, count))


def evaluation_tasks(key: Key, tasks: TaskDistribution, count: int) -> Task:
    """``count`` tasks of the family's test distribution, or of its training distribution if it has no other.

    Where the tasks are listed (``every``), each comes once before any comes again, in a drawn order: ``count`` of them,
    or all of them as often as they fit and some once more. They are drawn elsewhere.
    """
    tested = tasks if tasks.sample_test is None else tasks._replace(sample=tasks.sample_test, every=tasks.every_test)

    def taken(key: Key) -> Task:
        if tested.every is None:
            return sample_tasks(key, tested, count)
        number = listed_count(tested.every)
        order = lambda key: jax.random.permutation(key, number)  # noqa: E731
        places = jax.vmap(order)(jax.random.split(key, -(-count // number))).ravel()[:count]
        return jax.tree.map(lambda x: x[places], tested.every)

    check_memory(jax.make_jaxpr(taken)(key))
    return taken(key)


def meta_iteration(
    algorithm: MetaAlgorithm, tasks: TaskDistribution, meta_batch: int
) -> Callable[[TrainState], tuple[TrainState, Info]]:
    """Draw a meta-batch of tasks and make one meta-step: ``step_fn(state) -> (state, Info)``, pure."""
    check_least(1, meta_batch=meta_batch)

    def step_fn(state: TrainState) -> tuple[TrainState, Info]:
        key, key_tasks, key_step = jax.random.split(state.key, 3)
        meta, info = algorithm.step(key_step, state.meta, sample_tasks(key_tasks, tasks, meta_batch))
        return TrainState(key, meta, state.iteration + 1), info

    return step_fn


def meta_train(
    key: Key,
    algorithm: MetaAlgorithm,
    tasks: TaskDistribution,
    *,
    iterations: int,
    meta_batch: int = 20,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Info]:
    """A whole training run as one pure function: jit it, or vmap it over keys and over the builder's own numbers.

    Args:
      key: PRNG key.
      algorithm: what learns.
      tasks: the family that it learns across.
      iterations: meta-iterations, ≥ 1.
      meta_batch: tasks in each, ≥ 1.
      mesh: devices that the tasks of a meta-batch are shared out over, from ``task_mesh``; must divide ``meta_batch``.
        By default what ``jax.set_mesh`` says, or one device.

    Returns:
      The last state, and ``Info`` with leading axis ``[iterations]``.
    """
    check_least(1, iterations=iterations)
    step = meta_iteration(algorithm, tasks, meta_batch)

    def train() -> tuple[TrainState, Info]:
        return jax.lax.scan(lambda state, _: step(state), init_state(key, algorithm), length=iterations)

    if mesh is None:
        return train()
    if meta_batch % mesh.size:
        raise ValueError(f"meta_batch: got {meta_batch}; must be a multiple of the mesh's {mesh.size} devices")
    key = jax.lax.with_sharding_constraint(key, NamedSharding(mesh, PartitionSpec()))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return train()


class Chunk(NamedTuple):
    """What the host sees of a few meta-iterations, of which ``first`` is the index of the first, counted from 0.

    The state after the last, leaves ``[S, ...]``, is there if the chunk ends at a boundary or the run ends. Diagnostics
    are numpy arrays, ``[iterations in the chunk, S]``; seconds are those since the previous chunk was done.
    """

    first: int
    state: TrainState | None
    info: dict[str, np.ndarray]
    seconds: float


def mesh_for(meta_batch: int, devices: int | None = None, seeds: int = 1) -> Mesh | None:
    """A mesh of so many devices, by default of the most that can be used; ``None`` for one device.

    Each device has an equal part of the seeds, which have nothing to exchange, as far as they can be shared out; and of
    its seeds an equal part of each meta-batch. Where several processes train together, it is of all their devices.

    Raises:
      ValueError: more devices than there are, or a number that cannot be shared out.
    """
    there = jax.device_count()
    if hosts.several() and devices not in (None, there):
        raise ValueError(f"devices: got {devices}; all {there} devices of all processes take part")
    if devices is None and hosts.several():
        devices = there
    if devices is not None and not 1 <= devices <= there:
        raise ValueError(f"devices: got {devices}; there are {there}")
    divisors = lambda number: [count for count in range(1, there + 1) if number % count == 0]  # noqa: E731
    grids = [(one, other) for one in divisors(seeds) for other in divisors(meta_batch) if one * other <= there]
    if devices is not None:
        grids = [grid for grid in grids if math.prod(grid) == devices]
    if not grids:
        of_seeds = "" if seeds == 1 else f", or be a divisor of the {seeds} seeds times one of them"
        raise ValueError(f"devices: got {devices}; must divide the {meta_batch} tasks of the meta-batch{of_seeds}")
    grid = max(grids, key=lambda grid: (math.prod(grid), grid))
    if grid[0] == 1:
        return task_mesh(grid[1]) if grid[1] > 1 else None
    return jax.make_mesh(grid, (SEEDS, AXIS), axis_types=(AxisType.Auto, AxisType.Auto))


def default_seed_chunk(seeds: int) -> int:
    """Seeds that step side by side by default: on a CPU 1, elsewhere all of them.

    On a CPU the seeds' activations together would leave the cache: one vmapped step of five seeds takes about twice as
    long as five steps. Elsewhere a wide step is what fills the device.
    """
    return 1 if target_platform() == "cpu" else seeds


def compiled_chunk(
    algorithm: MetaAlgorithm,
    tasks: TaskDistribution,
    *,
    meta_batch: int,
    longest: int = 64,
    mesh: Mesh | None = None,
    seed_chunk: int | None = None,
) -> jax.stages.Wrapped:
    """A jitted ``run_fn(states, count)``: ``count <= longest`` meta-iterations of every seed in one compiled program.

    The number of iterations is an argument of the program, so that no length compiles twice and every iteration of a
    run goes through the same instructions. The states are donated; their leaves lead with ``[S]``. Each entry of
    ``Info`` is ``[longest, S]``, valid up to ``count``. The tasks of a meta-batch are shared out over a mesh, and the
    states lie on it as ``state_shardings`` says. ``seed_chunk`` seeds step side by side, by default
    ``default_seed_chunk``.
    """
    step = meta_iteration(algorithm, tasks, meta_batch)

    def step_all(states: TrainState) -> tuple[TrainState, Info]:
        seeds = states.iteration.shape[0]
        size = min(seeds, seed_chunk or default_seed_chunk(seeds))
        # At one seed, a plain map: a batch axis of one makes slower matrix products.
        return jax.lax.map(step, states, batch_size=size if size > 1 else None)

    if mesh is not None and SEEDS in mesh.axis_names:
        part = PartitionSpec(SEEDS)
        step_all = jax.shard_map(step_all, in_specs=part, out_specs=part, axis_names={SEEDS}, check_vma=False)

    step_all = jax.jit(step_all)  # Traced once, for its types and in the loop.

    def run_fn(states: TrainState, count: Array) -> tuple[TrainState, Info]:
        with contextlib.nullcontext() if mesh is None else jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return run_on_mesh(states, count)

    def run_on_mesh(states: TrainState, count: Array) -> tuple[TrainState, Info]:
        def body(index: Array, carry: tuple[TrainState, Info]) -> tuple[TrainState, Info]:
            states, infos = carry
            states, info = step_all(states)
            return states, jax.tree.map(lambda xs, x: xs.at[index].set(x), infos, info)

        shapes = jax.eval_shape(step_all, states)[1]
        infos = jax.tree.map(lambda x: jnp.zeros((longest, *x.shape), x.dtype), shapes)
        return jax.lax.fori_loop(0, count, body, (states, infos))

    if mesh is None:
        return jax.jit(run_fn, donate_argnums=0)
    states, whole = state_shardings(algorithm, mesh), NamedSharding(mesh, PartitionSpec())
    infos = NamedSharding(mesh, PartitionSpec(None, *_seeds_axis(mesh)))
    return jax.jit(run_fn, donate_argnums=0, in_shardings=(states, whole), out_shardings=(states, infos))


def _seeds_axis(mesh: Mesh) -> tuple[str | None]:
    """How an axis of seeds lies on a mesh."""
    return (SEEDS if SEEDS in mesh.axis_names else None,)


def state_shardings(algorithm: MetaAlgorithm, mesh: Mesh) -> PyTree:
    """Where the states of seeds, leaves ``[S, ...]``, lie on a mesh: each seed's with the seed, stored items with their
    tasks, all else on each device. So are the items of a ring whose size the devices of its tasks do not divide."""
    seeds = _seeds_axis(mesh)
    whole, parts = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (seeds, (*seeds, AXIS)))

    def placed(x: PyTree) -> PyTree:
        shared = isinstance(x, Buffer) and x.priority.shape[0] % mesh.shape[AXIS] == 0
        everywhere = jax.tree.map(lambda _: whole, x)
        return jax.tree.map(lambda _: parts, x)._replace(round=whole) if shared else everywhere

    one = jax.eval_shape(lambda key: init_state(key, algorithm), jax.random.key(0))
    return jax.tree.map(placed, one, is_leaf=lambda x: isinstance(x, Buffer))


def train_in_chunks(
    run: Callable[[TrainState, Array], tuple[TrainState, Info]],
    states: TrainState,
    iterations: int,
    *,
    longest: int = 64,
    boundary: int | None = None,
    seconds_per_chunk: float = 1.0,
    stop: Callable[[int], int] = lambda done: 0,
) -> Iterator[Chunk]:
    """Run up to meta-iteration ``iterations`` of every seed, one ``Chunk`` after another, diagnostics in bulk.

    The device is given the next chunk before the host reads the one before, so it never waits for the reader.

    Args:
      run: from ``compiled_chunk``, with the same ``longest``.
      states: leaves lead with ``[S]``; they are consumed.
      iterations: the iteration to stop at, counted from the beginning of the run, resumed or not.
      longest: most iterations in a chunk.
      boundary: a chunk ends at each multiple of this, and only such a chunk, or the last, brings its state.
      seconds_per_chunk: chunks are made about this long once the speed is known, so that a signal is soon heard.
      stop: asked before each chunk, after so many iterations, whether to end here; 0 for no.
    """
    done = int(hosts.whole(states.iteration)[0])
    boundary = boundary or iterations
    count, pending, started = 1, None, time.perf_counter()

    def read(first: int, length: int, infos: Info, state: TrainState | None) -> Chunk:
        nonlocal started
        info = {name: hosts.whole(values)[:length] for name, values in infos.items()}
        before, started = started, time.perf_counter()
        return Chunk(first, state, info, started - before)

    while done < iterations:
        # Processes that train together measure different speeds, and a signal comes to one of them.
        count, stopped = hosts.largest(count, stop(done))
        if stopped:
            break
        count = min(count, longest, iterations - done, boundary - done % boundary)
        states, infos = run(states, jnp.int32(count))
        launched, done = (done, count, infos), done + count
        state = jax.tree.map(jnp.copy, states) if done % boundary == 0 and done < iterations else None
        if pending is not None:
            chunk = read(*pending)
            yield chunk
            per_iteration = chunk.seconds / pending[1]
            # A device that was waited for elsewhere, as where a state is copied, seems to have taken no time at all.
            count = min(2 * count, max(1, round(seconds_per_chunk / max(per_iteration, 1e-9))))
        pending = (*launched, state)
    if pending is not None:
        yield read(*pending[:-1], states)
