"""A text cut into its records: lines, of which those of CSV may hold line ends in quotes.

Batch transform cuts files here, and the server requests that hold bad records: what is one record for the
first is one for the second, and for the decoders of the formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from optml.formats.content_type import CSV, LIBSVM, ContentType
from optml.formats.encoding import is_text

_PIECE = 1 << 20  # bytes read at a time
_OPENING = re.compile(
    rb'(?:^|[,;|\t])[ \t]*"'
)  # a quote opens at the beginning of a cell; elsewhere it is text
_QUOTED = re.compile(rb'(?:[^"]+|"")*+')


class LongRecord(Exception):  # noqa: N818 - it names the thing
    """A record is longer than it may be. `quoted`: a quote in it is open."""

    def __init__(self, *, quoted: bool) -> None:
        super().__init__()
        self.quoted = quoted


def has_header(content: ContentType) -> bool:
    """Is the first line of such a text a header?"""
    return content.media == CSV and content.parameters.get("header", "").lower() == "present"


def in_utf8(content: ContentType) -> ContentType:
    """The content type of a text that was in another encoding and is in UTF-8 now: in many encodings a line
    cannot be told from the bytes."""
    if not is_text(content):
        return content
    others = {
        name: value for name, value in content.parameters.items() if name not in ("encoding", "charset")
    }
    return ContentType(content.media, others)


def records(stream: BinaryIO, media: str, *, longest: int | None = None) -> Iterator[bytes]:
    """The records of a text in UTF-8 with their line ends (LF, CRLF or CR; the last may have none), in order.

    Blank lines are no records, nor are lines of LIBSVM that hold a comment alone. In memory is
    a piece of the stream, or the longest record.
    Raises LongRecord for one of more than `longest` bytes that is not in memory yet.
    """
    begun: list[bytes] = []  # lines of a record that ends in a later one
    size = 0
    for line in _lines(stream, longest):
        if begun or (media == CSV and b'"' in line):
            begun.append(line)
            size += len(line)
            if _ends_quoted(line, quoted=len(begun) > 1):
                if longest is not None and size > longest:
                    raise LongRecord(quoted=True)
                continue
            line = b"".join(begun)
            begun, size = [], 0
        if _is_record(line, media):
            yield line
    if begun:  # the quote is never closed, which whoever decodes it will say
        yield b"".join(begun)


def _lines(stream: BinaryIO, longest: int | None) -> Iterator[bytes]:
    rest: list[bytes] = []  # of a line whose end is not read yet
    size = 0
    for piece in _pieces(stream):
        for line in piece.splitlines(keepends=True):
            if line.endswith((b"\n", b"\r")):
                yield b"".join([*rest, line]) if rest else line
                rest, size = [], 0
            else:
                rest.append(line)
                size += len(line)
        if longest is not None and size > longest:
            raise LongRecord(quoted=False)
    if rest:
        yield b"".join(rest)


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    """The text in pieces that do not part a CRLF."""
    rest = b""
    while piece := stream.read(_PIECE):
        text = rest + piece
        rest = b"\r" if text.endswith(b"\r") else b""
        yield text.removesuffix(b"\r")
    if rest:
        yield rest


def _ends_quoted(line: bytes, *, quoted: bool) -> bool:
    """Does a line end within quotes, that begins within (`quoted`) or outside of some?"""
    at = 0
    while True:
        if quoted:
            inside = _QUOTED.match(line, at)
            assert inside is not None  # it matches nothing, too
            if inside.end() == len(line):
                return True
            at = inside.end() + 1  # behind the closing quote
        opening = _OPENING.search(line, at)
        if opening is None:
            return False
        at, quoted = opening.end(), True


def _is_record(line: bytes, media: str) -> bool:
    if media == LIBSVM and b"#" in line:
        line = line.split(b"#", 1)[0]
    return bool(line) and not line.isspace()
