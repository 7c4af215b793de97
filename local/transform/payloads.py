"""One input object of a batch transform, cut into the bodies of its requests.

SplitType says what a record is (the object itself, a line with its line end, a RecordIO record with its
frame); BatchStrategy and MaxPayloadInMB say how many of them go into one request (serving-contract 6). A CSV
whose content type has header=present begins each request with its header, for each is read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from optml.errors import UserError
from optml.formats.compression import opened
from optml.formats.content_type import ContentType
from optml.formats.encoding import is_text, stream_as_utf8
from optml.formats.recordio import Frames
from optml.serving import lines

SplitType: TypeAlias = Literal["None", "Line", "RecordIO"]
Strategy: TypeAlias = Literal["MultiRecord", "SingleRecord"]
MEGABYTE = 1 << 20
_PIECE = 1 << 20  # bytes read at a time


@dataclass(frozen=True, slots=True)
class Payload:
    """The body of one request.

    original:    the same records (and their header) before the input filter, which JoinSource joins.
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
    content: ContentType,
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
        yield from _streamed(path, name, content, split)
        return
    with _opened(path, name, content) as stream:
        longest = limit if outgoing is None else None
        if split == "None":
            yield from _whole(stream, outgoing, limit)
            return
        records = _lines(stream, content, longest) if split == "Line" else _frames(stream, name)
        head = b""
        if split == "Line" and lines.has_header(content):
            head = _ended(next(records, b""))
        sent_head = _filtered(outgoing, head, "the header") if head else b""
        body: list[bytes] = []
        original: list[bytes] = []
        size = len(sent_head)
        first = number = 1
        for number, record in enumerate(records, 1):
            sent = _filtered(outgoing, record, f"record {number}")
            if limit is not None and len(sent_head) + len(sent) > limit:
                raise _too_large(f"record {number}" + (", with the header," if head else ""), limit)
            if body and (single or (limit is not None and size + len(sent) > limit)):
                yield _joined(sent_head, body, head, original, first, number - 1)
                body, original, size, first = [], [], len(sent_head), number
            body.append(sent)
            size += len(sent)
            if keep_original:
                original.append(record)
        if body:
            yield _joined(sent_head, body, head, original, first, number)


def _joined(
    sent_head: bytes, body: list[bytes], head: bytes, original: list[bytes], first: int, last: int
) -> Payload:
    whole = b"".join([head, *original]) if original else b""
    return Payload(b"".join([sent_head, *body]), whole, first, last)


def _ended(line: bytes) -> bytes:
    """A line with an end: the last one of a file may have none."""
    return line if not line or line.endswith((b"\n", b"\r")) else line + b"\n"


def _filtered(outgoing: Callable[[bytes], bytes] | None, record: bytes, what: str) -> bytes:
    if outgoing is None:
        return record
    try:
        return outgoing(record)
    except UserError as error:
        raise UserError(f"{what}: {error}") from None


def _too_large(what: str, limit: int, hint: str = "") -> UserError:
    size = f"{limit / MEGABYTE:g} MB"
    return UserError(
        f"{what} is larger than the payload limit of {size}{hint}; raise MaxPayloadInMB (at most 100)"
    )


@contextmanager
def _opened(path: Path, name: str, content: ContentType) -> Iterator[BinaryIO]:
    """The object's bytes without gzip, text as UTF-8."""
    with opened(path, source=name) as stream:
        yield stream_as_utf8(stream, content, name) if is_text(content) else stream


def _whole(
    stream: BinaryIO, outgoing: Callable[[bytes], bytes] | None, limit: int | None
) -> Iterator[Payload]:
    """The object as one payload."""
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if outgoing is None and limit is not None and size > limit:
            raise _too_large("it", limit)
    if not pieces:
        return
    original = b"".join(pieces)
    body = outgoing(original) if outgoing else original
    if limit is not None and len(body) > limit:
        raise _too_large("it", limit)
    yield Payload(body, original)


def _lines(stream: BinaryIO, content: ContentType, longest: int | None) -> Iterator[bytes]:
    """The header, where there is one, and the records."""
    number = 0 if lines.has_header(content) else 1
    try:
        for record in lines.records(stream, content.media, longest=longest):
            number += 1
            yield record
    except lines.LongRecord as long:
        what = f"record {number}" if number else "the header"
        raise _too_large(what, longest or 0, " (is a quote not closed?)" if long.quoted else "") from None


def _frames(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """RecordIO records in the frames they came in, whole or in parts."""
    frames = Frames(stream, source=name, block_bytes=_PIECE)
    while frames.fill():
        start = frames.at
        while frames.take() is not None:
            yield frames.data[start : frames.at]
            start = frames.at


def _streamed(path: Path, name: str, content: ContentType, split: SplitType) -> Iterator[Payload]:
    """The whole object as one payload that is read while it is sent (MaxPayloadInMB 0)."""

    def pieces() -> Iterator[bytes]:
        with _opened(path, name, content) as stream:
            while piece := stream.read(_PIECE):
                yield piece

    with _opened(path, name, content) as stream:
        if split == "Line":
            records = lines.records(stream, content.media)
            first = next(records, b"")
            filled = bool(next(records, b"") if lines.has_header(content) else first)
        else:
            filled = bool(stream.read(1))
    if filled:
        yield Payload(b"", b"", stream=pieces)
