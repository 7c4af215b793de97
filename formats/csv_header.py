"""The header of a CSV: told from data, and found again where parts with a header each were joined."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from optml.errors import UserError
from optml.formats.cells import is_missing, number, shown

log = logging.getLogger(__name__)


_LONGEST = 1 << 20  # bytes of a header whose names are kept: each takes many times its letters


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the columns, none where they are too many to be kept, and the lines (with their ends) that
    hold them."""

    names: tuple[str, ...]
    lines: bytes

    @classmethod
    def read(cls, text: bytes, delimiter: str, where: str) -> Header:
        """The header that a text begins with; a name in quotes may hold line ends.

        Raises UserError for a quote that does not end, and for numbers, which are the first row of the data.
        """
        end = 0
        quotes = 0
        while end < len(text):
            start, end = end, text.find(b"\n", end) + 1 or len(text)
            quotes += text.count(b'"', start, end)
            if quotes % 2 == 0:
                break
        lines = text[:end]
        if len(lines) > _LONGEST and quotes % 2 == 0:
            return cls((), lines)
        names = _names(lines, delimiter)
        if names is None:
            raise UserError(f"{where}, the header, cannot be parsed: a quote does not end, or it is no UTF-8")
        if all(number(name) is not None for name in names):
            if not _counts(names):
                raise UserError(
                    f"the content type says header=present, but {where} holds numbers alone "
                    f"('{shown(delimiter.join(names))}'): as a header it would be lost; leave header=present "
                    "out, or give the file a header"
                )
            _say(where, shown(delimiter.join(names)))
        return cls(names, lines)

    def repeated(self, text: bytes, delimiter: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
        """Where whole lines hold the same names again, in any order: start, end, and the names.

        Those that are all numbers cannot be told from data.
        """
        words = [name for name in self.names if number(name) is None]
        if not words:
            return
        several = self.lines.count(b"\n") > 1  # then only the same lines are known again
        mark = self.lines if several else max(words, key=len).encode()
        expected = sorted(self.names)
        at = text.find(mark)
        while at >= 0:
            start = text.rfind(b"\n", 0, at) + 1
            end = at + len(mark) if several else text.find(b"\n", at) + 1 or len(text)
            names = self.names if several else _names(text[start:end], delimiter)
            if start <= at and names is not None and sorted(names) == expected:
                yield start, end, names
            at = text.find(mark, end)


def looks_like(cells: Sequence[str], following: Sequence[str]) -> bool:
    """Is a first row of those cells a header, that before `following`? It holds words, numbers only as they
    number columns (pandas writes `y,0,1,2`), and a number stands below a word."""
    words = [place for place, cell in enumerate(cells) if number(cell) is None]
    numbers = [cell for cell in cells if number(cell) is not None and not is_missing(cell)]
    below = (number(following[place]) is not None for place in words if place < len(following))
    return (not numbers or _counts(numbers)) and any(below)


def _counts(cells: Sequence[str]) -> bool:
    """Do they count columns: 0,1,2 and so on, or years?"""
    texts = [cell.strip() for cell in cells]
    if not all(text.isascii() and text.isdigit() for text in texts):
        return False
    first = int(texts[0])
    return (first < 2 or len(texts) > 1) and texts == [str(first + place) for place in range(len(texts))]


def _names(lines: bytes, delimiter: str) -> tuple[str, ...] | None:
    try:
        text = io.StringIO(lines.decode(), newline="")
        rows = list(csv.reader(text, delimiter=delimiter, skipinitialspace=True, strict=True))
    except (csv.Error, UnicodeDecodeError):
        return None
    return tuple(name.strip() for name in rows[0]) if len(rows) == 1 else None


@lru_cache(maxsize=64)  # once a file
def _say(where: str, names: str) -> None:
    log.warning("%s holds numbers that count columns ('%s'): it is taken for the header", where, names)
