"""The command line: each module parses, calls and prints. ``jaxmeta NAME`` and ``python -m jaxmeta NAME`` run them."""
