"""Where rows become points that are compared: reduced, scaled to unit length, padded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from optml.algorithms.knn.reduction import Reduction
from optml.errors import UserError

LARGEST = 1e15  # of a feature: sums of squares and products stay far within float32


@dataclass(frozen=True, slots=True)
class Space:
    """feature_dim: numbers of a row.   width: of a point, at least those that the reduction leaves (or
    feature_dim); the rest is zeros.   normalize: points are unit vectors, those of length zero apart."""

    feature_dim: int
    width: int
    reduction: Reduction | None = None
    normalize: bool = False

    def place(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, feature_dim) float32 -> points (n, width) float32, C order."""
        points = rows if self.reduction is None else self.reduction.apply(rows)
        if self.normalize:
            lengths = np.sqrt(np.einsum("ij,ij->i", points, points, dtype=np.float64))
            points = points / np.where(lengths > 0, lengths, 1).astype(np.float32)[:, None]
        if points.shape[1] < self.width:
            points = np.pad(points, ((0, 0), (0, self.width - points.shape[1])))
        return np.ascontiguousarray(points)


def require_moderate(rows: np.ndarray, where: Callable[[int], str]) -> None:
    """Raises UserError naming (`where`) the first row with a value that is not a number or beyond LARGEST."""
    if not rows.size or np.abs(rows).max() <= LARGEST:
        return
    row, column = np.argwhere(~(np.abs(rows) <= LARGEST))[0].tolist()
    value = rows[row, column]
    if np.isnan(value):
        raise UserError(f"{where(row)} holds NaN (or nothing) in feature {column + 1}; fill in a number")
    raise UserError(
        f"{where(row)} holds {value:g} in feature {column + 1}; beyond {LARGEST:g} sums of squares leave "
        "float32: divide the feature by a power of ten"
    )
