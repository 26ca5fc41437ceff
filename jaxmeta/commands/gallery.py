"""One picture of each task family, in a grid, as a PNG."""

import dataclasses
import sys
from pathlib import Path

from jaxmeta import registry
from jaxmeta.checks import check_least
from jaxmeta.commands.arguments import imported
from jaxmeta.commands.errors import check_folders, one_line_errors


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    import tyro

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

    with one_line_errors():
        arguments = tyro.cli(Gallery, args=imported(sys.argv[1:] if argv is None else argv), prog="jaxmeta gallery")
        check_folders(out=arguments.out)
        check_least(0, **{"--seed": arguments.seed, "--steps": arguments.steps})
        check_least(1, **{"--columns": arguments.columns})
        known = list(registry.families())
        for name in arguments.family:
            registry.check("--family", name, known)
        from jaxmeta.plots import RESOLUTION, gallery

        drawn = list(arguments.family) or known
        figure = gallery(drawn, seed=arguments.seed, steps=arguments.steps, columns=arguments.columns)
        figure.savefig(arguments.out, dpi=RESOLUTION, format="png")
        print("wrote", arguments.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
