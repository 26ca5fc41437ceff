"""What adapting in the models of a run of ``model-maml`` is worth in the real tasks, by how the models end episodes.

``python benchmarks/imagined_adaptation.py RUN``: in unseen tasks, the mean return of policies after one step on real
episodes, and after one on episodes of models that have adapted to a real lifetime, in which ends are drawn (as in
training), left out, or expected (a reward weighs as much as it is probable that the episode came so far). Beside them
the error of the models' rewards where the adapted policy goes, by how much the reward is.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

import jaxmeta
from jaxmeta import parts
from jaxmeta.data import collect_episodes, transitions_of
from jaxmeta.models import adapt_model, imagined_tasks, sample_step
from jaxmeta.models.imagined_tasks import ImaginedEnv, ImaginedState, ImaginedTask
from jaxmeta.runs.evaluate import of_each_seed
from jaxmeta.runs.loop import evaluation_tasks

REWARDS = (0.0, 0.03, 0.1, 0.2, 0.4, np.inf)
"""Ends of the ranges of the reward's size."""


@struct.dataclass
class LastingState(ImaginedState):
    alive: Any = 1.0


class Lasting(ImaginedEnv):
    """Imagined episodes of full length; ``expected``: their rewards are weighed."""

    def __init__(self, env: Any, model: Any, expected: bool):
        super().__init__(env, model)
        self.expected = expected

    def reset_env(self, key, params):
        obs, state = super().reset_env(key, params)
        return obs, LastingState(obs=state.obs, time=state.time, alive=jnp.ones(()))

    def step_env(self, key, state, action, params):
        obs, reward, _ = sample_step(key, self.model, params.model, state.obs, action)
        ending = jax.nn.sigmoid(self.model.predict(params.model, state.obs, action).ending)
        alive = state.alive * (1.0 - ending) if self.expected else state.alive
        next_state = LastingState(obs=obs, time=state.time + 1, alive=alive)
        return obs, next_state, state.alive * reward, jnp.zeros((), bool), {}


def compared(run: Any, *, tasks: int, task_seed: int, episodes: tuple[int, ...]) -> dict[str, Any]:
    family, tree, algorithm = run.tasks, run.config.tree, run.algorithm
    built = {name: parts.built(run.config.part(name), family.env) for name in ("model", "policy")}
    fitting = {name: parts.built(run.config.part(name)) for name in ("estimator", "inner_loss")}
    model, theta = built["model"], of_each_seed(run.thetas)[0]
    key_tasks, key_worlds, key_returns = jax.random.split(jax.random.key(task_seed), 3)
    batch = evaluation_tasks(key_tasks, family, tasks)

    def acted(learner: Any, weights: Any, key: Any, task: Any, phi: Any) -> Any:
        sizes = {"episodes": tree["episodes"], "horizon": family.horizon}
        return collect_episodes(key, family.env, task, learner, weights, phi, **sizes)[0]

    def one_task(key: Any, task: Any) -> tuple[Any, Any, Any]:
        learner = algorithm.learner
        key_before, key_adapt, key_after = jax.random.split(key, 3)
        before = acted(learner, theta, key_before, task, learner.begin(theta))
        after = acted(learner, theta, key_after, task, algorithm.adapt(key_adapt, theta, task)[0])
        first, second = transitions_of(before), transitions_of(after)
        both = jax.tree.map(lambda *each: jnp.concatenate(each), first, second)
        starts = jnp.concatenate([before.obs[:, 0], after.obs[:, 0]])
        models, errors = {}, {}
        for name, data in (("before adaptation", first), ("before and after", both)):
            how = {"rate": tree["model_rate"], "steps": tree["model_steps"]}
            models[name] = adapt_model(model, theta["model"], data, data.mask, **how)
            means = model.predict(models[name], second.obs, second.action).outcome.mean[..., -1]
            errors[name] = means - second.reward
        world = ImaginedTask(
            model=models["before and after"], starts=starts, max_steps_in_episode=jnp.int32(family.horizon)
        )
        return world, errors, second

    worlds, errors, seen = jax.jit(jax.vmap(one_task))(jax.random.split(key_worlds, tasks), batch)
    size = np.abs(seen.reward)
    found: dict[str, Any] = {"reward errors": {}, "returns": {}}
    for name, error in errors.items():
        within = [(size >= low) & (size < high) & (seen.mask > 0) for low, high in itertools.pairwise(REWARDS)]
        found["reward errors"][name] = [float(np.mean(np.asarray(error)[one])) if one.any() else None for one in within]
    imagined = imagined_tasks(family, model, starts=worlds.starts.shape[1])
    families = {
        "real": (family, batch),
        "drawn": (imagined, worlds),
        "never": (imagined._replace(env=Lasting(family.env, model, False)), worlds),
        "expected": (imagined._replace(env=Lasting(family.env, model, True)), worlds),
    }
    for count in episodes:
        settings = {"episodes": count, "inner_rate": tree["inner_rate"], "adaptation_steps": 1}
        for name, (where, each) in families.items():
            maml = jaxmeta.maml(where, policy=built["policy"], **settings, **fitting)

            def returned(key: Any, world: Any, task: Any, maml: Any = maml) -> Any:
                key_adapt, key_act = jax.random.split(key)
                phi = maml.adapt(key_adapt, theta["policy"], world)[0]
                trajectory = acted(maml.learner, theta["policy"], key_act, task, phi)
                return jnp.mean(jnp.sum(trajectory.reward * trajectory.mask, axis=-1))

            found["returns"][f"{name}, {count} episodes"] = float(
                jnp.mean(jax.jit(jax.vmap(returned))(jax.random.split(key_returns, tasks), each, batch))
            )
    return found


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of model-maml; its first seed is taken")
    parser.add_argument("--tasks", type=int, default=40, help="unseen tasks")
    parser.add_argument("--task-seed", type=int, default=99, help="draws them")
    parser.add_argument("--episodes", type=int, nargs="+", default=[10, 20], help="in the step of adaptation")
    arguments = parser.parse_args(argv)
    sizes = {"tasks": arguments.tasks, "task_seed": arguments.task_seed, "episodes": tuple(arguments.episodes)}
    print(json.dumps(compared(jaxmeta.load(arguments.run), **sizes), indent=1))


if __name__ == "__main__":
    main()
