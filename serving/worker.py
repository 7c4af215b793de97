"""gunicorn's threaded worker, with its own errors said as ours are: without HTML."""

from __future__ import annotations

import logging
import socket
from typing import Any

from gunicorn import util
from gunicorn.http.errors import (
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import ThreadWorker

log = logging.getLogger("serving")

_STATUS: list[tuple[type[Exception], str]] = [
    (LimitRequestLine, "414 URI Too Long"),
    (LimitRequestHeaders, "431 Request Header Fields Too Large"),
    (UnsupportedTransferCoding, "501 Not Implemented"),
    (ParseException, "400 Bad Request"),
]


class Worker(ThreadWorker):  # type: ignore[misc]
    """Answers what is no HTTP before the application sees it."""

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
