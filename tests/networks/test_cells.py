"""Recurrent layers: their two modes agree, they are the cells of the papers, they remember, and they see no future."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta.networks import CELLS, cell_for, cells
from jaxmeta.networks.cells import gru, lstm, transformer

T, INPUTS, SIZE = 12, 3, 8


@pytest.fixture(scope="module", params=CELLS)
def run(request):
    """A cell, its parameters, and a sequence."""
    cell = cell_for(request.param, SIZE, T)
    cell = cell._replace(sequence=jax.jit(cell.sequence))
    params = jax.jit(lambda key: cell.init(key, INPUTS))(jax.random.key(0))
    return cell, params, jax.random.normal(jax.random.key(1), (T, INPUTS))


def test_steps_are_the_sequence(run):
    cell, params, xs = run
    carry, ys = cell.sequence(params, cell.start(), xs)
    last, stepped = jax.lax.scan(lambda carry, x: cell.step(params, carry, x), cell.start(), xs)
    assert ys.shape == (T, SIZE)
    np.testing.assert_allclose(stepped, ys, atol=2e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), last, carry)


def test_segments_with_their_carry_are_the_whole(run):
    cell, params, xs = run
    _, ys = cell.sequence(params, cell.start(), xs)
    carry, first = cell.sequence(params, cell.start(), xs[:5])
    _, second = cell.sequence(params, carry, xs[5:])
    np.testing.assert_allclose(jnp.concatenate([first, second]), ys, atol=2e-6)


def test_nothing_depends_on_the_future_and_all_on_the_past(run):
    cell, params, xs = run
    jacobian = jax.jit(jax.jacobian(lambda xs: cell.sequence(params, cell.start(), xs)[1]))(xs)
    strength = np.abs(jacobian).sum(axis=(1, 3))
    assert np.all(strength[np.triu_indices(T, 1)] == 0.0)
    assert np.all(strength[np.tril_indices(T)] > 0.0)


def test_attention_in_parts_is_attention_at_once(monkeypatch):
    """Values, gradients and second derivatives, of a sequence that goes on from a memory; the last part is shorter."""
    cell = transformer(SIZE, T)
    params = jax.jit(lambda key: cell.init(key, INPUTS))(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (T, INPUTS))
    carry, _ = cell.sequence(params, cell.start(), xs[:2])

    def loss(params):
        ys = cell.sequence(params, carry, xs[2:])[1]
        return jnp.sum(jnp.sin(ys)), ys

    def all_of(params):
        (_, ys), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        return ys, gradient, jax.jvp(jax.grad(loss, has_aux=True), (params,), (gradient,))[1][0]

    at_once = jax.jit(all_of)(params)
    monkeypatch.setattr(cells, "QUERIES", 4)
    in_parts = jax.jit(lambda params: all_of(params))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), in_parts, at_once)
    np.testing.assert_allclose(in_parts[0], at_once[0], atol=1e-6)


def test_memory_of_attention_grows_with_the_length_and_not_with_its_square():
    def temporaries(length):
        cell = transformer(SIZE, length, layers=1)
        params = jax.eval_shape(lambda key: cell.init(key, INPUTS), jax.random.key(0))
        xs = jax.ShapeDtypeStruct((length, INPUTS), jnp.float32)
        loss = lambda params, xs: jnp.sum(cell.sequence(params, cell.start(), xs)[1] ** 2)  # noqa: E731
        return jax.jit(jax.grad(loss)).lower(params, xs).compile().memory_analysis().temp_size_in_bytes

    short, long = temporaries(8 * cells.QUERIES), temporaries(32 * cells.QUERIES)
    assert long < 5 * short


@pytest.mark.parametrize(
    ("cell", "reference", "names"),
    [
        (gru, nn.GRUCell, ("ir", "iz", "in", "hr", "hz", "hn")),
        (lstm, nn.OptimizedLSTMCell, ("ii", "if", "io", "ig", "hi", "hf", "ho", "hg")),
    ],
)
def test_gated_cells_are_those_of_flax(cell, reference, names):
    ours, theirs = cell(SIZE), reference(SIZE)
    xs = jax.random.normal(jax.random.key(1), (T, INPUTS))
    carry = theirs.initialize_carry(jax.random.key(0), (INPUTS,))
    params = theirs.init(jax.random.key(2), carry, xs[0])["params"]
    count = len(names) // 2
    kernels = [params[name]["kernel"] for name in names]
    biases = [params[name].get("bias", jnp.zeros(SIZE)) for name in names]
    copied = {
        "input": jnp.concatenate(kernels[:count], axis=1),
        "recurrent": jnp.concatenate(kernels[count:], axis=1),
        "bias": jnp.concatenate(biases[:count]),
        "recurrent_bias": jnp.concatenate(biases[count:]),
    }
    _, ys = ours.sequence(copied, ours.start(), xs)
    for x, y in zip(xs, ys, strict=True):
        carry, expected = theirs.apply({"params": params}, carry, x)
        np.testing.assert_allclose(y, expected, atol=1e-6)


def recall(cell, lag=50, updates=150):
    """Share of first inputs (a sign) that are told after ``lag`` more, which are noise, and without memory."""
    key_init, key_train, key_test = jax.random.split(jax.random.key(0), 3)
    params = (jax.jit(lambda key: cell.init(key, 2))(key_init), 0.1 * jax.random.normal(key_init, (16,)))
    optimizer = optax.adam(1e-2)

    def draw(key, count):
        key_sign, key_noise = jax.random.split(key)
        sign = jax.random.rademacher(key_sign, (count,), jnp.float32)
        noise = jax.random.normal(key_noise, (count, lag + 1, 2)) * jnp.array([1.0, 0.0])
        return sign, noise.at[:, 0, 1].set(sign)

    def answers(params, xs):
        return jax.vmap(lambda xs: cell.sequence(params[0], cell.start(), xs)[1][-1] @ params[1])(xs)

    def update(carry, key):
        params, state = carry
        sign, xs = draw(key, 32)
        gradient = jax.grad(lambda params: jnp.mean(jax.nn.softplus(-sign * answers(params, xs))))(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def trained():
        (params, _), _ = jax.lax.scan(
            update, (params_0, optimizer.init(params_0)), jax.random.split(key_train, updates)
        )
        sign, xs = draw(key_test, 500)
        return jnp.mean(answers(params, xs) * sign > 0), jnp.mean(answers(params, xs[:, -1:]) * sign > 0)

    params_0 = params
    return [float(share) for share in trained()]


@pytest.mark.parametrize("name", CELLS)
def test_the_first_input_is_recalled_after_fifty_more(name):
    remembered, forgotten = recall(cell_for(name, 16, 51))
    assert remembered > 0.98
    assert forgotten < 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grus", 8, 10), r"cell: unknown name 'grus'; did you mean gru\? Known: gru, lstm, linear, transformer"),
        (("gru", 0, 10), "size: got 0; must be at least 1"),
        (("transformer", 6, 10), "size: got 6; must be a multiple of the 4 attention heads"),
    ],
)
def test_bad_cells_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        jaxmeta.networks.cell_for(*arguments)
