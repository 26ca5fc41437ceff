"""The command ``jaxmeta render``."""

from jaxmeta.commands.render import main

if __name__ == "__main__":
    raise SystemExit(main())
