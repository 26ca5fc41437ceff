"""Runs that are followed by TensorBoard, and by Weights & Biases."""

import struct
import sys
import types
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]

from jaxmeta import plots
from jaxmeta.runs.trackers import TensorBoardLog, WandbLog, flat, show_in_tensorboard

SETTINGS = {"method": "maml", "inner_rate": 0.5, "policy": {"use": "mlp", "hidden": [4, 4], "gate": None}}


def events(folder):
    """All events of a folder, file by file in the order of their names."""
    found = []
    for path in sorted(Path(folder).glob("events*")):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack("<Q", content[place : place + 8])
            found.append(Event.FromString(content[place + 12 : place + 12 + length]))
            place += 16 + length
    return found


def scalars(folder, tag):
    """What TensorBoard shows of a scalar: later files purge what they begin anew."""
    shown = {}
    for event in events(folder):
        if event.session_log.status == SessionLog.START:
            shown = {step: value for step, value in shown.items() if step < event.step}
        for value in event.summary.value:
            if value.tag == tag:
                shown[event.step] = value.simple_value
    return shown


def rows(first, count, seeds=(0, 3)):
    return [
        {"iteration": i, "seed": seed, "env_steps": 100 * i + seed, "seconds": 0.1 * i, "return_post": i + seed}
        for i in range(first, first + count)
        for seed in seeds
    ]


def test_rows_are_scalars_over_environment_steps_and_a_resumed_run_goes_on_where_it_stood(tmp_path):
    log = TensorBoardLog(tmp_path, SETTINGS, {0: 0, 3: 0})
    log.write(rows(1, 5))
    log.close()
    # The last checkpoint was that of iteration 2; what came after it is done again.
    again = TensorBoardLog(tmp_path, SETTINGS, {0: 200, 3: 203})
    again.write([{**row, "return_post": -row["return_post"]} for row in rows(3, 2)])
    again.sync()
    again.close()
    assert scalars(tmp_path / "seed_0", "return_post") == {100: 1, 200: 2, 300: -3, 400: -4}
    assert scalars(tmp_path / "seed_3", "return_post") == {103: 4, 203: 5, 303: -6, 403: -7}
    assert scalars(tmp_path / "seed_0", "iteration") == {100: 1, 200: 2, 300: 3, 400: 4}
    tags = [value.tag for event in events(tmp_path / "seed_0") for value in event.summary.value]
    assert tags.count("_hparams_/session_start_info") == 1


def test_settings_are_told_by_their_full_names():
    expected = {"method": "maml", "inner_rate": 0.5, "policy": "mlp", "policy.hidden": "[4, 4]", "policy.gate": "None"}
    assert flat(SETTINGS) == expected


def test_an_evaluation_and_pictures_are_shown_beside_the_scalars_and_replaced_by_later_ones(tmp_path):
    (tmp_path / "tensorboard").mkdir()
    written = plots.save(Figure(figsize=(2, 1)), tmp_path / "curve.png", tmp_path / "curve.svg")

    def evaluation(values):
        curve = {"iqm": values}
        return {
            "axes": ["seed", "task", "adaptation_step"],
            "summary": {"sampled": curve},
            "references": {"optimum": {"iqm": 9.0}},
        }

    show_in_tensorboard(tmp_path, evaluation([1.0, 2.0, 3.0]), written)
    show_in_tensorboard(tmp_path, evaluation([4.0, 5.0]), written)
    folder = tmp_path / "tensorboard" / "evaluation"
    assert scalars(folder, "return_by_adaptation_step/sampled") == {0: 4.0, 1: 5.0}
    assert scalars(folder, "return_by_adaptation_step/optimum") == {0: 9.0}
    (picture, _) = (value for event in events(folder) for value in event.summary.value if value.tag == "curve.png")
    assert picture.image.encoded_image_string == (tmp_path / "curve.png").read_bytes()
    assert picture.image.width > picture.image.height > 0


def test_nothing_is_shown_where_nobody_asked_or_through_a_link(tmp_path):
    show_in_tensorboard(tmp_path, pictures=[])
    assert not list(tmp_path.iterdir())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tensorboard").symlink_to(tmp_path / "elsewhere")
    show_in_tensorboard(tmp_path, pictures=[])
    assert not list((tmp_path / "elsewhere").iterdir())


def test_where_the_package_is_missing_a_line_says_that_nothing_is_shown(tmp_path, monkeypatch):
    (tmp_path / "tensorboard").mkdir()
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    said = []
    show_in_tensorboard(tmp_path, pictures=[], announce=said.append)
    assert said == [
        'warning: not shown in TensorBoard: tensorboard: tensorboardX is missing; pip install "jaxmeta[tensorboard]"'
    ]
    assert not list((tmp_path / "tensorboard").iterdir())


def test_weights_and_biases_is_told_each_seed_s_rows_by_iteration(tmp_path, monkeypatch):
    began, told, ended = [], [], []

    class Remote:
        def __init__(self, **how):
            began.append(how)

        def define_metric(self, name, step_metric):
            assert (name, step_metric) == ("*", "env_steps")

        def log(self, row, step):
            told.append((row["seed"], step, row["return_post"]))

        def finish(self):
            ended.append(self)

    class Refused(Exception):
        pass

    standing = types.ModuleType("wandb")
    vars(standing).update(init=Remote, Error=Refused, Settings=lambda **how: how)
    monkeypatch.setitem(sys.modules, "wandb", standing)
    log = WandbLog("project", tmp_path / "run", "abc", SETTINGS, {0: 0, 3: 0})
    log.write(rows(1, 2))
    log.sync()
    log.close()
    assert [how["id"] for how in began] == ["abc-0", "abc-3"]
    assert all(how["resume"] == "allow" and how["project"] == "project" and how["group"] == "run" for how in began)
    assert began[1]["config"]["seed"] == 3
    assert told == [(0, 1, 1), (3, 1, 4), (0, 2, 2), (3, 2, 5)]
    assert len(ended) == 2

    def refuse(**how):
        raise Refused("no key\nset one")

    vars(standing).update(init=refuse)
    with pytest.raises(RuntimeError, match="wandb: no key set one"):
        WandbLog("project", tmp_path / "run", "abc", SETTINGS, {0: 0})
