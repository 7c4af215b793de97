"""Vectors read one by one (JSON, single protobuf records) stacked into the features of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats.layout import Layout
from optml.formats.records import Features

MAX_WIDTH = 1 << 40  # of sparse rows; what is wider is damage, not data


class Vector(NamedTuple):
    """One record's features: `values` alone are dense; with `keys` (flat, row-major) they are sparse.

    width: number of columns if the record tells it (its shape), else None.
    """

    values: np.ndarray  # (m,) any numeric dtype
    keys: np.ndarray | None = None  # (m,) integers
    width: int | None = None


def float32(array: np.ndarray) -> np.ndarray:
    """Round to float32; what is too large becomes infinity, for the check of finite values to name."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return array.astype(np.float32, copy=False)


def float64(array: np.ndarray) -> np.ndarray:
    """Widen to float64, signalling NaNs included."""
    with np.errstate(invalid="ignore"):
        return array.astype(np.float64)


def vector(values: np.ndarray, keys: np.ndarray | None, shape: Sequence[int], where: str) -> Vector:
    """A vector out of a tensor's three fields, checked. `where` names its record.

    No keys but values: dense. A shape but neither keys nor values: a sparse row of zeros.
    Raises UserError if the three do not fit together.
    """
    width: int | None = None
    if len(shape):
        width = 1
        for size in shape:
            width *= int(size)
        if not 0 <= width <= MAX_WIDTH:
            raise UserError(f"{where} has shape {list(shape)}, which is beyond {MAX_WIDTH} columns")
    if keys is not None and len(keys):
        if len(keys) != len(values):
            raise UserError(f"{where} has {len(keys)} keys but {len(values)} values; there must be one each")
        return Vector(values, keys, width)
    if len(values) or width is None:
        if width is not None and width != len(values):
            raise UserError(f"{where} has shape {list(shape)} but {len(values)} values and no keys")
        return Vector(values)
    return Vector(values, np.empty(0, np.int64), width)


def stack(vectors: Iterable[Vector], layout: Layout, where: Callable[[int], str]) -> Features:
    """(n, d) float32 features of n >= 1 vectors: dense if all are, else `csr_array`. The first vector that is
    wrong ends the work.

    Duplicate keys of a row are summed. All rows must have `layout.width` columns, or as many as the first.
    Raises UserError naming the row by `where(index)`.
    """
    width = layout.width
    rows = []
    for index, row in enumerate(vectors):
        rows.append(row)
        own = len(row.values) if row.keys is None else row.width
        if own is None and width is None:
            raise UserError(f"{where(index)} is sparse and has no shape; give its number of columns as shape")
        if own is None or own == width:
            continue
        if width is not None:
            layout.check(own, where(index))
            raise UserError(f"{where(index)} has {own} values but {where(0)} has {width}")
        if not own:
            raise UserError(f"{where(index)} has no values")
        width = own
    assert width is not None
    if all(row.keys is None for row in rows):
        return float32(np.stack([row.values for row in rows]))
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row.values) for row in rows], out=indptr[1:])
    keys = [np.arange(len(row.values)) if row.keys is None else row.keys for row in rows]
    values = np.concatenate([float32(row.values) for row in rows])
    return compressed_rows(values, np.concatenate(keys), indptr, width, where)


def compressed_rows(
    values: np.ndarray, keys: np.ndarray, indptr: np.ndarray, width: int, where: Callable[[int], str]
) -> csr_array:
    """`csr_array` with sorted indices and duplicates summed. Raises UserError for a key beyond the width."""
    if len(keys):
        wrong = (keys < 0) | (keys >= width)
        if wrong.any():
            at = int(np.argmax(wrong))
            row = int(np.searchsorted(indptr, at, side="right")) - 1
            raise UserError(
                f"{where(row)} has key {int(keys[at])}, but its columns are numbered 0 to {width - 1} "
                "(feature_dim or the record's shape)"
            )
    index_type: Any = np.int32 if max(width, len(keys)) < 2**31 else np.int64
    rows = csr_array(
        (values, keys.astype(index_type, copy=False), indptr.astype(index_type)),
        shape=(len(indptr) - 1, width),
    )
    rows.sum_duplicates()  # sorts as well; at once if already so
    return rows
