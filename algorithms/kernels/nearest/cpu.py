"""The nearest center on a CPU.

Rows go in blocks whose scores stay in a core's second-level cache: a matrix product gives the scores with
centers down and rows across, and one scan keeps the best score of every row at once, which vectorises where
an argmax along a row does not. Each thread takes a run of blocks and needs no Python in between. BLAS is held
to one thread meanwhile: its own would wait for one another in each small product, and spin after it.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void

from optml.algorithms.kernels.machine.threads import in_parts

# Types are declared, not inferred: importing this module compiles it, or finds it compiled in an image.
_matrix = types.Array(float32, 2, "C", readonly=True)
_vector = types.Array(float32, 1, "C", readonly=True)
_exact_matrix = types.Array(float64, 2, "C", readonly=True)

SCORES = 1 << 18  # of a block, 1 MiB of float32; twice that where rows are so long that scores hardly count
VALUES = 1 << 19  # of a block's rows, which are read twice
CENTERS = 1024  # in one matrix product, at most
ROWS = 2048  # in one matrix product, at most

LOWEST = np.float32(-np.finfo(np.float32).max)
FAST = {"reassoc", "contract"}


def absorb(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `nearest.absorb`."""
    rows = np.ascontiguousarray(rows)
    mean, around, bias = _fold(centers)

    def part(start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        counts, sums = np.zeros(len(centers)), np.zeros(centers.shape)
        loss = _absorb(rows[start:stop], mean, around, bias, counts, sums)
        return counts, sums, np.array([loss])

    parts = in_parts(part, len(rows), centers.size)
    counts, sums, loss = parts[0]
    for more in parts[1:]:
        counts += more[0]
        sums += more[1]
        loss += more[2]
    return counts, sums, loss


def move(centers: np.ndarray, weights: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> float:
    """See `nearest.move`."""
    change: float = _move(centers, weights, counts, sums)
    return change


def nearest(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """See `nearest.nearest`."""
    rows = np.ascontiguousarray(rows)
    _, around, bias = _fold(centers)
    labels = np.empty(len(rows), np.int32)
    squared = np.empty(len(rows), np.float32)

    def part(start: int, stop: int) -> None:
        _nearest(rows[start:stop], centers, around, bias, labels[start:stop], squared[start:stop])

    in_parts(part, len(rows), centers.size)
    return labels, squared


def _fold(centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What scores are made of: the mean m of the centers (d,), c' = c - m (K, d) and a bias (K,), float32.

    With them x.c' + bias = (x - m).c' - |c'|^2 / 2: rows need not be moved, and rounding is of the order of
    their own, as the float32 numbers that they are.
    """
    mean = centers.mean(axis=0, dtype=np.float64).astype(np.float32)
    around = np.empty(centers.shape, np.float32)
    bias = np.empty(len(centers), np.float32)
    _center(centers, mean, around, bias)
    return mean, around, bias


@njit(
    [void(m, _vector, float32[:, ::1], float32[::1]) for m in (_matrix, _exact_matrix)],
    nogil=True,
    cache=True,
    fastmath=FAST,
)
def _center(centers: np.ndarray, mean: np.ndarray, around: np.ndarray, bias: np.ndarray) -> None:
    for j in range(centers.shape[0]):
        total = 0.0
        for f in range(centers.shape[1]):
            centred_value = np.float64(centers[j, f]) - mean[f]
            around[j, f] = centred_value
            total += centred_value * (0.5 * centred_value + mean[f])
        bias[j] = -total


@njit(void(float32[:, ::1], _vector, int64, float32[::1], int32[::1]), nogil=True, cache=True)
def _scan(scores: np.ndarray, bias: np.ndarray, first: int, best: np.ndarray, labels: np.ndarray) -> None:
    """Bring the best score and label of every row (n,) up to date with (K, n) scores of centers from `first`.

    Four centers at a time, in a tree, to load and store the best so far less often.
    """
    fours = len(bias) - len(bias) % 4
    for j in range(0, fours, 4):
        for i in range(scores.shape[1]):
            a, b = scores[j, i] + bias[j], scores[j + 1, i] + bias[j + 1]
            c, d = scores[j + 2, i] + bias[j + 2], scores[j + 3, i] + bias[j + 3]
            left, right = b > a, d > c
            ab, cd = b if left else a, d if right else c
            label_ab = np.int32(first + j + 1) if left else np.int32(first + j)
            label_cd = np.int32(first + j + 3) if right else np.int32(first + j + 2)
            up = cd > ab
            score = cd if up else ab
            label = label_cd if up else label_ab
            better = score > best[i]
            best[i] = score if better else best[i]
            labels[i] = label if better else labels[i]
    for j in range(fours, len(bias)):
        for i in range(scores.shape[1]):
            score = scores[j, i] + bias[j]
            better = score > best[i]
            best[i] = score if better else best[i]
            labels[i] = np.int32(first + j) if better else labels[i]


@njit(void(_matrix, _matrix, _vector, float32[::1], float32[::1], int32[::1]), nogil=True, cache=True)
def _label(
    rows: np.ndarray,
    around: np.ndarray,
    bias: np.ndarray,
    scores: np.ndarray,
    best: np.ndarray,
    labels: np.ndarray,
) -> None:
    """The labels (n,) of a block of rows and the scores (n,) that won; `scores` is room to work in."""
    best[:] = LOWEST
    labels[:] = 0  # scores that overflow choose the first center
    for first in range(0, len(bias), CENTERS):
        down = around[first : first + CENTERS]
        product = scores[: len(down) * len(rows)].reshape(len(down), len(rows))
        np.dot(down, rows.T, product)
        _scan(product, bias[first : first + CENTERS], first, best, labels)


@njit(int64(int64, int64), nogil=True, cache=True)
def _height(centers: int, features: int) -> int:
    """Rows of a block. BLAS packs the centers anew for each, which a block must be worth."""
    scores = max(SCORES, min(2 * SCORES, 2048 * features))
    return min(ROWS, max(256, VALUES // features), scores // min(centers, CENTERS))


@njit(
    float64(_matrix, _vector, _matrix, _vector, float64[::1], float64[:, ::1]),
    nogil=True,
    cache=True,
    fastmath=FAST,
)
def _absorb(
    rows: np.ndarray,
    mean: np.ndarray,
    around: np.ndarray,
    bias: np.ndarray,
    counts: np.ndarray,
    sums: np.ndarray,
) -> float:
    """Add rows to the counts and sums of their labels. Returns the sum of distances |x - m|^2 - 2 score."""
    height = _height(len(bias), rows.shape[1])
    scores = np.empty(height * min(CENTERS, len(bias)), np.float32)
    best = np.empty(height, np.float32)
    labels = np.empty(height, np.int32)
    loss = 0.0
    for start in range(0, len(rows), height):
        block = rows[start : start + height]
        _label(block, around, bias, scores, best[: len(block)], labels[: len(block)])
        for i in range(block.shape[0]):
            j = labels[i]
            counts[j] += 1
            length = np.float32(0)
            for f in range(block.shape[1]):
                sums[j, f] += block[i, f]
                centred_value = block[i, f] - mean[f]
                length += centred_value * centred_value
            loss += max(0.0, np.float64(length) - 2 * np.float64(best[i]))
    return loss


@njit(
    float64(float64[:, ::1], float64[::1], float64[::1], float64[:, ::1]),
    nogil=True,
    cache=True,
    fastmath=FAST,
)
def _move(centers: np.ndarray, weights: np.ndarray, counts: np.ndarray, sums: np.ndarray) -> float:
    change = 0.0
    for j in range(len(counts)):
        if counts[j] == 0:
            continue
        weights[j] += counts[j]
        squared = 0.0
        for f in range(centers.shape[1]):
            step = (sums[j, f] - counts[j] * centers[j, f]) / weights[j]
            centers[j, f] += step
            squared += step * step
        change += (counts[j] - 2 * weights[j]) * squared
    return change


@njit(void(_matrix, _matrix, _matrix, _vector, int32[::1], float32[::1]), nogil=True, cache=True)
def _nearest(
    rows: np.ndarray,
    centers: np.ndarray,
    around: np.ndarray,
    bias: np.ndarray,
    labels: np.ndarray,
    squared: np.ndarray,
) -> None:
    height = _height(len(bias), rows.shape[1])
    scores = np.empty(height * min(CENTERS, len(bias)), np.float32)
    best = np.empty(height, np.float32)
    for start in range(0, len(rows), height):
        block = rows[start : start + height]
        _label(block, around, bias, scores, best[: len(block)], labels[start : start + height])
        for i in range(block.shape[0]):
            total = 0.0
            for f in range(block.shape[1]):
                difference = np.float64(block[i, f]) - np.float64(centers[labels[start + i], f])
                total += difference * difference
            squared[start + i] = total
