"""Several processes that train one run together: how they find each other, agree, write once, and end."""

import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxmeta.checks import check_between, check_least

Result = TypeVar("Result")
DIED = "a process that trains with this one died or does not answer"
_NEVER = 10**6  # seconds
_waiting = threading.Event()
SEEN_WITHIN = 60
"""Seconds after which a network's file system is taken to show what is new there."""


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Whether this process trains a run together with others, on this machine or on several."""

    distributed: bool = False
    """Train together with the other processes that Slurm, Open MPI, Cloud TPU or Kubernetes tell of."""
    coordinator: str | None = None
    """HOST:PORT of process 0, where nothing tells of the others; give --processes and --process too."""
    processes: int | None = None
    """How many processes train together."""
    process: int | None = None
    """Which of them this one is, from 0."""
    connect_timeout: int = 300
    """Seconds to wait for all of them at the start."""


class HostsError(RuntimeError):
    """Processes that do not find each other or do not agree; the message is one line that says what to do."""


def join(hosts: Hosts) -> None:
    """Wait for the other processes, before anything uses a device; nothing where none are told of.

    Raises:
      ValueError: an incomplete or impossible description.
      HostsError: nothing tells of other processes, or they cannot be joined.
    """
    given = (hosts.coordinator, hosts.processes, hosts.process)
    if not hosts.distributed and given == (None, None, None):
        return
    if not hosts.distributed and None in given:
        raise ValueError("coordinator: give --coordinator, --processes and --process together, or --distributed")
    check_least(1, connect_timeout=hosts.connect_timeout)
    if hosts.processes is not None:
        check_least(1, processes=hosts.processes)
    if hosts.process is not None:
        check_between(0, (hosts.processes or sys.maxsize) - 1, process=hosts.process)
    if hosts.coordinator is not None:
        port = hosts.coordinator.rpartition(":")[2]
        if not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(f"coordinator: got {hosts.coordinator!r}; must be HOST:PORT, a port from 1 to 65535")
    late = time.monotonic() + hosts.connect_timeout
    if hosts.coordinator is not None and hosts.process:
        _wait_for(hosts.coordinator, late)
    try:
        _initialize(given, hosts, late)
    except ValueError as error:
        raise HostsError(
            "distributed: neither Slurm nor Open MPI, Cloud TPU or Kubernetes tells of other processes; give "
            f"--coordinator, --processes and --process ({error})"
        ) from error
    except HostsError:
        raise
    except RuntimeError as error:
        raise HostsError(f"distributed: {str(error).strip().splitlines()[0]}") from error


def _initialize(given: tuple[str | None, int | None, int | None], hosts: Hosts, late: float) -> None:
    """``jax.distributed.initialize`` with an end: JAX, when its own time is over, aborts with a trace of its C++."""
    came: list[Exception | None] = []

    def initialize() -> None:
        try:
            jax.distributed.initialize(*given, initialization_timeout=_NEVER)
            came.append(None)
        except Exception as error:
            came.append(error)

    # In a thread of its own: signals are heard meanwhile.
    thread = threading.Thread(target=initialize, daemon=True)
    _waiting.set()
    thread.start()
    thread.join(max(1.0, late - time.monotonic()))
    if not came:
        of = "all" if hosts.processes is None else f"all {hosts.processes}"
        raise HostsError(
            f"coordinator: not {of} processes came within {hosts.connect_timeout} s; start them together, or wait "
            "longer by --connect-timeout"
        )
    _waiting.clear()
    if came[0] is not None:
        raise came[0]


def _wait_for(coordinator: str, late: float) -> None:
    """Wait until process 0 answers: JAX, when its time is over, aborts with a trace of its C++."""
    host, _, port = coordinator.rpartition(":")
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > late:
                why = error.strerror or error
                raise HostsError(f"coordinator: {coordinator} does not answer ({why}); is process 0 there?") from error
        time.sleep(0.2)


def end_now(line: str | None = None, status: int = 2) -> NoReturn:
    """End at once: the others see it, where leaving in order would wait for them."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if joined() and first():
        # The others listen to this one: they say what they have to say before it is gone.
        time.sleep(1.0)
    if line is not None:
        with contextlib.suppress(OSError):
            os.write(2, f"{line}\n".encode())
    os._exit(status)


def begun() -> bool:
    """Whether this process has begun to wait for others, or has joined them."""
    return jax.distributed.is_initialized()


def joined() -> bool:
    """Whether others know of this process, and would wait for it."""
    return begun() and not _waiting.is_set()


def several() -> bool:
    """Whether several processes train together."""
    return jax.process_count() > 1


def first() -> bool:
    """Whether this is the process that writes and speaks."""
    return jax.process_index() == 0


@contextlib.contextmanager
def while_all_live() -> Iterator[None]:
    """Inside the ``with`` block a failed exchange with other processes is a ``HostsError``."""
    try:
        yield
    except HostsError:
        raise
    except Exception as error:
        # JAX raises several kinds. On GPUs it ends the process itself, once it has missed a heartbeat for 100 seconds.
        words = ("Gloo", "NCCL", "coordination", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "heartbeat", "barrier")
        if not several() or not any(word in str(error) for word in words):
            raise
        raise HostsError(f"{DIED} ({str(error).strip().splitlines()[0][:200]})") from error


def largest(*numbers: int) -> list[int]:
    """Of each number the largest that any process has; all processes must ask."""
    if not several():
        return list(numbers)
    return [int(x) for x in np.max(multihost_utils.process_allgather(np.asarray(numbers, np.int32)), axis=0)]


def least_memory(size: int | None) -> int | None:
    """The least memory that any process has, in bytes and whole MiB, ``None`` where none knows; all must ask."""
    if not several():
        return size
    unknown = np.iinfo(np.int32).max
    least = -largest(-(unknown if size is None else size // 2**20))[0]
    return None if least == unknown else least * 2**20


def whole(x: Any) -> np.ndarray:
    """An array on the host, whichever processes its parts are of; all processes must ask."""
    apart = isinstance(x, jax.Array) and not (x.is_fully_addressable or x.is_fully_replicated)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True) if apart else x)


def check_agreed(**content: Any) -> None:
    """Refuse processes that were started with different settings; all processes must ask.

    Raises:
      HostsError: names the settings that differ.
    """
    if not several():
        return
    digests = {
        name: hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).digest()
        for name, value in content.items()
    }
    mine = np.frombuffer(b"".join(digests.values()), np.uint8).reshape(len(digests), 16)
    theirs = multihost_utils.process_allgather(mine)
    for place, name in enumerate(digests):
        other = [process for process in range(len(theirs)) if np.any(theirs[process, place] != theirs[0, place])]
        if other:
            raise HostsError(f"{name}: process {other[0]} has another than process 0; start all with the same command")


def on_first(function: Callable[[], Result]) -> Result:
    """``function()``, which is JSON, called by the first process alone and given to all; all processes must ask.

    Raises:
      HostsError: it failed on the first process, and this is another.
    """
    if not several():
        return function()
    failure, said = None, {}
    if first():
        try:
            said = {"result": function()}
        except Exception as error:
            failure, said = error, {"failure": str(error) or type(error).__name__}
    text = np.frombuffer(json.dumps(said).encode(), np.uint8)
    size = largest(len(text))[0]
    text = multihost_utils.broadcast_one_to_all(np.pad(text, (0, size - len(text)))[:size])
    said = json.loads(bytes(text).rstrip(b"\0"))
    if failure is not None:
        raise failure
    if "failure" in said:
        raise HostsError(f"process 0: {said['failure']}")
    return said["result"]


def check_seen(mark: Path) -> None:
    """Refuse a directory other than the first process's own, be it of the same name; all processes must ask.

    Args:
      mark: a file that the first process writes there, the others look for, and the first removes.

    Raises:
      HostsError: it is not on a file system that all processes share.
    """
    if not several():
        return

    def written() -> str:
        token = uuid.uuid4().hex
        mark.unlink(missing_ok=True)
        mark.write_text(token)
        return token

    token, late = on_first(written), time.monotonic() + SEEN_WITHIN
    try:
        while not (mark.is_file() and mark.read_text() == token):
            if time.monotonic() > late:
                raise HostsError(
                    f"{mark.parent}: process {jax.process_index()} does not see what process 0 writes there; it must "
                    "be on a file system that all hosts share"
                )
            time.sleep(0.5)
        largest(0)  # The mark stays until all have seen it.
    finally:
        if first():
            mark.unlink(missing_ok=True)


def preempted(step: int) -> int:
    """SIGTERM where JAX's own handler had it, at a step that is the same in all processes, which must all ask; or 0.

    A handler of ours takes the place of JAX's; where we may have none, outside the main thread, JAX's is there.
    """
    if not several():
        return 0
    try:
        return int(signal.SIGTERM) if multihost_utils.reached_preemption_sync_point(step) else 0
    except RuntimeError:  # Turned off.
        return 0


def leave() -> None:
    """Part from the other processes: from here on each is alone. All processes must ask."""
    if several():
        jax.distributed.shutdown()
