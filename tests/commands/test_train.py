"""Training from the command line: bad input, a run from beginning to end, and runs that are cut off."""

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import chex
import jax
import pytest

from jaxmeta.commands import replay, train
from jaxmeta.runs import start
from jaxmeta.runs.checkpoint import Checkpoints
from jaxmeta.runs.directory import held
from jaxmeta.runs.logging import read_csv
from jaxmeta.runs.program import seed_states
from jaxmeta.runs.run import read_config

ROOT = Path(__file__).parents[2]
SMALL = ["maml", "navigation", "--family.horizon", "10", "--meta-batch", "3", "--episodes", "2", "--policy.hidden", "8"]
SAVED = ["--checkpoint-every", "5", "--keep", "50", "--no-evaluate"]
ENVIRONMENT = os.environ | {
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".pytest_cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def started(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "jaxmeta", "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def finish(process, expected=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == expected, (out, err)
    return out, err


def final_state(directory, iteration):
    config = read_config(directory)
    _, algorithm = config.build()
    with Checkpoints(directory / "checkpoints") as checkpoints:
        return checkpoints.restore(seed_states(algorithm, config.seeds), iteration)


def deterministic_columns(directory):
    with (directory / "metrics.csv").open() as file:
        return [{name: x for name, x in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def wait_for_checkpoint(directory, after):
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        steps = [int(path.name) for path in (directory / "checkpoints").glob("*") if path.name.isdigit()]
        if steps and max(steps) > after:
            return max(steps)
        time.sleep(0.02)
    raise AssertionError("no checkpoint appeared")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run's directory, and what was printed."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert train.main([*SMALL, *SAVED, "--iterations", "300", "--out", str(directory)]) == 0
    return directory, out.getvalue()


def test_killed_and_terminated_runs_go_on_bit_for_bit(finished, tmp_path):
    whole, _ = finished
    directory = tmp_path / "cut"
    process = started(*SMALL, *SAVED, "--iterations", 300, "--out", directory)
    reached = wait_for_checkpoint(directory, 0)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    process = started("--resume", directory, *SAVED)
    wait_for_checkpoint(directory, reached)
    process.send_signal(signal.SIGTERM)
    out, _ = finish(process, expected=128 + signal.SIGTERM)
    assert f"go on with --resume {directory}" in out

    assert train.main(["--resume", str(directory), "--no-evaluate"]) == 0
    (state, meta), (expected, expected_meta) = final_state(directory, 300), final_state(whole, 300)
    chex.assert_trees_all_equal(jax.random.key_data(state.key), jax.random.key_data(expected.key))
    chex.assert_trees_all_equal(state._replace(key=()), expected._replace(key=()))
    assert meta["env_steps"] == expected_meta["env_steps"]
    assert deterministic_columns(directory) == deterministic_columns(whole)


def test_interrupted_by_the_keyboard_it_saves_and_leaves_with_the_usual_code(tmp_path, capsys):
    """In this process, whose own answer to the signal is there again afterwards."""
    directory, before = tmp_path / "run", signal.default_int_handler
    signal.signal(signal.SIGINT, before)  # A shell's background job ignores it, and so would the run.

    def interrupt():
        wait_for_checkpoint(directory, 0)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    keyboard = threading.Thread(target=interrupt)
    keyboard.start()
    status = train.main([*SMALL, *SAVED, "--iterations", str(10**4), "--out", str(directory)])
    keyboard.join()
    assert status == 130
    assert "stopped by SIGINT" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) == before
    rows = deterministic_columns(directory)
    assert (directory / "checkpoints" / rows[-1]["iteration"]).is_dir()


def test_a_finished_run_is_described(finished):
    directory, out = finished
    assert "env steps/s" in out
    assert "left" in out
    assert "preset: pair (gradient" in out
    config = json.loads((directory / "config.json").read_text())
    assert config["experiment"]["family"] == {"use": "navigation", "horizon": 10, "goal_range": 0.5}
    assert config["experiment"]["policy"]["hidden"] == [8]
    assert {"jax", "gymnax", "jaxmeta"} <= set(config["versions"])
    assert config["device"]["platform"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("maml navigaton", "family: unknown name 'navigaton'; did you mean navigation"),
        ("mmal navigation", "method: unknown name 'mmal'; did you mean maml"),
        ("--preset promp-2018", "preset: unknown name 'promp-2018'; did you mean promp-2019"),
        ("promp navigation --inner-loss dice", "--inner-loss: unknown flag"),
        ("rl2 navigation --inner-rate 0.2", "--inner-rate: unknown flag"),
        ("maml navigation --policy.cell lstm", "--policy.cell: unknown flag"),
        ("maml navigation --family.arms 3", "--family.arms: unknown flag. --family has goal-range, horizon"),
        ("maml navigation --inner-rat 1", "--inner-rat: unknown flag; did you mean inner-rate"),
        ("maml navigation --outer trust-region --outer.rate 1", "--outer.rate: unknown flag"),
        ("maml navigation pendulum", "pendulum: unknown argument"),
        ("maml navigation --outer adm", "--outer: got 'adm'; did you mean adam? Known: adam, sgd, trust-region"),
        ("maml navigation --policy tabular", "--policy: got 'tabular'. Known: mlp"),
        ("maml navigation --inner-rate fast", "--inner-rate: got 'fast'; must be a number"),
        ("maml navigation --iterations 1.5", "--iterations: got '1.5'; must be a whole number"),
        ("maml navigation --eval.episodes 1.5", "--eval.episodes: got '1.5'; must be a whole number or none"),
        ("maml navigation --outer.rate-end x", "--outer.rate-end: got 'x'; must be a number or none"),
        ("maml navigation --policy.hidden 8 x", "--policy.hidden: got '8', 'x'; must be a list of whole numbers"),
        ("maml navigation --iterations 1.5 --iterations 3", "--iterations: given twice; give it once"),
        ("maml navigation --inner-rate=1 --inner_rate 2", "--inner_rate: given twice; give it once"),
        ("maml navigation --evaluate --no-evaluate", "--no-evaluate: given twice; give it once"),
        ("--preset none --preset pair", "--preset: given twice; give it once"),
        ("maml navigation --iterations", "Missing value for argument '--iterations'"),
        ("maml navigation --family.horizon 0", "--family.horizon: got 0; must be at least 1"),
        ("maml navigation --iterations 0", "--iterations: got 0; must be at least 1"),
        ("maml navigation --meta-batch -3", "--meta-batch: got -3; must be at least 1"),
        ("maml navigation --seed -1", "--seed: got -1; must be at least 0"),
        ("maml navigation --repeat 0", "--repeat: got 0; must be at least 1"),
        ("maml navigation --observed 2", "--observed: got (2,); must be some of the entries 0 to 1"),
        ("maml navigation --episodes 0", "--episodes: got 0; must be at least 1"),
        ("maml navigation --inner-rate 0", "--inner-rate: got 0.0; must be positive"),
        ("maml navigation --inner-rate inf", "--inner-rate: got inf; must be finite"),
        ("maml navigation --outer.rate nan", "--outer.rate: got nan; must be finite"),
        ("maml navigation --outer.rate-end 0", "--outer.rate-end: got 0.0; must be positive"),
        ("maml navigation --outer.minibatches 3", "--outer.minibatches: got 3; must divide the 20 tasks"),
        ("maml navigation --policy.hidden 100 0", "--policy.hidden: got (100, 0); every width must be at least 1"),
        ("maml navigation --policy.experts 0", "--policy.experts: got 0; must be at least 1"),
        ("maml navigation --policy.activation rely", "--policy.activation: unknown name 'rely'; did you mean relu"),
        ("maml navigation --estimator.discount 1.5", "--estimator.discount: got 1.5; must be in [0, 1]"),
        ("maml navigation --eval.tasks 0", "--eval.tasks: got 0; must be at least 1"),
        ("maml navigation --eval.solved-above nan", "--eval.solved-above: got nan; must be finite"),
        ("rl2 navigation --eval.steps 2", "--eval.steps: rl2 has no use for it; leave it out"),
        ("maml navigation --checkpoint-every 0", "--checkpoint-every: got 0; must be at least 1"),
        ("maml navigation --keep 0", "--keep: got 0; must be at least 1"),
        ("rl2 gridnavi --lifetime 0", "--lifetime: got 0; must be at least 1"),
        ("rl2 gridnavi --held-out 21", "--held-out: got 21; must be from 1 to 20: the family has 21 tasks"),
        ("rl2 navigation --held-out 2", "--held-out: got 2; the family has no list of its tasks"),
        ("rl2 gridnavi --policy tabular --policy.experts 2", "--policy.experts: unknown flag"),
        ("rl2 gridnavi --policy tabular", "--policy: env: its first observation is not one-hot"),
        ("maml-q navigation", "tasks: actions are Box"),
        ("maml navigation --seed 2147483648", "--seed: got 2147483648; must be at most 2147483647"),
        ("maml navigation --seed 2147483647 --seeds 2", "--seed: got 2147483647; must be at most 2147483646"),
        ("maml navigation --seeds 1000000000", "--seeds: got 1000000000; must be at most 100000"),
        (f"maml navigation --iterations {10**30}", f"--iterations: got {10**30}; must be at most 2147483647"),
        ("maml navigation --inner-rate 1e39", "--inner-rate: got 1e+39; must be at most 3.4e+38"),
        ("e-maml navigation --adaptation-steps 2147483647", "--adaptation-steps: got 2147483647; must be at most 1000"),
        ("maml navigation --eval.steps 2147483647", "--eval.steps: got 2147483647; must be at most 1000"),
        ("maml navigation --repeat 1000000", "--repeat: got 1000000; must be at most 1000"),
        ("rl2 gridnavi --family.size 100000", "--family.size: got 100000; must be at most 1000"),
        (f"maml navigation --policy.hidden {10**9}", "out of memory: the program would have an array of shape ["),
        (f"maml navigation --outer.epochs {10**9}", "too large: a product of settings is 400000000000, and must be"),
        ("maml navigation --policy.hidden {[]:1}", "--policy.hidden: got '{[]:1}'; must be a list of whole numbers"),
        (f"maml navigation --inner-rate {'-' * 20_000}1", "---"),
    ],
)
def test_bad_arguments_are_one_line_and_nothing_is_written(refused, tmp_path, argv, message):
    assert refused(train.main, *argv.split(), "--out", tmp_path / "run").startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        # Four minibatches are the signature's, 8 are the preset's.
        ("rl2 navigation --preset none --meta-batch 3", "--outer.minibatches: got 4; must divide the 3 tasks"),
        (
            "--preset rl2-bandit-100 --meta-batch 3 --family.horizon 5 --policy.size 2",
            "--outer.minibatches: got 8; must divide the 3 tasks of the meta-batch; this value is from the preset "
            "rl2-bandit-100",
        ),
        ("maml --preset rl2-bandit-100", "preset rl2-bandit-100, for maml on bernoulli-bandit: policy.cell: unknown"),
        ("--preset gradient", "preset: unknown name 'gradient'. Known: cavia-2019"),
    ],
)
def test_a_preset_s_value_is_not_taken_for_the_user_s(refused, tmp_path, argv, message):
    got = refused(train.main, *argv.split(), "--out", tmp_path / "run")
    assert got.startswith(f"error: {message}")
    assert ("from the preset" in got) == ("got 8" in message)
    assert not list(tmp_path.iterdir())


def test_an_evaluation_is_noted_where_a_run_begins_and_is_that_of_the_resumed_run(refused, tmp_path):
    run = str(tmp_path / "run")
    protocol = ["--eval.tasks", "5", "--eval.greedy-episodes", "1", "--eval.episodes", "2", "--eval.steps", "1"]
    assert train.main([*SMALL, *protocol, "--iterations", "1", "--no-evaluate", "--out", run]) == 0
    assert train.main(["--resume", run, "--iterations", "2", "--eval.tasks", "4"]) == 0
    done = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert done["protocol"]["tasks"] == len(done["returns"][0]) == 4
    assert [done["protocol"][name] for name in ("greedy_episodes", "episodes", "steps")] == [1, 2, 1]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["evaluation"]["tasks"], config["evaluation"]["rate_decay"]) == (4, 0.5)
    config["evaluation"]["taks"] = 3
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert "evaluation.taks: unknown setting; did you mean tasks" in refused(train.main, "--resume", run)


def test_a_run_that_is_not_there_is_not_resumed(refused):
    assert refused(train.main, "--resume", "nowhere") == "error: nowhere holds no run: there is no config.json"
    assert refused(train.main, "promp", "--resume", "nowhere").startswith("error: METHOD and --resume: give one")


def contents(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_directory_that_holds_a_run_or_something_else_is_not_touched(refused, tiny_run, tmp_path):
    before = contents(tiny_run)
    got = refused(train.main, "--out", tiny_run)
    assert got.startswith(f"error: {tiny_run}: already holds a run; resume it, overwrite it, or ")
    # Whatever is wrong with the new run, the old one is still there.
    for flags in (["--outer.rate", "nan"], ["--outer.minibatches", "3"], ["--keep", "0"], ["--family.horizon", "0"]):
        refused(train.main, "maml", "navigation", *flags, "--overwrite", "--out", tiny_run)
    assert contents(tiny_run) == before
    (tmp_path / "config.json").write_text('{"compilerOptions": {}}')
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "thesis.tex").write_text("years of work")
    before = contents(tmp_path)
    assert "is not empty and holds no run" in refused(train.main, "--out", tmp_path, "--overwrite")
    assert contents(tmp_path) == before
    assert "is a file" in refused(train.main, "--out", tmp_path / "config.json")


def test_overwriting_deletes_what_runs_write_and_nothing_else(tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("")
    flags = ["multi-task", *SMALL[1:], "--no-evaluate", "--out", str(run)]
    assert train.main([*flags, "--iterations", "2"]) == 0
    for name in ("notes.md", "thesis.png", "evaluation.json", "adaptation_curve.png", "trajectories.svg"):
        (run / name).write_text("")
    (run / "checkpoints" / "own.txt").write_text("")
    (run / "tensorboard").symlink_to(elsewhere)
    assert train.main([*flags, "--overwrite", "--iterations", "1"]) == 0
    left = {path.name for path in run.iterdir()}
    assert left == {"notes.md", "thesis.png", "config.json", "metrics.csv", "checkpoints"}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"1", "own.txt"}
    assert (elsewhere / "kept").exists()


def test_two_processes_do_not_train_in_one_directory(refused, tiny_run):
    with held(tiny_run):
        got = refused(train.main, "--resume", tiny_run, "--iterations", 9, "--no-evaluate")
    assert got.startswith(f"error: {tiny_run}: another process trains in it")


def test_resuming_with_other_settings_names_them(refused, finished):
    directory, _ = finished
    got = refused(train.main, "--resume", directory, "--inner-rate", 0.3, "--policy.hidden", 7, "--seeds", 2)
    assert "inner_rate (0.5 there, 0.3 here)" in got
    assert "policy.hidden ([8] there, [7] here)" in got
    assert "seeds (1 there, 2 here)" in got
    longer = train.parse(["--resume", str(directory), "--iterations", "400"]).experiment.tree
    assert (longer["iterations"], longer["policy"]["hidden"]) == (400, (8,))
    assert "is beyond iterations 3" in refused(train.main, "--resume", directory, "--iterations", 3)


def test_a_torn_config_is_one_line_and_a_run_without_checkpoints_begins(refused, printed, finished, tmp_path):
    whole = (finished[0] / "config.json").read_text()
    (tmp_path / "config.json").write_text(whole[:50])
    assert "cannot be read" in refused(train.main, "--resume", tmp_path)
    assert contents(tmp_path) == {tmp_path / "config.json": whole[:50].encode()}
    (tmp_path / "config.json").write_text(whole)
    # What a kill before the first checkpoint left of the metrics counts for nothing.
    (tmp_path / "metrics.csv").write_text("iteration,seed\n1,0\n2,")
    assert "iteration 300/300" in printed(train.main, "--resume", tmp_path, "--no-evaluate")
    first, second = (read_csv(each / "metrics.csv") for each in (tmp_path, finished[0]))
    assert [row["return_post"] for row in first] == [row["return_post"] for row in second]
    content = json.loads((tmp_path / "config.json").read_text())
    assert [each["from_iteration"] for each in content["history"]] == [0, 0]
    assert content["run"] == json.loads(whole)["run"]


def test_a_job_s_command_line_begins_a_run_and_goes_on_with_it(printed, refused, tmp_path):
    command = [*SMALL, *SAVED, "--out", tmp_path / "run", "--auto-resume"]
    # A kill between writing the configuration and putting it in its place leaves this.
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json.tmp").write_text("{")
    assert "iteration 6/6" in printed(train.main, *command, "--iterations", 6)
    assert "iteration 12/12" in printed(train.main, *command, "--iterations", 12)
    assert [row["iteration"] for row in read_csv(tmp_path / "run" / "metrics.csv")] == list(range(1, 13))
    got = refused(train.main, *command, "--iterations", 12, "--inner-rate", 0.3)
    assert "made with other settings: inner_rate (0.5 there, 0.3 here)" in got
    got = refused(train.main, *command, "--overwrite")
    assert got == "error: --overwrite and --auto-resume: give one of them"


def test_what_is_overwritten_is_put_back_where_the_new_run_fails_before_its_first_checkpoint(
    tiny_run, tmp_path, monkeypatch, capsys
):
    directory = shutil.copytree(tiny_run, tmp_path / "run")
    (directory / "notes.md").write_text("mine")
    before = contents(directory)

    def fails(*arguments, **settings):
        assert set(contents(directory)) > {directory / "config.json", directory / "notes.md"}
        raise OSError("no space left")

    monkeypatch.setattr(start, "train_run", fails)
    with pytest.raises(SystemExit):
        train.main([*SMALL, "--out", str(directory), "--overwrite"])
    assert capsys.readouterr().err == "error: no space left\n"
    assert contents(directory) == before


def test_neither_links_nor_the_folder_one_is_in_are_overwritten(tiny_run, tmp_path, monkeypatch, refused):
    directory = shutil.copytree(tiny_run, tmp_path / "run")
    before = contents(directory)
    (tmp_path / "link").symlink_to(directory)
    monkeypatch.chdir(directory)
    for out in (".", tmp_path / "link"):
        got = refused(train.main, *SMALL, "--out", out, "--overwrite")
        assert got.startswith(f"error: {out}: is a link, or the folder that you are in")
    assert contents(directory) == before


def test_displays_that_are_closed_leave_the_training_alone(tmp_path):
    command = [sys.executable, "-m", "jaxmeta", "train", *SMALL, "--iterations", "3", "--no-evaluate", "--out"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*command, tmp_path / "run"], stdout=writer, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(read_csv(tmp_path / "run" / "metrics.csv")) == 3


def test_displays_that_lack_signs_leave_the_training_alone(tmp_path, monkeypatch, capsys):
    display = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", display)
    assert train.main([*SMALL, "--iterations", "3", "--no-evaluate", "--out", str(tmp_path / "run")]) == 0
    display.flush()
    # Instead of an arrow.
    assert b" ? " in display.buffer.getvalue()
    assert capsys.readouterr().err == ""
    assert len(read_csv(tmp_path / "run" / "metrics.csv")) == 3


def test_updates_that_are_never_finite_end_a_run_and_its_last_good_state_stays(tiny_run, tmp_path, capsys):
    command = f"--seeds 2 --iterations 40 --checkpoint-every 2 --max-skipped 4 --inner-rate 1e30 --out {tmp_path}/run"
    with pytest.raises(SystemExit) as caught:
        train.main([*SMALL, "--no-evaluate", *command.split()])
    got = capsys.readouterr().err
    assert caught.value.code == 2
    assert "4 updates in a row were not finite, of seed 0: " in got
    assert "reward of tasks 0, 1, 2" in got
    assert len(got.splitlines()) == 1
    # A run that it was to replace is put back, and the reason stays.
    before = contents(tiny_run)
    whole = shutil.copytree(tiny_run, tmp_path / "whole")
    with pytest.raises(SystemExit):
        train.main([*SMALL, "--no-evaluate", *command.split()[:-2], "--out", str(whole), "--overwrite"])
    after = {path.relative_to(whole): content for path, content in contents(whole).items()}
    assert after.pop(Path("not_finite.json"))
    assert after == {path.relative_to(tiny_run): content for path, content in before.items()}
    # Its tasks are met once more with the weights that are good.
    capsys.readouterr()
    assert replay.main([str(whole)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("seed 0, tasks of iteration ")
    assert told[1].startswith("not finite then: ")
    assert "reward of tasks 0, 1, 2" in told[1]
    assert told[2:] == ["not finite now:  nothing before the update itself"]
    (whole / "not_finite.json").write_text('{"seed": 0, "iteration": 1, "key": [0, 0], "tasks": {"goal": [1]}}')
    with pytest.raises(SystemExit):
        replay.main([str(whole)])
    assert "not_finite.json: does not fit the run's family" in capsys.readouterr().err
    found = json.loads((tmp_path / "run" / "not_finite.json").read_text())
    assert found["lifetimes"]["reward"] or found["lifetimes"]["obs"]
    assert len(next(iter(found["tasks"].values()))) == 3
    assert 4 <= len(read_csv(tmp_path / "run" / "metrics.csv")) < 2 * 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_imports_or_compiles_is_one_line(number, tmp_path):
    process = started(*SMALL, *SAVED, "--iterations", 10, "--out", tmp_path / "run")
    time.sleep(0.7)
    process.send_signal(number)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 128 + number, (out, err)
    assert err.strip() in ("", f"stopped by {number.name}")


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


def test_that_tensorboard_is_missing_is_said_before_anything_is_built(refused, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    got = refused(train.main, "maml", "navigation", "--tensorboard", "--out", tmp_path / "run")
    assert got == 'error: tensorboard: tensorboardX is missing; pip install "jaxmeta[tensorboard]"'
    assert not list(tmp_path.iterdir())
