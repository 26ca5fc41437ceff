"""Write a trained run as a folder that needs no jaxmeta."""

from pathlib import Path

import tyro

from jaxmeta.commands.arguments import command


@command(endings=())
def main(
    run: tyro.conf.Positional[Path],
    *,
    out: Path,
    seed: int | None = None,
    checkpoint: int | None = None,
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu"),
) -> None:
    """Write weights and compiled functions that act and adapt into a folder; its README says how to use them.

    Args:
      run: The run's directory.
      out: The folder to write; it must not exist, or be empty.
      seed: The seed whose weights are exported; the first if not given.
      checkpoint: Meta-iteration of a kept checkpoint; the newest if not given.
      platforms: What the functions are compiled for: cpu, cuda, rocm, tpu.
    """
    from jaxmeta.runs.run import load

    found = load(run, seed=seed, checkpoint=checkpoint)
    print("wrote", found.export(out, platforms=platforms))
