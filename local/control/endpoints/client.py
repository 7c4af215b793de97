"""Requests to servers of models: connections that stay open, bodies that stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import cast

import httptools

_HIGH = 1 << 18  # bytes of an answer that wait to be taken before the server is held back
Headers = Sequence[tuple[bytes, bytes]]


class BrokenError(Exception):
    """The server did not answer, or broke off."""


class ServerAnswer:
    """The head of an answer, and its body as it comes."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.status = connection.status
        self.headers = {name.lower(): value for name, value in connection.headers}

    async def body(self) -> AsyncIterator[bytes]:
        """The pieces, once. Raises BrokenError where the server ends before the body does."""
        async for piece in self._connection.pieces():
            yield piece

    def whole(self) -> bytes | None:
        """All of the body, if it is there already."""
        return self._connection.whole()

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.body()])


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self._reset()

    def _reset(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self._stays = False  # by the server, for another request
        self._head = asyncio.get_running_loop().create_future()
        self._body: deque[bytes] = deque()
        self._size = 0
        self._news: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if not self._head.done():
            self._head.set_exception(BrokenError("the server closed the connection"))
            self._head.exception()  # nobody may be waiting for it
        self._tell()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What httptools tells

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()
        if self.status != 100 and not self._head.done():
            self._head.set_result(None)

    def on_body(self, piece: bytes) -> None:
        self._body.append(piece)
        self._size += len(piece)
        if self._size > _HIGH and self.transport is not None:
            self.transport.pause_reading()
        self._tell()

    def on_message_complete(self) -> None:
        if self.status == 100:
            self.headers.clear()
            return
        self.complete = True
        self._stays = self.parser.should_keep_alive()  # asked later, it says no
        self._tell()

    # What a request does

    async def send(self, head: bytes, body: AsyncIterator[bytes] | bytes) -> None:
        assert self.transport is not None
        if isinstance(body, bytes):
            self.transport.write(head + body)
            return
        self.transport.write(head)
        async for piece in body:
            if self.closed or self._head.done():  # it has answered already: a refusal
                return
            self.transport.write(piece)
            if self._writable is not None:
                await self._writable

    async def head(self) -> None:
        await self._head

    def whole(self) -> bytes | None:
        if not self.complete:
            return None
        body = b"".join(self._body)
        self._body.clear()
        self._size = 0
        return body

    async def pieces(self) -> AsyncIterator[bytes]:
        assert self.transport is not None
        while True:
            while self._body:
                piece = self._body.popleft()
                self._size -= len(piece)
                if self._size <= _HIGH:
                    self.transport.resume_reading()
                yield piece
            if self.complete:
                return
            if self.closed:
                raise BrokenError("the server broke off its answer")
            self._news = asyncio.get_running_loop().create_future()
            await self._news

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def reusable(self) -> bool:
        return self._stays and not self.closed


class Pool:
    """Connections to one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []

    async def request(
        self, method: str, path: str, headers: Headers, body: AsyncIterator[bytes] | bytes
    ) -> ServerAnswer:
        """Send a request; the answer once its head is there. A body in pieces needs a Content-Length among
        the headers. Raises BrokenError. Who gets an answer gives it back with `release`."""
        lines = [f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n".encode()]
        lines += [name + b": " + value + b"\r\n" for name, value in headers]
        if isinstance(body, bytes):
            lines.append(b"Content-Length: %d\r\n" % len(body))
        head = b"".join(lines) + b"\r\n"
        while True:
            fresh = not self._idle or not isinstance(body, bytes)
            connection = await self._connect() if fresh else self._idle.pop()
            if connection.closed:
                continue
            try:
                await connection.send(head, body)
                await connection.head()
            except BrokenError:
                if fresh:
                    raise
                continue  # it was closed while it lay idle
            except BaseException:
                connection._abort()
                raise
            return ServerAnswer(connection)

    def release(self, answer: ServerAnswer) -> None:
        connection = answer._connection
        if connection.reusable():
            connection._reset()
            self._idle.append(connection)
        else:
            connection._abort()

    def close(self) -> None:
        while self._idle:
            self._idle.pop()._abort()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        except OSError as error:
            raise BrokenError(f"the server does not listen: {error.strerror}") from None
        return connection
