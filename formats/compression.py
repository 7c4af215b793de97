"""gzip, told by its first two bytes and removed on the way."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from optml.errors import UserError

MAGIC = b"\x1f\x8b"
_PIECE = 1 << 20  # compressed bytes taken at a time


class TooLarge(UserError):  # noqa: N818 - named as HTTP names it
    """A request that is larger than allowed (HTTP 413)."""


class Unread(io.RawIOBase):
    """A stream with some bytes, already taken off its front, put back."""

    def __init__(self, front: bytes, stream: BinaryIO) -> None:
        self._front = front
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._front:
            if size is None or size < 0:
                front, self._front = self._front, b""
                return front + self._stream.read()
            front, self._front = self._front[:size], self._front[size:]
            return front + self._stream.read(size - len(front)) if size > len(front) else front
        return self._stream.read(size)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Gzip(io.RawIOBase):
    """The decompressed bytes of a gzip stream of one or more members."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self._stream = stream
        self._source = source
        self._inflate = zlib.decompressobj(wbits=31)
        self._input = b""
        self._started = False  # the member at hand holds some bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(16 << 20), b""))
        parts = []
        missing = size
        while missing and (part := self._some(missing)):
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _some(self, size: int) -> bytes:
        """Between 1 and `size` bytes, or none at the end."""
        while True:
            if not self._input and not self._inflate.unconsumed_tail:
                self._input = self._stream.read(_PIECE)
            data = self._inflate.unconsumed_tail or self._input
            if not data:
                if self._started:
                    raise UserError(
                        f"{self._source} is cut off in the middle of its gzip data; copy it again"
                    )
                return b""
            if not self._started:  # zeros between or behind members are padding
                data = data.lstrip(b"\0")
                if not data:
                    self._input = b""
                    continue
            self._started = True
            try:
                out = self._inflate.decompress(data, size)
            except zlib.error as error:
                raise UserError(f"{self._source} is damaged gzip data ({error}); copy it again") from None
            self._input = b""
            if self._inflate.eof:
                self._input = self._inflate.unused_data
                self._inflate = zlib.decompressobj(wbits=31)
                self._started = False
            if out:
                return out

    def close(self) -> None:
        self._stream.close()
        super().close()


def decompressed(stream: BinaryIO, *, source: str) -> BinaryIO:
    """The stream without gzip, if it begins with gzip's magic; else the same bytes.

    Only `.read(n)` is asked of `stream`, so a FIFO will do. Reading raises UserError for damaged data.
    """
    front = stream.read(2)
    if len(front) == 1:
        front += stream.read(1)
    if front != MAGIC and stream.seekable():
        stream.seek(-len(front), io.SEEK_CUR)
        return stream
    whole = cast(BinaryIO, Unread(front, stream))
    return cast(BinaryIO, _Gzip(whole, source)) if front == MAGIC else whole


@contextmanager
def opened(path: Path, *, source: str) -> Iterator[BinaryIO]:
    """The bytes of a file, `decompressed`."""
    with path.open("rb") as file:
        yield decompressed(file, source=source)


def decompress(body: bytes, *, max_bytes: int, source: str = "the request") -> bytes:
    """The body without gzip, if it begins with gzip's magic; else the body.

    Raises TooLarge as soon as the result would pass `max_bytes`, UserError for damaged data.
    """
    if body[:2] == MAGIC:
        body = _Gzip(io.BytesIO(body), source).read(max_bytes + 1)
    if len(body) > max_bytes:
        raise TooLarge(f"{source} is larger than {max_bytes} bytes; split it into smaller ones")
    return body
