"""The nearest center on a CPU.

Rows go in blocks whose scores stay in a core's second-level cache: a matrix product gives the scores with
centers down and rows across, and one compiled scan keeps the best score of every row at once, which
vectorises where an argmax along a row does not. Each thread takes a run of blocks, and BLAS is held to one
thread meanwhile: its own threads would wait for one another in each small product, and go on spinning after.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void

# Types are declared, not inferred: importing this module compiles it, or finds it compiled in an image.
_matrix = types.Array(float32, 2, "C", readonly=True)
_vector = types.Array(float32, 1, "C", readonly=True)
_exact_matrix = types.Array(float64, 2, "C", readonly=True)
_labels = types.Array(int32, 1, "C", readonly=True)

ROWS = 256  # of a block
CENTERS = 1024  # in one matrix product: 1 MiB of scores
ALONE = 1 << 22  # multiply-adds that are not worth waking another thread for

LOWEST = np.float32(-np.finfo(np.float32).max)

Folded: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]
Part = TypeVar("Part")


def absorb(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `nearest.absorb`."""

    def part(folded: Folded, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        counts, sums, loss = np.zeros(len(centers)), np.zeros(centers.shape), np.zeros(1)
        for first in range(start, stop, ROWS):
            block = np.ascontiguousarray(rows[first : min(first + ROWS, stop)])
            labels, best = _label(block, folded)
            loss += _add_up(block, folded[0], labels, best, counts, sums)
        return counts, sums, loss

    parts = _in_parts(part, len(rows), centers)
    counts, sums, loss = parts[0]
    for more in parts[1:]:
        counts += more[0]
        sums += more[1]
        loss += more[2]
    return counts, sums, loss


def nearest(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """See `nearest.nearest`."""
    labels = np.empty(len(rows), np.int32)
    squared = np.empty(len(rows), np.float32)

    def part(folded: Folded, start: int, stop: int) -> None:
        for first in range(start, stop, ROWS):
            block = slice(first, min(first + ROWS, stop))
            part_rows = np.ascontiguousarray(rows[block])
            labels[block], _ = _label(part_rows, folded)
            _measure(part_rows, centers, labels[block], squared[block])

    _in_parts(part, len(rows), centers)
    return labels, squared


def _fold(centers: np.ndarray) -> Folded:
    """What scores are made of: the mean m of the centers (d,), c' = c - m (K, d) and a bias (K,), float32.

    With them x.c' + bias = (x - m).c' - |c'|^2 / 2: rows need not be moved, and rounding is of the order of
    their own, as the float32 numbers that they are.
    """
    mean = centers.mean(axis=0, dtype=np.float64).astype(np.float32)
    around = np.empty(centers.shape, np.float32)
    bias = np.empty(len(centers), np.float32)
    _center(centers, mean, around, bias)
    return mean, around, bias


def _label(rows: np.ndarray, folded: Folded) -> tuple[np.ndarray, np.ndarray]:
    """The labels (n,) of a block of rows, and the scores (n,) that won."""
    _, around, bias = folded
    best = np.full(len(rows), LOWEST)
    labels = np.zeros(len(rows), np.int32)  # scores that overflow choose the first center
    for first in range(0, len(bias), CENTERS):
        scores = around[first : first + CENTERS] @ rows.T
        _scan(scores, bias[first : first + CENTERS], first, best, labels)
    return labels, best


def _in_parts(work: Callable[[Folded, int, int], Part], rows: int, centers: np.ndarray) -> list[Part]:
    """Do `work` over runs of the rows, on as many threads as BLAS would have used itself."""
    blas = _blas()
    threads = max((library["num_threads"] for library in blas.info()), default=1)
    with blas.limit(limits=1):
        folded = _fold(centers)
        if threads == 1 or rows * centers.size < ALONE:
            return [work(folded, 0, rows)]
        edges = [rows * thread // threads for thread in range(threads + 1)]
        others = [_pool(threads).submit(work, folded, *run) for run in pairwise(edges[1:])]
        return [work(folded, 0, edges[1]), *(other.result() for other in others)]


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="nearest")


@njit(
    [void(m, _vector, float32[:, ::1], float32[::1]) for m in (_matrix, _exact_matrix)],
    nogil=True,
    cache=True,
    fastmath={"reassoc", "contract"},
)
def _center(centers: np.ndarray, mean: np.ndarray, around: np.ndarray, bias: np.ndarray) -> None:
    for j in range(centers.shape[0]):
        total = 0.0
        for f in range(centers.shape[1]):
            moved = np.float64(centers[j, f]) - mean[f]
            around[j, f] = moved
            total += moved * (0.5 * moved + mean[f])
        bias[j] = -total


@njit(void(_matrix, _vector, int64, float32[::1], int32[::1]), nogil=True, cache=True)
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


@njit(
    float64(_matrix, _vector, _labels, _vector, float64[::1], float64[:, ::1]),
    nogil=True,
    cache=True,
    fastmath={"reassoc", "contract"},
)
def _add_up(
    rows: np.ndarray,
    mean: np.ndarray,
    labels: np.ndarray,
    best: np.ndarray,
    counts: np.ndarray,
    sums: np.ndarray,
) -> float:
    """Add rows to the counts and sums of their labels. Returns the sum of distances |x - m|^2 - 2 score."""
    loss = 0.0
    for i in range(rows.shape[0]):
        j = labels[i]
        counts[j] += 1
        length = np.float32(0)
        for f in range(rows.shape[1]):
            sums[j, f] += rows[i, f]
            around = rows[i, f] - mean[f]
            length += around * around
        loss += max(0.0, np.float64(length) - 2 * np.float64(best[i]))
    return loss


@njit(void(_matrix, _matrix, _labels, float32[::1]), nogil=True, cache=True)
def _measure(rows: np.ndarray, centers: np.ndarray, labels: np.ndarray, squared: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        total = 0.0
        for f in range(rows.shape[1]):
            difference = np.float64(rows[i, f]) - np.float64(centers[labels[i], f])
            total += difference * difference
        squared[i] = total
