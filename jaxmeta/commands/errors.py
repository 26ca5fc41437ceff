"""How commands end on what cannot be meant: one line on stderr, exit status 2."""

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterator
from typing import NoReturn

from jaxmeta import parts


def fail(message: str) -> NoReturn:
    """One line on stderr, exit status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Inside the ``with`` block an error that says what to do ends the command with its message alone.

    The message of a ``SettingError`` begins with a setting's path, which is shown as a flag.
    """
    try:
        yield
    except parts.SettingError as error:
        path, colon, rest = str(error).partition(":")
        fail(f"--{path.replace('_', '-')}{colon}{rest}" if re.fullmatch(r"[\w.-]+", path) else str(error))
    except BrokenPipeError:
        # Whoever read has seen enough; what is left must not be written when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        if os.environ.get("JAXMETA_TRACEBACK"):
            raise
        fail((str(error) or type(error).__name__) + _where(error))


def _where(error: Exception) -> str:
    """Where an error was raised, if it is none of ours: those name what is wrong before a colon."""
    if type(error) not in (ValueError, RuntimeError) or ": " in str(error):
        return ""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f" (in {last.filename}, line {last.lineno}; JAXMETA_TRACEBACK=1 shows all)"


@contextlib.contextmanager
def of_flags(prefix: str = "") -> Iterator[None]:
    """Inside the ``with`` block an error that begins with a name is of the flag ``--{prefix}{name}``."""
    try:
        yield
    except ValueError as error:
        raise parts.SettingError(f"{prefix}{error}") from error
