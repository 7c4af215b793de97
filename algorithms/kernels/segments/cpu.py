# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""Maxima over runs of rows on a CPU: one pass over the rows, columns side by side."""

from __future__ import annotations

import numpy as np
from numba import float32, int32, int64, njit, types, void

from optml.algorithms.kernels.machine.threads import ALONE, in_parts

_ints = types.Array(int64, 1, "C", readonly=True)
_table = types.Array(float32, 2, "C", readonly=True)


def maxima(rows: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maxima (n, w) float32, and the rows (n, w) int32 that they are of; -1 of a run without rows."""
    highest = np.zeros((len(starts), rows.shape[1]), np.float32)
    places = np.full(highest.shape, -1, np.int32)

    def part(start: int, stop: int) -> None:
        _maxima(start, stop, rows, starts, stops, highest, places)

    if rows.size < ALONE or not len(starts):
        part(0, len(starts))
    else:
        in_parts(part, len(starts), rows.size // len(starts))
    return highest, places


def scatter(above: np.ndarray, places: np.ndarray, below: np.ndarray) -> None:
    """below[places[i, c], c] = above[i, c]."""
    _scatter(above, places, below)


@njit(
    void(int64, int64, _table, _ints, _ints, float32[:, ::1], int32[:, ::1]), cache=True, nogil=True
)  # fmt: skip
def _maxima(start, stop, rows, starts, stops, highest, places):
    width = rows.shape[1]
    for i in range(start, stop):
        first = starts[i]
        if first < stops[i]:
            for c in range(width):
                highest[i, c] = rows[first, c]
                places[i, c] = first
            for row in range(first + 1, stops[i]):
                for c in range(width):
                    higher = rows[row, c] > highest[i, c]
                    highest[i, c] = rows[row, c] if higher else highest[i, c]
                    places[i, c] = row if higher else places[i, c]


@njit(void(_table, types.Array(int32, 2, "C", readonly=True), float32[:, ::1]), cache=True, nogil=True)
def _scatter(above, places, below):
    for i in range(above.shape[0]):
        for c in range(above.shape[1]):
            if places[i, c] >= 0:
                below[places[i, c], c] = above[i, c]
