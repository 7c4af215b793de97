"""What the paths of this operation share: where the pixels of a mask lie between the places of its logits."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

Tensor: TypeAlias = Any  # a torch tensor; torch's own name would bring torch's types into mypy

LOW = -3e38  # the score of a class that is none: no other is lower, and differences of two are numbers


@lru_cache(maxsize=64)
def between(places: int, pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Along one axis: for each pixel the cell it lies in, the one that begins with place `cell`, and how far
    in it, 0..1; and for each cell its first pixel, with the number of pixels behind them.

    cells: (pixels,) int64.   parts: (pixels,) float32.   starts: (max(places - 1, 1) + 1,) int64.
    """
    steps, whole = places - 1, max(pixels - 1, 1)
    at = np.arange(pixels, dtype=np.int64) * steps
    cells = np.minimum(at // whole, max(steps - 1, 0))
    parts = ((at - cells * whole) / whole).astype(np.float32)
    starts = np.searchsorted(cells, np.arange(max(steps, 1) + 1))
    for array in (cells, parts, starts):
        array.flags.writeable = False
    return cells, parts, starts.astype(np.int64)


def trimmed(logits: Tensor, height: int, width: int) -> Tensor:
    """Without the rows, or columns, that a mask of a single row, or column, never sees."""
    if height == 1:
        logits = logits[:, :, :1]
    if width == 1:
        logits = logits[:, :, :, :1]
    return logits
