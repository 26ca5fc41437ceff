"""Several processes that train one run: same numbers, one that writes, and ends that are seen by all."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import chex
import pytest

import jaxmeta
from jaxmeta.commands import train
from jaxmeta.runs import hosts
from jaxmeta.runs.logging import read_csv

ROOT = Path(__file__).parents[2]
SIZE = ["maml", "navigation", "--family.horizon", "5", "--meta-batch", "4", "--episodes", "2", "--policy.hidden", "4"]
TRAIN = [*SIZE, "--checkpoint-every", "5"]
ENVIRONMENT = os.environ | {
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def started(arguments, devices=1, **environment):
    command = [sys.executable, "-m", "jaxmeta", "train", *map(str, arguments)]
    told = ENVIRONMENT | {"JAX_NUM_CPU_DEVICES": str(devices)} | environment
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=told)


def both(*arguments, each=((), ())):
    """Two processes with the same arguments, and some of their own."""
    told = ["--coordinator", f"localhost:{free_port()}", "--processes", 2]
    return [started([*arguments, *told, "--process", i, *each[i]]) for i in range(2)]


GLOO = r"\[Gloo\] Rank |\d+| is connected to | peer ranks\. |Expected number of connected peer ranks is : "
"""What the library says that CPUs exchange by: several threads write it piece by piece, so lines are torn anywhere."""


def ends(processes, *statuses):
    said = [process.communicate(timeout=200) for process in processes]
    said = [[re.sub(rf"^(?:{GLOO})+\n+", "", text, flags=re.MULTILINE) for text in each] for each in said]
    assert tuple(process.returncode for process in processes) == statuses, said
    return said


def without_seconds(path):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in read_csv(path)]


def test_two_processes_that_slurm_started_share_out_seeds_and_tasks(tmp_path):
    run = [*TRAIN, "--iterations", 8, "--seeds", 2, "--eval.tasks", 2, "--eval.episodes", 2, "--eval.steps", 1]
    slurm = {
        "SLURM_JOB_ID": str(free_port()),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "JAX_COORDINATOR_PORT": str(free_port()),
    }
    out = ["--out", tmp_path / "two", "--distributed"]
    processes = [started([*run, *out], devices=2, **slurm, SLURM_PROCID=str(i), SLURM_LOCALID=str(i)) for i in range(2)]
    (first, _), (second, _) = ends(processes, 0, 0)
    assert "4 of 4 devices of 2 processes, 1 seeds, 2 tasks on each" in first
    assert second == ""
    assert (tmp_path / "two" / "evaluation.json").exists()

    assert train.main([*map(str, run), "--out", str(tmp_path / "one"), "--no-evaluate"]) == 0
    alone, together = (without_seconds(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    chex.assert_trees_all_close(alone, together, rtol=1e-3, atol=1e-4)
    chex.assert_trees_all_close(*(jaxmeta.load(tmp_path / name).thetas for name in ("one", "two")), atol=1e-4)


def test_a_signal_to_one_stops_all_and_one_process_goes_on(tmp_path):
    processes = both(*TRAIN, "--iterations", 1_000_000, "--no-evaluate", "--out", tmp_path / "run")
    while not (tmp_path / "run" / "checkpoints" / "5").exists():
        assert processes[0].poll() is None, processes[0].communicate()
        time.sleep(0.1)
    processes[1].send_signal(signal.SIGTERM)
    (first, _), (second, _) = ends(processes, 128 + signal.SIGTERM, 128 + signal.SIGTERM)
    assert "stopped by SIGTERM after iteration" in first
    assert second == ""
    done = jaxmeta.load(tmp_path / "run").iteration
    assert len(read_csv(tmp_path / "run" / "metrics.csv")) == done

    argv = ["--resume", str(tmp_path / "run"), "--iterations", str(done + 3), "--no-evaluate"]
    assert train.main(argv) == 0
    assert jaxmeta.load(tmp_path / "run").iteration == done + 3


def test_a_killed_process_ends_the_other_in_one_line(tmp_path):
    # In the middle of a save it would be noticed after the 100 seconds that JAX waits for a sign of life.
    processes = both(
        *SIZE, "--checkpoint-every", 10**8, "--iterations", 10**8, "--no-evaluate", "--out", tmp_path / "run"
    )
    metrics = tmp_path / "run" / "metrics.csv"
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 5:
        assert processes[0].poll() is None, processes[0].communicate()
        time.sleep(0.1)
    processes[1].kill()
    (_, said), _ = ends(processes, 2, -signal.SIGKILL)
    assert f"error: {hosts.DIED}" in said
    assert "Traceback" not in said


def test_different_settings_are_one_line(tmp_path):
    processes = both(*TRAIN, "--out", tmp_path / "run", each=([], ["--inner-rate", "0.3"]))
    for _, said in ends(processes, 2, 2):
        assert "error: experiment: process 1 has another than process 0; start all with the same command" in said
    assert not (tmp_path / "run").exists()


def test_others_that_nothing_tells_of_or_that_do_not_answer_are_one_line():
    here = hosts.Hosts(coordinator=f"localhost:{free_port()}", processes=2, process=1, connect_timeout=1)
    with pytest.raises(hosts.HostsError, match=r"does not answer \(Connection refused\); is process 0 there\?"):
        hosts.join(here)
    ((_, said),) = ends([started([*TRAIN, "--distributed"])], 2)
    assert "neither Slurm nor" in said
    assert "give --coordinator, --processes and --process" in said
    told = ["--coordinator", f"localhost:{free_port()}", "--processes", 2, "--process", 0, "--connect-timeout", 1]
    ((_, said),) = ends([started([*TRAIN, *told])], 2)
    assert "not all 2 processes came within 1 s; start them together, or wait longer by --connect-timeout" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"coordinator": "here:1"}, "coordinator: give --coordinator, --processes and --process together"),
        ({"coordinator": "here", "processes": 2, "process": 0}, "coordinator: got 'here'; must be HOST:PORT"),
        ({"coordinator": "here:99999", "processes": 2, "process": 0}, "must be HOST:PORT, a port from 1 to 65535"),
        ({"coordinator": "here:1", "processes": 2, "process": 2}, "process: got 2; must be at most 1"),
        ({"coordinator": "here:1", "processes": 0, "process": 0}, "processes: got 0; must be at least 1"),
        ({"distributed": True, "connect_timeout": 0}, "connect_timeout: got 0; must be at least 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_waiting(told, message):
    with pytest.raises(ValueError, match=message):
        hosts.join(hosts.Hosts(**told))


def test_alone_all_is_as_if_nothing_were_asked():
    assert not hosts.several()
    assert hosts.first()
    assert hosts.largest(3, 1) == [3, 1]
    assert hosts.on_first(lambda: {"a": 1}) == {"a": 1}
    hosts.check_agreed(settings={"a": 1})
    hosts.leave()


def test_a_directory_of_the_same_name_on_another_machine_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "several", lambda: True)
    monkeypatch.setattr(hosts, "largest", lambda *numbers: list(numbers))
    monkeypatch.setattr(hosts, "on_first", lambda function: function())
    hosts.check_seen(tmp_path / "mark")

    monkeypatch.setattr(hosts, "on_first", lambda function: "what the first wrote elsewhere")
    monkeypatch.setattr(hosts, "SEEN_WITHIN", 0)
    with pytest.raises(hosts.HostsError, match="process 0 does not see what process 0 writes there; it must be on"):
        hosts.check_seen(tmp_path / "mark")
    assert list(tmp_path.iterdir()) == []


def test_chunks_are_chosen_by_the_least_memory_of_any_process(monkeypatch):
    assert hosts.least_memory(7) == 7
    monkeypatch.setattr(hosts, "several", lambda: True)
    monkeypatch.setattr(hosts, "largest", lambda number: [max(number, -3000)])
    assert hosts.least_memory(5_000_000_000) == 3000 * 2**20
    assert hosts.least_memory(None) == 3000 * 2**20
    monkeypatch.setattr(hosts, "largest", lambda number: [number])
    assert hosts.least_memory(5_000_000_000) == 5_000_000_000 // 2**20 * 2**20
    assert hosts.least_memory(None) is None
