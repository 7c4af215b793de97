"""One client's connection: what it sends, what it is still to get, and how long there is patience with it."""

from __future__ import annotations

import socket
from collections import deque
from enum import Enum, auto
from threading import Lock
from typing import Any

from optml.serving.errors import RequestError
from optml.serving.incoming import Incoming
from optml.serving.negotiation import speaks_json

_JOINED = 64 << 10  # bytes of an answer that are sent by one call
_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class Phase(Enum):
    RECEIVING = auto()  # idle, or a request is coming
    WORKING = auto()  # a thread makes the answer
    SENDING = auto()  # the client has not taken the whole answer yet
    LEAVING = auto()  # our side is closed; what the client still sends is read and dropped


class Connection:
    """A socket that never blocks. To gunicorn's `Response` it is a socket too: one that gathers the answer.

    While the state is WORKING the answer belongs to the thread that makes it, afterwards to the event loop;
    `lock` guards the step from one to the other.
    """

    __slots__ = (
        "abandoned", "active", "address", "answers", "body", "due", "ended", "incoming", "keep", "lock",
        "mark", "mask", "outgoing", "promised", "server", "socket", "state",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, address: Any, server: Any, incoming: Incoming) -> None:
        self.socket = sock
        self.address = address
        self.server = server  # the address that the client has connected to
        self.incoming = incoming
        self.outgoing: deque[memoryview] = deque()
        self.state = Phase.RECEIVING
        self.lock = Lock()
        self.mask = 0  # what the event loop waits for
        self.due = 0.0  # when patience ends
        self.active = 0.0  # when bytes came last
        self.mark: int | None = None  # bytes of the body when `due` was set; -1 in the head, None when idle
        self.body = 0  # bytes of the request in work
        self.answers = 0
        self.keep = False  # stay open after this answer?
        self.ended = False  # the client sends no more
        self.abandoned = False  # whatever the thread answers comes too late
        self.promised = True  # what it sends will be answered; False after SIGTERM

    @property
    def size(self) -> int:
        """Bytes held in memory for it."""
        return self.incoming.size + self.body + sum(map(len, self.outgoing))

    def sendall(self, data: bytes) -> None:
        """Gather a part of the answer; of one that comes too late, nothing."""
        if data and not self.abandoned:
            self.outgoing.append(memoryview(data))

    def send(self, data: bytes) -> int:
        """gunicorn's "100 Continue", which the client has had before it sent the body."""
        return len(data)

    def flush(self) -> bool:
        """Send what the client takes; is that all? Raises OSError when it has gone."""
        waiting = self.outgoing
        if len(waiting) > 1 and sum(map(len, waiting)) <= _JOINED:
            joined = b"".join(waiting)
            waiting.clear()
            waiting.append(memoryview(joined))
        while waiting:
            part = waiting[0]
            try:
                sent = self.socket.send(part)
            except (BlockingIOError, InterruptedError):
                return False
            if sent < len(part):
                waiting[0] = part[sent:]
            else:
                waiting.popleft()
        return True

    def refuse(self, error: RequestError) -> None:
        """Gather the answer to a request that no thread gets to see, instead of what there is."""
        request = self.incoming.request
        headers = dict(request.headers) if request else {}
        body, media = error.body(json=speaks_json(headers.get("ACCEPT", ""), headers.get("CONTENT-TYPE", "")))
        lines = [
            f"HTTP/1.1 {error.status} {_REASONS[error.status]}",
            "Connection: close",
            f"Content-Type: {media}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in error.headers),
        ]
        self.outgoing.clear()
        if request and request.method == "HEAD":
            body = b""
        self.outgoing.append(memoryview("\r\n".join([*lines, "", ""]).encode() + body))
