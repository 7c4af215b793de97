"""gunicorn's parent process, and a worker that knows how to stop; what it does till then is `Loop`'s."""

from __future__ import annotations

import os
import selectors
import signal
import time
from typing import Any

from gunicorn.arbiter import Arbiter

from optml.serving.connection import Connection, Phase
from optml.serving.loop import Loop, stopping
from optml.serving.stop import DRAIN, Stop, refuse_connections

IDLE = 1.0  # seconds for which a stop waits for the next request on connections that are kept
GRACE = 5.0  # seconds without a byte after which a stop no longer waits for a request
_STOPPED = 0.02  # seconds between looks at whether all workers have stopped

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}


class Parent(Arbiter):  # type: ignore[misc]
    """Starts workers that miss no signal: one that comes before a worker has handlers of its own would end in
    those inherited from the parent, and the parent would wait for that worker as long as it may."""

    def __init__(self, app: Any, ending: Stop) -> None:
        self._ending = ending
        super().__init__(app)

    def stop(self, graceful: bool = True) -> None:
        """Tell the workers that all of them stop, then have them do it."""
        self._ending.begin()
        super().stop(graceful)

    def spawn_worker(self) -> int:
        """Fork; signals to stop wait meanwhile, in the worker until `Worker.init_signals`."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid: int = super().spawn_worker()
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def handle_int(self) -> None:
        """Ctrl-C stops as SIGTERM does; a second one at once."""
        raise StopIteration


class Worker(Loop):
    """Serves until it is told to stop, then stops without losing a request."""

    def init_signals(self) -> None:
        """Take the signals that came since the fork. A terminal sends SIGINT to all processes: it is the
        parent's to say when to end at once (SIGQUIT)."""
        super().init_signals()
        signal.signal(signal.SIGINT, self.handle_exit)
        signal.siginterrupt(signal.SIGINT, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def run(self) -> None:
        """Serve until SIGTERM, then stop without losing a request."""
        self._poller.register(self.PIPE[0], selectors.EVENT_READ, self._woken)
        for listener in self.sockets:
            listener.setblocking(False)
            self._poller.register(listener, selectors.EVENT_READ, self._accept)
        while self.alive and self.ppid == os.getppid():
            self._turn(1.0)
        self._drain()

    def _drain(self) -> None:
        """Answer what has begun to come. If the whole server stops, refuse what comes anew, and leave when
        all workers are as far; else the others take it."""
        began = time.monotonic()
        self._stopping = self.ending.begun()
        for connection in self.connections:
            connection.promised = connection.incoming.begun or not self._stopping
        if not self._stopping:
            self._close_listeners()
        while (now := time.monotonic()) < began + DRAIN:
            if self._quiet(now, began):
                self.ending.done(self.place)
                if not self._stopping or self.ending.everywhere():
                    break
            self._turn(_STOPPED)
        if self._stopping:
            self._take_the_last()
        for connection in list(self.connections):
            self._guarded(self._part, connection)

    def _quiet(self, now: float, began: float) -> bool:
        """Is there no request that must be answered, and has every idle client had the time to send one?"""
        for one in self.connections:
            if one.state is Phase.WORKING or one.state is Phase.SENDING:
                return False
            if one.state is Phase.RECEIVING:
                if one.promised and one.incoming.begun and now - one.active < GRACE:
                    return False
                if not one.incoming.begun and now - began < IDLE:
                    return False
        return True

    def _take_the_last(self) -> None:
        """Close the listener without a reset to those who have just connected."""
        for listener in self.sockets:
            refuse_connections(listener)
        began = time.monotonic()
        while (now := time.monotonic()) < began + 1.0:  # for handshakes on their way, and who comes by them
            fresh = any(
                one.state is Phase.SENDING or (one.state is Phase.RECEIVING and now - one.active < 0.5)
                for one in self.connections
            )
            if now > began + 0.1 and not fresh:
                break
            self._turn(_STOPPED)
        for listener in self.sockets:
            self._accept(listener, 1 << 16)
        self._turn(0)
        self._close_listeners()

    def _close_listeners(self) -> None:
        for listener in self.sockets:
            self._poller.unregister(listener)
            listener.close()

    def _part(self, connection: Connection) -> None:
        """Close a connection, with an answer where a request has come in part or is still in work."""
        if connection.state is Phase.WORKING:
            self._abandon(connection, stopping())
        elif connection.state is Phase.RECEIVING and connection.incoming.begun:
            self._refuse(connection, stopping())
        self._drop(connection)
