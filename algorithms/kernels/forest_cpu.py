"""Scores of a random cut forest on a CPU.

A block of rows goes through one tree after the other, so that the tree's boxes stay in a core's second-level
cache, and down a tree level by level: the steps of different rows do not wait for one another, as those of
one row must, and no branch depends on them. A row's sum runs over the trees in order, whatever the blocks and
threads: same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float32, float64, int32, int64, njit, types, uint64, void

from algorithms.kernels.forest import Forest
from algorithms.kernels.threads import ALONE, in_parts

VALUES = 1 << 17  # of a block of rows: 512 KiB, beside a tree's boxes
ROWS = 1024  # of a block, at most
DEPTH = 12  # nodes on a row's way down, for an estimate of the work

FAST = {"reassoc", "contract", "nsz"}

_floats = types.Array(float32, 1, "C", readonly=True)
_numbers = types.Array(int32, 1, "C", readonly=True)
_places = types.Array(int64, 1, "C", readonly=True)
_exact = types.Array(float64, 1, "C", readonly=True)


def score(rows: np.ndarray, forest: Forest) -> np.ndarray:
    """See `forest.score`; rows and forest are not far."""
    n, d = rows.shape
    flat = np.ascontiguousarray(rows).reshape(-1)
    arrays = (
        forest.first, forest.points.reshape(-1), forest.masses, forest.children.reshape(-1),
        forest.dimensions, forest.cuts, forest.boxes.reshape(-1), forest.ranges,
    )  # fmt: skip
    totals = np.zeros(n)
    block = max(1, min(ROWS, VALUES // d))

    def part(start: int, stop: int) -> None:
        for at in range(start, stop, block):
            end = min(at + block, stop)
            _score(flat[at * d : end * d], d, *arrays, totals[at:end])

    work = forest.trees * DEPTH * 2 * d
    if n * work < ALONE:
        part(0, n)
    else:
        in_parts(part, n, work)
    totals *= forest.factor
    return totals


@njit(boolean(_floats, uint64, _floats, uint64, uint64), nogil=True, cache=True)
def _equal(rows: np.ndarray, row: np.uint64, points: np.ndarray, point: np.uint64, d: int) -> bool:
    for k in range(d):  # noqa: SIM110  compiled
        if rows[row + np.uint64(k)] != points[point + np.uint64(k)]:
            return False
    return True


# Unsigned places spare the compiled code Python's counting from the end.
@njit(
    void(
        _floats, uint64, _places, _floats, _numbers, _numbers, _numbers, _floats, _floats, _exact,
        float64[::1],
    ),
    nogil=True,
    cache=True,
    fastmath=FAST,
    error_model="numpy",
)  # fmt: skip
def _score(
    rows: np.ndarray,
    d: int,
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
    """Add every tree's E to the totals (n,); matrices come as vectors."""
    n = len(totals)
    nodes = np.empty(n, np.int32)
    depths = np.empty(n, np.uint32)
    together = np.empty(n)  # q
    inverses = np.empty(n)  # E
    under_way = np.empty(n, np.uint32)  # rows that have not reached their leaf
    for tree in range(len(first) - 1):
        several = first[tree + 1] - first[tree] > 1
        root = first[tree] - tree if several else ~first[tree]
        for k in range(n):
            nodes[k] = root
            depths[k] = 0
            together[k] = 1
            inverses[k] = 0
            under_way[k] = k
        left = np.uint64(n if several else 0)
        depth = np.uint64(0)
        while left > np.uint64(0):
            depth += np.uint64(1)
            share = 1 / np.float64(depth)
            going = np.uint64(0)
            for place in range(left):
                i = np.uint64(under_way[np.uint64(place)])
                node = np.uint64(nodes[i])
                row = i * d
                low = node * (d + d)
                high = low + d
                gap = np.float32(0)
                for k in range(d):
                    j = np.uint64(k)
                    value = rows[row + j]
                    below = boxes[low + j] - value
                    above = value - boxes[high + j]
                    outside = below if below > above else above
                    gap += outside if outside > 0 else np.float32(0)
                apart = together[i] / (ranges[node] + np.float64(gap))
                inverses[i] += apart * np.float64(gap) * share
                together[i] = apart * ranges[node]
                right = np.uint64(rows[row + np.uint64(dimensions[node])] > cuts[node])
                child = children[node + node + right]
                nodes[i] = child
                depths[i] = depth
                under_way[going] = i
                going += np.uint64(child >= 0)
            left = going
        for k in range(n):
            i = np.uint64(k)
            leaf = np.uint64(~nodes[i])
            deep = depths[i] + 1.0
            if _equal(rows, i * d, points, leaf * d, d):
                deep = depths[i] + math.log2(masses[leaf])
            totals[i] += inverses[i] + together[i] / (deep if deep > 0 else 1.0)
