"""The principal components that a state of training yields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optml.errors import UserError


@dataclass(frozen=True, slots=True)
class Components:
    """The r directions of most variance, the leading one last, as AWS's image orders them.

    singular_values: (r,) float64, ascending: of the rows, centered where they were.
    directions:      (d, r) float64, orthonormal columns.
    mean:            (d,) float64; None where the rows were not centered.
    total_variance:  sum of squares of all the (centered) rows' values, what all d singular values' squares
                     add up to.
    rows:            how many there were.
    """

    singular_values: np.ndarray
    directions: np.ndarray
    mean: np.ndarray | None
    total_variance: float
    rows: int

    @property
    def explained(self) -> float:
        """The share of the total variance that the components hold; of none at all, they hold all."""
        variance = float(np.square(self.singular_values).sum())
        return min(variance / self.total_variance, 1.0) if self.total_variance > 0 else 1.0


def require_finite(matrix: np.ndarray) -> None:
    """Raise UserError where products of the rows were beyond float32."""
    if not np.isfinite(matrix).all():
        raise UserError(
            "the squares of the rows of channel 'train' are larger than float32 holds: divide features whose "
            "values are beyond 1e18 or so by a power of ten, or remove outliers"
        )


def rank(rows: int, width: int, *, centered: bool) -> int:
    """The most singular values of so many rows that need not be 0."""
    return min(max(rows - centered, 0), width)
