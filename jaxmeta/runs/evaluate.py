"""Evaluation on test tasks: return per adaptation step, reference lines, and intervals."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.checks import check_least
from jaxmeta.data import collect_episodes, stage_costs, stage_returns
from jaxmeta.learners import uniform_learner
from jaxmeta.objectives import batch_of, replay_adaptation
from jaxmeta.over_tasks import devices_for, over_tasks
from jaxmeta.runs.bayes import bayes_optimum
from jaxmeta.runs.loop import TEST_KEY, evaluation_tasks
from jaxmeta.runs.memory import check_memory
from jaxmeta.runs.statistics import bootstrap_interval, interquartile_mean
from jaxmeta.tasks import LifetimeEnv, controller_returns, listed_count, numbers
from jaxmeta.types import (
    Array,
    Gate,
    Key,
    Learner,
    Lifetime,
    MetaAlgorithm,
    Phi,
    Task,
    TaskDistribution,
    Theta,
    Trajectory,
)

COST = "_cost"
"""Ends the names of what is a cost."""


def adaptation_returns(
    key: Key, algorithm: MetaAlgorithm, tasks: TaskDistribution, theta: Theta, task: Task, *, greedy_episodes: int = 10
) -> dict[str, Array]:
    """Return before and after each adaptation step in one task, undiscounted, mean over episodes.

    In a family of lifetimes it is the return of each episode, one after the other.

    Args:
      key: PRNG key.
      algorithm: its ``adapt`` decides the number of steps K and the episodes of each.
      tasks: the family, for its environment and horizon.
      theta: slow weights.
      task: one task.
      greedy_episodes: episodes of the deterministic policy, which adapts on the sampled policy's data.

    Returns:
      ``sampled`` and ``deterministic``, each ``[K + 1]``, or ``[episodes]``. Where the family has costs, an episode's
      are ``sampled_cost`` and ``deterministic_cost``.
    """
    key_adapt, key_greedy = jax.random.split(key)
    _, lifetime = algorithm.adapt(key_adapt, theta, task)
    phi, greedy = algorithm.learner.begin(theta), []

    def act_greedily(key: Key, phi: Phi) -> dict[str, Array]:
        return _of_one_batch(key, tasks, task, algorithm.greedy, theta, phi, episodes=1)

    batches = lifetime.trajectory.mask.shape[0]
    for step, key_step in enumerate(jax.random.split(key_greedy, batches)):
        found = jax.vmap(act_greedily, (0, None))(jax.random.split(key_step, greedy_episodes), phi)
        greedy.append(jax.tree.map(lambda x: jnp.mean(x, axis=0), found))
        phi = algorithm.learner.absorb(theta, phi, batch_of(lifetime, step))
    ways = {
        "sampled": _by_stage(tasks, lifetime.trajectory),
        "deterministic": jax.tree.map(lambda *stages: jnp.concatenate(stages), *greedy),
    }
    return {way + name: values for way, found in ways.items() for name, values in found.items()}


def adapted_expert_use(key: Key, algorithm: MetaAlgorithm, theta: Theta, task: Task) -> Array:
    """Mean probability of each expert over what ``algorithm.adapt`` collects in one task at last, ``[experts]``.

    Raises:
      ValueError: an algorithm whose policy is a single network.
    """
    if algorithm.gate is None:
        raise ValueError("algorithm: its policy has no experts; use policy_for(env, experts=...)")
    _, lifetime = algorithm.adapt(key, theta, task)
    return expert_use(algorithm.learner, algorithm.gate, theta, lifetime)


def expert_use(learner: Learner, gate: Gate, theta: Theta, lifetime: Lifetime) -> Array:
    """Mean probability of each expert over one task's data after adaptation, ``[experts]``; sums to 1."""
    last = batch_of(lifetime, -1)
    probabilities = gate(theta, replay_adaptation(learner, theta, lifetime), last.obs)
    return jnp.sum(probabilities * last.mask[..., None], axis=(0, 1)) / jnp.maximum(jnp.sum(last.mask), 1.0)


def specialisation(use: np.ndarray) -> float:
    """What the task tells of the expert that acts, in nats: the entropy of mean use less the mean entropy of use.

    0 where all tasks use the experts alike, ``log K`` where each keeps to one and all are used evenly.

    Args:
      use: of experts by tasks, ``[N, K]``, rows sum to 1.
    """
    entropy = lambda p: -np.sum(p * np.log(np.maximum(p, 1e-12)), axis=-1)  # noqa: E731
    use = np.asarray(use, np.float64)
    return float(entropy(use.mean(axis=0)) - entropy(use).mean())


def random_return(key: Key, tasks: TaskDistribution, task: Task, *, episodes: int = 40) -> Array:
    """Mean undiscounted return of an episode of uniformly random actions in one task, a scalar."""
    return random_outcome(key, tasks, task, episodes=episodes)["random_policy"]


def random_outcome(key: Key, tasks: TaskDistribution, task: Task, *, episodes: int = 40) -> dict[str, Array]:
    """``random_return`` as ``random_policy``, and such an episode's cost, if it has one, as ``random_policy_cost``."""
    found = _of_one_batch(key, tasks, task, uniform_learner(tasks.env), (), (), episodes=episodes)
    return {f"random_policy{name}": jnp.mean(values) for name, values in found.items()}


def _of_one_batch(
    key: Key, tasks: TaskDistribution, task: Task, learner: Learner, theta: Theta, phi: Phi, *, episodes: int
) -> dict[str, Array]:
    """``_by_stage`` of one batch of episodes."""
    sizes = {"episodes": episodes, "horizon": tasks.horizon}
    trajectory, _ = collect_episodes(key, tasks.env, task, learner, theta, phi, **sizes)
    return _by_stage(tasks, jax.tree.map(lambda x: x[None], trajectory))


def _by_stage(tasks: TaskDistribution, trajectory: Trajectory) -> dict[str, Array]:
    """The return at each stage, under no name, and the cost where the family has costs; each ``[stages]``."""
    found = {"": stage_returns(tasks.env, trajectory)}
    return found if tasks.cost_limit is None else {**found, COST: stage_costs(tasks.env, trajectory)}


def in_tasks(
    function: Callable[..., Any],
    key: Key,
    batch: Task,
    *,
    task_chunk: int = 20,
    report: Callable[[int], None] = lambda count: None,
) -> Callable[[Theta], Any]:
    """A compiled ``evaluated(theta)``: ``function(key, theta, task)`` of a batch of tasks, a chunk at a time.

    On a mesh each device has a chunk of its own. After each chunk, or one on each, ``report`` is called with the number
    of tasks in it. Results are numpy arrays.
    """
    count, devices = jax.tree.leaves(batch)[0].shape[0], devices_for()
    size = min(task_chunk, -(-count // devices)) * devices
    # The last chunk is filled up with the first tasks, so that one program serves all.
    places = np.arange(-(-count // size) * size).reshape(-1, size) % count
    keys = jax.random.split(key, count)

    @jax.jit
    def of_chunk(keys: Key, theta: Theta, batch: Task) -> Any:
        return over_tasks(lambda theta, key, task: function(key, theta[0], task), keys, batch, shared=(theta,))

    def evaluated(theta: Theta) -> Any:
        results = []
        for index, each in enumerate(places):
            data = keys[each], theta, jax.tree.map(lambda x, each=each: x[each], batch)
            if not index:
                check_memory(of_chunk.trace(*data).jaxpr)
            results.append(jax.tree.map(np.asarray, of_chunk(*data)))
            report(min(size, count - index * size))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *results)

    return evaluated


def of_each_seed(theta: Theta) -> list[Theta]:
    """The slow weights of one seed after another, from those of all, leaves ``[S, ...]``."""
    return [jax.tree.map(lambda x, seed=seed: x[seed], theta) for seed in range(jax.tree.leaves(theta)[0].shape[0])]


def summary(returns: np.ndarray) -> dict[str, list[float]]:
    """Interquartile mean, its 95 % interval, and mean, per adaptation step, of returns ``[S, N, K + 1]``."""
    low, high = bootstrap_interval(returns)
    return {
        "iqm": interquartile_mean(returns, axis=(0, 1)).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "mean": np.mean(returns, axis=(0, 1)).tolist(),
    }


INTERVAL = {
    "level": 0.95,
    "statistic": "interquartile mean over seeds and tasks",
    "method": "percentile bootstrap, 1000 resamples, seeds and tasks each drawn with replacement",
}


def evaluate_run(
    algorithm: MetaAlgorithm,
    tasks: TaskDistribution,
    theta: Any,
    *,
    seeds: list[int],
    task_count: int = 400,
    task_seed: int = 0,
    greedy_episodes: int = 10,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Evaluate every seed, slow weights ``[S, ...]``, on the same test tasks: the content of ``evaluation.json``.

    The algorithm is built for evaluation: its adaptation steps and episodes are those measured. ``task_count``,
    ``task_seed`` and ``greedy_episodes`` are those of ``Evaluation``. ``report`` is told how many tasks are done,
    of how many: of each seed, from scratch, and with random actions.
    """
    check_least(1, tasks=task_count)
    key = jax.random.fold_in(jax.random.key(TEST_KEY), task_seed)
    key_tasks, key_adapt, key_scratch, key_random = jax.random.split(key, 4)
    batch = evaluation_tasks(key_tasks, tasks, task_count)

    def adapt(key: Key, theta: Theta, task: Task) -> dict[str, Array]:
        return adaptation_returns(key, algorithm, tasks, theta, task, greedy_episodes=greedy_episodes)

    # "From scratch": a fresh initialisation with the same learner, episodes and steps; another one for each task.
    def from_scratch(key: Key, _: None, task: Task) -> dict[str, Array]:
        key_init, key_adapt = jax.random.split(key)
        return adapt(key_adapt, algorithm.learner.init(key_init), task)

    done, total = 0, task_count * (len(seeds) + 2)

    def counted(count: int) -> None:
        nonlocal done
        done += count
        report(done, total)

    trained = in_tasks(adapt, key_adapt, batch, report=counted)
    each = [trained(one) for one in of_each_seed(theta)]
    found = {name: np.stack([np.asarray(one[name], np.float64) for one in each]) for name in each[0]}
    returns = {name: found[name] for name in ("sampled", "deterministic")}
    scratch = in_tasks(from_scratch, key_scratch, batch, report=counted)(None)
    at_random = lambda key, _, task: random_outcome(key, tasks, task)  # noqa: E731
    uniform = in_tasks(at_random, key_random, batch, report=counted)(None)
    references = {"random_policy": uniform["random_policy"], "from_scratch": scratch["sampled"]}
    by_episode = isinstance(tasks.env, LifetimeEnv)
    if tasks.optimum is not None:
        # A lifetime's optimum is that of all its episodes.
        episodes = tasks.env.episodes if isinstance(tasks.env, LifetimeEnv) else 1
        references["optimum"] = np.asarray(jax.vmap(tasks.optimum)(batch), np.float64) / episodes
    if (best := bayes_optimum(tasks, batch)) is not None:
        references["bayes_optimum"] = best
    costs = {}
    if tasks.cost_limit is not None:
        named = {**found, f"from_scratch{COST}": scratch[f"sampled{COST}"][None]}
        named[f"random_policy{COST}"] = uniform[f"random_policy{COST}"][None, :, None]
        limit = np.asarray(jax.vmap(tasks.cost_limit)(batch), np.float64)
        costs["costs"] = _costs(limit, {name: x for name, x in named.items() if name.endswith(COST)})
    by_hand = controlled(key_random, tasks, batch)
    return {
        "axes": ["seed", "task", "episode" if by_episode else "adaptation_step"],
        "seeds": seeds,
        "tasks": {"task_seed": task_seed, **tasks_taken(batch, tasks), "parameters": _by_name(batch)},
        "returns": returns["sampled"].tolist(),
        "returns_deterministic": returns["deterministic"].tolist(),
        "references": {name: _reference(np.asarray(values, np.float64)) for name, values in references.items()},
        **({"controllers": {name: _reference(values) for name, values in by_hand.items()}} if by_hand else {}),
        "interval": INTERVAL,
        "summary": {name: summary(values) for name, values in returns.items()},
        **costs,
    }


def controlled(key: Key, tasks: TaskDistribution, batch: Task) -> dict[str, np.ndarray]:
    """The return of an episode of each of a family's controllers, in each task ``[N]``."""
    if isinstance(tasks.env, LifetimeEnv):
        tasks = tasks._replace(env=tasks.env.env, horizon=tasks.env.horizon)
    found = {name: controller_returns(key, tasks, one, batch) for name, one in tasks.controllers.items()}
    return {name: np.asarray(returns, np.float64) for name, returns in found.items()}


def _costs(limit: np.ndarray, found: dict[str, np.ndarray]) -> dict[str, Any]:
    """An episode's costs ``[seeds, N, stages]`` by whose they are, beside each task's limit ``[N]``.

    ``over_limit`` is the share of tasks whose cost is above their limit, in the mean over seeds.
    """
    order = ("sampled", "deterministic", "from_scratch", "random_policy")
    of = {name: np.asarray(found[name + COST], np.float64) for name in order}
    over = {name: np.mean(values > limit[:, None], axis=(0, 1)).tolist() for name, values in of.items()}
    means = {name: np.mean(values, axis=(0, 1)).tolist() for name, values in of.items()}
    each = {name: values.tolist() for name, values in of.items()}
    return {"limit": limit.tolist(), "of": each, "mean": means, "over_limit": over}


def tasks_taken(batch: Task, tasks: TaskDistribution) -> dict[str, int | None]:
    """How many ``evaluation_tasks`` there are, and how many distinct ones; how many of these training draws from, too.

    ``listed`` are those in the list that they are taken from, if there is one. ``seen_in_training`` is ``None`` where
    it is not known: some tasks came twice, but the family does not list them.
    """
    count, rows = listed_count(batch), _rows(batch)
    every = tasks.every if tasks.sample_test is None else tasks.every_test
    seen = None if len(rows) < count else 0
    if tasks.every is not None:
        trained = set(map(tuple, _rows(tasks.every)))
        seen = sum(tuple(row) in trained for row in rows)
    listed = None if every is None else listed_count(every)
    return {"count": count, "distinct": len(rows), "listed": listed, "seen_in_training": seen}


def _by_name(batch: Task) -> dict[str, list[Any]]:
    """The parameters of tasks, each ``[N, ...]``."""
    leaves = jax.tree_util.tree_flatten_with_path(batch)[0]
    return {jax.tree_util.keystr(path).lstrip("."): np.asarray(numbers(leaf)).tolist() for path, leaf in leaves}


def _rows(batch: Task) -> np.ndarray:
    """The distinct ones of some tasks, a row of numbers each."""
    values = [np.asarray(numbers(leaf), np.float64) for leaf in jax.tree.leaves(batch)]
    return np.unique(np.concatenate([each.reshape(len(each), -1) for each in values], axis=1), axis=0)


def _reference(returns: np.ndarray) -> dict[str, Any]:
    return {"returns": returns.tolist(), **summary(returns[None])}
