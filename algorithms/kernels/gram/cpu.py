"""The Gram matrix of sparse rows: of each row, the products of the pairs of its values."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, njit, types, void

_values = types.Array(float32, 1, "C", readonly=True)


@njit(void(_values, int64[::1], int64[::1], float64[:, ::1], float64[::1]), nogil=True, cache=True)
def accumulate(
    values: np.ndarray, columns: np.ndarray, starts: np.ndarray, gram: np.ndarray, sums: np.ndarray
) -> None:
    """See `gram.accumulate_sparse`: values and columns (nnz,), starts (n + 1,). A row's columns ascend, so
    its pairs lie in the upper triangle."""
    for row in range(len(starts) - 1):
        for a in range(starts[row], starts[row + 1]):
            value = np.float64(values[a])
            column = columns[a]
            sums[column] += value
            for b in range(a, starts[row + 1]):
                gram[column, columns[b]] += value * values[b]
