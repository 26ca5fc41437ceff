"""The estimators command line: its rows, its table, and its errors."""

import json

import numpy as np
import pytest

from jaxmeta.commands.estimators import main
from jaxmeta.studies import meta_gradients

SMALL = ["--mdps", "0", "--adaptation-steps", "1", "--episodes", "6", "--repeats", "32", "--batch-repeats", "3"]


def test_rows_are_printed_and_written(tmp_path, capsys):
    path = tmp_path / "rows.json"
    assert main([*SMALL, "--batch-episodes", "4", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())
    assert [(row["problem"], row["steps"], row["estimator"]) for row in rows] == [
        ("bandit", 1, name) for name in meta_gradients.ESTIMATORS
    ]
    numbers = ("bias", "noise", "p_value", "batch_bias", "batch_noise", "batch_deviation", "batch_cosine")
    for row in rows:
        assert row["verdict"] in ("unbiased", "biased")
        assert all(isinstance(row[name], float) for name in numbers)
        assert (row["episodes"], row["batch_episodes"], row["seed"]) == (6, 4, 0)
    printed = capsys.readouterr().out
    for text in ("32 repeats of 6 episodes", "a batch of 4", "score-function", f"{rows[0]['bias']:.4f}"):
        assert text in printed


def test_the_verdict_is_that_of_the_p_value():
    generator = np.random.default_rng(0)
    exact = generator.normal(size=(1, 1, 3))
    sampled = exact + generator.normal(size=(40, len(meta_gradients.ESTIMATORS), 1, 1, 3))
    sampled -= sampled.mean(axis=0) - exact
    sampled[:, 1, ..., 0] += 3.0
    estimates = meta_gradients.Estimates(exact, sampled)
    verdicts = [row["verdict"] for row in meta_gradients.rows("made-up", estimates, estimates, 1e-3)]
    assert verdicts == ["unbiased", "biased", *["unbiased"] * (len(verdicts) - 2)]


def test_quick_means_less_of_everything(monkeypatch):
    efforts = []
    monkeypatch.setattr(meta_gradients, "measure", lambda effort: efforts.append(effort) or iter(()))
    main(["--quick"])
    main(["--quick", "--mdps", "0", "--episodes", "7"])
    main([])
    assert [(each.mdps, each.adaptation_steps, each.episodes, each.batch_repeats) for each in efforts] == [
        (1, 2, 2048, 2048),
        (0, 2, 7, 2048),
        (3, 3, 2**14, 2**14),
    ]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--repeats", "16"], "--repeats: got 16; must be at least 32"),
        (["--rate", "0"], "--rate: got 0.0; must be positive"),
        (["--mdps", "-1"], "--mdps: got -1; must be at least 0"),
        (["--adaptation-steps", "0"], "--adaptation-steps: got 0; must be at least 1"),
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
