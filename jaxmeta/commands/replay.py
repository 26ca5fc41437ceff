"""Meet once more the tasks of a run whose updates were not finite, with the last good state."""

from pathlib import Path

import tyro

from jaxmeta.commands.arguments import command
from jaxmeta.commands.errors import fail


@command()
def main(run: tyro.conf.Positional[Path], *, checkpoint: int | None = None, debug_nans: bool = False) -> None:
    """Adapt once more to the tasks in RUN/not_finite.json, and tell what is not finite in which of them.

    Args:
      run: The run's directory.
      checkpoint: Meta-iteration of a kept checkpoint; the newest if not given.
      debug_nans: Stop at the first operation that gives a number that is not finite, with where it stands in the code.
    """
    import json

    from jaxmeta.runs.directory import FAILED
    from jaxmeta.runs.run import load, read_config

    read_config(run)
    file = run / FAILED
    if not file.exists():
        fail(f"{file}: there is none; it is written where training ends because its updates are not finite")
    try:
        found = json.loads(file.read_text())
        seed, iteration = int(found["seed"]), int(found["iteration"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        fail(f"{file}: cannot be read ({type(error).__name__}: {error})")
    import jax

    from jaxmeta.runs.diagnosis import in_words, looked_through, met_again

    opened = load(run, seed=seed, checkpoint=checkpoint)
    try:
        key, batch = met_again(found, opened.tasks)
    except (KeyError, ValueError, TypeError) as error:
        fail(f"{file}: does not fit the run's family ({type(error).__name__}: {error})")
    with jax.debug_nans(debug_nans):
        again = looked_through(opened.algorithm, opened.theta, key, batch)
    print(f"seed {seed}, tasks of iteration {iteration}, weights of iteration {opened.iteration}")
    print("not finite then:", in_words(found))
    print("not finite now: ", in_words(again))
    numbers = sorted({number for entry in again["lifetimes"].values() for number in entry})
    for number in numbers[:5]:
        print(f"task {number}:", ", ".join(f"{path} {values[number]}" for path, values in found["tasks"].items()))
