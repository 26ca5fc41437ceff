"""An evaluation from the command line: written, drawn, and refused."""

import json

from jaxmeta.commands import evaluate, train


def test_a_run_is_evaluated_and_drawn(printed, tiny_run):
    table = printed(
        evaluate.main,
        *(tiny_run, "--tasks", 6, "--episodes", 3, "--steps", 2, "--solved-above", "-1.5", "--overwrite"),
        *("--formats", "png", "csv", "--note", "A few tasks"),
    )
    assert "told the task" in table
    assert "solved, all seeds" in table
    evaluation = json.loads((tiny_run / "evaluation.json").read_text())
    assert [len(evaluation["returns"]), len(evaluation["returns"][0]), len(evaluation["returns"][0][0])] == [2, 6, 3]
    assert evaluation["iteration"] == 3
    assert evaluation["protocol"]["episodes"] == 3
    for name in ("learning_curve", "adaptation_curve"):
        assert (tiny_run / f"{name}.png").stat().st_size > 5_000
        assert (tiny_run / f"{name}.csv").read_text().startswith("panel")


def test_goals_held_out_are_evaluated_on_and_a_run_keeps_them_out(printed, refused, tmp_path):
    run, small = tmp_path / "run", "--family.horizon 4 --meta-batch 2 --episodes 2 --policy.hidden 4 --iterations 1"
    printed(train.main, "maml", "gridnavi", *small.split(), "--held-out", 3, "--no-evaluate", "--out", run)
    how = ("--steps", 0, "--episodes", 1, "--greedy-episodes", 1)
    table = printed(evaluate.main, run, *how, "--tasks", 7)
    assert "return on 3 tasks, not trained on (7 adaptations), 1 seed: IQM" in table
    tasks = json.loads((run / "evaluation.json").read_text())["tasks"]
    assert (tasks["distinct"], tasks["seen_in_training"]) == (3, 0)
    assert "return on 6 tasks, each also trained on, 1" in printed(
        evaluate.main, run, *how, "--tasks", 6, "--in-distribution", "--overwrite"
    )
    resumed = refused(train.main, "--resume", run, "--held-out", 4)
    assert "other settings: held_out (3 there, 4 here)" in resumed


def test_an_evaluation_that_is_there_is_replaced_only_where_that_is_said(printed, refused, tiny_run, tmp_path):
    few = ("--tasks", 2, "--episodes", 2, "--steps", 0, "--greedy-episodes", 1)
    printed(evaluate.main, tiny_run, *few, "--overwrite")
    there, beside = tiny_run / "evaluation.json", tmp_path / "beside.json"
    before = there.read_text()
    got = refused(evaluate.main, tiny_run, *few, "--task-seed", 1)
    assert got == f"error: {there} is there already; give --overwrite to replace it, or --json FILE"
    printed(evaluate.main, tiny_run, *few, "--task-seed", 1, "--json", beside)
    assert there.read_text() == before
    assert json.loads(beside.read_text())["protocol"]["task_seed"] == 1
    printed(evaluate.main, tiny_run, *few, "--task-seed", 1, "--overwrite")
    assert there.read_text() == beside.read_text()


def test_bad_arguments_are_one_line(refused, tiny_run, tmp_path):
    for argv, message in (
        ((tmp_path,), f"{tmp_path} holds no run: there is no config.json"),
        ((tiny_run, "--steps", -1), "--steps: got -1; must be at least 0"),
        ((tiny_run, "--rate-decay", "nan"), "--rate-decay: got nan; must be finite"),
        ((tiny_run, "--task", 3), "--task: unknown flag"),
        ((tiny_run, "--checkpoint", 7, "--overwrite"), f"{tiny_run}/checkpoints has no checkpoint 7; it has [3]"),
    ):
        assert refused(evaluate.main, *argv).startswith(f"error: {message}")
