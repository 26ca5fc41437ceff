"""Plans: what training would take, against sizes known by hand; and fewer seeds at a time where all do not fit."""

import pytest

import jaxmeta
from jaxmeta.runs import memory, program
from jaxmeta.runs.directory import StartError
from jaxmeta.runs.machine import changed, describe
from jaxmeta.runs.plan import environment_steps, plan
from jaxmeta.runs.start import start

SIZES = {"family": {"horizon": 10}, "meta_batch": 4, "episodes": 2, "policy": {"hidden": (8,)}, "iterations": 3}


def small(**settings):
    return jaxmeta.experiment("maml", "navigation", **{**SIZES, **settings})


def test_steps_seeds_and_bytes_are_those_of_the_run():
    found = plan(small(seeds=3), seed_chunk=2)
    # Two batches of 2 episodes of 10 steps in each of 4 tasks, 3 seeds.
    assert found["env_steps_per_iteration"] == 3 * 4 * 2 * 2 * 10
    assert found["env_steps"] == 3 * found["env_steps_per_iteration"]
    assert (found["seeds"], found["seed_chunk"], found["devices"]) == (3, 2, 1)
    assert found["settings"]["task_chunk"] is None
    weights = (2 * 8 + 8) + (8 * 2 + 2) + 2
    # Adam has two numbers beside each.
    assert 3 * 4 * 3 * weights <= found["bytes"]["state"] <= 2 * 3 * 4 * 3 * weights
    assert found["bytes"]["total"] == sum(size for name, size in found["bytes"].items() if name != "total")
    assert found["fits"]
    assert found["instead"] == []


@pytest.mark.parametrize(
    ("method", "family", "settings", "expected"),
    [
        ("es-maml", "navigation", {"episodes": 2, "pairs": 3}, 2 * 3 * 2 * 2 * 10),
        ("rl2", "navigation", {"lifetime": 3}, 3 * 10),
        ("pearl", "pendulum", {"adaptation_steps": 2}, 3 * 10),
    ],
)
def test_steps_are_counted_of_every_method(method, family, settings, expected):
    experiment = jaxmeta.experiment(method, family, preset=None, **{"family": {"horizon": 10}, **settings})
    tasks, algorithm = experiment.build()
    assert environment_steps(algorithm, tasks, 8) == 8 * expected


def test_smaller_chunks_are_tried_where_training_does_not_fit(monkeypatch):
    experiment = small(seeds=4, task_chunk=4)
    whole = plan(experiment, seed_chunk=4)["bytes"]
    monkeypatch.setattr(memory, "memory_there", lambda: whole["total"] - whole["temporaries"] // 2)
    found = plan(experiment, seed_chunk=4)
    assert not found["fits"]
    assert found["instead"][0]["seed_chunk"] < 4
    assert found["instead"][-1]["fits"]
    assert all(not one["fits"] for one in found["instead"][:-1])
    monkeypatch.setattr(memory, "memory_there", lambda: 1000)
    tried = plan(experiment, seed_chunk=4)["instead"]
    assert [one["bytes"]["total"] for one in tried] == sorted((one["bytes"]["total"] for one in tried), reverse=True)
    assert tried[-1]["settings"] == {"task_chunk": 1}
    assert not any(one["fits"] for one in tried)


def test_an_accelerator_takes_as_many_seeds_at_a_time_as_fit(monkeypatch):
    tasks, algorithm = small(task_chunk=4).build()
    shape = {"seeds": list(range(8)), "meta_batch": 4}
    monkeypatch.setattr(program, "default_seed_chunk", lambda seeds: seeds)
    whole, said = program.prepared(algorithm, tasks, **shape), []
    assert whole.seed_chunk == 8
    monkeypatch.setattr(memory, "memory_there", lambda: whole.needs.total - whole.needs.temporaries // 2)
    found = program.prepared(algorithm, tasks, **shape, announce=said.append)
    assert found.seed_chunk < 8
    assert found.fits
    assert said[0].startswith("8 seeds at a time would take ")
    assert len(said) <= 2
    # A number that somebody asked for is kept.
    assert program.prepared(algorithm, tasks, **shape, seed_chunk=8).seed_chunk == 8


def test_what_does_not_fit_is_refused_before_anything_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "memory_there", lambda: 10_000)
    with pytest.raises(StartError, match=r"^out of memory: training takes [\d.]+ kB, .* and there are 10.0 kB; take"):
        start(small(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_compiler_is_told_the_options_of_the_platform(navigation, small_maml, monkeypatch):
    monkeypatch.setattr(program, "COMPILER_OPTIONS", {"cpu": {"xla_no_such_option": True}})
    with pytest.raises(Exception, match="xla_no_such_option"):
        program.prepared(small_maml, navigation, seeds=[0], meta_batch=2)


def test_a_run_that_goes_on_with_other_seeds_side_by_side_says_so():
    here = {**describe(), "devices": 1, "seed_chunk": 4}
    assert changed([here], here) == []
    assert changed([{**here, "seed_chunk": 8}], here) == ["seed_chunk were 8 and are 4 now: the last bits may differ"]
    # Older versions did not write it.
    assert changed([{name: value for name, value in here.items() if name != "seed_chunk"}], here) == []


def test_the_operations_that_keep_bits_are_told(monkeypatch):
    for flags, expected in (("", False), ("--a=1 --xla_gpu_deterministic_ops=true", True)):
        monkeypatch.setenv("XLA_FLAGS", flags)
        assert describe()["deterministic_ops"] is expected
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops --xla_gpu_deterministic_ops=false")
    assert not describe()["deterministic_ops"]
