"""The command ``jaxmeta references``."""

from jaxmeta.commands.references import main

if __name__ == "__main__":
    raise SystemExit(main())
