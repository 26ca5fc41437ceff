"""The command ``jaxmeta report``."""

from jaxmeta.commands.main import as_a_process

if __name__ == "__main__":
    raise SystemExit(as_a_process("report"))
