"""Anomaly scores of a random cut forest: expected inverse depths.

Guha, Mishra, Roy, Schrijvers, "Robust Random Cut Forest Based Anomaly Detection on Streams", ICML 2016, for
the trees. A row x goes down a tree of m rows. At the internal node at depth i on its path, whose points lie
in the box [lo, hi], a random cut of the box enlarged by x parts x from them with probability

    p_i = g / (o + g),  o = sum_j (hi_j - lo_j),  g = sum_j max(lo_j - x_j, x_j - hi_j, 0)

and with D the depth of the leaf that x reaches (root: 0), q_i = (1 - p_0) ... (1 - p_{i-1}),

    E = sum_{i<D} q_i p_i / (i + 1) + q_D * (1 / (D + 1)            where x differs from the leaf's point
                                             1 / (D + log2(mass)))  where it equals it; 1 where that is 1 / 0

The score is log2(m + 1) times the mean of E over the trees. Differences are taken in float32 and everything
else in float64 on a CPU, in float32 on a GPU: scores are right to about 1e-6 of themselves.

NumPy arrays take the CPU path (`cpu.py`), CUDA tensors the Triton kernel (`triton.py`).
"""

from __future__ import annotations

import math

import numpy as np

from optml.algorithms.kernels.forest.terms import FAR, NEARER, Array, Forest


def score(rows: Array, forest: Forest) -> Array:
    """The scores (n,) float64 of (n, d) float32 rows in C order; a forest of arrays of the same kind."""
    if len(rows) and (forest.far or abs(rows).max() > FAR):
        rows, forest = rows * NEARER, forest.nearer()
    if isinstance(rows, np.ndarray):
        from optml.algorithms.kernels.forest import cpu as forest_cpu

        return forest_cpu.score(rows, forest)
    from optml.algorithms.kernels.forest import triton as forest_triton

    return forest_triton.score(rows, forest)


def reference(rows: np.ndarray, forest: Forest) -> np.ndarray:
    """The scores in plain float64, from the leaf up, with boxes found anew from the points; for tests."""
    totals = np.zeros(len(rows))
    for tree in range(forest.trees):
        begin, end = int(forest.first[tree]), int(forest.first[tree + 1])
        root = begin - tree if end - begin > 1 else ~begin
        for row, x in enumerate(rows.astype(np.float64)):
            path, node = [], root
            while node >= 0:
                path.append(node)
                right = rows[row, forest.dimensions[node]] > forest.cuts[node]
                node = int(forest.children[node, int(right)])
            leaf = ~node
            inverse = 1 / (len(path) + 1)
            if (forest.points[leaf] == rows[row]).all():
                inverse = 1 / ((len(path) + math.log2(forest.masses[leaf])) or 1)
            for depth in reversed(range(len(path))):
                members = forest.points[_leaves(forest, path[depth])].astype(np.float64)
                low, high = members.min(axis=0), members.max(axis=0)
                gap = (np.maximum(low - x, 0) + np.maximum(x - high, 0)).sum()
                separation = gap / ((high - low).sum() + gap)
                inverse = separation / (depth + 1) + (1 - separation) * inverse
            totals[row] += inverse
    return totals * forest.factor


def _leaves(forest: Forest, node: int) -> list[int]:
    if node < 0:
        return [~node]
    left, right = forest.children[node].tolist()
    return _leaves(forest, left) + _leaves(forest, right)
