"""The only place where "for every task of the meta-batch" is spelled: devices side by side, chunks one after another.

Under a mesh with an axis ``tasks`` (``jax.set_mesh(task_mesh())``) each device has an equal part of the tasks and works
through its own chunks; a mean over tasks is one sum over devices. Without such a mesh, one device has them all.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, PartitionSpec

from jaxmeta.checks import check_between, check_least
from jaxmeta.types import Array, Info, PyTree, Theta

AXIS = "tasks"

Chunk = int | Callable[[], int]
"""Tasks that are worked on together, ≥ 1; or a function that says how many where a program is traced."""


def target_platform() -> str:
    """What the program that is traced now is for, such as ``"cpu"`` or ``"gpu"``.

    The devices of the mesh in use, ``jax.default_device``, or else the first device there is. A mesh need not be there:
    ``jax.sharding.use_abstract_mesh`` of one with an ``abstract_device`` traces as for that device.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device or jax.default_device.value
    return jax.default_backend() if device is None else getattr(device, "platform", device)


def default_task_chunk(episodes: int, horizon: int, on_cpu: int = 1) -> Callable[[], int]:
    """Tasks worked on together by default: ``on_cpu`` on a CPU, elsewhere as many as make up a million steps.

    On a CPU one task's activations stay in cache, and larger chunks were never more than a quarter faster
    (``benchmarks/methods.py``). On an H200 larger chunks are faster until about that size, and a million steps take
    3 GB in two layers of 100, 16 GB in a GRU of 256 (``benchmarks/accelerator.py``).
    """
    return lambda: on_cpu if target_platform() == "cpu" else max(1, 2**20 // (episodes * horizon))


def chunk_size(task_chunk: Chunk) -> int:
    """Tasks in a chunk of the program that is traced now."""
    size = task_chunk() if callable(task_chunk) else task_chunk
    check_least(1, task_chunk=size)
    return size


def even_size(count: int, most: int) -> int:
    """The size of as few chunks as can be of ``most`` at most, about equal: a smaller last one is a program more."""
    return -(-count // -(-count // most))


def task_mesh(devices: int | None = None) -> Mesh:
    """A mesh of this many devices, by default all there are, that the tasks of a meta-batch are shared out over.

    Under ``jax.set_mesh`` of it everything that is traced uses it; ``meta_train`` takes it as an argument.
    """
    check_between(1, jax.device_count(), devices=jax.device_count() if devices is None else devices)
    return jax.make_mesh((devices or jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def devices_for(*counts: int) -> int:
    """Devices that so many tasks, or items, are shared out over; 1 means all of them on each: without a mesh, on one of
    its devices, or where any of the counts cannot be shared out evenly. Of no count it is all devices of the mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    if AXIS not in mesh.axis_names or AXIS in mesh.manual_axes:
        return 1
    return 1 if any(count % mesh.shape[AXIS] for count in counts) else mesh.shape[AXIS]


def on_each_device(function: Callable[..., PyTree], shared: PyTree, *data: PyTree) -> PyTree:
    """``function(shared, *data)`` of each device's own part of the data, or of all where they cannot be shared out.

    Args:
      function: of what all devices have, and of a part of the data.
      shared: what all devices have.
      *data: leaves lead with tasks, or with what is stored of them.

    Returns:
      The results of all devices, one after the other: leaves lead as those of the data.
    """
    if devices_for(*(leaf.shape[0] for leaf in jax.tree.leaves(data))) == 1:
        return function(shared, *data)
    return _sharded(function, shared, data, PartitionSpec(AXIS))


class Devices(NamedTuple):
    """The devices that compute one thing together, as one of them sees it: it has a part of the data of its own.

    Attributes:
      number: of these devices.
      place: of this one among them, from 0.
      add: ``add(x)``, the sum over devices of what each has, on all of them.
    """

    number: int
    place: Array | int
    add: Callable[[PyTree], PyTree]

    def share(self, amount: Array) -> Array | float:
        """This device's part of an amount ≥ 0 of which each device has some; what 0 is shared out gives nothing."""
        if self.number == 1:
            return 1.0
        total = self.add(amount)
        return jnp.where(total > 0, amount / jnp.where(total > 0, total, 1.0), 0.0)


def by_all_devices(function: Callable[..., PyTree], shared: PyTree, *data: PyTree) -> PyTree:
    """``function(devices, shared, *data)`` of each device's own part of the data, with sums over ``devices``.

    Args:
      function: what it returns must be the same on all devices, as sums over them are.
      shared: what all devices have.
      *data: leaves lead with tasks, or with what is stored of them. Where they cannot be shared out, one device, or
        each by itself, has them all.

    Returns:
      The result, on all devices.
    """
    if devices_for(*(leaf.shape[0] for leaf in jax.tree.leaves(data))) == 1:
        return function(Devices(1, 0, lambda x: x), shared, *data)
    count = devices_for()

    def local(shared: PyTree, *data: PyTree) -> PyTree:
        return function(Devices(count, jax.lax.axis_index(AXIS), lambda x: jax.lax.psum(x, AXIS)), shared, *data)

    return _sharded(local, shared, data, PartitionSpec())


def _sharded(function: Callable[..., PyTree], shared: PyTree, data: tuple[PyTree, ...], out: PartitionSpec) -> PyTree:
    each = jax.shard_map(
        function,
        in_specs=(PartitionSpec(), *(PartitionSpec(AXIS) for _ in data)),
        out_specs=out,
        axis_names={AXIS},
        # Derivatives are a device's own: they are summed over devices once, where a mean is taken.
        check_vma=False,
    )
    return each(shared, *data)


def over_tasks(
    function: Callable[..., PyTree], *data: PyTree, shared: PyTree = None, task_chunk: Chunk | None = None
) -> PyTree:
    """``function(*data)`` of each task of a meta-batch, some of them at a time.

    Args:
      function: of one task.
      *data: leaves lead with ``[N]``.
      shared: what ``function`` takes before the data, the same in all tasks, such as theta. On a mesh, what is computed
        elsewhere and goes through loops or derivatives belongs here: it cannot come in by a closure.
      task_chunk: tasks evaluated together at most, ≥ 1; chunks are about equal. By default all of them.

    Returns:
      The results, leaves ``[N, ...]``.
    """

    def local(shared: PyTree, *data: PyTree) -> PyTree:
        one = function if shared is None else functools.partial(function, shared)
        if task_chunk is None:
            return jax.vmap(one)(*data)
        size = even_size(jax.tree.leaves(data)[0].shape[0], chunk_size(task_chunk))
        # At a chunk of one, a plain map: a batch axis of one makes slower matrix products.
        return jax.lax.map(lambda each: one(*each), data, batch_size=size if size > 1 else None)

    return on_each_device(local, shared, *data)


def mean_over_tasks(
    function: Callable[..., tuple[Array, Info]], task_chunk: Chunk
) -> Callable[..., tuple[Array, Info]]:
    """The mean of a one-task function over tasks, with its gradient taken inside chunks of tasks.

    Differentiating a mean over all tasks keeps every task's activations until the backward pass. Here each chunk is
    differentiated where it is evaluated and only the sum is carried on, so memory does not grow with the tasks, and a
    chunk's activations stay in cache. The result may be differentiated once in reverse mode, and in forward mode over
    that (Hessian-vector products); there is no derivative with respect to the data.

    Args:
      function: ``function(theta, *data) -> (scalar, Info)`` of one task.
      task_chunk: tasks evaluated together at most, ≥ 1; chunks are about equal.

    Returns:
      ``mean(theta, *data) -> (scalar, Info)``; leaves of ``data`` lead with ``[N]``.
    """
    chunk_size(task_chunk)  # Checked before anything is traced.

    @jax.custom_vjp
    def mean(theta, data):
        return mean_over_chunks(lambda theta, chunk: sum_in_chunk(function, theta, chunk), theta, data, task_chunk)

    def forward(theta, data):
        gradient = jax.value_and_grad(lambda theta, chunk: sum_in_chunk(function, theta, chunk), has_aux=True)
        return mean_over_chunks(gradient, theta, data, task_chunk)

    def backward(gradient, cotangents):
        # In each leaf's own type, whatever the type of the loss.
        return jax.tree.map(lambda g: g * cotangents[0].astype(g.dtype), gradient), None

    mean.defvjp(forward, backward)
    return lambda theta, *data: mean(theta, data)


def sum_in_chunk(function: Callable[..., PyTree], theta: Theta, data: tuple[PyTree, ...]) -> PyTree:
    """Sum over tasks of ``function(theta, *data)``, all tasks at once."""
    if jax.tree.leaves(data)[0].shape[0] == 1:
        # Without a batch axis of one, which some compilers turn into slower matrix products.
        return function(theta, *jax.tree.map(lambda x: x[0], data))
    results = jax.vmap(function, (None, *(0,) * len(data)))(theta, *data)
    return jax.tree.map(lambda x: jnp.sum(x, axis=0), results)


def mean_over_chunks(function: Callable[[PyTree, PyTree], PyTree], theta: PyTree, data: PyTree, chunk: Chunk) -> PyTree:
    """Mean over ``N`` of ``function(theta, data)``, which sums over the chunk of data that it is given."""
    function = jax.jit(function)  # Traced once, for its types and in the scan.
    add = lambda total, part: jax.tree.map(jnp.add, total, part)  # noqa: E731

    def total_of(devices: Devices, theta: PyTree, data: PyTree) -> PyTree:
        count = jax.tree.leaves(data)[0].shape[0]
        size = even_size(count, chunk_size(chunk))
        whole = count - count % size
        chunks = jax.tree.map(lambda x: x[:whole].reshape(whole // size, size, *x.shape[1:]), data)
        first = jax.eval_shape(lambda chunks: function(theta, jax.tree.map(lambda x: x[0], chunks)), chunks)
        total = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), first)
        total, _ = jax.lax.scan(lambda total, part: (add(total, function(theta, part)), None), total, chunks)
        if whole < count:
            total = add(total, function(theta, jax.tree.map(lambda x: x[whole:], data)))
        return devices.add(total)

    tasks = jax.tree.leaves(data)[0].shape[0]
    return jax.tree.map(lambda x: x / tasks, by_all_devices(total_of, theta, data))
