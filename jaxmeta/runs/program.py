"""The program that trains the seeds of a run: traced, compiled, and made to fit into memory."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxmeta.over_tasks import target_platform
from jaxmeta.runs import hosts
from jaxmeta.runs.loop import TrainState, compiled_chunk, default_seed_chunk, init_state, mesh_for, state_shardings
from jaxmeta.runs.memory import Needs, check_memory, fitting_chunk, in_bytes, memory_of_each, needs
from jaxmeta.types import MetaAlgorithm, TaskDistribution

COMPILER_OPTIONS = {"gpu": {"xla_gpu_enable_while_loop_double_buffering": True}}
"""By platform. On a GPU the host starts each kernel of a loop; two turns at a time are up to 2.6 times as fast."""


def seed_states(algorithm: MetaAlgorithm, seeds: list[int], mesh: Mesh | None = None) -> TrainState:
    """States before the first iteration, one for each seed, leaves ``[S, ...]``, where they lie on a mesh."""
    init = jax.vmap(lambda seed: init_state(jax.random.key(seed), algorithm))
    return jax.jit(init, out_shardings=mesh and state_shardings(algorithm, mesh))(np.asarray(seeds))


class Program(NamedTuple):
    """The program of ``train_run``, compiled, before it runs.

    Attributes:
      compiled: from ``compiled_chunk``.
      seed_chunk: seeds that step side by side.
      devices: that seeds and the tasks of a meta-batch are shared out over.
      needs: bytes that it takes on each of them.
      memory: bytes that each of them has; ``None`` where nobody says.
      seconds: that tracing and compiling took.
    """

    compiled: jax.stages.Compiled
    seed_chunk: int
    devices: int
    needs: Needs
    memory: int | None
    seconds: float

    @property
    def fits(self) -> bool:
        """Whether there is as much memory as it takes, as far as anybody knows."""
        return self.memory is None or self.needs.total <= self.memory


def traced(
    algorithm: MetaAlgorithm,
    tasks: TaskDistribution,
    *,
    seeds: list[int],
    meta_batch: int,
    devices: int | None = None,
    seed_chunk: int | None = None,
) -> Any:
    """The program of ``train_run``, traced: what no program can be made of fails here, and nothing is written yet."""
    states = jax.eval_shape(lambda: seed_states(algorithm, seeds))
    sizes = {"meta_batch": meta_batch, "mesh": mesh_for(meta_batch, devices, len(seeds)), "seed_chunk": seed_chunk}
    return compiled_chunk(algorithm, tasks, **sizes).trace(states, jnp.int32(1))


def prepared(
    algorithm: MetaAlgorithm,
    tasks: TaskDistribution,
    *,
    seeds: list[int],
    meta_batch: int,
    devices: int | None = None,
    seed_chunk: int | None = None,
    announce: Callable[[str], None] = lambda line: None,
    check: Callable[[Any], None] = check_memory,
) -> Program:
    """The program of ``train_run``, compiled: nothing is run, and nothing is written.

    Where all seeds side by side, as an accelerator has them by default, take more memory than there is, fewer of them
    are tried, twice at most. What is not described here is as of ``Saving``.

    Args:
      announce: called with a line where another ``seed_chunk`` than the default is taken.
      check: refuses what was traced before it is compiled.

    Raises:
      ValueError: an array that is larger than all memory there is, or a program that cannot be traced.
    """
    started, chunk = time.perf_counter(), min(len(seeds), seed_chunk or default_seed_chunk(len(seeds)))
    mesh, options = mesh_for(meta_batch, devices, len(seeds)), COMPILER_OPTIONS.get(target_platform())
    count = 1 if mesh is None else mesh.size
    # By it chunks are chosen, which must be the same in all processes.
    memory = hosts.least_memory(memory_of_each(count))

    def with_chunk(chunk: int) -> Program:
        shape = {"seeds": seeds, "meta_batch": meta_batch, "devices": devices, "seed_chunk": chunk}
        program = traced(algorithm, tasks, **shape)
        if seed_chunk is not None or chunk == 1:
            check(program.jaxpr)
        compiled = program.lower().compile(compiler_options=options)
        return Program(compiled, chunk, count, needs(compiled), memory, time.perf_counter() - started)

    program = with_chunk(chunk)
    for _ in range(2):
        if seed_chunk is not None or program.fits or program.seed_chunk == 1:
            break
        smaller = fitting_chunk(program.needs, memory, program.seed_chunk, len(seeds))
        takes = f"{program.seed_chunk} seeds at a time would take {in_bytes(program.needs.total)}"
        announce(f"{takes}, and there are {in_bytes(memory or 0)}: {smaller} at a time")
        program = with_chunk(smaller)
    return program
