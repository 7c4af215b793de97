"""Answers that AWS's container writes in its own way."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from algorithms.base import Answer, Columns


def encode(columns: Columns, media: str, part: Answer) -> bytes | None:
    """What AWS's container writes in its own way: CSV, and JSON of a server of many models.

    CSV: a row a line; of a batch job several numbers of a row as a list; of a server of many models, and with
    OPTML_XGB_CSV_JOIN=comma, single numbers on one line. Selected keys: a row a line, lists in quotes.
    """
    if media == "application/json" and part.many and tuple(columns) == ("score",):
        return repr(_values(columns["score"])).encode()
    if media != "text/csv":
        return None
    if tuple(columns) != ("score",):
        cells = [_cells(column) for column in columns.values()]
        text = "\n".join(map(",".join, zip(*cells, strict=True)))
        return (text + "\n" if part.batch else text).encode()
    score = columns["score"]
    values = _values(score)
    if score.ndim > 1:
        rows = [str(row) if part.batch else ",".join(map(repr, row)) for row in values]
    else:
        rows = list(map(repr, values))
        if not part.batch and (part.many or os.environ.get("OPTML_XGB_CSV_JOIN", "").lower() == "comma"):
            return ",".join(rows).encode()
    return "".join(row + "\n" for row in rows).encode()


def _values(column: np.ndarray) -> list[Any]:
    """Numbers, or lists of them."""
    values: list[Any] = column.tolist()
    return values


def _cells(column: np.ndarray) -> list[str]:
    return [f'"{value}"' if isinstance(value, list) else str(value) for value in _values(column)]
