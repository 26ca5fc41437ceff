"""A trained run as a folder that needs no jaxmeta: weights, and compiled functions that act and adapt."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta.data import absorbs, adapt_on, needs_costs, recorded
from jaxmeta.runs.logging import write_json, write_text
from jaxmeta.runs.machine import versions
from jaxmeta.runs.run import Run, RunError
from jaxmeta.tasks import LifetimeEnv
from jaxmeta.types import Array, PyTree, TaskDistribution

PLATFORMS = ("cpu", "cuda", "tpu")
"""What functions are compiled for by default; ``rocm`` is another that JAX knows."""
WEIGHTS, DESCRIPTION, READ_ME = "weights.safetensors", "export.json", "README.md"


@dataclasses.dataclass(frozen=True)
class Functions:
    """What is exported: of many tasks at once, with weights and fast states as tables of arrays by their names.

    Attributes:
      functions: by name.
      arguments: their shapes, by name.
    """

    functions: dict[str, Any]
    arguments: dict[str, tuple[Any, ...]]


def export(run: Run, path: str | Path, *, platforms: tuple[str, ...] = PLATFORMS) -> Path:
    """Write a run's weights, and its functions for some platforms, into a new folder; its README says how to use them.

    The functions are those of ``jax.export``; the number of tasks that they act and adapt in is free. To load them
    takes ``jax``, ``flatbuffers`` and ``safetensors``, and nothing of jaxmeta.

    Args:
      run: the run; ``run.seed`` is the seed whose weights are exported.
      path: of the folder, which must not exist or be empty.
      platforms: of ``cpu``, ``cuda``, ``rocm`` and ``tpu``.

    Returns:
      The folder.

    Raises:
      RunError: a folder that is in use, or a platform that is not known.
      ImportError: a package that is missing.
    """
    try:
        import flatbuffers  # noqa: F401
        from safetensors.flax import save
    except ImportError as error:
        raise ImportError(f'export: {error.name} is missing; pip install "jaxmeta[export]"') from error
    path, known = Path(path), (*PLATFORMS, "rocm")
    if not platforms or set(platforms) - set(known):
        raise RunError(f"platforms: got {', '.join(platforms) or 'none'}; must be of {', '.join(known)}")
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: is a file; name a new folder")
    if path.exists() and any(path.iterdir()):
        raise RunError(f"{path}: is there already and not empty; name a new folder")
    made = functions_of(run)
    written = {}
    for name, function in made.functions.items():
        exported = jax.export.export(jax.jit(function), platforms=platforms)(*made.arguments[name])
        written[f"{name}.bin"] = exported.serialize()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be made ({error.strerror}); name another folder") from error
    for name, content in written.items():
        (path / name).write_bytes(content)
    (path / WEIGHTS).write_bytes(save(named(run.theta)))
    write_json(path / DESCRIPTION, _description(run, made, platforms))
    write_text(path / READ_ME, read_me(run, tuple(made.functions)))
    return path


def functions_of(run: Run) -> Functions:
    """``begin``, ``act``, ``act_by_mode``, and ``adapt`` where the method learns from whole episodes."""
    tasks, algorithm = run.config.build()
    learner, greedy = algorithm.learner, algorithm.greedy
    theta_like = jax.eval_shape(learner.init, jax.random.key(0))
    phi_like = jax.eval_shape(learner.begin, theta_like)
    theta_of, phi_of = _unnamed(theta_like), _unnamed(phi_like)
    task = jax.eval_shape(tasks.sample, jax.random.key(0))
    lifetime = jax.eval_shape(algorithm.adapt, jax.random.key(0), theta_like, task)[1]
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), lifetime.trajectory)

    def begin(weights: dict[str, Array]):
        return named(learner.begin(theta_of(weights)))

    def act(weights: dict[str, Array], fast: dict[str, Array], obs: PyTree, seed: Array):
        """Actions that explore, their log-probabilities, and the fast states after them."""
        theta, keys = theta_of(weights), jax.random.split(jax.random.key(seed), jax.tree.leaves(obs)[0].shape[0])

        def one(key: Array, fast: dict[str, Array], obs: PyTree):
            action, log_prob, _, phi = learner.act(key, theta, phi_of(fast), obs)
            return action, log_prob, named(phi)

        return jax.vmap(one)(keys, fast, obs)

    def act_by_mode(weights: dict[str, Array], fast: dict[str, Array], obs: PyTree):
        """The policy's best guesses at actions, and the fast states after them."""
        theta = theta_of(weights)

        def one(fast: dict[str, Array], obs: PyTree):
            action, _, _, phi = greedy.act(jax.random.key(0), theta, phi_of(fast), obs)
            return action, named(phi)

        return jax.vmap(one)(fast, obs)

    def adapt(weights: dict[str, Array], fast: dict[str, Array], episodes: dict[str, Any]):
        """The fast states after recorded episodes."""
        theta = theta_of(weights)

        def one(fast: dict[str, Array], episodes: dict[str, Any]):
            return named(adapt_on(algorithm, theta, phi_of(fast), recorded(**episodes)))

        return jax.vmap(one)(fast, episodes)

    (count,) = jax.export.symbolic_shape("tasks")
    many = lambda tree: jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), tree)  # noqa: E731
    later = jax.tree.map(lambda x: jax.ShapeDtypeStruct((x.shape[0], x.shape[1] + 1, *x.shape[2:]), x.dtype), batch.obs)
    obs = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[2:], x.dtype), batch.obs)
    per_episode = lambda kind: jax.ShapeDtypeStruct(batch.reward.shape[:1], kind)  # noqa: E731
    episodes = {"obs": later, "action": batch.action, "reward": batch.reward}
    episodes |= {"lengths": per_episode(jnp.int32), "terminated": per_episode(jnp.bool_)}
    weights, fast = named(theta_like), many(named(phi_like))
    functions = {"begin": begin, "act": act, "act_by_mode": act_by_mode}
    arguments: dict[str, tuple[Any, ...]] = {
        "begin": (weights,),
        "act": (weights, fast, many(obs), jax.ShapeDtypeStruct((), jnp.uint32)),
        "act_by_mode": (weights, fast, many(obs)),
    }
    if absorbs(algorithm, theta_like, batch):
        episodes |= {"cost": batch.cost} if needs_costs(algorithm, theta_like, batch) else {}
        functions["adapt"], arguments["adapt"] = adapt, (weights, fast, many(episodes))
    return Functions(functions, arguments)


def named(tree: PyTree) -> dict[str, Any]:
    """The leaves of a pytree by their paths, such as ``params/Dense_0/kernel``."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/") or "value": leaf for path, leaf in leaves}


def _unnamed(like: PyTree):
    """A function that puts the leaves of ``named`` where they were."""
    names, structure = list(named(like)), jax.tree.structure(like)
    return lambda table: jax.tree.unflatten(structure, [table[name] for name in names])


def _description(run: Run, made: Functions, platforms: tuple[str, ...]) -> dict[str, Any]:
    """What ``export.json`` holds: where the weights are from, and the shapes of what the functions take."""
    shape = lambda x: f"{x.dtype}[{', '.join(map(str, x.shape))}]"  # noqa: E731
    taken = {name: [jax.tree.map(shape, one) for one in all_of[1:]] for name, all_of in made.arguments.items()}
    return {
        "experiment": run.config.config(),
        "iteration": run.iteration,
        "seed": run.seed,
        "versions": versions(),
        "platforms": list(platforms),
        "observation": observation_parts(run.tasks),
        "weights": jax.tree.map(shape, named(run.theta)),
        "arguments": taken,
    }


def observation_parts(tasks: TaskDistribution) -> list[str]:
    """What an observation is made of, where it is more than the environment's own."""
    env = tasks.env
    if not isinstance(env, LifetimeEnv):
        return []
    size = env.observation_space(env.default_params).shape[0]
    inner = env.split_observation(jnp.zeros(size)).obs.shape[0]
    discrete = jnp.issubdtype(env.split_observation(jnp.zeros(size)).action.dtype, jnp.integer)
    action = "one-hot, its last place for none" if discrete else "then 1 if there was one"
    return [
        f"{inner}: the environment's own",
        f"{size - inner - 2}: the action before ({action})",
        "1: the reward before",
        "1: 1 where an episode ended with it",
    ]


def read_me(run: Run, functions: tuple[str, ...]) -> str:
    """How to use the folder: text and a program that runs as it is."""
    parts = observation_parts(run.tasks)
    lines = [
        f"# {run.config.title}",
        "",
        f"Weights of seed {run.seed} after {run.iteration} meta-iterations, exported by jaxmeta. Needed: `jax`,",
        "`flatbuffers`, `numpy` and `safetensors`. `export.json` has all settings and the shapes of all arguments.",
        "",
        "```python",
        *_PROGRAM.format(names=functions, obs=_zeros(run.tasks)).splitlines(),
        *(_ADAPT.splitlines() if "adapt" in functions else []),
        "```",
        "",
    ]
    lines += ["An observation is made of:", "", *(f"- {part}." for part in parts), ""] if parts else []
    if "adapt" in functions:
        lines += [
            "`adapt` takes episodes that `act` made, and nothing of what a simulator knows. Shorter episodes are",
            "filled up, and `lengths` says how many steps are real; 0 leaves an episode out.",
        ]
    else:
        lines += ["The method adapts by acting: hand on `fast` from step to step, and begin anew in a new task."]
    return "\n".join([*lines, ""])


def _zeros(tasks: TaskDistribution) -> str:
    """An expression for observations of three tasks."""
    obs = jax.eval_shape(lambda key: tasks.env.reset_env(key, tasks.sample(key))[0], jax.random.key(0))
    if not isinstance(obs, jax.ShapeDtypeStruct):
        raise RunError(f"export: observations of {type(tasks.env).__name__} have parts; only arrays can be exported")
    return f"np.zeros({(3, *obs.shape)}, np.{obs.dtype})"


_PROGRAM = """\
import json
from pathlib import Path

import jax.export
import numpy as np
from safetensors.numpy import load_file

folder = Path(".")
weights = load_file(folder / "weights.safetensors")
functions = {{
    name: jax.export.deserialize(bytearray((folder / f"{{name}}.bin").read_bytes())).call
    for name in {names}
}}

# Three tasks at once; any number will do.
fast = {{name: np.stack([x] * 3) for name, x in functions["begin"](weights).items()}}
obs = {obs}  # what your sensors say
action, log_prob, fast = functions["act"](weights, fast, obs, np.uint32(0))  # explores: another seed at each step
action, fast = functions["act_by_mode"](weights, fast, obs)"""
_ADAPT = """
# Episodes that were recorded while acting: observations before each action and after the last one.
shapes = json.loads((folder / "export.json").read_text())["arguments"]["adapt"][1]


def zeros(shape):
    kind, sizes = shape.rstrip("]").split("[")
    return np.zeros([3 if size == "tasks" else int(size) for size in sizes.split(", ")], kind)


episodes = {name: zeros(shape) for name, shape in shapes.items()}  # yours
fast = functions["adapt"](weights, fast, episodes)"""
