"""Runs side by side: what their environment steps are, and bad input."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import compare
import train


def test_from_scratch_s_steps_are_those_of_one_task():
    # Three batches of two episodes in each of ten tasks took 300 steps an iteration; evaluation has batches of four.
    what = train.parse(
        [
            "--algorithm",
            "from-scratch",
            "--meta-batch",
            "10",
            "--adaptation-steps",
            "2",
            "--episodes",
            "2",
            "--out",
            "unused",
        ]
    ).experiment
    rows = [{"iteration": 1.0, "env_steps": 280.0}, {"iteration": 2.0, "env_steps": 640.0}]
    evaluated = {"protocol": {"episodes": 4}, "summary": {"sampled": {"iqm": [5.0, 6.0, 7.0]}}}
    drawn = compare.alone(what, evaluated, rows)
    assert [(row["env_steps"], row["return_post"]) for row in drawn] == [(20.0, 6.0), (40.0, 7.0)]


def test_steps_are_told_to_parts_of_the_way_of_the_target(capsys):
    def run(returns):
        return [
            {"seed": seed, "env_steps": 1000.0 * (index + 1), "return_post": value + seed - 0.5}
            for index, value in enumerate(returns)
            for seed in (0.0, 1.0)
        ]

    trained = [("a", "maml", run([0, 4, 6, 9, 10])), ("a", "quick", run([5, 9.5, 9.9])), ("b", "maml", run([1, 3]))]
    rows = [line.split(" | ") for line in compare.steps_table(trained, "maml").split("\n")[2:]]
    assert rows[0][2:6] == ["3 k", "4 k", "5 k", "5 k"]
    assert rows[1][2:6] == ["1 k", "2 k", "never", "3 k"]
    assert rows[2][2:6] == ["2 k", "2 k", "2 k", "2 k"]
    with pytest.raises(SystemExit):
        compare.steps_table(trained, "quick")
    assert capsys.readouterr().err == "error: --target quick: none of the runs on b is of it\n"


def test_comparing_what_is_not_evaluated_is_one_line(capsys, tmp_path):
    arguments = dataclasses.asdict(train.parse([]).experiment)
    (tmp_path / "config.json").write_text(json.dumps({"arguments": arguments}))
    for argv, message in (
        ([], "error: RUNS: name the directory of at least one evaluated run"),
        ([str(tmp_path)], f"error: {tmp_path} has no evaluation.json; make it with scripts/evaluate.py {tmp_path}"),
        (
            [str(tmp_path), "--out", str(tmp_path / "no" / "a.png")],
            f"error: --out: {tmp_path / 'no'} is not a directory",
        ),
    ):
        with pytest.raises(SystemExit) as caught:
            compare.main(argv)
        assert caught.value.code == 2
        assert capsys.readouterr().err == message + "\n"
