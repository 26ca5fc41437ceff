"""Recurrent layers, each in two modes that agree: a step at a time to act, a whole sequence at once to learn."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import registry
from jaxmeta.checks import check_least
from jaxmeta.networks.layers import aligned
from jaxmeta.types import Array, Key, PyTree


class Cell(NamedTuple):
    """A recurrent layer as pure functions of one sequence; callers vmap.

    Attributes:
      init: ``init(key, inputs) -> params`` for inputs of that many features.
      start: ``start() -> carry``, the memory before the first input.
      step: ``step(params, carry, x) -> (carry, y)``; ``x`` is ``[I]``, ``y`` is ``[H]``.
      sequence: ``sequence(params, carry, xs) -> (carry, ys)``; ``[T, I]`` and ``[T, H]``, as ``T`` steps would give.
    """

    init: Callable[[Key, int], PyTree]
    start: Callable[[], PyTree]
    step: Callable[[PyTree, PyTree, Array], tuple[PyTree, Array]]
    sequence: Callable[[PyTree, PyTree, Array], tuple[PyTree, Array]]


def gru(size: int) -> Cell:
    """Gated recurrent unit (Cho et al. 2014) of ``size`` H ≥ 1, the reset gate applied after the recurrent product.

    Its features start with memories of 2 to 101 steps, evenly on a logarithmic scale (Tallec and Ollivier 2018).
    """

    def advance(params: PyTree, carry: Array, gates: Array) -> tuple[Array, Array]:
        recurrent = carry @ params["recurrent"] + params["recurrent_bias"]
        reset, update = jnp.split(jax.nn.sigmoid(gates[: 2 * size] + recurrent[: 2 * size]), 2)
        candidate = jnp.tanh(gates[2 * size :] + reset * recurrent[2 * size :])
        carry = update * carry + (1.0 - update) * candidate
        return carry, carry

    bias = lambda memories: (jnp.zeros(size), memories, jnp.zeros(size))  # noqa: E731
    return _gated(size, bias, lambda: jnp.zeros(size), advance)


def lstm(size: int) -> Cell:
    """Long short-term memory (Hochreiter and Schmidhuber 1997) of ``size`` H ≥ 1 with a forget gate (Gers et al. 2000).

    Its features start with memories of 2 to 101 steps, as those of ``gru``.
    """

    def advance(params: PyTree, carry: tuple[Array, Array], gates: Array) -> tuple[tuple[Array, Array], Array]:
        output, memory = carry
        gates = gates + output @ params["recurrent"] + params["recurrent_bias"]
        enter, forget, emit, candidate = jnp.split(gates, 4)
        memory = jax.nn.sigmoid(forget) * memory + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
        output = jax.nn.sigmoid(emit) * jnp.tanh(memory)
        return (output, memory), output

    bias = lambda memories: (-memories, memories, jnp.zeros(2 * size))  # noqa: E731
    return _gated(size, bias, lambda: (jnp.zeros(size), jnp.zeros(size)), advance)


def linear_recurrence(size: int, layers: int = 2) -> Cell:
    """``h_t = (1 − z_t) h_{t−1} + z_t c_t`` with gates of the input alone (the minGRU of Feng et al. 2024).

    A sequence is evaluated by a parallel scan, in a number of rounds that grows with the logarithm of its length. Each
    layer reads the layer below through a normalisation and adds to it, and a two-layer network follows each. The
    features start with memories of 2 to 101 steps, as those of ``gru``.

    Args:
      size: H ≥ 1.
      layers: of recurrences, ≥ 1.
    """

    def init_fn(key: Key, inputs: int) -> PyTree:
        key_in, *keys = jax.random.split(key, 1 + layers)
        stack = [_layer(key, size, gate=size, candidate=size) for key in keys]
        for layer in stack:
            layer["gate"]["bias"] = -_memories(size)
        return {"input": _dense(key_in, inputs, size), "layers": stack}

    def gates(layer: PyTree, x: Array) -> tuple[Array, Array]:
        x = _normalised(layer["norm"], x)
        gate = jax.nn.sigmoid(_apply(layer["gate"], x))
        return 1.0 - gate, gate * _apply(layer["candidate"], x)

    def step_fn(params: PyTree, carry: Array, x: Array) -> tuple[Array, Array]:
        x, memories = _apply(params["input"], x), []
        for layer, memory in zip(params["layers"], carry, strict=True):
            keep, enter = gates(layer, x)
            memories.append(keep * memory + enter)
            x = _mix(layer["mix"], x + memories[-1])
        return jnp.stack(memories), x

    def sequence_fn(params: PyTree, carry: Array, xs: Array) -> tuple[Array, Array]:
        xs, memories = _apply(params["input"], xs), []
        for layer, memory in zip(params["layers"], carry, strict=True):
            keep, enter = gates(layer, xs)
            enter = enter.at[0].add(keep[0] * memory)
            memory = jax.lax.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (keep, enter))[1]
            memories.append(memory[-1])
            xs = _mix(layer["mix"], xs + memory)
        return jnp.stack(memories), xs

    return Cell(init_fn, lambda: jnp.zeros((layers, size)), step_fn, sequence_fn)


class Cache(NamedTuple):
    """What a transformer remembers: keys and values of the inputs so far ``[layers, context, H]``, and how many."""

    keys: Array
    values: Array
    length: Array


def transformer(size: int, context: int, layers: int = 2, heads: int = 4) -> Cell:
    """Causal self-attention over all inputs so far (Vaswani et al. 2017), normalised before each part.

    Args:
      size: H ≥ 1, a multiple of ``heads``.
      context: inputs that are remembered, ≥ 1: at least the length of a lifetime.
      layers: ≥ 1.
      heads: of attention, ≥ 1.
    """
    if size % heads:
        raise ValueError(f"size: got {size}; must be a multiple of the {heads} attention heads")

    def init_fn(key: Key, inputs: int) -> PyTree:
        key_in, key_place, *keys = jax.random.split(key, 2 + layers)
        return {
            "input": _dense(key_in, inputs, size),
            "place": 0.02 * jax.random.normal(key_place, (context, size)),
            "layers": [_layer(key, size, attend=3 * size, merge=size) for key in keys],
            "norm": _norm(size),
        }

    def sequence_fn(params: PyTree, carry: Cache, xs: Array) -> tuple[Cache, Array]:
        count, first = xs.shape[0], carry.length
        xs = _apply(params["input"], xs) + jax.lax.dynamic_slice_in_dim(params["place"], first, count)
        keys, values, places = [], [], first + jnp.arange(count)
        for index, layer in enumerate(params["layers"]):
            query, key, value = jnp.split(_apply(layer["attend"], _normalised(layer["norm"], xs)), 3, axis=-1)
            keys.append(jax.lax.dynamic_update_slice_in_dim(carry.keys[index], key, first, 0))
            values.append(jax.lax.dynamic_update_slice_in_dim(carry.values[index], value, first, 0))
            query, key, value = (x.reshape(-1, heads, size // heads) for x in (query, keys[-1], values[-1]))
            attended = _attention(query, key, value, places).reshape(count, size)
            xs = _mix(layer["mix"], xs + _apply(layer["merge"], attended))
        return Cache(jnp.stack(keys), jnp.stack(values), first + count), _normalised(params["norm"], xs)

    def step_fn(params: PyTree, carry: Cache, x: Array) -> tuple[Cache, Array]:
        carry, ys = sequence_fn(params, carry, x[None])
        return carry, ys[0]

    def start_fn() -> Cache:
        empty = jnp.zeros((layers, context, size))
        return Cache(empty, empty, jnp.zeros((), jnp.int32))

    return Cell(init_fn, start_fn, step_fn, sequence_fn)


QUERIES = 128
"""Inputs of a sequence that attend together, at most."""


def _attention(query: Array, key: Array, value: Array, places: Array) -> Array:
    """What queries ``[Q, heads, D]`` find among keys and values ``[C, heads, D]`` up to their places ``[Q]``.

    Of more than ``QUERIES`` at once, so many after one another, each of which is computed again when it is
    differentiated: the scores in memory are then ``QUERIES × C``, and not ``Q × C``.
    """

    def attend(query: Array, place: Array) -> Array:
        scores = jnp.einsum("hd,khd->hk", query, key) / jnp.sqrt(query.shape[-1])
        weights = jax.nn.softmax(jnp.where(jnp.arange(key.shape[0]) <= place, scores, -jnp.inf))
        return jnp.einsum("hk,khd->hd", weights, value)

    if query.shape[0] <= QUERIES:
        return jax.vmap(attend)(query, places)
    # Inside a loop nothing is merged with what is computed again, and no barrier against that is needed.
    again = jax.checkpoint(attend, prevent_cse=False)
    return jax.lax.map(lambda each: again(*each), (query, places), batch_size=QUERIES)


CELLS = ("gru", "lstm", "linear", "transformer")


def cell_for(cell: str | Cell, size: int, context: int) -> Cell:
    """A cell by its name in ``CELLS``; a ``Cell`` is given back as it is.

    Args:
      cell: its name.
      size: H ≥ 1.
      context: longest sequence from the start, ≥ 1; only the transformer needs it.
    """
    if isinstance(cell, Cell):
        return cell
    registry.check("cell", cell, CELLS)
    check_least(1, size=size)
    if cell == "transformer":
        return transformer(size, context)
    return {"gru": gru, "lstm": lstm, "linear": linear_recurrence}[cell](size)


def _gated(size: int, bias: Callable, start: Callable[[], PyTree], advance: Callable) -> Cell:
    """A cell whose gates are sums of an input's part, taken for a whole sequence at once, and the memory's.

    ``bias(_memories(size))`` gives the gates' initial biases, in their order.
    """

    def init_fn(key: Key, inputs: int) -> PyTree:
        key_input, key_recurrent = jax.random.split(key)
        draw, biases = jax.nn.initializers.lecun_normal(), jnp.concatenate(bias(_memories(size)))
        return {
            "input": draw(key_input, (inputs, biases.size)),
            "bias": biases,
            # Not orthogonal: a decomposition of many matrices at once takes minutes on a CPU.
            "recurrent": draw(key_recurrent, (size, biases.size)),
            "recurrent_bias": jnp.zeros(biases.size),
        }

    def gates(params: PyTree, x: Array) -> Array:
        return x @ params["input"] + aligned(params["bias"], x)

    def step_fn(params: PyTree, carry: PyTree, x: Array) -> tuple[PyTree, Array]:
        return advance(params, carry, gates(params, x))

    def sequence_fn(params: PyTree, carry: PyTree, xs: Array) -> tuple[PyTree, Array]:
        return jax.lax.scan(lambda carry, x: advance(params, carry, x), carry, gates(params, xs))

    return Cell(init_fn, start, step_fn, sequence_fn)


def _memories(size: int) -> Array:
    """Biases at which a gate keeps ``1 − 1/τ`` of the memory in a step, for τ from 2 to 101."""
    return jnp.linspace(0.0, jnp.log(100.0), size)


def _dense(key: Key, inputs: int, outputs: int) -> dict[str, Array]:
    kernel = jax.nn.initializers.lecun_normal()(key, (inputs, outputs))
    return {"kernel": kernel, "bias": jnp.zeros(outputs)}


def _apply(dense: dict[str, Array], x: Array) -> Array:
    return x @ dense["kernel"] + aligned(dense["bias"], x)


def _layer(key: Key, size: int, **outputs: int) -> PyTree:
    """A layer's parameters: two dense ones by name, with these numbers of outputs, and a two-layer network ``mix``."""
    *keys, key_in, key_out = jax.random.split(key, 2 + len(outputs))
    parts = {name: _dense(key, size, count) for key, (name, count) in zip(keys, outputs.items(), strict=True)}
    mix = {"in": _dense(key_in, size, 2 * size), "out": _dense(key_out, 2 * size, size), "norm": _norm(size)}
    return {**parts, "norm": _norm(size), "mix": mix}


def _mix(params: PyTree, x: Array) -> Array:
    return x + _apply(params["out"], jax.nn.gelu(_apply(params["in"], _normalised(params["norm"], x))))


def _norm(size: int) -> dict[str, Array]:
    return {"scale": jnp.ones(size), "bias": jnp.zeros(size)}


def _normalised(norm: dict[str, Array], x: Array) -> Array:
    return jax.nn.standardize(x, axis=-1) * aligned(norm["scale"], x) + aligned(norm["bias"], x)
