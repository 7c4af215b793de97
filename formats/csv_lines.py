"""The lines of a CSV: what parts their cells, how many there are, and the numbers they hold.

Of a long line some cells are in memory at a time.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import cache

import numpy as np
import orjson

from optml.errors import UserError
from optml.formats.cells import shown

PLAIN = b"0123456789+-.eE, \r\n"  # with these alone a line of numbers is a line of JSON numbers
PIECE = 64 << 10  # bytes of which the cells are in memory at once
_DELIMITERS = (",", "\t", ";", "|", " ")


def delimiter_of(line: bytes) -> str:
    """The first of the known delimiters that the line holds; a comma if it holds none."""
    line = re.sub(rb'"[^"]*"', b"", line[:PIECE].strip(b" \r"))
    return next((mark for mark in _DELIMITERS if mark.encode() in line), ",")


def count(line: bytes, delimiter: str, where: str) -> int:
    """The number of a line's cells."""
    total = 0
    for segment in segments(collapsed(line, delimiter), delimiter, where):
        plain = re.sub(rb'"[^"]*"', b"", segment) if b'"' in segment else segment
        total += plain.count(delimiter.encode()) + 1
    return total


def segments(line: bytes, delimiter: str, where: str) -> Iterator[bytes]:
    """A line cut at delimiters that are not quoted into parts of at most `PIECE` bytes. Raises UserError for
    a cell that is longer."""
    start = 0
    while len(line) - start > PIECE:
        window = np.frombuffer(line, np.uint8, PIECE, start)
        quoted = np.cumsum(window == ord('"'), dtype=np.uint8) & 1
        cuts = np.flatnonzero((window == ord(delimiter)) & (quoted == 0))
        if not len(cuts):
            text = shown(line[start : start + 100].decode(errors="replace"))
            raise UserError(
                f"{where} holds a cell of more than {PIECE >> 10} KiB, '{text}'; expected a number"
            )
        stop = start + int(cuts[-1])
        yield line[start:stop]
        start = stop + 1
    yield line[start:]


def collapsed(line: bytes, delimiter: str) -> bytes:
    """Several blanks part two columns as one does."""
    return b" ".join(line.split()) if delimiter == " " else line


def cells_of(line: bytes, delimiter: str, row: int, source: str) -> list[str]:
    try:
        text = line.decode()
        if '"' not in text:
            return text.rstrip("\r").split(delimiter)
        return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True), [""])
    except csv.Error as error:
        raise UserError(f"row {row} of {source} cannot be parsed as CSV: {error}") from None
    except UnicodeDecodeError:
        raise UserError(
            f"row {row} of {source} is no UTF-8 text; name its encoding in the content type: "
            "text/csv;encoding=..."
        ) from None


@cache
def _quotable(delimiter: str) -> re.Pattern[bytes]:
    """Matches a text whose quotes all stand around cells that need none."""
    mark = re.escape(delimiter).encode()
    return re.compile(
        rb'(?:[^"]++|(?:(?m:^)|(?<=[%b ]))"[^"%b\r\n]*+"(?=[%b\r\n]|\Z))*+' % (mark, mark, mark)
    )


def unquoted(text: bytes, delimiter: str) -> bytes:
    """The text without its quotes, if no cell needs them."""
    if b'"' in text and _quotable(delimiter).fullmatch(text):
        return text.replace(b'"', b"")
    return text


def numbers(rows: list[bytes], delimiter: str) -> np.ndarray:
    """(rows, columns) float64 of lines of numbers; nothing is NaN. Raises ValueError for anything else."""
    text = b"\n".join(rows)
    if not rows:
        raise ValueError("no rows")
    if delimiter != ",":
        if b"," in text:
            raise ValueError("a comma is no part of a number")
        text = text.replace(delimiter.encode(), b",")
    if not text.translate(None, PLAIN):  # not so where there is a nan, a quote or a text
        try:
            return np.array(orjson.loads(b"[[" + text.replace(b"\n", b"],[") + b"]]"), np.float64)
        except orjson.JSONDecodeError:  # such as .5 or +1
            pass
    if b"_" in text:  # which float would take
        raise ValueError("an underscore is no part of a number")
    columns = rows[0].count(delimiter.encode()) + 1
    cells = text.replace(b"\n", b",").split(b",")
    if len(cells) != columns * len(rows) or len({row.count(delimiter.encode()) for row in rows}) != 1:
        raise ValueError("rows are of several lengths")
    values = np.fromiter((float(cell.strip() or b"nan") for cell in cells), np.float64, len(cells))
    return values.reshape(len(rows), columns)
