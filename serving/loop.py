"""The event loop of a worker: it reads and writes all connections and never waits for one of them.

Only a request that is there to its last byte takes one of the threads that compute, and an answer leaves them
whole. So clients that send nothing, stop in mid-body or do not take their answers cost a socket each, not a
thread.
"""

from __future__ import annotations

import logging
import os
import resource
import selectors
import socket
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gunicorn.http import wsgi
from gunicorn.workers import base

from optml import memory
from optml.serving import metrics
from optml.serving.batching import overtaken
from optml.serving.connection import Connection, Phase
from optml.serving.errors import RequestError, busy
from optml.serving.incoming import Incoming

if TYPE_CHECKING:
    from optml.serving.settings import Settings
    from optml.serving.stop import Stop

log = logging.getLogger(__name__)

KEEP_ALIVE = 75.0  # seconds an idle connection stays open
LINGER = 5.0  # seconds that a connection is read on after our last byte: a reset could destroy that
LATE = 2.0  # seconds after its deadline that a request is answered for: its thread should have seen it
MAX_CONNECTIONS = 16_384  # of a worker, if the limit on open files allows
READ = 256 << 10  # bytes received at a time
AHEAD = 64 << 10  # bytes that a client may send ahead of the answer to its last request
LEAST = 1024  # bytes of a body that count as progress
_ACCEPTED = 8  # new connections in a row, before others have their turn


class Loop(base.Worker):  # type: ignore[misc]
    """An event loop and the threads it feeds.

    Set by the server before the fork: `settings`, `place` (the worker's number) and `ending`.
    """

    settings: Settings
    place: int
    ending: Stop

    def init_process(self) -> None:
        self.connections: set[Connection] = set()
        self._poller = selectors.DefaultSelector()
        self._answered: deque[Connection] = deque()
        self._asleep = False
        self._stopping = False
        self._swept = 0.0
        self._limit = _most_connections()
        self._bytes = 0  # bytes of all connections, or more
        self._most_bytes = self.settings.request_memory or max(
            self.settings.max_content_length, memory.free() // (4 * self.cfg.workers)
        )
        self._threads = ThreadPoolExecutor(self.settings.threads, "request")
        self._aside = ThreadPoolExecutor(2, "aside")  # for what never waits for a model
        super().init_process()

    # The event loop: all below runs in its thread, but for `_answer`.

    def _turn(self, timeout: float) -> None:
        """Wait for events and handle them."""
        self._asleep = True  # from here on threads wake us; what they had finished before is seen at once
        events = self._poller.select(0 if self._answered else timeout)
        self._asleep = False
        for key, mask in events:
            if isinstance(key.data, Connection):
                self._guarded(self._ready, key.data, mask)
            else:
                key.data(key.fileobj)
        while self._answered:
            self._guarded(self._sent, self._answered.popleft())
        now = time.monotonic()
        if now - self._swept >= 1.0:
            self._swept = now
            self.notify()
            for connection in [one for one in self.connections if one.due < now]:
                self._guarded(self._expire, connection)

    def _guarded(self, handle: Any, connection: Connection, *arguments: Any) -> None:
        """An error costs the connection where it arose, never the loop."""
        try:
            handle(connection, *arguments)
        except OSError:  # the client has gone
            self._drop(connection)
        except Exception:
            log.exception("a connection failed")
            self._drop(connection)

    def _woken(self, pipe: int) -> None:
        with suppress(BlockingIOError):
            os.read(pipe, 4096)

    def _accept(self, listener: Any, most: int = _ACCEPTED) -> None:
        for _ in range(most):
            try:
                client, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # gone already, or no file is left
                log.warning("cannot accept a connection: %s", error)
                self._make_room()
                return
            client.setblocking(False)
            incoming = Incoming(self.cfg, address, self.settings.max_content_length)
            connection = Connection(client, address, listener.getsockname(), incoming)
            connection.active = time.monotonic()
            connection.due = connection.active + KEEP_ALIVE
            connection.promised = not self._stopping
            self.connections.add(connection)
            self._watch(connection, selectors.EVENT_READ)
            if len(self.connections) > self._limit:
                self._make_room()

    def _make_room(self) -> None:
        """Close the connections that have been silent for longest."""
        silent = sorted(
            (one for one in self.connections if one.state is not Phase.WORKING), key=lambda one: one.active
        )
        log.warning("%d connections are open: closing the most silent ones", len(self.connections))
        for connection in silent[: 1 + len(silent) // 16]:
            self._guarded(self._close_silent, connection)

    def _close_silent(self, connection: Connection) -> None:
        if connection.state is Phase.RECEIVING and connection.incoming.begun:
            self._refuse(connection, busy("too many connections are open"))
        self._drop(connection)

    def _ready(self, connection: Connection, mask: int) -> None:
        if mask & selectors.EVENT_WRITE and connection.state is Phase.SENDING:
            connection.active = time.monotonic()
            connection.due = connection.active + self.settings.stall
            self._sent(connection)
        if mask & selectors.EVENT_READ and connection.mask & selectors.EVENT_READ:
            self._receive(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(READ)
        except (BlockingIOError, InterruptedError):
            return
        connection.active = time.monotonic()
        if connection.state is Phase.LEAVING:
            if not data:
                self._drop(connection)
            return
        if data:
            connection.incoming.feed(data)
            self._bytes += len(data)
            if self._bytes > self._most_bytes:
                self._shed()
        else:
            connection.ended = True
        if connection.state is Phase.RECEIVING:
            self._advance(connection)
        elif connection.ended or connection.incoming.size > AHEAD:
            self._watch(connection, connection.mask & ~selectors.EVENT_READ)

    def _advance(self, connection: Connection) -> None:
        """Look for a whole request in what a connection has sent."""
        incoming = connection.incoming
        try:
            request = incoming.next()
        except RequestError as error:
            self._refuse(connection, error)
            return
        if request is not None:
            self._admit(connection, request)
        elif connection.ended:
            if incoming.begun:
                self._refuse(connection, incoming.broken_off())
            else:
                self._drop(connection)
        elif incoming.begun:
            self._be_patient(connection)
        else:
            connection.mark = None
            connection.due = connection.active + KEEP_ALIVE

    def _be_patient(self, connection: Connection) -> None:
        """Set until when the rest of a head must come, or more of a body."""
        incoming = connection.incoming
        mark = incoming.size if incoming.in_body else -1
        before = connection.mark
        if before is None or (mark > before and (before < 0 or mark - before >= LEAST)):
            connection.mark = mark
            connection.due = connection.active + self.settings.stall
        if incoming.expects and not connection.outgoing:
            if self._stopping and not connection.promised:
                self._refuse(connection, stopping())
                return
            incoming.expects = False
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.flush()

    def _admit(self, connection: Connection, request: Any) -> None:
        if self._stopping and not connection.promised:
            self._refuse(connection, stopping())
            return
        connection.state = Phase.WORKING
        connection.mark = None
        connection.body = request.body.getbuffer().nbytes
        late = self.settings.timeout + LATE if _is_invocation(request) else float("inf")
        connection.due = connection.active + late
        threads = self._aside if request.method in ("GET", "HEAD") else self._threads
        threads.submit(self._answer, connection, request, connection.active)

    def _answer(self, connection: Connection, request: Any, arrival: float) -> None:
        """In a thread: have the application answer, and send it as far as the client takes it."""
        keep = False
        try:
            response, environ = wsgi.create(
                request, connection, connection.address, connection.server, self.cfg
            )
            environ["wsgi.multithread"] = True
            environ["optml.arrival"] = arrival
            parts = self.wsgi(environ, response.start_response)
            try:
                if not self.alive:
                    response.force_close()
                for part in parts:
                    response.write(part)
                response.close()
            finally:
                if hasattr(parts, "close"):
                    parts.close()
            keep = not response.should_close()
        except Exception as error:
            log.error("request failed outside the application", exc_info=error)
            if not connection.abandoned:
                connection.refuse(RequestError(500, "InternalError", "internal error"))
        finally:
            with connection.lock:
                if not connection.abandoned:
                    connection.keep = keep
                    connection.state = Phase.SENDING
                    with suppress(OSError):  # the loop finds the same error
                        connection.flush()
                    self._answered.append(connection)
                    if self._asleep:
                        with suppress(OSError):
                            os.write(self.PIPE[1], b".")

    def _sent(self, connection: Connection) -> None:
        """Go on with an answer that is on its way or with the client already."""
        if connection not in self.connections:
            return
        if not connection.flush():
            if not connection.mask & selectors.EVENT_WRITE:
                connection.due = time.monotonic() + self.settings.stall
                self._watch(connection, connection.mask | selectors.EVENT_WRITE)
            return
        self._bytes -= connection.body
        connection.body = 0
        connection.answers += 1
        if not connection.keep or (connection.ended and not connection.incoming.begun):
            self._leave(connection)
            return
        connection.state = Phase.RECEIVING
        connection.active = time.monotonic()
        if not connection.ended:
            self._watch(connection, selectors.EVENT_READ)
        self._advance(connection)

    def _refuse(self, connection: Connection, error: RequestError) -> None:
        """Answer from the loop, then close."""
        request = connection.incoming.request
        if request and _is_invocation(request):
            metrics.ANSWERS.observe(error.status)
        if error.status != 503:
            log.warning("%d %s", error.status, error.message)
        connection.refuse(error)
        connection.keep = False
        connection.state = Phase.SENDING
        self._sent(connection)

    def _leave(self, connection: Connection) -> None:
        """Close our side; the client's is read until it closes too, for a while."""
        if connection.ended:
            self._drop(connection)
            return
        connection.state = Phase.LEAVING
        connection.incoming.discard()
        connection.due = time.monotonic() + LINGER
        connection.socket.shutdown(socket.SHUT_WR)
        self._watch(connection, selectors.EVENT_READ)

    def _drop(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            connection.abandoned = True
            self._watch(connection, 0)
            connection.socket.close()

    def _expire(self, connection: Connection) -> None:
        if connection.state is Phase.WORKING:
            self._abandon(connection, overtaken())
        elif connection.state is Phase.RECEIVING and connection.incoming.begun:
            message = f"the request stopped coming for {self.settings.stall:g} seconds"
            self._refuse(connection, RequestError(408, "RequestTimeout", message))
        else:
            self._drop(connection)

    def _abandon(self, connection: Connection, error: RequestError) -> None:
        """Answer in the place of a thread that is late."""
        with connection.lock:
            if connection.state is not Phase.WORKING:  # it has answered after all
                return
            connection.abandoned = True
        self._refuse(connection, error)

    def _shed(self) -> None:
        """Bodies take more memory than they may: end those that have been silent for longest."""
        self._bytes = sum(one.size for one in self.connections)
        if self._bytes <= self._most_bytes:
            return
        coming = sorted(
            (one for one in self.connections if one.state in (Phase.RECEIVING, Phase.SENDING) and one.size),
            key=lambda one: one.active,
        )
        for connection in coming:
            if self._bytes <= self._most_bytes // 2:
                break
            self._bytes -= connection.size
            if connection.state is Phase.RECEIVING:
                self._guarded(self._refuse, connection, busy("slow requests fill its memory"))
            else:
                self._drop(connection)

    def _watch(self, connection: Connection, mask: int) -> None:
        if mask == connection.mask:
            return
        if not mask:
            self._poller.unregister(connection.socket)
        elif connection.mask:
            self._poller.modify(connection.socket, mask, connection)
        else:
            self._poller.register(connection.socket, mask, connection)
        connection.mask = mask


def _is_invocation(request: Any) -> bool:
    return bool(request.path == "/invocations" or request.path.endswith("/invoke"))


def stopping() -> RequestError:
    return busy("it is stopping")


def _most_connections() -> int:
    """How many connections a worker may hold open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, max(64, files - 200))
