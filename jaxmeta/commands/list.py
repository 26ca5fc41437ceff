"""Name the methods, families and presets there are."""

from jaxmeta import registry
from jaxmeta.commands.arguments import command
from jaxmeta.runs import presets


@command()
def main() -> None:
    """Name the methods, families and presets there are."""
    for title, rows in (("methods", registry.methods()), ("families", registry.families())):
        print(f"{title}:")
        print("\n".join(f"  {name:26s}{row.summary}" for name, row in rows.items()) + "\n")
    print("presets:")
    print("\n".join(f"  {name}" for name in presets.names()))
