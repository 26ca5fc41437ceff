"""Print the settings of a method on a family as TOML, to start a file for ``jaxmeta train --config`` from."""

import sys

from jaxmeta.commands.arguments import split
from jaxmeta.commands.errors import fail, one_line_errors


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if "-h" in argv or "--help" in argv:
        print("usage: jaxmeta config [METHOD [FAMILY]] [--preset NAME|none] [--import FILE]\n\n" + (__doc__ or ""))
        return 0
    with one_line_errors():
        names = split(argv)
        if names.rest:
            fail(f"{names.rest[0]}: unknown argument; give METHOD, FAMILY, --preset or --import")
        from jaxmeta.commands import settings

        found = settings.base(names)
        print(f"# {found.title}" + (f", preset {found.preset}" if found.preset else ""))
        print(settings.as_toml(found.config()))
    return 0
