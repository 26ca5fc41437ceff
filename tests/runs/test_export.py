"""Runs exported: the folder's own program, the numbers, and what is refused."""

import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

import jaxmeta
from jaxmeta.data import recorded
from jaxmeta.runs.export import functions_of as made_of
from jaxmeta.runs.run import Run, RunError

RUNS = {
    "maml": ("navigation", {"family": {"horizon": 5}, "episodes": 8, "policy": {"hidden": [4]}}),
    "rl2": (
        "bernoulli-bandit",
        {"family": {"horizon": 5, "arms": 2}, "lifetime": 1, "outer.minibatches": 1, "policy": {"size": 4}},
    ),
}
ALONE = """
import sys
sys.modules["jaxmeta"] = sys.modules["gymnax"] = sys.modules["flax"] = None
{program}
np.savez("found.npz", action=action, **{{f"fast.{{number}}": x for number, x in enumerate(fast.values())}})
"""


@pytest.fixture(scope="module", params=RUNS)
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    family, settings = RUNS[request.param]
    chosen = jaxmeta.experiment(request.param, family, iterations=1, meta_batch=2, seeds=2, **settings)
    chosen.train(folder / "run")
    run = jaxmeta.load(folder / "run", seed=1)
    return run, run.export(folder / "out")


def functions_of(path):
    load = lambda name: jax.export.deserialize(bytearray((path / f"{name}.bin").read_bytes())).call  # noqa: E731
    return {file.stem: load(file.stem) for file in path.glob("*.bin")}


def test_the_folder_s_own_program_runs_without_jaxmeta(exported):
    run, path = exported
    program = re.search(r"```python\n(.*?)```", (path / "README.md").read_text(), re.DOTALL)[1]
    command = [sys.executable, "-c", ALONE.format(program=program)]
    done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = np.load(path / "found.npz")
    (path / "found.npz").unlink()
    assert found["action"].shape[0] == 3
    assert all(np.all(np.isfinite(found[name])) for name in found)
    told = json.loads((path / "export.json").read_text())
    assert (told["seed"], told["experiment"]["method"]) == (1, run.config.method)
    assert len(told["observation"]) == (4 if run.config.method == "rl2" else 0)


@pytest.mark.parametrize("count", [1, 3])
def test_its_functions_give_the_run_s_own_numbers_in_any_number_of_tasks(exported, count):
    from safetensors.numpy import load_file

    run, path = exported
    functions, weights = functions_of(path), load_file(path / "weights.safetensors")
    size = run.tasks.env.observation_space(run.tasks.env.default_params).shape
    obs = np.random.default_rng(0).normal(size=(2, count, *size)).astype(np.float32)
    fast = {name: np.stack([x] * count) for name, x in functions["begin"](weights).items()}
    first, fast = functions["act_by_mode"](weights, fast, obs[0])
    second, fast = functions["act_by_mode"](weights, fast, obs[1])
    for task in range(count):
        phi = run.algorithm.learner.begin(run.theta)
        for action, seen in ((first, obs[0]), (second, obs[1])):
            own, phi = run.act(jax.random.key(0), phi, seen[task])
            np.testing.assert_allclose(action[task], own, rtol=1e-5, atol=1e-6)
        for one, own in zip(fast.values(), jax.tree.leaves(phi), strict=True):
            np.testing.assert_allclose(one[task], own, rtol=1e-5, atol=1e-6)
    samples = [functions["act"](weights, fast, obs[0], np.uint32(seed))[0] for seed in (0, 0, *range(1, 20))]
    assert np.array_equal(samples[0], samples[1])
    assert not all(np.array_equal(samples[0], other) for other in samples)


def test_a_gradient_method_adapts_on_recorded_episodes_and_one_with_a_memory_says_how(exported):
    from safetensors.numpy import load_file

    run, path = exported
    generator, functions = np.random.default_rng(0), functions_of(path)
    if run.config.method == "rl2":
        assert "adapt" not in functions
        size = run.tasks.env.observation_space(run.tasks.env.default_params).shape
        batch = recorded(np.zeros((1, 6, *size), np.float32), np.zeros((1, 5), np.int32), np.zeros((1, 5)))
        with pytest.raises(ValueError, match="rl2 adapts while it acts"):
            run.adapt_on(batch)
        return
    weights = load_file(path / "weights.safetensors")
    episodes = {"obs": generator.normal(size=(3, 8, 6, 2)), "action": generator.normal(size=(3, 8, 5, 2))}
    episodes = {name: value.astype(np.float32) for name, value in episodes.items()}
    episodes |= {"reward": generator.normal(size=(3, 8, 5)).astype(np.float32)}
    episodes |= {"lengths": generator.integers(2, 6, (3, 8)).astype(np.int32), "terminated": np.zeros((3, 8), bool)}
    fast = {name: np.stack([x] * 3) for name, x in functions["begin"](weights).items()}
    adapted = functions["adapt"](weights, fast, episodes)
    for task in range(3):
        own = run.adapt_on(recorded(**{name: value[task] for name, value in episodes.items()}))
        for one, leaf in zip(adapted.values(), jax.tree.leaves(own), strict=True):
            np.testing.assert_allclose(one[task], leaf, rtol=1e-3, atol=1e-4)
    right = {name: value[0] for name, value in episodes.items()}
    for name, entry, message in (
        ("action", right["action"][..., :1], r"action: got shape \(1,\) at each step; the family's is \(2,\)"),
        ("action", right["action"][..., 0], r"action: got shape \(\) at each step; the family's is \(2,\)"),
        ("obs", right["obs"][..., [0, 1, 1]], r"obs: got shape \(3,\) at each step; the family's is \(2,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            run.adapt_on(recorded(**{**right, name: entry}))
    with pytest.raises(ValueError, match="mask: got shape"):
        run.adapt_on(run.adapt(jax.random.key(0), run.tasks.sample(jax.random.key(0)))[1].trajectory)
    jax.jit(run.adapt_on)(recorded(**right))
    broken = recorded(**{name: value[0] for name, value in episodes.items()})
    with pytest.raises(ValueError, match="not finite"):
        run.adapt_on(broken._replace(reward=broken.reward.at[0, 0].set(np.nan)))


@pytest.mark.parametrize("method", ["maml", "maml-lagrangian"])
def test_episodes_have_costs_where_a_method_learns_from_them(method, tmp_path):
    settings = {"family": {"horizon": 3}, "episodes": 2, "policy": {"hidden": [4]}}
    chosen = jaxmeta.experiment(method, "robot-arm", **settings)
    theta = chosen.build()[1].init(jax.random.key(0)).theta
    run = Run(tmp_path, chosen, 0, 0, jax.tree.map(lambda x: x[None], theta))
    made = made_of(run)
    episodes = jax.tree.map(lambda x: np.ones((1, *x.shape[1:]), x.dtype), made.arguments["adapt"][2])
    assert jax.eval_shape(made.functions["adapt"], *made.arguments["adapt"])
    assert ("cost" in episodes) == (method == "maml-lagrangian")
    alone = {name: value[0] for name, value in episodes.items()}
    run.adapt_on(recorded(**alone))
    if alone.pop("cost", None) is not None:
        with pytest.raises(ValueError, match=r"^cost: is missing; a method that keeps to a limit needs that"):
            run.adapt_on(recorded(**alone))


def test_what_cannot_be_exported_is_one_line(exported, monkeypatch, tmp_path):
    run, path = exported
    with pytest.raises(RunError, match="is there already and not empty; name a new folder"):
        run.export(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file: is a file; name a new folder"):
        run.export(tmp_path / "file")
    with pytest.raises(RunError, match=r"cannot be made \(.*\); name another folder"):
        run.export(tmp_path / "file" / "below")
    with pytest.raises(RunError, match="platforms: got abacus; must be of cpu, cuda, tpu, rocm"):
        run.export(tmp_path / "new", platforms=("abacus",))
    monkeypatch.setitem(sys.modules, "safetensors.flax", None)
    with pytest.raises(ImportError, match=r'pip install "jaxmeta\[export\]"'):
        run.export(tmp_path / "new")
    assert not (tmp_path / "new").exists()
