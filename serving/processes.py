"""gunicorn's parent and worker processes, mended where they fall short of the contract."""

from __future__ import annotations

import logging
import signal
import socket
from typing import Any

from gunicorn import util
from gunicorn.arbiter import Arbiter
from gunicorn.http.errors import (
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers import gthread

log = logging.getLogger("serving")

# Seconds that a stopping worker keeps idle connections. gunicorn's 2 would come on top of the last request.
gthread.STOP_KEEPALIVE_LINGER = 1.0

_STATUS: list[tuple[type[Exception], str]] = [
    (LimitRequestLine, "414 URI Too Long"),
    (LimitRequestHeaders, "431 Request Header Fields Too Large"),
    (UnsupportedTransferCoding, "501 Not Implemented"),
    (ParseException, "400 Bad Request"),
]


_STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}


class Parent(Arbiter):  # type: ignore[misc]
    """Starts workers that miss no signal: one that comes before a worker has handlers of its own would end in
    those inherited from the parent, and the parent would wait for that worker as long as it may."""

    def spawn_worker(self) -> int:
        """Fork; signals to stop wait meanwhile, in the worker until `Worker.init_signals`."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
        try:
            pid: int = super().spawn_worker()
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """Answers what is no HTTP without HTML."""

    def init_signals(self) -> None:
        """Take the signals that came since the fork."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer a request that does not parse with its reason, in one plain line."""
        status = next(
            (status for kind, status in _STATUS if isinstance(exc, kind)), "500 Internal Server Error"
        )
        if status.startswith("500"):
            log.error("request failed outside the application", exc_info=exc)
            reason = "internal error"
        else:
            reason = " ".join(f"malformed request: {exc}".split())[:300]
            log.warning("%s %s", status[:3], reason)
        body = reason.encode("utf-8", "replace")
        head = (
            f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode() + body)
        except OSError:  # the client has gone
            return
