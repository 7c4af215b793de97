"""Pairs of an entity and an IPv4 address, read from CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from optml.algorithms.ip_insights.addresses import PLAIN, complaint
from optml.errors import UserError

HASH = "xxHash64 of the UTF-8 bytes, seed 0"
PIECE = 1 << 22  # bytes read at a time
LONGEST = 1 << 26  # bytes of a record that has to be taken as a whole
LONGEST_SHOWN = 1 << 16  # bytes of a record that are looked at once more to say what is wrong with it
BLANKS = " \t"  # around a field, they are no part of it
MARK = b"\xef\xbb\xbf"  # of UTF-8, at the beginning of a file
EXAMPLE = "expected an entity and an IPv4 address, parted by a comma, as: user_1,192.168.1.2"


@dataclass(frozen=True, slots=True)
class Pairs:
    """hashes: (n,) uint64 of the entities.   addresses: (n,) uint32, the first octet highest."""

    hashes: np.ndarray
    addresses: np.ndarray

    def __len__(self) -> int:
        return len(self.hashes)

    def __getitem__(self, some: slice) -> Pairs:
        return Pairs(self.hashes[some], self.addresses[some])

    def rows(self, count: int) -> np.ndarray:
        """(n,) uint32: the rows of the entities in a table of `count` rows."""
        return (self.hashes % np.uint64(count)).astype(np.uint32)


def read(streams: Iterable[tuple[str, BinaryIO]]) -> Iterator[Pairs]:
    """The pairs of files (name for messages, bytes), piece by piece.

    Raises UserError naming file, line and text of a record that is no pair."""
    for name, stream in streams:
        rest, line = b"", 1
        while True:
            piece = stream.read(PIECE)
            final = not piece
            text = rest + piece
            if line == 1 and not rest:
                text = text.removeprefix(MARK)
            pairs, used = scan(text, name, line, final=final)
            if len(pairs):
                yield pairs
            if final:
                break
            rest = text[used:]
            line += _lines(text[:used])
            if len(rest) > LONGEST:
                raise UserError(
                    f"line {line} of {name} begins a record of more than {LONGEST >> 20} MiB: "
                    f"{_shown(rest)}; is a quote not closed?"
                )


def scan(text: bytes, name: str, line: int = 1, *, final: bool = True) -> tuple[Pairs, int]:
    """The pairs of a text whose first line has the number `line`, and how many bytes they took; all, where
    the text is `final`."""
    from optml.algorithms.kernels.pairs import entity_pairs_cpu as kernel

    content = np.frombuffer(text, np.uint8)
    room = len(text) // kernel.SHORTEST + 1
    hashes, addresses = np.empty(room, np.uint64), np.empty(room, np.uint32)
    scratch = np.empty(len(text), np.uint8)
    count, used, problem = kernel.scan(content, len(text), final, scratch, hashes, addresses)
    if problem:
        at = line + _lines(text[:used])
        raise UserError(f"line {at} of {name} has {_said(problem, text[used:], first=at == 1)}")
    return Pairs(hashes[:count].copy(), addresses[:count].copy()), used


def _said(problem: int, text: bytes, *, first: bool) -> str:
    """What is wrong with the record that begins a text."""
    from optml.algorithms.kernels.pairs import entity_pairs_cpu as kernel

    shown = _shown(text)
    if b"\0" in text[:100]:
        return f"zero bytes: {shown}; is this UTF-16, or no text at all? Write CSV as UTF-8"
    if problem == kernel.OPEN_QUOTE:
        return f"a quote that is never closed: {shown}; a quote inside of a quoted field is doubled"
    if problem == kernel.BEHIND_QUOTE:
        return f"text behind a closing quote: {shown}; a quote inside of a quoted field is doubled"
    fields = next(csv.reader(_text_lines(text[:LONGEST_SHOWN]), skipinitialspace=True), [])
    if problem == kernel.FIELDS:
        more = "more than " * (len(text) > LONGEST_SHOWN and len(fields) > 2)
        count = f"{more}{len(fields)} field{'s' * (len(fields) != 1)}"
        hint = '; quote an entity that holds commas: "user, name",192.168.1.2' * (len(fields) > 2)
        return f"{count}: {shown}; {EXAMPLE}{hint}"
    if problem == kernel.NO_ENTITY:
        return f"no entity: {shown}; {EXAMPLE}"
    address = fields[1].strip(BLANKS) if len(fields) > 1 else ""
    hint = ""
    if PLAIN.fullmatch(fields[0].strip(BLANKS)):
        hint = "; are the columns swapped? The entity comes first"
    elif first and not any(letter.isdigit() for letter in address) and ":" not in address:
        hint = "; if this is a header, remove the header line"
    return f"{complaint(address)}: {shown}{hint}"


def _text_lines(text: bytes) -> Iterator[str]:
    """Lines as the kernel cuts them: Python's lines of text end at other characters too."""
    for line in text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        yield line.decode("utf-8", "replace") + "\n"


def _shown(text: bytes) -> str:
    line = text[:400].splitlines()[0].decode("utf-8", "replace") if text else ""
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
    return f"'{line if len(line) <= 100 else line[:97] + '...'}'"


def _lines(text: bytes) -> int:
    """The ends of lines in a text, LF, CRLF or CR."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")
