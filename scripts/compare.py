"""The command ``jaxmeta compare``."""

from jaxmeta.commands.compare import main

if __name__ == "__main__":
    raise SystemExit(main())
