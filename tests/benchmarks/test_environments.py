"""The benchmark of environments runs, and its numbers are those of its table."""

import json

import environments
import pytest


def test_one_family_is_timed_beside_gymnasium(tmp_path, capsys):
    stored, drawn = tmp_path / "result.json", tmp_path / "result.png"
    environments.main(["--quick", "--families", "pendulum", "--json", str(stored), "--plot", str(drawn)])
    result = json.loads(stored.read_text())
    assert [(row["family"], row["batch"]) for row in result["families"]] == [("pendulum", 1), ("pendulum", 16)]
    assert [row["environment"] for row in result["gymnasium"]] == ["Pendulum-v1"] * 2
    for row in result["families"]:
        assert row["steps_per_second"] == pytest.approx(100 * row["batch"] / sorted(row["seconds"])[1])
    for row in result["gymnasium"]:
        assert row["ratio"] == pytest.approx(row["jaxmeta"]["steps_per_second"] / row["steps_per_second"])
    assert drawn.stat().st_size > 0
    assert capsys.readouterr().out.count("\npendulum") == 4


def test_batches_beyond_the_limit_are_skipped_and_said_so(tmp_path, capsys):
    stored = tmp_path / "result.json"
    small = ["--families", "t-maze", "--batches", "1", "2", "4", "--steps", "3"]
    environments.main([*small, "--limit", "1e-9", "--json", str(stored)])
    first, *others = json.loads(stored.read_text())["families"]
    assert len(first["seconds"]) == 1
    assert all("a call at batch 1" in row["skipped"] for row in others)
    assert len(others) == capsys.readouterr().out.count("skipped") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--families", "t-mase"], "error: family: unknown name 't-mase'; did you mean t-maze"),
        (["--repeats", "0"], "error: every count"),
    ],
)
def test_bad_input_is_answered_in_one_line(arguments, message):
    with pytest.raises(SystemExit, match=message):
        environments.main(arguments)
