"""Tasks shared out over simulated devices: the same results, a few sums over devices, less memory on each."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import devices
import pytest

SCRIPT = Path(devices.__file__)


class Expected(NamedTuple):
    """Of four devices: sums at most, share of one device's memory at most, and of the move that they differ by."""

    sums: int
    memory: float
    difference: float = 5e-3


ANOTHER_DRAW = 2.5
"""The difference where each device draws by weight among its own: another draw than that of one device."""
METHODS = {
    "maml": Expected(1, 0.8),
    "promp": Expected(2, 0.8),
    # What conjugate gradient keeps is of theta's size, and on every device.
    "trpo_maml": Expected(3, 1.1),
    "es_maml": Expected(2, 0.4),
    "rl2": Expected(3, 0.8),
    "varibad": Expected(5, 0.8),
    # A ring is most of it, and each device has its part.
    "pearl": Expected(3, 0.4),
    "r2d2": Expected(5, 0.4, ANOTHER_DRAW),
    "mb_mpo": Expected(12, 0.5, ANOTHER_DRAW),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """By method and number of devices. A process of its own: how many devices there are is said once in each."""
    stored = tmp_path_factory.mktemp("devices") / "result.json"
    sizes = ["--devices", "1", "4", "--tasks", "16", "--iterations", "1", "--json", str(stored)]
    command = [sys.executable, str(SCRIPT), "--quick", "--methods", *METHODS, *sizes]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return {(row["method"], row["devices"]): row for row in json.loads(stored.read_text())["devices"]}


@pytest.mark.parametrize("method", METHODS)
def test_four_devices_give_the_result_of_one_and_exchange_sums_alone(rows, method):
    one, four, expected = rows[method, 1], rows[method, 4], METHODS[method]
    assert not {"all-gather", "all-to-all", "collective-permute", "reduce-scatter"} & set(four)
    assert 1 <= four["all-reduce"] <= expected.sums
    assert four["temporary_bytes"] < expected.memory * one["temporary_bytes"]
    assert four["moved"] > 1e-3
    assert four["difference"] < expected.difference * four["moved"]


def test_methods_and_numbers_of_devices_are_checked(capsys):
    for flags, message in (
        (["--methods", "nope"], "unknown method"),
        (["--devices", "2"], "must begin with 1"),
        (["--devices", "1", "3", "--tasks", "4"], "must divide --tasks"),
    ):
        with pytest.raises(SystemExit, match=message):
            devices.main(flags)
