"""The command ``jaxmeta model-errors``."""

from jaxmeta.commands.model_errors import main

if __name__ == "__main__":
    raise SystemExit(main())
