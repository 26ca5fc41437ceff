"""Imports that others make and few need, put off until something of them is used."""

import contextlib
import functools
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def put_off(*names: str) -> Iterator[None]:
    """Inside the ``with`` block, ``import`` of these modules gives one that imports the real one when it is used.

    gymnax imports plotting packages with every environment, which takes longer than all of jaxmeta's own code.
    """
    standing = {name: types.ModuleType(name) for name in names if name not in sys.modules}
    for name, module in standing.items():
        vars(module)["__getattr__"] = functools.partial(_of_the_real_one, name)
    sys.modules.update(standing)
    try:
        yield
    finally:
        for name in standing:
            del sys.modules[name]


def _of_the_real_one(name: str, attribute: str) -> Any:
    return getattr(importlib.import_module(name), attribute)
