"""Fixtures for all tests."""

import functools

import jax
import pytest

# Compiling is most of what tests of short simulations take, and the least optimised code is fast enough for them.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@pytest.fixture
def compile_quickly(monkeypatch):
    """Functions that are compiled inside of the library's functions, or of the test, are optimised little."""
    monkeypatch.setattr(jax, "jit", functools.partial(jax.jit, compiler_options=QUICKLY))
