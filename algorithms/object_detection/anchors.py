"""The boxes that a detector starts from: of each cell of each feature layer a few, by size and aspect ratio.

    centre of cell (r, c):  ((c + 1/2) step, (r + 1/2) step); step: 1 / cells of a side, if nothing is told
    boxes of a cell:        (s, 1) for each size s, then (first size, ratio) for each ratio but the first;
                            width s sqrt(ratio), height s / sqrt(ratio)

All are fractions of the image, and may reach beside it (MXNet's `MultiBoxPrior`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Anchors:
    """sizes, ratios: of each feature layer.   steps: likewise; None: by its number of cells."""

    sizes: tuple[Numbers, ...]
    ratios: tuple[Numbers, ...]
    steps: tuple[float | None, ...]

    def __len__(self) -> int:
        """Feature layers."""
        return len(self.sizes)

    @property
    def counts(self) -> tuple[int, ...]:
        """Boxes of a cell, of each layer."""
        return tuple(len(s) + len(r) - 1 for s, r in zip(self.sizes, self.ratios, strict=True))

    def boxes(self, grids: Sequence[tuple[int, int]]) -> np.ndarray:
        """(A, 4) float32: xmin, ymin, xmax, ymax of all boxes; grids: rows and columns of each layer."""
        layers = zip(grids, self.sizes, self.ratios, self.steps, strict=True)
        return np.concatenate([_of_layer(*layer) for layer in layers]).astype(np.float32)


def _of_layer(grid: tuple[int, int], sizes: Numbers, ratios: Numbers, step: float | None) -> np.ndarray:
    rows, columns = grid
    y = (np.arange(rows) + 0.5) * (step or 1 / rows)
    x = (np.arange(columns) + 0.5) * (step or 1 / columns)
    shapes = [(size, size) for size in sizes]
    shapes += [(sizes[0] * math.sqrt(ratio), sizes[0] / math.sqrt(ratio)) for ratio in ratios[1:]]
    halves = np.array(shapes) / 2
    centres = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1)[
        :, :, None
    ]  # (rows, columns, 1, 2)
    return np.concatenate([centres - halves, centres + halves], axis=-1).reshape(-1, 4)
