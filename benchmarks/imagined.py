"""What the models of a run of ``model-maml`` promise to another run's policy, beside what it gets in the real tasks.

``python benchmarks/imagined.py RUN POLICY_RUN``, both trained on one family: the mean return of POLICY_RUN's unadapted
policy in unseen tasks, and in RUN's models of them, adapted to episodes of RUN's own policy; the root mean square error
of those models' predictions where each policy goes, beside that of predicting no change; and the share of entries of
actions beyond the action space.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of model-maml; its first seed is taken")
    parser.add_argument("policy_run", type=Path, help="a run of maml on the same family, likewise")
    parser.add_argument("--tasks", type=int, default=50, help="unseen tasks")
    parser.add_argument("--task-seed", type=int, default=99, help="draws them")
    arguments = parser.parse_args(argv)

    import jaxmeta

    runs = jaxmeta.load(arguments.run), jaxmeta.load(arguments.policy_run)
    families = [run.config.tree["family"] for run in runs]
    if families[0] != families[1] or runs[0].config.tree["scaled"] != runs[1].config.tree["scaled"]:
        raise SystemExit(
            f"error: the runs are on other tasks: {families[0]} and {families[1]}, or one sees them scaled"
        )
    print(json.dumps(compared(*runs, tasks=arguments.tasks, task_seed=arguments.task_seed), indent=1))


def compared(run: Any, policy_run: Any, *, tasks: int, task_seed: int) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxmeta import parts
    from jaxmeta.data import collect_episodes, transitions_of
    from jaxmeta.models import adapt_model
    from jaxmeta.models.imagined_tasks import ImaginedEnv, ImaginedTask
    from jaxmeta.runs.evaluate import of_each_seed
    from jaxmeta.runs.loop import evaluation_tasks

    family, tree = run.tasks, run.config.tree
    model = parts.built(run.config.part("model"), family.env)
    space = family.env.action_space(family.env.default_params)
    theta, other = (of_each_seed(each.thetas)[0] for each in (run, policy_run))
    key = jax.random.key(task_seed)
    batch, keys = evaluation_tasks(key, family, tasks), jax.random.split(key, tasks)

    def episodes(env: Any, task: Any, key: Any, learner: Any, weights: Any) -> Any:
        sizes = {"episodes": 4, "horizon": family.horizon}
        return collect_episodes(key, env, task, learner, weights, learner.begin(weights), **sizes)[0]

    def returned(trajectory: Any) -> Any:
        return jnp.mean(jnp.sum(trajectory.reward * trajectory.mask, axis=-1))

    @jax.vmap
    def one_task(key: Any, task: Any) -> dict[str, Any]:
        own = episodes(family.env, task, key, run.algorithm.learner, theta)
        real = episodes(family.env, task, key, policy_run.algorithm.learner, other)
        seen = {"its own policy": own, "the other policy": real}
        steps = {who: transitions_of(trajectory) for who, trajectory in seen.items()}
        adapting, data = {"rate": tree["model_rate"], "steps": tree["model_steps"]}, steps["its own policy"]
        adapted = adapt_model(model, theta["model"], data, data.mask, **adapting)
        imagined = ImaginedTask(model=adapted, starts=own.obs[:, 0], max_steps_in_episode=jnp.int32(family.horizon))
        promised = episodes(ImaginedEnv(family.env, model), imagined, key, policy_run.algorithm.learner, other)
        found: dict[str, Any] = {"return": returned(real), "promised": returned(promised)}
        for who, each in steps.items():
            change = jnp.concatenate([each.next_obs - each.obs, each.reward[:, None]], axis=-1)
            error = change - model.predict(adapted, each.obs, each.action).outcome.mean
            beyond = (each.action < space.low) | (each.action > space.high)
            found[who] = {
                "square error": jnp.mean(jnp.square(error), axis=0),
                "square change": jnp.mean(jnp.square(change), axis=0),
                "actions beyond the space": jnp.mean(beyond),
            }
        return found

    means = jax.tree.map(lambda x: jnp.mean(x, axis=0), jax.jit(one_task)(keys, batch))
    for who in ("its own policy", "the other policy"):
        for name in ("error", "change"):
            means[who][name] = jnp.sqrt(means[who].pop(f"square {name}"))
    return jax.tree.map(lambda x: np.round(np.asarray(x, np.float64), 4).tolist(), means)


if __name__ == "__main__":
    main()
