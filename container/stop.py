"""SIGTERM and SIGINT as a flag that the training loop looks at between batches.

Standard library only: the handler is installed before anything slow is imported.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """Raised by the signal handler itself while there is nothing to save yet (`Stop.at_once`).

    No `Exception`, so that no library on the way mistakes it for a failure of its own.
    """


class Stop:
    """Whether the job was told to stop, and by which signal.

    The first signal sets the flag; the second ends the process at once.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._raising = False

    @property
    def requested(self) -> bool:
        return self.signal is not None

    def request(self, number: int = signal.SIGTERM) -> None:
        """As if the signal had come: another host of the job has received it."""
        if self.signal is None:
            self.signal = signal.Signals(number)

    def install(self) -> None:
        """Take over SIGTERM and SIGINT. Only the main thread of a process may."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within, a signal raises `Stopped` where the program stands, also one that came before."""
        if self.requested:
            raise Stopped
        self._raising = True
        try:
            yield
        finally:
            self._raising = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            sys.stdout.flush()
            os._exit(128 + number)
        self.request(number)
        if self._raising:
            raise Stopped
