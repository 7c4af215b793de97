"""The FIFOs of Pipe mode: opened once, waited for, and read so that a silent writer never blocks a stop."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import select
import stat
import time
from pathlib import Path
from typing import Any, Protocol

from optml.errors import UserError

log = logging.getLogger(__name__)

POLL_S = 0.05
WARN_AFTER_S = 60.0
CAPACITY = 1 << 20  # bytes; Linux lets an ordinary process enlarge a pipe up to here


class Flag(Protocol):
    """What a reader is told to stop by: a `threading.Event`, or what waits like one."""

    def wait(self, timeout: float | None = None) -> bool: ...


class StoppedError(Exception):
    """The reader was told to stop while it waited for a FIFO. Never reaches a user."""


class Fifo(io.RawIOBase):
    """A FIFO open for reading.

    `read` waits for data without a lock on the process and raises `StoppedError` soon after `stop` is set.
    Opening waits until the platform has made the FIFO; reading then waits for its writer. Both together
    take at most `timeout` seconds, else UserError; a writer that has begun may pause for as long as it likes.
    """

    def __init__(self, path: Path, *, timeout: float, stop: Flag) -> None:
        self._path = path
        self._timeout = timeout
        self._stop = stop
        self._since = time.monotonic()
        self._warned = False
        self._begun = False
        while not is_fifo(path):
            self._wait()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, CAPACITY)
        except OSError:
            log.debug("%s keeps its small buffer", path)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, less only at the end: many small writes make few, large reads."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view):
            # Before the first writer comes, poll reports nothing, whereas read would report an end.
            if not self._poll.poll(POLL_S * 1000):
                self._wait(0)
                continue
            try:
                count = os.readv(self._descriptor, [view[filled:]])
            except BlockingIOError:
                continue
            if count == 0:
                break
            self._begun = True
            filled += count
        return filled

    def close(self) -> None:
        if not self.closed:
            descriptor = getattr(self, "_descriptor", None)
            if descriptor is not None:
                os.close(descriptor)
        super().close()

    def _wait(self, seconds: float = POLL_S) -> None:
        if self._stop.wait(seconds):
            raise StoppedError(str(self._path))
        waited = time.monotonic() - self._since
        if self._begun or waited < min(WARN_AFTER_S, self._timeout):
            return
        if waited >= self._timeout:
            raise UserError(
                f"no data came through the FIFO {self._path} within {self._timeout:g} s; is the channel in "
                "Pipe mode, and its writer running? OPTML_PIPE_TIMEOUT_S sets the seconds to wait"
            )
        if not self._warned:
            log.warning("Waiting for data from %s; giving up after %g s", self._path, self._timeout)
            self._warned = True


def is_fifo(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except FileNotFoundError:
        return False
