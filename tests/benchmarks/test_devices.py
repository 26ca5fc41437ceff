"""Tasks shared out over simulated devices: the same results, one sum over devices, less memory on each."""

import json
import subprocess
import sys
from pathlib import Path

import devices
import pytest

SCRIPT = Path(devices.__file__)
METHODS = ("maml", "trpo_maml", "rl2", "pearl", "r2d2")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """By method and number of devices. A process of its own: how many devices there are is said once in each."""
    stored = tmp_path_factory.mktemp("devices") / "result.json"
    sizes = ["--devices", "1", "4", "--tasks", "8", "--iterations", "1", "--json", str(stored)]
    command = [sys.executable, str(SCRIPT), "--quick", "--methods", *METHODS, *sizes]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return {(row["method"], row["devices"]): row for row in json.loads(stored.read_text())["devices"]}


@pytest.mark.parametrize("method", METHODS)
def test_four_devices_give_the_result_of_one_and_exchange_sums_alone(rows, method):
    one, four = rows[method, 1], rows[method, 4]
    # Each device draws by priority among its own sequences: another draw than that of one device.
    assert four["difference"] < (2.0 if method == "r2d2" else 5e-3) * four["moved"]
    assert four["moved"] > 1e-3
    assert 1 <= four["all-reduce"] <= (8 if method == "r2d2" else 4)
    assert not {"all-gather", "all-to-all", "collective-permute", "reduce-scatter"} & set(four)
    # What conjugate gradient keeps is of theta's size, and on every device.
    assert four["temporary_bytes"] < one["temporary_bytes"] or method == "trpo_maml"
    # A ring is most of it, and each device has its part.
    assert four["temporary_bytes"] < 0.4 * one["temporary_bytes"] or method not in ("pearl", "r2d2")


def test_methods_and_numbers_of_devices_are_checked(capsys):
    for flags, message in (
        (["--methods", "nope"], "unknown method"),
        (["--devices", "2"], "must begin with 1"),
        (["--devices", "1", "3", "--tasks", "4"], "must divide --tasks"),
    ):
        with pytest.raises(SystemExit, match=message):
            devices.main(flags)
