"""Answers that AWS's container writes in its own way."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from optml.algorithms.answers import Answer, Written
from optml.formats.content_type import CSV, JSON
from optml.formats.records import Columns


def encode(columns: Columns, media: str, part: Answer) -> Written | None:
    """What AWS's container writes in its own way: CSV, and JSON of a server of many models.

    CSV: a row a line; of a batch job several numbers of a row as a list; of a server of many models, and with
    OPTML_XGB_CSV_JOIN=comma, single numbers on one line. Selected keys: a row a line, lists in quotes.
    """
    plain = tuple(columns) == ("score",)
    if media == JSON and part.many and plain:
        return Written(_bytes(map(repr, _values(columns["score"]))), b"[", b", ", b"]")
    if media != CSV:
        return None
    if not plain:
        cells = [_cells(column) for column in columns.values()]
        rows = _bytes(map(",".join, zip(*cells, strict=True)))
        return Written(rows, closing=b"\n" if part.batch else b"")
    score = columns["score"]
    values = _values(score)
    if score.ndim > 1:
        rows = _bytes(str(row) if part.batch else ",".join(map(repr, row)) for row in values)
    else:
        rows = _bytes(map(repr, values))
        if not part.batch and (part.many or os.environ.get("OPTML_XGB_CSV_JOIN", "").lower() == "comma"):
            return Written(rows, between=b",")
    return Written(rows, closing=b"\n")


def _bytes(texts: Iterable[str]) -> list[bytes]:
    return [text.encode() for text in texts]


def _values(column: np.ndarray) -> list[Any]:
    """Numbers, or lists of them."""
    values: list[Any] = column.tolist()
    return values


def _cells(column: np.ndarray) -> list[str]:
    return [f'"{value}"' if isinstance(value, list) else str(value) for value in _values(column)]
