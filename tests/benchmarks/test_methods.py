"""The benchmarks of methods, sweeps, recurrent cells and replay run, and say what they were asked if it cannot be."""

import json

import jax
import methods
import pytest
import recurrent
import replaying
import sweep

SMALL = ["--task", "bernoulli-bandit", "--tasks", "2", "--episodes", "2", "--repeats", "1"]


def test_a_method_is_timed_and_its_inner_steps(tmp_path, capsys):
    stored = tmp_path / "result.json"
    methods.main([*SMALL, "--methods", "es_maml", "--steps", "1", "--json", str(stored)])
    result = json.loads(stored.read_text())
    assert [(row["method"], row["task_chunk"]) for row in result["methods"]] == [("es_maml", None)]
    assert [row["activations"] for row in result["inner_steps"]] == ["kept", "rematerialised"]
    assert all(row["temporary_bytes"] > 0 and row["seconds"][0] > 0 for row in result["inner_steps"])
    assert "es_maml" in capsys.readouterr().out


def test_a_sweep_gives_the_numbers_of_separate_runs(tmp_path, monkeypatch):
    # What other tests traced is kept.
    monkeypatch.setattr(jax, "clear_caches", lambda: None)
    stored = tmp_path / "result.json"
    small = ["--task=bernoulli-bandit", "--rates=2", "--seeds=2", "--iterations=2", "--meta-batch=2", "--episodes=2"]
    sweep.main([*small, "--horizon=4", "--separate=1", "--json", str(stored)])
    result = json.loads(stored.read_text())
    assert result["runs"] == 4
    assert result["largest_difference_first_iteration"] < 1e-3


def test_a_recurrent_cell_is_timed_and_its_memory(tmp_path):
    stored = tmp_path / "result.json"
    small = ["--cells", "gru", "--sizes", "8", "--lifetimes", "4", "--steps", "10", "--repeats", "1"]
    recurrent.main([*small, "--lengths", "100", "--segment", "10", "--json", str(stored)])
    result = json.loads(stored.read_text())
    assert [(row["cell"], row["size"]) for row in result["steps"]] == [("gru", 8)]
    assert result["steps"][0]["env_steps_per_second"] > 0
    assert result["memory"][0]["segments_bytes"] < result["memory"][0]["whole_bytes"]


def test_a_replaying_method_is_timed(tmp_path):
    stored = tmp_path / "result.json"
    small = ["--methods", "r2d2", "--tasks", "2", "--horizon", "5", "--repeats", "1"]
    replaying.main([*small, "--json", str(stored)])
    result = json.loads(stored.read_text())
    assert [row["method"] for row in result["methods"]] == ["r2d2"]
    assert 0 < result["methods"][0]["env_steps"] <= 2 * 5
    assert result["methods"][0]["seconds"][0] > 0


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (methods.main, ["--methods", "mmal"], "error: unknown method 'mmal'"),
        (methods.main, ["--repeats", "0"], "error: every count must be at least 1"),
        (recurrent.main, ["--sizes", "0"], "error: --sizes: got"),
        (recurrent.main, ["--lengths", "150"], "error: --segment: got 100; must divide the lifetime's 150 steps"),
        (replaying.main, ["--methods", "dqn"], "error: unknown method 'dqn'"),
        (replaying.main, ["--tasks", "0"], "error: every count must be at least 1"),
        (sweep.main, ["--meta-batch", "0"], "error: --meta-batch: got 0; must be at least 1"),
    ],
)
def test_bad_input_is_answered_in_one_line(main, arguments, message):
    with pytest.raises(SystemExit, match=message):
        main(arguments)
