"""Streams cut into blocks: of a size, or of whole lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from optml.errors import UserError

BLOCK_BYTES = 4 << 20  # of a stream at a time: larger ones cost page faults, 1.7 against 1.1 GB/s at 16 MiB
REQUEST_BYTES = 1 << 18  # of a request: what its records are before they are arrays may take 60 times as much
_PIECE = 1 << 18  # bytes
LONGEST_LINE = 256 << 20  # bytes; what has no line end for longer is no text


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end; a pipe hands over less than asked for."""
    first = stream.read(size)
    if len(first) >= size or not first:
        return first
    parts = [first]
    missing = size - len(first)
    while missing > 0 and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def lines(stream: BinaryIO, size: int, *, source: str, longest: int | None = None) -> Iterator[bytes]:
    """Cut a text into blocks of about `size` bytes that hold whole lines (LF, CRLF or CR alone).

    The last line may lack its end. Raises UserError if a line has more than `longest` bytes, by
    default more than any table's would have.
    """
    longest = LONGEST_LINE if longest is None else longest
    rest: list[bytes] = []  # the beginning of a line
    length = 0
    while block := read_exactly(stream, size):
        cut = block.rfind(b"\n") + 1
        if not cut:  # CR alone ends lines as well; one at the very end may be half of a CRLF
            cut = block.rfind(b"\r", 0, len(block) - 1) + 1
        if not cut:
            rest.append(block)
            length += len(block)
            if length > longest:
                raise UserError(
                    f"{source} has a line of more than {longest >> 20} MiB; is its content type right?"
                )
            continue
        yield b"".join([*rest, memoryview(block)[:cut]])
        rest, length = [block[cut:]], len(block) - cut
    last = b"".join(rest)
    if last:
        yield last


def numbered(
    stream: BinaryIO, size: int, *, source: str, longest: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """The lines of a text that are not blank, each with its number, from 1 on; read as by `lines`."""
    number = 1
    for block in lines(stream, size, source=source, longest=longest):
        texts = block.splitlines()
        yield from ((at, line) for at, line in enumerate(texts, number) if line and not line.isspace())
        number += len(texts)


def count_lines(text: bytes) -> int:
    """How many lines end in a text, or begin in it without an end."""
    if len(text) <= _PIECE:
        ends = text.count(b"\n")
    else:  # four times as fast, a piece at a time so that it stays in the cache
        data = np.frombuffer(text, np.uint8)
        pieces = (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
        ends = sum(int(np.count_nonzero(piece == 10)) for piece in pieces)
    if b"\r" in text:
        ends += text.count(b"\r") - text.count(b"\r\n")
    return ends + (0 if not text or text.endswith((b"\n", b"\r")) else 1)
