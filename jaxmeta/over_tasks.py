"""The only place where "for every task of the meta-batch" is spelled: chunks of tasks, one after another."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmeta.checks import check_least
from jaxmeta.types import Array, Info, PyTree, Theta


def over_tasks(function: Callable[..., PyTree], *data: PyTree, task_chunk: int | None = None) -> PyTree:
    """``function(*data)`` of each task of a meta-batch, some of them at a time.

    Args:
      function: of one task.
      *data: leaves lead with ``[N]``.
      task_chunk: tasks evaluated together, ≥ 1; the last chunk may be smaller. By default all of them.

    Returns:
      The results, leaves ``[N, ...]``.
    """
    if task_chunk is None:
        return jax.vmap(function)(*data)
    check_least(1, task_chunk=task_chunk)
    size = min(task_chunk, jax.tree.leaves(data)[0].shape[0])
    # At a chunk of one, a plain map: a batch axis of one makes slower matrix products.
    return jax.lax.map(lambda each: function(*each), data, batch_size=size if size > 1 else None)


def mean_over_tasks(function: Callable[..., tuple[Array, Info]], task_chunk: int) -> Callable[..., tuple[Array, Info]]:
    """The mean of a one-task function over tasks, with its gradient taken inside chunks of tasks.

    Differentiating a mean over all tasks keeps every task's activations until the backward pass. Here each chunk is
    differentiated where it is evaluated and only the sum is carried on, so memory does not grow with the tasks, and a
    chunk's activations stay in cache. The result may be differentiated once in reverse mode, and in forward mode over
    that (Hessian-vector products); there is no derivative with respect to the data.

    Args:
      function: ``function(theta, *data) -> (scalar, Info)`` of one task.
      task_chunk: tasks evaluated together, ≥ 1; the last chunk may be smaller.

    Returns:
      ``mean(theta, *data) -> (scalar, Info)``; leaves of ``data`` lead with ``[N]``.
    """
    check_least(1, task_chunk=task_chunk)

    @jax.custom_vjp
    def mean(theta, data):
        return mean_over_chunks(lambda chunk: sum_in_chunk(function, theta, chunk), data, task_chunk)

    def forward(theta, data):
        gradient = jax.value_and_grad(lambda theta, chunk: sum_in_chunk(function, theta, chunk), has_aux=True)
        return mean_over_chunks(lambda chunk: gradient(theta, chunk), data, task_chunk)

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


def mean_over_chunks(function: Callable[[PyTree], PyTree], data: PyTree, chunk: int) -> PyTree:
    """Mean over ``N`` of ``function``, which sums over the chunk of ``data`` that it is given, in a scan's carry."""
    count = jax.tree.leaves(data)[0].shape[0]
    chunk = min(chunk, count)
    whole = count - count % chunk
    chunks = jax.tree.map(lambda x: x[:whole].reshape(whole // chunk, chunk, *x.shape[1:]), data)
    add = lambda total, part: jax.tree.map(jnp.add, total, part)  # noqa: E731
    function = jax.jit(function)  # Traced once, for its types and in the scan.
    first = jax.eval_shape(lambda chunks: function(jax.tree.map(lambda x: x[0], chunks)), chunks)
    total = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), first)
    total, _ = jax.lax.scan(lambda total, part: (add(total, function(part)), None), total, chunks)
    if whole < count:
        total = add(total, function(jax.tree.map(lambda x: x[whole:], data)))
    return jax.tree.map(lambda x: x / count, total)
