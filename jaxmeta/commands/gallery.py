"""One picture of each task family, in a grid, as a PNG."""

from pathlib import Path

from jaxmeta import registry
from jaxmeta.commands.arguments import command


@command(seed=0, steps=(0, 100_000), columns=1)
def main(
    *,
    out: tuple[Path, ...] = (Path("gallery.png"),),
    family: tuple[str, ...] = (),
    seed: int = 0,
    steps: int = 10,
    columns: int = 6,
) -> None:
    """Draw a sampled task of each family after a few random steps; writes one PNG.

    Args:
      out: The pictures to write.
      family: Families to draw; all if not given.
      seed: Draws tasks and actions.
      steps: Random steps before the picture; an episode that ends before is drawn at its end.
      columns: Pictures in a row, at most.
    """
    known = list(registry.families())
    for name in family:
        registry.check("--family", name, known)
    from jaxmeta.plots import RESOLUTION, gallery, save

    figure = gallery(list(family) or known, seed=seed, steps=steps, columns=columns)
    print("wrote", *save(figure, *out, dpi=RESOLUTION))
