"""The command ``jaxmeta estimators``."""

from jaxmeta.commands.estimators import main

if __name__ == "__main__":
    raise SystemExit(main())
