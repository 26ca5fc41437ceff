"""``python -m jaxmeta``: the same commands as ``jaxmeta``."""

from jaxmeta.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
