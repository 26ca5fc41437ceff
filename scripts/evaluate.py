"""The command ``jaxmeta evaluate``."""

from jaxmeta.commands.evaluate import main

if __name__ == "__main__":
    raise SystemExit(main())
