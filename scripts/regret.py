"""The command ``jaxmeta regret``."""

from jaxmeta.commands.regret import main

if __name__ == "__main__":
    raise SystemExit(main())
