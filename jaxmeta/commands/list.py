"""Name the methods, families and presets there are."""

import sys

from jaxmeta import registry
from jaxmeta.commands.arguments import imported
from jaxmeta.commands.errors import one_line_errors
from jaxmeta.runs import presets


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    with one_line_errors():
        imported(sys.argv[1:] if argv is None else argv)
        for title, rows in (("methods", registry.methods()), ("families", registry.families())):
            print(f"{title}:")
            print("\n".join(f"  {name:26s}{row.summary}" for name, row in rows.items()) + "\n")
        print("presets:")
        print("\n".join(f"  {name}" for name in presets.names()))
    return 0
