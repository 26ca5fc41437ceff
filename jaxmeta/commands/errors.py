"""How commands end on what cannot be meant: one line on stderr, exit status 2."""

import contextlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

from jaxmeta import parts


def fail(message: str) -> NoReturn:
    """One line on stderr, exit status 2; of a very long one the middle is left out."""
    line = " ".join(message.split())
    line = line if len(line) <= 2000 else f"{line[:1500]} … {line[-300:]}"
    print(f"error: {line}", file=sys.stderr)
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
    except (ValueError, RuntimeError, OSError, ImportError, MemoryError) as error:
        if os.environ.get("JAXMETA_TRACEBACK"):
            raise
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            from jaxmeta.runs.memory import exhausted

            fail(exhausted(error))
        fail((str(error) or type(error).__name__) + _where(error))


@contextlib.contextmanager
def ending_together() -> Iterator[None]:
    """Inside the ``with`` block what ends a process that trains with others ends it at once, so that they end too."""
    try:
        yield
    except BaseException as error:
        hosts = sys.modules.get("jaxmeta.runs.hosts")
        if hosts is None or not hosts.begun():
            raise
        if not isinstance(error, SystemExit):
            traceback.print_exception(error)
        hosts.end_now(status=error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1)


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


def one_line_signals() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP end the process with one line, and exit status 128 + n.

    It ends at once, as a kill would, from which nothing is lost: an exception could be swallowed wherever it arose.
    """

    def handle(number: int, frame: Any) -> None:
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), f"stopped by {signal.Signals(number).name}\n".encode())
        os._exit(128 + number)

    for number in (getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)):
        # One that is ignored, as SIGHUP is under nohup, stays so.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)


class Lenient:
    """A stream whose failures are nobody's: what cannot be written, to a closed pipe or a full disk, is dropped."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            return self._stream.write(text.encode("ascii", "replace").decode())
        except OSError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        # What is still in the buffer must not fail when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
