"""The bytes of one connection, cut into whole requests as they come. Nothing here waits.

gunicorn parses the head, once it is there to its end; the body is gathered here by the framing that gunicorn
found, so that there is one opinion of where a request ends.
"""

from __future__ import annotations

import io
from typing import Any

from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import (
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

from optml.serving.errors import RequestError, too_large, unreadable

MAX_HEAD = 64 << 10  # bytes of a request's head, and of a chunked body's trailers
_MAX_LINE = 8190  # bytes of a request line, gunicorn's limit, and of a line with the size of a chunk

_STATUS: list[tuple[type[Exception], int]] = [
    (LimitRequestLine, 414),
    (LimitRequestHeaders, 431),
    (UnsupportedTransferCoding, 501),
    (ParseException, 400),
]


class Incoming:
    """What one client sends.

    cfg: gunicorn's configuration. address: the client's, as `accept` gives it. max_body: bytes of a body, as
    it comes over the wire.
    """

    def __init__(self, cfg: Any, address: Any, max_body: int) -> None:
        self._cfg = cfg
        self._address = address
        self._max_body = max_body
        self._buffer = bytearray()
        self._scanned = 0  # bytes of the buffer in which no head ends
        self._count = 0
        self._body: _Sized | _Chunked | None = None
        self.request: Any = None  # gunicorn's, the last whose head came to its end
        self.expects = False  # the client sends the body only when it is told "100 Continue"

    @property
    def begun(self) -> bool:
        """Is part of a request here?"""
        return self.in_body or bool(self._buffer)

    @property
    def in_body(self) -> bool:
        """Is a request's head here, and its body not yet?"""
        return self._body is not None

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self._buffer) + (self._body.size if self._body else 0)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def discard(self) -> None:
        """Forget what is here: nothing more will be answered."""
        self._buffer.clear()
        self._body = None

    def next(self) -> Any:
        """gunicorn's next request with a `body` that can be read at once, or None while bytes are missing.

        Raises RequestError for what is no HTTP (400, 414, 431, 501) and for a body over the limit (413), as
        soon as that is known; where a next request would begin is then unknown.
        """
        if self._body is None:
            head = self._head()
            if head is None:
                return None
            self._body = self._parse(head)
        if not self._body.take(self._buffer):
            return None
        self.request.body = io.BytesIO(self._body.content())
        self._body = None
        self.expects = False
        return self.request

    def broken_off(self) -> RequestError:
        """The answer to a client that sends no more although its request is not whole."""
        if isinstance(self._body, _Sized):
            return unreadable(f"the connection ended after {self._body.size} of {self._body.length} bytes")
        return _malformed(400, "the connection ended before the request did")

    def _head(self) -> bytes | None:
        """The next request's head with the empty line at its end, cut off the buffer."""
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):  # some clients send an empty line after a body
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self._scanned = len(buffer)
            if len(buffer) > MAX_HEAD:
                raise _long(bytes(buffer))
            if buffer.count(b"\n") != buffer.count(b"\r\n"):  # such a head would never end
                raise _malformed(400, "lines must end with CR LF")
            return None
        if end > MAX_HEAD:
            raise _long(bytes(buffer[:end]))
        head = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        self._scanned = 0
        return head

    def _parse(self, head: bytes) -> _Sized | _Chunked:
        """Set `request` to that of the head; returns its body, of which nothing is there yet."""
        self._count += 1
        self.request = None
        try:
            request = Request(self._cfg, IterUnreader([head]), self._address, self._count)
        except ParseException as error:
            status = next(status for kind, status in _STATUS if isinstance(error, kind))
            raise _malformed(status, str(error)) from None
        self.request = request
        self.expects = request.version >= (1, 1) and any(
            name == "EXPECT" and value.lower() == "100-continue" for name, value in request.headers
        )
        reader = request.body.reader
        if isinstance(reader, ChunkedReader):
            return _Chunked(self._max_body)
        length = reader.length if isinstance(reader, LengthReader) else 0
        if length > self._max_body:
            raise too_large(self._max_body)
        return _Sized(length)


class _Sized:
    """A body whose length is known."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.size = 0  # bytes so far
        self._parts: list[bytes] = []

    def take(self, buffer: bytearray) -> bool:
        """Move what belongs to the body out of the buffer; is it whole?"""
        part = bytes(buffer[: self.length - self.size])
        if part:
            del buffer[: len(part)]
            self._parts.append(part)
            self.size += len(part)
        return self.size == self.length

    def content(self) -> bytes:
        return b"".join(self._parts)


class _Chunked:
    """A body that comes in chunks (RFC 9112, section 7.1); extensions and trailers are dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        self._left = 0  # bytes of this chunk still to come
        self._state = "size"
        self._trailers = 0  # bytes

    @property
    def size(self) -> int:
        return len(self._content)

    def take(self, buffer: bytearray) -> bool:
        """Move what belongs to the body out of the buffer; is it whole?

        Raises RequestError (400, 413, 431).
        """
        at = 0
        try:
            while self._state != "end":
                if self._state == "data":
                    part = buffer[at : at + self._left]
                    self._content += part
                    self._left -= len(part)
                    at += len(part)
                    if self._left:
                        return False
                    self._state = "line end"
                end = buffer.find(b"\r\n", at, at + _MAX_LINE)
                if end < 0:
                    if len(buffer) - at >= _MAX_LINE:
                        raise _malformed(400, "a line between chunks is too long")
                    return False
                line = bytes(buffer[at:end])
                at = end + 2
                self._line(line)
            return True
        finally:
            del buffer[:at]

    def _line(self, line: bytes) -> None:
        if self._state == "size":
            digits = line.partition(b";")[0].rstrip(b" \t")
            if not 0 < len(digits) <= 16 or digits.strip(b"0123456789abcdefABCDEF"):
                raise _malformed(400, f"a chunk's size is {digits[:20]!r}, no hexadecimal number")
            self._left = int(digits, 16)
            if len(self._content) + self._left > self._limit:
                raise too_large(self._limit)
            self._state = "data" if self._left else "trailers"
        elif self._state == "line end":
            if line:
                raise _malformed(400, "a chunk is longer than it says")
            self._state = "size"
        else:
            self._trailers += len(line)
            if self._trailers > MAX_HEAD:
                raise _malformed(431, "the trailers are too long")
            if not line:
                self._state = "end"

    def content(self) -> bytes:
        return bytes(self._content)


def _long(head: bytes) -> RequestError:
    line = head.find(b"\r\n")
    if not 0 <= line <= _MAX_LINE:
        return _malformed(414, f"the request line is longer than {_MAX_LINE} bytes")
    return _malformed(431, f"the head is longer than {MAX_HEAD} bytes")


def _malformed(status: int, cause: str) -> RequestError:
    message = " ".join(f"malformed request: {cause}".split())[:300]
    return RequestError(status, "InvalidRequest", message)
