"""Scores of a random cut forest on a CPU.

A block of rows goes through one tree after the other, so that the tree's boxes stay in a core's second-level
cache. The way down does not wait for the probabilities, which the processor works out beside it: no branch
depends on them. A row's sum runs over the trees in order, whatever the blocks and threads: same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float32, float64, int32, int64, njit, types, void

from algorithms.kernels.forest import Forest
from algorithms.kernels.threads import ALONE, in_parts

VALUES = 1 << 17  # of a block of rows: 512 KiB, beside a tree's boxes
ROWS = 1024  # of a block, at most
DEPTH = 12  # nodes on a row's way down, for an estimate of the work

FAST = {"reassoc", "contract", "nsz"}

_vector = types.Array(float32, 1, "C", readonly=True)
_matrix = types.Array(float32, 2, "C", readonly=True)
_boxes = types.Array(float32, 3, "C", readonly=True)
_numbers = types.Array(int32, 1, "C", readonly=True)
_children = types.Array(int32, 2, "C", readonly=True)
_places = types.Array(int64, 1, "C", readonly=True)
_exact = types.Array(float64, 1, "C", readonly=True)


def score(rows: np.ndarray, forest: Forest) -> np.ndarray:
    """See `forest.score`; rows and forest are not far."""
    rows = np.ascontiguousarray(rows)
    totals = np.zeros(len(rows))
    block = max(1, min(ROWS, VALUES // rows.shape[1]))

    def part(start: int, stop: int) -> None:
        for at in range(start, stop, block):
            end = min(at + block, stop)
            _score(
                rows[at:end], forest.first, forest.points, forest.masses, forest.children, forest.dimensions,
                forest.cuts, forest.boxes, forest.ranges, totals[at:end],
            )  # fmt: skip

    work = forest.trees * DEPTH * 2 * rows.shape[1]
    if len(rows) * work < ALONE:
        part(0, len(rows))
    else:
        in_parts(part, len(rows), work)
    totals *= forest.factor
    return totals


@njit(float32(_vector, _matrix), nogil=True, cache=True, fastmath=FAST)
def _gap(row: np.ndarray, box: np.ndarray) -> np.float32:
    gap = np.float32(0)
    for j in range(len(row)):
        below = box[0, j] - row[j]
        above = row[j] - box[1, j]
        outside = below if below > above else above
        gap += outside if outside > 0 else np.float32(0)
    return gap


@njit(boolean(_vector, _vector), nogil=True, cache=True)
def _equal(row: np.ndarray, point: np.ndarray) -> bool:
    for j in range(len(row)):  # noqa: SIM110  compiled
        if row[j] != point[j]:
            return False
    return True


@njit(
    void(
        _matrix, _places, _matrix, _numbers, _children, _numbers, _vector, _boxes, _exact, float64[::1]
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def _score(
    rows: np.ndarray,
    first: np.ndarray,
    points: np.ndarray,
    masses: np.ndarray,
    children: np.ndarray,
    dimensions: np.ndarray,
    cuts: np.ndarray,
    boxes: np.ndarray,
    ranges: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Add every tree's E to the totals (n,)."""
    for tree in range(len(first) - 1):
        begin = first[tree]
        root = begin - tree if first[tree + 1] - begin > 1 else ~begin
        for i in range(len(rows)):
            row = rows[i]
            node = root
            depth = 0
            together = 1.0  # q
            inverse = 0.0  # E
            while node >= 0:
                gap = np.float64(_gap(row, boxes[node]))
                share = together / (ranges[node] + gap)
                depth += 1
                inverse += share * gap / depth
                together = share * ranges[node]
                node = np.int64(children[node, np.int64(row[dimensions[node]] > cuts[node])])
            leaf = ~node
            if _equal(row, points[leaf]):
                deep = depth + math.log2(masses[leaf])
                totals[i] += inverse + together / (deep if deep > 0 else 1.0)
            else:
                totals[i] += inverse + together / (depth + 1)
