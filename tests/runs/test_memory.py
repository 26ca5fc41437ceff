"""What a program takes of memory, and how it is said that there is not enough."""

import os

import jax
import pytest

from jaxmeta.runs import memory


@pytest.fixture(autouse=True)
def little(monkeypatch):
    monkeypatch.setattr(memory, "memory_there", lambda: 8_000_000_000)


@pytest.mark.parametrize(("limit", "expected"), [("1234567\n", 1_234_567), ("max\n", None)])
def test_a_container_has_what_it_may_use(monkeypatch, tmp_path, limit, expected):
    monkeypatch.undo()
    (tmp_path / "limit").write_text(limit)
    monkeypatch.setattr(memory, "LIMITS", (tmp_path / "limit", tmp_path / "none"))
    assert memory.memory_there() == (expected or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        ("RESOURCE_EXHAUSTED: Out of memory allocating 80000000000 bytes.", "80.0 GB more were asked for"),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 24.00GiB.", "25.8 GB more were asked for"),
        ("RESOURCE_EXHAUSTED: ... Failed to allocate request for 1.5MiB (1572864B)\non device", "1.57 MB more were"),
        ("RESOURCE_EXHAUSTED: too much", "RESOURCE_EXHAUSTED: too much"),
    ],
)
def test_what_was_asked_for_is_read_from_xlas_words(error, asked):
    said = memory.exhausted(RuntimeError(error))
    assert said.startswith(f"out of memory: {asked}")
    assert ", and there are 8.00 GB in all; take fewer seeds or a smaller --seed-chunk, --task-chunk" in said


def test_fewer_at_a_time_fit_in_equal_rounds():
    takes = memory.Needs(state=0, copy=0, results=0, temporaries=50_000, code=0)
    # Nine tenths of 20,000 are 92 of 256 at 195 each: three rounds of 86.
    assert memory.fitting_chunk(takes, 20_000, 256, 256) == 86
    assert memory.fitting_chunk(takes, 49_999, 2, 2) == 1
    assert memory.fitting_chunk(takes._replace(state=30_000), 20_000, 256, 256) == 1


def test_needs_are_those_of_the_compiled_program():
    compiled = (
        jax.jit(lambda x: (x + 1.0, x @ x), donate_argnums=0).lower(jax.ShapeDtypeStruct((64, 64), "f")).compile()
    )
    takes = memory.needs(compiled)
    assert (takes.state, takes.copy) == (4 * 64 * 64, 4 * 64 * 64)
    assert takes.results in range(4 * 64 * 64, 4 * 64 * 64 + 64)
    assert takes.total == sum(takes)


def test_cpus_share_the_memory_of_the_machine(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 8)
    assert memory.memory_of_each(4) == 2_000_000_000


@pytest.mark.parametrize(("size", "words"), [(0, "0 kB"), (1234, "1.23 kB"), (55e9, "55.0 GB"), (182e9, "182 GB")])
def test_bytes_are_said_in_words(size, words):
    assert memory.in_bytes(size) == words
