"""Make meta-parameters that ``jaxmeta.pretrained`` opens by their name."""

from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from jaxmeta import registry
from jaxmeta.commands.arguments import command

if TYPE_CHECKING:
    from jaxmeta.runs.run import Run


@command(endings=())
def main(names: tyro.conf.Positional[tuple[str, ...]] = (), *, out: Path | None = None) -> None:
    """Train, evaluate and describe meta-parameters; goes on where it was cut off. Without NAMES: says which there are.

    Args:
      names: Of meta-parameters; all makes all of them.
      out: The folder in which they lie, each in one of its own; ~/.cache/jaxmeta, or JAXMETA_PRETRAINED, if not given.
    """
    from jaxmeta.runs.pretrained import home, recipes

    known = recipes()
    if not names:
        print("\n".join(f"{name:26s}{one.minutes:3g} min  {one.train}" for name, one in known.items()))
        return
    for name in names:
        registry.check("name", name, [*known, "all"])
    from jaxmeta.commands import train
    from jaxmeta.runs.directory import CARD
    from jaxmeta.runs.logging import write_text
    from jaxmeta.runs.run import CONFIG, load
    from jaxmeta.studies.cards import card

    folder = home() if out is None else out
    for name in known if "all" in names else names:
        directory = folder / name
        there = directory / CONFIG
        done = there.is_file() and (directory / "evaluation.json").is_file() and _finished(load(directory))
        if done:
            print(f"{directory}: is there already")
        else:
            print(f"{name}: about {known[name].minutes:g} minutes on two CPU cores", flush=True)
            status = train.main([*known[name].arguments, "--out", str(directory), "--auto-resume"])
            if status:
                raise SystemExit(status)
        write_text(directory / CARD, card(directory, name, f"jaxmeta train {known[name].train}"))
        print("wrote", directory / CARD)


def _finished(run: "Run") -> bool:
    return run.iteration >= run.config.tree["iterations"]
