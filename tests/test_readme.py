"""Every Python block of the README runs as it stands."""

import re
from pathlib import Path

import pytest

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), re.DOTALL)


def test_there_are_examples():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("index", range(len(BLOCKS)))
def test_example_runs(index):
    # Small numbers in place of the README's, so that the suite stays short; nothing else is changed.
    code = re.sub(r"iterations=\d+", "iterations=2", BLOCKS[index])
    code = re.sub(r"meta_batch=\d+", "meta_batch=4", code)
    code = re.sub(r"episodes=\d+", "episodes=2", code)
    exec(compile(code, f"README example {index + 1}", "exec"), {"__name__": "__main__"})
