"""One picture of each task family, in a grid, as a PNG."""

import dataclasses
from pathlib import Path

from jaxmeta import registry
from jaxmeta.commands.arguments import command


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Draw a sampled task of each family after a few random steps; writes one PNG."""

    out: Path = Path("gallery.png")
    """The PNG to write."""
    family: tuple[str, ...] = ()
    """Families to draw; all if not given."""
    seed: int = 0
    """Draws tasks and actions."""
    steps: int = 10
    """Random steps before the picture; an episode that ends before is drawn at its end."""
    columns: int = 6
    """Pictures in a row, at most."""


@command(Gallery, seed=0, steps=0, columns=1)
def main(arguments: Gallery) -> None:
    """Draw and save the pictures."""
    known = list(registry.families())
    for name in arguments.family:
        registry.check("--family", name, known)
    from jaxmeta.plots import RESOLUTION, gallery

    drawn = list(arguments.family) or known
    figure = gallery(drawn, seed=arguments.seed, steps=arguments.steps, columns=arguments.columns)
    figure.savefig(arguments.out, dpi=RESOLUTION, format="png")
    print("wrote", arguments.out)
