"""The nearest center on a CPU: a matrix product per block of rows, then one compiled pass over its scores."""

from __future__ import annotations

import numpy as np
from numba import njit, types

# Declared, not inferred: importing this module compiles it, or finds it compiled in the image.
_rows = types.Array(types.float32, 2, "C", readonly=True)
_row = types.Array(types.float32, 1, "C", readonly=True)
_labels = types.Array(types.int32, 1, "C")
_squared = types.Array(types.float32, 1, "C")
_counts = types.Array(types.float64, 1, "C")
_sums = types.Array(types.float64, 2, "C")

SCORES = 1 << 17  # scores of a block: 512 KiB of float32, which stay in a core's second-level cache


def absorb(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `nearest.absorb`."""
    shift, lanes, bias = _fold(centers)
    counts = np.zeros(len(centers))
    sums = np.zeros(centers.shape)
    loss = np.zeros(1)
    step = max(32, SCORES // len(centers))
    block = np.empty((min(step, len(rows)), rows.shape[1]), np.float32)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        centered = block[: len(part)]
        np.subtract(part, shift, out=centered)
        _collect(part, centered, centered @ lanes, bias, counts, sums, loss)
    return counts, sums, loss


def nearest(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """See `nearest.nearest`."""
    shift, lanes, bias = _fold(centers)
    labels = np.empty(len(rows), np.int32)
    squared = np.empty(len(rows), np.float32)
    step = max(32, SCORES // len(centers))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        scores = (part - shift) @ lanes
        _choose(part, centers, scores, bias, labels[start : start + step], squared[start : start + step])
    return labels, squared


def _fold(centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of the centers (d,), the centers less it as columns (d, K), and -|c|^2 / 2 of those."""
    shift = centers.mean(axis=0, dtype=np.float64).astype(np.float32)
    folded = (centers - shift).astype(np.float32)
    return shift, folded.T, -0.5 * np.square(folded).sum(axis=1)


@njit(types.int64(_row, _row), nogil=True, cache=True, boundscheck=False)
def _best(scores: np.ndarray, bias: np.ndarray) -> int:
    """The first place of the largest score plus bias: two passes, because each of them is vectorised."""
    largest = np.float32(-np.inf)
    for j in range(len(bias)):
        largest = max(largest, scores[j] + bias[j])
    first = len(bias)
    for j in range(len(bias)):
        first = min(first, j if scores[j] + bias[j] == largest else len(bias))
    return first if first < len(bias) else 0  # scores that overflowed have no largest


@njit(
    types.void(_rows, _rows, _rows, _row, _counts, _sums, _counts), nogil=True, cache=True, boundscheck=False
)
def _collect(
    rows: np.ndarray,
    centered: np.ndarray,
    scores: np.ndarray,
    bias: np.ndarray,
    counts: np.ndarray,
    sums: np.ndarray,
    loss: np.ndarray,
) -> None:
    total = 0.0
    for i in range(len(rows)):
        j = _best(scores[i], bias)
        length = 0.0
        for f in range(rows.shape[1]):
            length += np.float64(centered[i, f]) * centered[i, f]
            sums[j, f] += rows[i, f]
        counts[j] += 1
        total += max(0.0, length - 2.0 * (scores[i, j] + bias[j]))
    loss[0] += total


@njit(types.void(_rows, _rows, _rows, _row, _labels, _squared), nogil=True, cache=True, boundscheck=False)
def _choose(
    rows: np.ndarray,
    centers: np.ndarray,
    scores: np.ndarray,
    bias: np.ndarray,
    labels: np.ndarray,
    squared: np.ndarray,
) -> None:
    for i in range(len(rows)):
        j = _best(scores[i], bias)
        total = 0.0
        for f in range(rows.shape[1]):
            difference = np.float64(rows[i, f]) - centers[j, f]
            total += difference * difference
        labels[i] = j
        squared[i] = total
