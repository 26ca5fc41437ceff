"""The command ``jaxmeta gallery``."""

from jaxmeta.commands.gallery import main

if __name__ == "__main__":
    raise SystemExit(main())
