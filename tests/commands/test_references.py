"""The references command line: its rows, its table, and its errors."""

import json

import pytest

from jaxmeta.commands.references import main
from jaxmeta.studies import reference_tables


def test_rows_are_printed_beside_the_published_and_written(monkeypatch, tmp_path, capsys):
    def problem(effort):
        """Two settings."""
        for n in (10, 25):
            setting = {"problem": "tabular-mdp", "n": n}
            yield [
                {**setting, "method": "psrl", "mean": 130.25 + n, "stderr": 0.5, "tasks": effort.tasks},
                {**setting, "method": "full-information", "mean": 200.0, "stderr": 0.0, "tasks": None},
            ]

    monkeypatch.setitem(reference_tables.PROBLEMS, "tabular-mdp", problem)
    path = tmp_path / "rows.json"
    assert main(["--only", "tabular-mdp", "--tasks", "7", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    for text in ("Two settings. 7 tasks", "n 25", "140.250 ± 0.500", "200.000 exact", "138.1", "408.8"):
        assert text in printed
    rows = json.loads(path.read_text())
    assert [(row["problem"], row["n"], row["method"]) for row in rows] == [
        ("tabular-mdp", n, method) for n in (10, 25) for method in ("psrl", "full-information")
    ]
    assert rows[2]["mean"] == 155.25


def test_quick_means_fewer_tasks(monkeypatch, capsys):
    efforts = []

    def problem(effort):
        """Nothing."""
        efforts.append(effort)
        yield from ()

    monkeypatch.setattr(reference_tables, "PROBLEMS", {"nothing": problem})
    main(["--quick"])
    main(["--quick", "--tasks", "5"])
    main([])
    assert [(effort.tasks, effort.quick) for effort in efforts] == [(1000, True), (5, True), (100_000, False)]


def test_lifetimes_that_one_of_the_problems_lacks_are_said(monkeypatch, capsys):
    def problem(effort):
        """Nothing."""
        yield from ()

    monkeypatch.setattr(reference_tables, "PROBLEMS", {"bernoulli-bandit": problem, "tabular-mdp": problem})
    main(["--lifetimes", "10", "25", "500"])
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not tabulated")]
    assert said == ["not tabulated, and left out: n 25", "not tabulated, and left out: n 500"]


def test_a_bandit_row_agrees_with_its_exact_value():
    effort = reference_tables.Effort(tasks=400, quick=True, lifetimes=(), prior_mean=1.0, seed=0)
    first = next(reference_tables.rows_of("bernoulli-bandit", effort))
    rows = {row["method"]: row for row in first}
    assert {row["problem"] for row in first} == {"bernoulli-bandit"}
    assert (first[0]["k"], first[0]["n"]) == (2, 10)
    assert rows["bayes-optimal"]["mean"] == pytest.approx(6.0218, abs=1e-4)
    assert rows["bayes-optimal"]["stderr"] == 0.0
    assert abs(rows["gittins"]["mean"] - 6.0218) < 4 * rows["gittins"]["stderr"]
    assert abs(rows["random"]["mean"] - 5.0) < 4 * rows["random"]["stderr"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--only", "tabular-mpd"], "--only: unknown name 'tabular-mpd'; did you mean tabular-mdp?"),
        (["--tasks", "1"], "--tasks: got 1; must be at least 2"),
        (["--lifetimes", "10", "11"], "--lifetimes: got 11; tabulated are 10, 25, 50, 75, 100, 500"),
        (["--quick", "--lifetimes", "500"], "--lifetimes: got 500; tabulated are 10, 100"),
        (["--only", "gridnavi", "--lifetimes", "10"], "--lifetimes: got 10; tabulated are none"),
        (["--lifetimes", "10", "0"], "--lifetimes: got 0; must be at least 1"),
        (["--json", "no/such/folder/rows.json"], "--json: no/such/folder is not a directory"),
    ],
)
def test_bad_arguments_are_one_line(capsys, argv, message):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
