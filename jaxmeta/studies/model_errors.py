"""How well a model that adapts predicts test tasks: a step ahead and several, before and after adaptation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.environment import Environment

from jaxmeta import parts
from jaxmeta.data import transitions_of
from jaxmeta.models import OnlineModel, interval_coverage, of_lifetimes, open_loop, steps_of
from jaxmeta.networks import Gaussian
from jaxmeta.objectives import batch_of
from jaxmeta.parts import SettingError
from jaxmeta.runs.evaluate import in_tasks, of_each_seed
from jaxmeta.runs.experiment import Experiment
from jaxmeta.runs.loop import TEST_KEY, evaluation_tasks
from jaxmeta.runs.run import Run
from jaxmeta.studies.reference_tables import aligned
from jaxmeta.tasks import LifetimeEnv
from jaxmeta.types import Array, PyTree, Trajectory

LEVELS = {"coverage_50": 0.5, "coverage_90": 0.9}  # how much of what comes each central interval should hold
PLANNING = ("grbal", "rebal")  # methods whose models adapt at each step of a lifetime


def model_errors(
    env: Environment, online: OnlineModel, params: PyTree, trajectories: Trajectory, *, horizon: int = 10
) -> dict[str, Any]:
    """Errors of predictions at each step of stored lifetimes, along the actions that were taken.

    Of a horizon h, the error is that of the observation after h steps, in an open loop, from each step whose next h
    stay in its episode, in units of the standard deviation of the change over h steps in the same data: the root of the
    mean over entries of the mean square. To predict the mean change scores 1. Entries that never change are left out.
    A reward's error is that of the next step, in units of the rewards' standard deviation.

    Before adaptation: as if the lifetime began with each step's observation. After: as adapted to all that came before
    that step in the lifetime, nothing at its first.

    Args:
      env: of lifetimes.
      online: the model that adapts, with its ``params``.
      trajectories: one lifetime in each task, leaves ``[N, 1, T, ...]``.
      horizon: H ≥ 1, steps ahead beside one.

    Returns:
      ``steps``, how many predictions of a step were compared, and for ``before`` and ``after`` the errors ``one_step``,
      ``horizon`` and ``reward``, and the shares of next steps' entries inside the central intervals that should hold
      ``coverage_50`` and ``coverage_90`` of them.
    """
    env, longest = of_lifetimes(env), trajectories.mask.shape[-1]
    if not 1 <= horizon <= longest:
        raise ValueError(f"horizon: got {horizon}; must be from 1 to the lifetime's {longest} steps")
    compared = jax.jit(partial(_compared, env, online, params, horizon))
    each: dict[str, Any] = jax.tree.map(np.asarray, jax.lax.map(compared, trajectories))
    changes, reward = each.pop("changes"), each.pop("reward")
    unit = {name: _deviation(*one) for name, one in {**changes, "reward": reward}.items()}

    def errors_of(said: dict[str, Any]) -> dict[str, float]:
        errors = {name: _scaled(said[name], unit[name]) for name in unit}
        moving, weight = unit["one_step"] > 0, changes["one_step"][1].sum(axis=1)
        for name in LEVELS:
            # A lifetime of which nothing counts has no share.
            shares = np.where(weight > 0, said[name][:, moving].mean(axis=1), 0.0)
            errors[name] = float(np.sum(shares * weight) / max(np.sum(weight), 1.0))
        return errors

    errors = {when: errors_of(each[when]) for when in ("before", "after")}
    return {"steps": int(changes["one_step"][1].sum()), **errors}


def _compared(
    env: LifetimeEnv, online: OnlineModel, params: PyTree, horizon: int, trajectory: Trajectory
) -> dict[str, Any]:
    """What one lifetime ``[1, T, ...]`` shows: squared errors and changes ``[T, D]``, and which of them count."""
    data = transitions_of(trajectory)
    steps = steps_of(env, data)
    arrived = steps.mask * (1.0 - steps.terminated)
    action, led_to, goes_on = (
        jnp.pad(x, ((0, horizon - 1), *(((0, 0),) * (x.ndim - 1)))) for x in (steps.action, steps.next_obs, arrived)
    )

    def ahead(memory: PyTree, obs: Array, actions: Array) -> tuple[Array, Array, Gaussian]:
        model, adapted = online.adapted(params, memory)
        path, _, _ = open_loop(model, adapted, obs, actions)
        return path[0], path[-1], model.predict(adapted, obs, actions[0]).outcome

    def step_fn(memory: PyTree, inputs: tuple[Array, Array]):
        time, obs = inputs
        memory = online.observe(params, memory, obs)
        fresh = online.observe(params, online.begin(), env.first_observation(obs))
        actions = jax.lax.dynamic_slice_in_dim(action, time, horizon)
        seen = env.split_observation(obs).obs
        return memory, {"before": ahead(fresh, seen, actions), "after": ahead(memory, seen, actions)}

    index = jnp.arange(steps.mask.shape[0])
    said = jax.lax.scan(step_fn, online.begin(), (index, data.obs))[1]
    later = led_to[horizon - 1 :]
    all_go_on = jnp.min(jnp.stack([goes_on[index + each] for each in range(horizon)]), axis=0)
    changes = {"one_step": (steps.next_obs - steps.obs, arrived), "horizon": (later - steps.obs, all_go_on)}
    targets = jnp.concatenate([steps.next_obs - steps.obs, steps.reward[:, None]], axis=-1)

    def errors(near: Array, far: Array, outcome: Gaussian) -> dict[str, Any]:
        return {
            "one_step": (jnp.square(near - steps.next_obs), arrived),
            "horizon": (jnp.square(far - later), all_go_on),
            "reward": (jnp.square(outcome.mean[:, -1:] - steps.reward[:, None]), steps.mask),
            **{name: interval_coverage(outcome, targets, arrived, level=LEVELS[name])[:-1] for name in LEVELS},
        }

    compared = {name: errors(*each) for name, each in said.items()}
    return {**compared, "changes": changes, "reward": (steps.reward[:, None], steps.mask)}


def _deviation(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Standard deviation of each entry ``[D]`` over tasks and times ``[N, T, D]``; 0 where it is rounding."""
    counted = np.asarray(x, np.float64)[weight > 0]
    deviation = counted.std(axis=0) if counted.size else np.zeros(x.shape[-1])
    return np.where(deviation > 1e-6, deviation, 0.0)


def _scaled(errors: tuple[np.ndarray, np.ndarray], unit: np.ndarray) -> float:
    """Root of the mean over entries of the mean square, in units of ``unit`` ``[D]``; NaN where nothing counts."""
    (squares, weight), moving = errors, unit > 0
    counted = np.asarray(squares, np.float64)[weight > 0][:, moving] / unit[moving] ** 2
    return float(np.sqrt(counted.mean())) if counted.size else float("nan")


def check(trained: Experiment) -> None:
    """Refuse a run whose method does not plan, by a ``ValueError``."""
    if trained.method not in PLANNING:
        raise ValueError(f"{trained.title}: needed is one of {', '.join(PLANNING)}")


def errors_of_run(
    run: Run,
    *,
    tasks: int = 40,
    ahead: int = 10,
    task_seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """``model_errors`` of each seed of a run, ``ahead`` steps ahead beside one: a row a seed.

    In each of ``tasks`` test tasks, which ``task_seed`` draws, the run acts for a lifetime without exploration.
    ``report`` is told how many tasks are done, of how many, all seeds counted.
    """
    check(run.config)
    family = run.tasks
    if not 1 <= ahead <= family.horizon:
        raise SettingError(f"ahead: got {ahead}; must be from 1 to the lifetime's {family.horizon} steps")
    online = parts.built(run.config.part("model"), family.env)
    key_tasks, key_act = jax.random.split(jax.random.fold_in(jax.random.key(TEST_KEY), task_seed))
    batch = evaluation_tasks(key_tasks, family, tasks)
    act = lambda key, theta, task: batch_of(run.algorithm.adapt(key, theta, task)[1], -1)  # noqa: E731
    rows, done = [], 0

    def counted(count: int) -> None:
        nonlocal done
        done += count
        report(done, tasks * len(run.config.seeds))

    acted = in_tasks(act, key_act, batch, report=counted)
    for seed, theta in zip(run.config.seeds, of_each_seed(run.thetas), strict=True):
        trajectories = acted(theta)
        found = model_errors(family.env, online, theta, trajectories, horizon=ahead)
        rows.append({"seed": seed, "iteration": run.iteration, **found})
    return rows


def table(trained: Experiment, rows: list[dict[str, Any]], *, tasks: int, ahead: int) -> str:
    """A line a seed, before and after adaptation."""
    names = {"one_step": "1 step", "horizon": f"{ahead} steps", "reward": "reward"}
    # A model without variances claims to be certain.
    if trained.tree["model"]["probabilistic"]:
        names |= {"coverage_50": "in 50 %", "coverage_90": "in 90 %"}
    lines = [("", list(names.values()))]
    for row in rows:
        for when in ("before", "after"):
            lines.append((f"seed {row['seed']}, {when}", [f"{row[when][name]:.3f}" for name in names]))
    return f"\n{trained.title}, {tasks} test tasks; errors in standard deviations\n" + aligned(lines, 24, 12)
