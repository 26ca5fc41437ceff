"""The command lines: bad input, a run from beginning to end, and runs that are cut off."""

import csv
import dataclasses
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import chex
import jax
import pytest

import jaxmeta
from jaxmeta.runs import directory as runs
from jaxmeta.runs.checkpoint import Checkpoints

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import building  # noqa: E402
import compare  # noqa: E402
import evaluate  # noqa: E402
import experiment  # noqa: E402
import names  # noqa: E402
import render  # noqa: E402
import train  # noqa: E402

SMALL = [
    "--horizon",
    "10",
    "--meta-batch",
    "3",
    "--episodes",
    "2",
    "--hidden",
    "8",
    "--checkpoint-every",
    "5",
    "--keep",
    "50",
    "--no-evaluate",
]
ENVIRONMENT = os.environ | {
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def finish(process, expected=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == expected, (out, err)
    return out, err


def printed(capsys, script, *arguments):
    """What a script says that is run in this process."""
    capsys.readouterr()
    assert script.main([str(each) for each in arguments]) == 0
    return capsys.readouterr().out


def final_state(directory, iteration):
    stored = experiment.load(directory)
    _, algorithm = building.build(stored)
    with Checkpoints(directory / "checkpoints") as checkpoints:
        return checkpoints.restore(runs.seed_states(algorithm, experiment.seed_names(stored)), iteration)


def deterministic_columns(directory):
    with (directory / "metrics.csv").open() as file:
        return [{name: x for name, x in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "whole"
    out, _ = finish(start("train.py", *SMALL, "--iterations", 300, "--out", directory))
    return directory, out


def wait_for_checkpoint(directory, after):
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        steps = [int(path.name) for path in (directory / "checkpoints").glob("*") if path.name.isdigit()]
        if steps and max(steps) > after:
            return max(steps)
        time.sleep(0.02)
    raise AssertionError("no checkpoint appeared")


def test_killed_and_terminated_runs_go_on_bit_for_bit(finished, tmp_path):
    whole, _ = finished
    directory = tmp_path / "cut"
    process = start("train.py", *SMALL, "--iterations", 300, "--out", directory)
    reached = wait_for_checkpoint(directory, 0)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    process = start("train.py", "--resume", directory, "--checkpoint-every", 5, "--keep", 50, "--no-evaluate")
    wait_for_checkpoint(directory, reached)
    process.send_signal(signal.SIGTERM)
    out, _ = finish(process, expected=128 + signal.SIGTERM)
    assert f"go on with --resume {directory}" in out

    finish(start("train.py", "--resume", directory, "--no-evaluate"))
    (state, meta), (expected, expected_meta) = final_state(directory, 300), final_state(whole, 300)
    chex.assert_trees_all_equal(jax.random.key_data(state.key), jax.random.key_data(expected.key))
    chex.assert_trees_all_equal(state._replace(key=()), expected._replace(key=()))
    assert meta["env_steps"] == expected_meta["env_steps"]
    assert deterministic_columns(directory) == deterministic_columns(whole)


def test_interrupted_by_the_keyboard_it_saves_and_leaves_with_the_usual_code(tmp_path):
    directory = tmp_path / "run"
    process = start("train.py", *SMALL, "--iterations", 10**6, "--out", directory)
    wait_for_checkpoint(directory, 0)
    process.send_signal(signal.SIGINT)
    out, _ = finish(process, expected=130)
    assert "stopped by SIGINT" in out
    rows = deterministic_columns(directory)
    assert (directory / "checkpoints" / rows[-1]["iteration"]).is_dir()


def test_a_finished_run_is_described_evaluated_and_drawn(finished, capsys):
    directory, out = finished
    assert "env steps/s" in out
    assert "left" in out
    config = json.loads((directory / "config.json").read_text())
    assert config["arguments"]["horizon"] == 10
    assert {"jax", "gymnax", "jaxmeta"} <= set(config["versions"])
    assert config["device"]["platform"]
    table = printed(capsys, evaluate, directory, "--tasks", 6, "--episodes", 3, "--steps", 2)
    assert "optimum" in table
    evaluation = json.loads((directory / "evaluation.json").read_text())
    assert [len(evaluation["returns"]), len(evaluation["returns"][0]), len(evaluation["returns"][0][0])] == [1, 6, 3]
    printed(capsys, render, directory, "--tasks", 2, "--steps", 1, "--episodes", 3)
    written = [directory / name for name in ("comparison.png", "comparison.json", "curves.png")]
    flags = ("--out", written[0], "--json", written[1], "--curves", written[2])
    table = printed(capsys, compare, directory, directory, *flags)
    assert written[2].stat().st_size > 5_000
    assert table.count("| navigation | maml | 1 |") == 2
    drawn = json.loads(written[1].read_text())
    assert [one["task"] for one in drawn] == ["navigation", "navigation"]
    assert drawn[0]["env_steps"] == int(deterministic_columns(directory)[-1]["env_steps"])
    assert written[0].stat().st_size > 5_000
    for name in ("learning_curve.png", "adaptation_curve.png", "trajectories.png", "trajectories.gif"):
        assert (directory / name).stat().st_size > 5_000


def test_a_run_with_experts_is_trained_and_its_use_of_them_drawn(tmp_path, capsys):
    directory = tmp_path / "run"
    flags = ["--experts", "2", "--balance-weight", "0.1", "--iterations", "2", "--out", str(directory)]
    printed(capsys, train, *SMALL, *flags)
    assert all(0.0 <= float(row["imbalance"]) <= 1.0 for row in deterministic_columns(directory))
    out = printed(capsys, render, directory, "--tasks", 2, "--steps", 1, "--episodes", 3, "--no-gif")
    assert "seed 0: use of experts 0." in out
    assert (directory / "experts.png").stat().st_size > 5_000


def refused(capsys, *argv):
    with pytest.raises(SystemExit) as caught:
        train.prepare(train.parse([str(each) for each in argv]))
    captured = capsys.readouterr()
    assert caught.value.code == 2
    return (captured.err + captured.out).strip()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--task navigaton", "error: unknown task 'navigaton'; did you mean navigation"),
        ("--algorithm mmal", "error: unknown algorithm 'mmal'; did you mean maml"),
        ("--algorithm promp --inner-loss dice", "error: --inner-loss: promp decides it by itself; leave it out"),
        ("--algorithm rl2 --inner-rate 0.2", "error: --inner-rate: rl2 has no use for it; leave it out"),
        ("--cell lstm", "error: --cell: maml has no use for it; leave it out"),
        ("--tabular-memory", "error: --tabular-memory: maml has no use for it; leave it out"),
        (
            "--algorithm varibad --tabular-memory",
            "error: --tabular-memory: varibad decides it by itself; leave it out",
        ),
        (
            "--algorithm rl2 --tabular-memory --experts 2",
            "error: --experts: --tabular-memory has no use for them; leave one of both out",
        ),
        ("--preset promp-2018", "error: unknown preset 'promp-2018'; did you mean promp-2019"),
        ("--horizon 0", "error: --horizon: got 0; must be at least 1"),
        ("--iterations 0", "error: --iterations: got 0; must be at least 1"),
        ("--meta-batch -3", "error: --meta-batch: got -3; must be at least 1"),
        ("--episodes 0", "error: --episodes: got 0; must be at least 1"),
        ("--inner-rate 0", "error: --inner-rate: got 0.0; must be greater than 0"),
        ("--outer-rate nan", "error: --outer-rate: got nan; must be finite"),
        ("--hidden 100 0", "error: --hidden: got 0; must be at least 1"),
        ("--experts 0", "error: --experts: got 0; must be at least 1"),
        ("--experts 2 --balance-weight -1", "error: --balance-weight: got -1.0; must be at least 0"),
        (
            "--balance-weight 0.1",
            "error: --balance-weight: a single network has no use for it; leave it out, or give --experts",
        ),
        (
            "--algorithm r2d2 --experts 2 --balance-weight 0.1",
            "error: --balance-weight: r2d2 has no use for it; leave it out",
        ),
        ("--discount 1.5", r"error: --discount: got 1.5; must be in [0, 1]"),
        ("--eval.tasks 0", "error: --tasks: got 0; must be at least 1"),
        (
            "--algorithm rl2 --eval.steps 2",
            "error: --steps of the evaluation: rl2 has no use for it; leave it out",
        ),
        ("--checkpoint-every 0", "error: --checkpoint-every: got 0; must be at least 1"),
        ("--resume nowhere", "error: nowhere holds no run: there is no config.json"),
    ],
)
def test_bad_arguments_are_one_line(capsys, argv, message):
    got = refused(capsys, *argv.split())
    assert got.startswith(message)
    assert "\n" not in got


def test_a_directory_that_holds_a_run_is_not_touched(capsys, finished, tmp_path):
    directory, _ = finished
    got = refused(capsys, "--out", directory)
    assert got.startswith(f"error: --out {directory}: already holds a run; --resume {directory}, --overwrite it, or ")
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "is not empty and holds no run" in refused(capsys, "--out", tmp_path, "--overwrite")
    assert (tmp_path / "thesis.tex").exists()


def test_resuming_with_other_arguments_names_them(capsys, finished):
    directory, _ = finished
    got = refused(capsys, "--resume", directory, "--inner-rate", 0.3, "--hidden", 7)
    assert "inner_rate (0.5 there, 0.3 here)" in got
    assert "hidden ((8,) there, (7,) here)" in got
    longer = train.parse(["--resume", str(directory), "--iterations", "400"])
    assert longer.experiment.iterations == 400
    assert longer.experiment.hidden == (8,)
    assert "is beyond --iterations 3" in refused(capsys, "--resume", directory, "--iterations", 3)


def test_a_torn_config_is_one_line(capsys, finished, tmp_path):
    (tmp_path / "config.json").write_text((finished[0] / "config.json").read_text()[:50])
    got = refused(capsys, "--resume", tmp_path)
    assert "cannot be read" in got
    assert "\n" not in got


def test_no_checkpoints_is_one_line(finished, tmp_path):
    (tmp_path / "config.json").write_text((finished[0] / "config.json").read_text())
    _, err = finish(start("train.py", "--resume", tmp_path), expected=2)
    assert "holds no complete checkpoint" in err.strip().splitlines()[-1]


FULL_DISK = """
import resource, sys
import jax.numpy as jnp, numpy as np
from jaxmeta.runs.checkpoint import Checkpoints, CheckpointError
checkpoints = Checkpoints(sys.argv[1])
checkpoints.save(1, {"x": jnp.asarray(np.random.default_rng(0).normal(size=10_000))}, {})
checkpoints.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
try:
    checkpoints.save(2, {"x": jnp.asarray(np.random.default_rng(1).normal(size=10_000))}, {})
    checkpoints.wait()
except CheckpointError as error:
    print("caught", error)
print("left", Checkpoints(sys.argv[1]).restore({"x": jnp.zeros(10_000)})[0]["x"].sum())
"""


def test_a_disk_that_is_full_during_a_save_leaves_the_last_checkpoint_intact(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "checkpoints")]
    got = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True).stdout
    assert "caught cannot save to" in got
    assert "intact: [1]" in got
    assert "left" in got


def test_names_and_defaults_agree_with_the_library():
    assert list(names.TASKS) == jaxmeta.tasks.names()
    defaults = {field.name: field.default for field in dataclasses.fields(experiment.Experiment)}
    own = {
        name: parameter.default
        for name, parameter in inspect.signature(jaxmeta.maml).parameters.items()
        if name in defaults and isinstance(parameter.default, (int, float))
    }
    assert own
    assert {name: defaults[name] for name in own} == own


@pytest.mark.parametrize("script", ["train.py", "evaluate.py", "render.py"])
def test_help_does_not_import_anything_heavy(script):
    code = (
        "import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_path({str(ROOT / 'scripts' / script)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert not {'jax', 'gymnax', 'flax', 'matplotlib'} & set(sys.modules), 'heavy import'"
    )
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT / "scripts")}
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "default" in got.stdout
