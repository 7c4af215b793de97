"""What to do about a row of a CSV that is none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from optml.formats.cells import number
from optml.formats.content_type import CSV, sniff

_COMMA = re.compile(r"[-+]?(\d{1,3}(,\d{3})+(\.\d*)?|\d*,\d+)([eE][-+]?\d+)?")  # of decimals, or of thousands
_OTHERS = (";", "\t", "|", " ")  # what parts columns where commas are of decimals
_NAMES = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks", ",": "commas"}


def of_word(cell: str, line: str, delimiter: str) -> str:
    """What was expected in the place of a cell that holds a word, and what may be wrong with its line."""
    media = sniff(line.encode()).media
    if media != CSV:
        return f"expected a number; the line looks like {media}: set the content type to that"
    if delimiter == "," and (other := _decimal_commas(line)) is not None:
        return (
            f"expected a number; the numbers seem to have decimal commas, with {_NAMES[other]} between them: "
            "write decimal points, and commas between columns "
            f"(pandas: read_csv(path, sep='{other.replace(chr(9), chr(92) + 't')}', decimal=','))"
        )
    if _COMMA.fullmatch(cell.strip()):
        return (
            "expected a number; write a point before the decimals and nothing between the thousands (pandas: "
            "read_csv(path, decimal=',') or thousands=',')"
        )
    return "expected a number, or nothing for a missing value"


def of_length(line: str, delimiter: str, columns: int) -> str:
    """Why a row may have another number of values than the first, `columns`; empty if nobody knows."""
    for other, name in _NAMES.items():
        if other != delimiter and delimiter not in line and line.strip().count(other) + 1 == columns > 1:
            return f"; {name} part them, and {_NAMES[delimiter]} those of the first row: use one of the two"
    return ""


def _decimal_commas(line: str) -> str | None:
    """What parts the numbers of a line, if they have decimal commas."""
    for other in _OTHERS:
        cells = line.strip().split(other)
        if len(cells) > 1 and _are_numbers(cells):
            return other
    return None


def _are_numbers(cells: Sequence[str]) -> bool:
    commas = [_COMMA.fullmatch(cell.strip()) is not None for cell in cells]
    return any(commas) and all(
        comma or number(cell) is not None for comma, cell in zip(commas, cells, strict=True)
    )
