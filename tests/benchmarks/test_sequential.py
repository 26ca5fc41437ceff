"""Sequential iterations are counted as they are in programs made by hand, and bounded in those of methods."""

import json

import jax
import jax.numpy as jnp
import pytest
import sequential


def scanned(length, body=lambda x: x + 1.0, **settings):
    return lambda x: jax.lax.scan(lambda x, _: (body(x), None), x, length=length, **settings)[0]


def until(bound, step=1):
    return lambda x: jax.lax.while_loop(lambda c: c[0] < bound, lambda c: (c[0] + step, c[1] * 2.0), (0, x))[1]


PROBES = {
    "nothing": (lambda x: x + 1.0, 0),
    "one": (scanned(7), 7),
    "siblings": (lambda x: scanned(7)(scanned(5)(x)), 12),
    "nested": (scanned(3, lambda x: scanned(7)(scanned(5)(x))), 3 * 12),
    "called": (scanned(3, jax.jit(scanned(7))), 21),
    "side by side": (jax.vmap(scanned(7)), 7),
    "in chunks": (lambda x: jax.lax.map(scanned(7), x, batch_size=2), (4 // 2) * 7),
    "unrolled": (scanned(7, unroll=3), 3),
    "unrolled altogether": (scanned(7, unroll=True), 0),
    "differentiated": (jax.grad(lambda x: jnp.sum(scanned(7, jnp.sin)(x))), 14),
    "bounded": (until(9), 9),
    "fori": (lambda x: jax.lax.fori_loop(0, 9, lambda _, x: x * 2.0, x), 9),
    "never": (scanned(0), 0),
    "branches": (lambda x: jax.lax.cond(x[0] > 0, scanned(7), scanned(5), x), 12),
}


@pytest.mark.parametrize("name", PROBES)
def test_iterations_by_hand(name):
    function, expected = PROBES[name]
    loops = sequential.loops_of(jax.make_jaxpr(function)(jnp.ones(4)).jaxpr)
    assert sum(loop.iterations for loop in loops) == expected


def test_a_length_that_nobody_knows_is_said_and_counts_as_one():
    data_dependent = lambda x: jax.lax.while_loop(lambda x: jnp.sum(x) < 9.0, scanned(7), x)  # noqa: E731
    (loop,) = sequential.loops_of(jax.make_jaxpr(data_dependent)(jnp.ones(4)).jaxpr)
    assert loop.length is None or not loop.exact
    (loop,) = sequential.loops_of(jax.make_jaxpr(lambda x, n: until(n)(x))(jnp.ones(4), 3).jaxpr)
    assert (loop.length, loop.exact, loop.iterations) == (None, False, 1)


def test_what_is_needed_leaves_out_loops_that_could_go_through_all_at_once(monkeypatch):
    acting = sequential.Loop("acting", 10, True, 5, ())
    chunks = sequential.Loop("chunks", 4, True, 1, (acting,))
    updates = sequential.Loop("updates", 3, True, 1, (chunks, sequential.Loop("search", 8, True, 2, ())))
    monkeypatch.setattr(sequential, "CHAINS", {"acting": "", "updates": ""})
    assert (updates.iterations, updates.needed) == (3 * (40 + 8), 3 * 10)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """By method and number of tasks."""
    found = {}
    for tasks in ("8", "48"):
        stored = tmp_path_factory.mktemp("sequential") / "result.json"
        sequential.main(["--methods", "maml", "rl2", "es-maml", "--tasks", tasks, "--json", str(stored)])
        found |= {(row["method"], int(tasks)): row for row in json.loads(stored.read_text())["sequential"]}
    return found


@pytest.mark.parametrize("method", ["maml", "rl2", "es-maml"])
def test_an_accelerator_waits_for_acting_alone_however_many_tasks_there_are(rows, method):
    few, many = rows[method, 8], rows[method, 48]
    assert few["iterations"] == many["iterations"] <= 1.2 * many["needed"]
    assert many["needed"] <= 2.1 * many["acting"]
    assert not many["unknown"]


@pytest.mark.parametrize("method", ["pearl", "mb-mpo", "maml-q"])
def test_methods_with_replay_wait_for_acting_and_for_their_updates(method):
    row = sequential.row(method, sequential.Sequential(quick=True))
    assert row["iterations"] <= 1.1 * row["needed"]
    assert row["acting"] < row["needed"]
    assert row["unknown"] == (method == "mb-mpo")
    assert any("steps of acting" in loop["loop"] for loop in row["loops"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--methods", "mmal"], "error: --methods: unknown method or preset 'mmal'"),
        (["--tasks", "0"], "error: --tasks: got 0; must be at least 1"),
    ],
)
def test_bad_input_is_answered_in_one_line(flags, message):
    with pytest.raises(SystemExit, match=message):
        sequential.main(flags)
