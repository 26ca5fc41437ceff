"""Imports put off: not made until something is used, and then the real ones."""

import subprocess
import sys

import pytest

from jaxmeta.put_off import put_off

PLOTTING = """
import sys
import jaxmeta
exec(sys.argv[1])
assert not {"seaborn", "matplotlib.pyplot", "pandas"} & set(sys.modules), "plotting packages were imported"
from gymnax.environments.misc import pong
assert len(pong.sns.color_palette("cubehelix", 3)) == 3
import seaborn
assert seaborn.color_palette is pong.sns.color_palette
"""


@pytest.mark.parametrize(
    "first", ["jaxmeta.maml", "jaxmeta.policy_for", "jaxmeta.tasks.make", "jaxmeta.models.fit_model"]
)
def test_gymnax_is_imported_without_plotting_until_something_is_plotted(first):
    done = subprocess.run([sys.executable, "-c", PLOTTING, first], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_import_that_is_put_off_is_made_when_it_is_used(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with put_off("wave", "json"):
        import json
        import wave

        assert json.loads("1") == 1, "a module that is there already stays the real one"
    assert "wave" not in sys.modules
    assert wave.open is sys.modules["wave"].open
    with pytest.raises(AttributeError):
        _ = wave.nothing
