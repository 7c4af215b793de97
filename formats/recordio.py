"""RecordIO framing: the outer layer of `application/x-recordio-protobuf` and of image files.

A frame is, little-endian: u32 magic, u32 (cflag << 29 | length), the payload, zeros up to a multiple of 4.
cflag 0 is a whole record; 1, 2, 3 the first, a middle and the last part of one that its writer (dmlc, MXNet)
cut at each aligned occurrence of the magic number, which it left out. Readers go by length and never search
for the magic: AWS's writer leaves it in the payload uncut.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from optml.errors import UserError
from optml.formats.blocks import BLOCK_BYTES, read_exactly

log = logging.getLogger(__name__)

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
MAX_LENGTH = (1 << 29) - 1
_HEADER = struct.Struct("<II")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


class Frames:
    """The frames of one source, in memory a block at a time, with their numbers and offsets for errors.

    A reader decodes what it finds in `data[at:]` and calls `advance`, or takes one record with `take`;
    `fill` drops what was passed and brings the next block.
    """

    def __init__(
        self, stream: BinaryIO | None, *, source: str, data: bytes = b"", block_bytes: int = BLOCK_BYTES
    ):
        self.source = source
        self.data = data
        self.at = 0
        self.record = 1  # number of the record that begins at `at`
        self._offset = 0  # of data[0] in the source
        self._stream = stream
        self._block_bytes = block_bytes
        self.ended = stream is None

    def fill(self) -> bool:
        """Bring more bytes; False when everything was passed."""
        if not self.ended and self._stream is not None:
            rest = self.data[self.at :]
            wanted = self._block_bytes
            if len(rest) >= 8:  # a record larger than a block is brought in one go
                wanted = max(wanted, 8 + (_HEADER.unpack_from(rest)[1] & MAX_LENGTH) + 3 - len(rest))
            more = read_exactly(self._stream, wanted)
            self.ended = len(more) < wanted
            self._offset += self.at
            self.data = rest + more if rest else more
            self.at = 0
        return self.at < len(self.data)

    def advance(self, size: int, records: int) -> None:
        """Pass `size` bytes that held `records` records."""
        self.at += size
        self.record += records

    def take(self) -> bytes | None:
        """The next record, its parts joined; None if it is not all in memory yet, or at the end.

        Raises UserError, naming source, record and byte offset, for a damaged or truncated frame.
        """
        data, at = self.data, self.at
        parts: list[bytes] = []
        while at < len(data):
            if len(data) < at + 8:
                self._incomplete()
                return None
            magic, word = _HEADER.unpack_from(data, at)
            if magic != MAGIC:
                number = data[at : at + 4].hex(" ")
                raise UserError(
                    f"{self.where()} does not begin with RecordIO's magic number 0a 23 d7 ce "
                    f"but with {number} (at byte {self._offset + at}); is the content type right?"
                )
            flag, length = word >> 29, word & MAX_LENGTH
            end = at + 8 + length
            stop = end + (-length % 4)
            if end > len(data) or (stop > len(data) and not self.ended):
                self._incomplete()
                return None
            if flag > _LAST or (flag in (_MIDDLE, _LAST)) != bool(parts):
                raise UserError(
                    f"{self.where()} has a part with continuation flag {flag} out of order "
                    f"(byte {self._offset + at}); the file is damaged"
                )
            payload = data[at + 8 : end]
            at = min(stop, len(data))  # the last record's padding may be missing
            if flag == _WHOLE:
                self.advance(at - self.at, 1)
                return payload
            parts.append(payload)
            if flag == _LAST:
                self.advance(at - self.at, 1)
                return MAGIC_BYTES.join(parts)
        if parts:
            self._incomplete()
        return None

    def _incomplete(self) -> None:
        """Say so if the rest will never come; pass what is nothing but stray zeros."""
        if not self.ended:
            return
        rest = self.data[self.at :]
        if len(rest) < 4 and not any(rest):
            log.warning("%s ends with %d zero bytes after its last record; ignored", self.source, len(rest))
            self.at = len(self.data)
            return
        raise UserError(
            f"{self.source} is cut off: record {self.record}, which begins at byte {self._offset + self.at}, "
            f"is not complete when the data ends at byte {self._offset + len(self.data)}; copy the file again"
        )

    def where(self) -> str:
        """Name the record at hand: `record 17 of train/a.pbr (byte 1836)`."""
        return f"record {self.record} of {self.source} (byte {self._offset + self.at})"


def payloads(stream: BinaryIO, *, source: str, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The records of a RecordIO stream, whatever they hold, in bounded memory."""
    frames = Frames(stream, source=source, block_bytes=block_bytes)
    while frames.fill():
        while (payload := frames.take()) is not None:
            yield payload


def frame(payload: bytes) -> bytes:
    """One frame, never cut, as AWS's own writer makes it. Raises UserError from 512 MiB on."""
    return framed([payload])


def framed(parts: Sequence[bytes | memoryview]) -> bytes:
    """The same of a payload in parts."""
    length = sum(map(len, parts))
    if length > MAX_LENGTH:
        raise UserError(f"a record of {length} bytes is too large; RecordIO takes up to {MAX_LENGTH}")
    return b"".join([_HEADER.pack(MAGIC, length), *parts, bytes(-length % 4)])


def cut_frames(payload: bytes) -> bytes:
    """One record as dmlc's and MXNet's writers frame it: cut at each aligned magic number."""
    pieces = []
    begin = 0
    at = payload.find(MAGIC_BYTES)
    while at != -1:
        if at % 4 == 0:
            pieces.append(payload[begin:at])
            begin = at = at + 4
        else:
            at += 1
        at = payload.find(MAGIC_BYTES, at)
    pieces.append(payload[begin:])
    if len(pieces) == 1:
        return frame(payload)
    out = []
    for number, piece in enumerate(pieces):
        flag = _FIRST if number == 0 else _LAST if number == len(pieces) - 1 else _MIDDLE
        out.append(_HEADER.pack(MAGIC, flag << 29 | len(piece)) + piece + bytes(-len(piece) % 4))
    return b"".join(out)
