"""One input object of a batch transform, cut into the bodies of its requests.

SplitType says what a record is (the object itself, a line with its line end, a RecordIO record with its
frame); BatchStrategy and MaxPayloadInMB say how many of them go into one request (serving-contract 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from algorithms.errors import UserError
from container.formats.compression import decompressed
from container.formats.recordio import Frames

SplitType: TypeAlias = Literal["None", "Line", "RecordIO"]
Strategy: TypeAlias = Literal["MultiRecord", "SingleRecord"]
MEGABYTE = 1 << 20
_PIECE = 1 << 20  # bytes read at a time


@dataclass(frozen=True, slots=True)
class Payload:
    """The body of one request.

    original:    the same records before the input filter, which JoinSource joins.
    first, last: numbers of its records in the object, from 1; None where the object is one record.
    stream:      hands out the body piece by piece, anew at each call, where `body` is too large to hold.
    """

    body: bytes
    original: bytes
    first: int | None = None
    last: int | None = None
    stream: Callable[[], Iterator[bytes]] | None = None

    @property
    def name(self) -> str:
        """Where in its object it stands, for an error message: `records 101-200`."""
        if self.first is None:
            return ""
        return f"record {self.first}" if self.first == self.last else f"records {self.first}-{self.last}"


def payloads(
    path: Path,
    *,
    name: str,
    split: SplitType,
    strategy: Strategy,
    limit: int | None,
    outgoing: Callable[[bytes], bytes] | None = None,
    keep_original: bool = False,
) -> Iterator[Payload]:
    """Cut a file (gzip is removed) into payloads of at most `limit` bytes; None: of any size, streamed.

    `outgoing` is the input filter, applied to each record; the limit holds for what it leaves.
    Blank lines are no records. An empty file has no payloads.
    Raises UserError naming the record that is larger than the limit, truncated, or refused by the filter.
    """
    single = strategy == "SingleRecord"
    if limit is None and outgoing is None and not keep_original and (split == "None" or not single):
        yield from _streamed(path, name)
        return
    with path.open("rb") as file:
        stream = decompressed(file, source=name)
        if split == "None":
            records: Iterable[bytes] = _whole(stream, limit if outgoing is None else None)
        elif split == "Line":
            records = _lines(stream, name, limit if outgoing is None else None)
        else:
            records = _frames(stream, name)
        whole = split == "None"
        body: list[bytes] = []
        original: list[bytes] = []
        size = 0
        first = number = 1
        for number, record in enumerate(records, 1):
            try:
                sent = outgoing(record) if outgoing else record
            except UserError as error:
                raise UserError(f"{error}" if whole else f"record {number}: {error}") from None
            if limit is not None and len(sent) > limit:
                raise _too_large("it" if whole else f"record {number}", limit)
            if body and (single or (limit is not None and size + len(sent) > limit)):
                yield Payload(b"".join(body), b"".join(original), first, number - 1)
                body, original, size, first = [], [], 0, number
            body.append(sent)
            size += len(sent)
            if keep_original:
                original.append(record)
        if body and whole:
            yield Payload(body[0], b"".join(original))
        elif body:
            yield Payload(b"".join(body), b"".join(original), first, number)


def _too_large(what: str, limit: int) -> UserError:
    size = f"{limit / MEGABYTE:g} MB"
    return UserError(f"{what} is larger than the payload limit of {size}; raise MaxPayloadInMB (at most 100)")


def _whole(stream: BinaryIO, limit: int | None) -> Iterator[bytes]:
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if limit is not None and size > limit:
            raise _too_large("it", limit)
    if pieces:
        yield b"".join(pieces)


def _lines(stream: BinaryIO, name: str, limit: int | None) -> Iterator[bytes]:
    """The lines that are not blank, each with the `\\n` it ends in; the last may lack it."""
    rest = b""
    count = 0
    while piece := stream.read(_PIECE):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line and not line.isspace():
                count += 1
                yield line + b"\n"
        if limit is not None and len(rest) > limit:
            raise _too_large(f"record {count + 1}", limit)
    if rest and not rest.isspace():
        yield rest


def _frames(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """RecordIO records in the frames they came in, whole or in parts."""
    frames = Frames(stream, source=name, block_bytes=_PIECE)
    while frames.fill():
        start = frames.at
        while frames.take() is not None:
            yield frames.data[start : frames.at]
            start = frames.at


def _streamed(path: Path, name: str) -> Iterator[Payload]:
    """The whole object as one payload that is read while it is sent (MaxPayloadInMB 0)."""

    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            stream = decompressed(file, source=name)
            while piece := stream.read(_PIECE):
                yield piece

    if path.stat().st_size:
        yield Payload(b"", b"", stream=pieces)
