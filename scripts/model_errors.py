"""The command ``jaxmeta model-errors``."""

from jaxmeta.commands.main import as_a_process

if __name__ == "__main__":
    raise SystemExit(as_a_process("model-errors"))
