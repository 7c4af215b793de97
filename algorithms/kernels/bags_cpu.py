# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""Sums of weighted rows on a CPU. Threads share out the sums, so their number changes no result."""

from __future__ import annotations

import numpy as np
from numba import float32, int32, int64, njit, types, void

from algorithms.kernels.bags import Table
from algorithms.kernels.threads import in_parts

_int32s = types.Array(int32, 1, "C", readonly=True)
_floats = types.Array(float32, 1, "C", readonly=True)
_table = types.Array(float32, 2, "C", readonly=True)


def sums(table: Table, rows: np.ndarray) -> np.ndarray:
    """The sums (n, h) float32 of rows (m, h) float32."""
    found = np.empty((len(table), rows.shape[1]), np.float32)

    def part(start: int, stop: int) -> None:
        _sums(start, stop, table.bounds, table.places, table.values, rows, found)

    in_parts(part, len(table), len(table.places) * rows.shape[1] // max(len(table), 1))
    return found


@njit(
    void(int64, int64, _int32s, _int32s, _floats, _table, float32[:, ::1]),
    cache=True,
    nogil=True,
    fastmath={"contract"},
)
def _sums(start, stop, bounds, places, values, rows, found):
    width = rows.shape[1]
    for i in range(start, stop):
        for column in range(width):
            found[i, column] = 0
        for e in range(bounds[i], bounds[i + 1]):
            value = values[e]
            row = places[e]
            for column in range(width):
                found[i, column] += value * rows[row, column]
