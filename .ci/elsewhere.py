"""A user's own family, in a file of its own; run as a script it opens what the command line trained."""

import jax

import jaxmeta


def line(*, horizon: int = 5, length: float = 1.0) -> jaxmeta.TaskDistribution:
    """Point robots with goals on a line.

    Args:
      horizon: steps in an episode at most, ≥ 1.
      length: of the line, > 0.
    """
    tasks = jaxmeta.tasks.make("navigation", horizon=horizon)

    def sample(key):
        task = tasks.sample(key)
        return task.replace(goal=task.goal.at[1].set(0.0) * length)

    return tasks._replace(sample=sample)


jaxmeta.registry.family("line", line, "goals on a line")

if __name__ == "__main__":
    run = jaxmeta.load("run")
    phi, lifetime = run.adapt(jax.random.key(0), run.tasks.sample(jax.random.key(1)))
    assert lifetime.task.goal[1] == 0.0
    print(run.config.title, run.iteration, run.evaluate(tasks=3)["summary"]["sampled"]["iqm"])
