"""Masks through the maps that images go through, by the nearest pixel: labels are not mixed."""

from __future__ import annotations

import numpy as np
from numba import float32, njit, types, uint8, void

OUTSIDE = 255
_labels = types.Array(uint8, 2, "C", readonly=True)
_matrix = types.Array(float32, 2, "C", readonly=True)


@njit(void(_labels, _matrix, uint8[:, ::1]), cache=True, nogil=True, error_model="numpy")
def nearest(labels, matrix, out):  # type: ignore[no-untyped-def]
    """out (height, width) uint8: the label in which M (c + 1/2, r + 1/2, 1) lies (see `pixels`), 255 beside
    the mask. labels: (h, w) uint8.   matrix: (2, 3) float32."""
    height, width = labels.shape
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            column, row = np.float32(c + 0.5), np.float32(r + 0.5)
            x = matrix[0, 0] * column + matrix[0, 1] * row + matrix[0, 2]
            y = matrix[1, 0] * column + matrix[1, 1] * row + matrix[1, 2]
            if 0 <= x <= width and 0 <= y <= height:
                out[r, c] = labels[min(int(y), height - 1), min(int(x), width - 1)]
            else:
                out[r, c] = OUTSIDE
