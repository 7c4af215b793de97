"""The k nearest of many points, exactly.

    L2:             the k points with the smallest |x - y|^2, smallest first
    inner product:  the k points with the largest x.y, largest first          ties: the lowest place first

Both are the points with the highest scores x'.y + b: x' = x - m and b = -|y - m|^2 / 2 for L2, m the mean of
the points; x' = x and b = 0 for products. Scores are float32 and choose k + SPARE candidates, whose distances
are then summed up from differences in float64. Points much nearer to each other than to m (places on a map, a
single feature) are lost in the rounding of such scores: `in_doubt` tells, and those queries are compared with
every point by differences, as a few queries are at once. So distances are right to their own last digits, and
an answer does not depend on the other queries of its batch. Products are right to the digits of |x| |y|.

NumPy arrays take the CPU path (`cpu.py`), CUDA tensors the Triton kernels (`triton.py`).
"""

from __future__ import annotations

import numpy as np

from optml.algorithms.kernels.topk.terms import Array, Points


def fold(values: np.ndarray) -> Points:
    """Points (n, d) float32, n > 0, with what scores need of them: one pass for each of both."""
    from optml.algorithms.kernels.topk import cpu as topk_cpu

    return Points(values, *topk_cpu.fold(values))


def search(queries: Array, points: Points, k: int, inner: bool) -> tuple[Array, Array]:
    """The nearest points to each of (q, d) float32 queries: distances (q, m) float32, |x - y|^2 or x.y where
    `inner`, and places (q, m) int64, m = min(k, n). Values beyond 1e15 may overflow."""
    if isinstance(queries, np.ndarray):
        from optml.algorithms.kernels.topk import cpu as topk_cpu

        return topk_cpu.search(queries, points.values, points.mean, points.bias, k, inner)
    from optml.algorithms.kernels.topk import triton as topk_triton

    distances, places = topk_triton.search(queries, points.values, points.mean, points.bias, k, inner)
    return distances, places


def reference(queries: np.ndarray, values: np.ndarray, k: int, inner: bool) -> tuple[np.ndarray, np.ndarray]:
    """The same in plain float64, for tests: q * n * d numbers at once."""
    exact = queries.astype(np.float64)[:, None, :]
    if inner:
        distances = -(exact * values[None].astype(np.float64)).sum(axis=2)
    else:
        distances = np.square(exact - values[None].astype(np.float64)).sum(axis=2)
    places = np.argsort(distances, axis=1, kind="stable")[:, :k]
    nearest = np.take_along_axis(distances, places, axis=1)
    return -nearest if inner else nearest, places
