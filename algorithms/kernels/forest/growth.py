"""Growing random cut trees, and the boxes of their nodes.

A set of rows that are not all equal is cut: dimension j with a probability in proportion to its range
hi_j - lo_j, at a place uniform in [lo_j, hi_j). One uniform number u decides both: u * sum of ranges falls
into the range of j, and how far into it says where. The trees have the law of inserting the rows one by one
(Guha et al. 2016, theorem 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void

from optml.algorithms.kernels.forest.terms import FAR, Forest

_matrix = types.Array(float32, 2, "C", readonly=True)
_numbers = types.Array(int32, 2, "C", readonly=True)
_exact = types.Array(float64, 1, "C", readonly=True)


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree: arrays as in `forest.Forest`, numbered from 0, and the depth of its deepest leaf."""

    points: np.ndarray
    masses: np.ndarray
    children: np.ndarray
    dimensions: np.ndarray
    cuts: np.ndarray
    depth: int


def grow(rows: np.ndarray, uniforms: np.ndarray) -> Tree:
    """Grow one tree over (m, d) float32 rows, m >= 1, with (m - 1,) numbers uniform in [0, 1)."""
    m, d = rows.shape
    points, masses = np.empty((m, d), np.float32), np.empty(m, np.int32)
    children, dimensions = np.empty((m - 1, 2), np.int32), np.empty(m - 1, np.int32)
    cuts = np.empty(m - 1, np.float32)
    leaves, depth = _grow(np.ascontiguousarray(rows), uniforms, points, masses, children, dimensions, cuts)
    nodes = leaves - 1
    return Tree(points[:leaves], masses[:leaves], children[:nodes], dimensions[:nodes], cuts[:nodes], depth)


def join(trees: Sequence[Tree], rows: int) -> Forest:
    """The forest of these trees, each of so many rows."""
    first = np.cumsum([0, *(len(tree.points) for tree in trees)])
    children = [
        tree.children + np.where(tree.children >= 0, first[place] - place, -first[place])
        for place, tree in enumerate(trees)
    ]
    return assemble(
        first,
        np.concatenate([tree.points for tree in trees]),
        np.concatenate([tree.masses for tree in trees]),
        np.concatenate(children).astype(np.int32),
        np.concatenate([tree.dimensions for tree in trees]),
        np.concatenate([tree.cuts for tree in trees]),
        rows,
    )


def assemble(
    first: np.ndarray,
    points: np.ndarray,
    masses: np.ndarray,
    children: np.ndarray,
    dimensions: np.ndarray,
    cuts: np.ndarray,
    rows: int,
) -> Forest:
    """A forest from what it is kept as; its boxes, twice as large as that, follow from the points."""
    boxes = np.empty((len(children), 2, points.shape[1]), np.float32)
    ranges = np.empty(len(children))
    _boxes(points, children, boxes, ranges)
    far = bool(max(points.max(), -points.min()) > FAR)
    return Forest(first, points, masses, children, dimensions, cuts, boxes, ranges, rows, far)


@njit(float64(_matrix, int64[::1], float32[::1], float32[::1]), nogil=True, cache=True)
def _box(rows: np.ndarray, members: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    low[:] = rows[members[0]]
    high[:] = low
    for member in members[1:]:
        for j in range(len(low)):
            value = rows[member, j]
            low[j] = value if value < low[j] else low[j]
            high[j] = value if value > high[j] else high[j]
    total = 0.0
    for j in range(len(low)):
        total += np.float64(high[j]) - np.float64(low[j])
    return total


@njit("Tuple((int64, float32))(float32[::1], float32[::1], float64)", nogil=True, cache=True)
def _cut(low: np.ndarray, high: np.ndarray, level: float) -> tuple[int, np.float32]:
    """The dimension in whose range `level` of the summed ranges falls, and the place there."""
    dimension = -1
    for j in range(len(low)):
        length = np.float64(high[j]) - np.float64(low[j])
        if length > 0:
            dimension = j
            if level < length:
                break
            level -= length
    cut = np.float32(np.float64(low[dimension]) + level)
    if cut >= high[dimension]:  # rounding must leave no side empty
        cut = np.nextafter(high[dimension], low[dimension])
    return dimension, cut


@njit(
    types.UniTuple(int64, 2)(  # type: ignore[no-untyped-call]
        _matrix, _exact, float32[:, ::1], int32[::1], int32[:, ::1], int32[::1], float32[::1]
    ),
    nogil=True,
    cache=True,
)
def _grow(
    rows: np.ndarray,
    uniforms: np.ndarray,
    points: np.ndarray,
    masses: np.ndarray,
    children: np.ndarray,
    dimensions: np.ndarray,
    cuts: np.ndarray,
) -> tuple[int, int]:
    """Fill the tree in preorder; returns its number of leaves and its depth."""
    order = np.arange(len(rows))
    # Runs of `order` that are to be cut: start, stop, parent, side, depth.
    waiting = np.empty((len(rows) + 1, 5), np.int64)
    waiting[0] = (0, len(rows), -1, 0, 0)
    count, leaves, nodes, deepest = 1, 0, 0, 0
    low, high = np.empty(rows.shape[1], np.float32), np.empty(rows.shape[1], np.float32)
    while count:
        count -= 1
        start, stop, parent, side, depth = waiting[count]
        total = _box(rows, order[start:stop], low, high)
        if total == 0:
            points[leaves] = rows[order[start]]
            masses[leaves] = stop - start
            if parent >= 0:
                children[parent, side] = ~leaves
            leaves += 1
            deepest = max(deepest, depth)
            continue
        if parent >= 0:
            children[parent, side] = nodes
        dimension, cut = _cut(low, high, uniforms[nodes] * total)
        dimensions[nodes] = dimension
        cuts[nodes] = cut
        middle, last = start, stop - 1
        while middle <= last:
            if rows[order[middle], dimension] <= cut:
                middle += 1
            else:
                order[middle], order[last] = order[last], order[middle]
                last -= 1
        waiting[count] = (middle, stop, nodes, 1, depth + 1)
        waiting[count + 1] = (start, middle, nodes, 0, depth + 1)
        count += 2
        nodes += 1
    return leaves, deepest


@njit(void(_matrix, _numbers, float32[:, :, ::1], float64[::1]), nogil=True, cache=True)
def _boxes(points: np.ndarray, children: np.ndarray, boxes: np.ndarray, ranges: np.ndarray) -> None:
    for node in range(len(children) - 1, -1, -1):  # children come after their parents
        for side in range(2):
            child = children[node, side]
            for j in range(points.shape[1]):
                low = points[~child, j] if child < 0 else boxes[child, 0, j]
                high = points[~child, j] if child < 0 else boxes[child, 1, j]
                boxes[node, 0, j] = low if side == 0 or low < boxes[node, 0, j] else boxes[node, 0, j]
                boxes[node, 1, j] = high if side == 0 or high > boxes[node, 1, j] else boxes[node, 1, j]
        total = 0.0
        for j in range(points.shape[1]):
            total += np.float64(boxes[node, 1, j]) - np.float64(boxes[node, 0, j])
        ranges[node] = total
