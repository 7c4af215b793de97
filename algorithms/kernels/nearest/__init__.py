"""The nearest of many centers, and what the rows nearest to each center add up to.

    label_i = argmin_j |x_i - c_j|^2 = argmax_j x_i.c_j - |c_j|^2 / 2        ties: the lowest j
    counts_j = #{i: label_i = j},  sums_j = sum of the rows with label j,  loss = sum_i |x_i - c_label_i|^2

The products x.(c - m), m the mean of the centers, are taken in float32, so that data far from the origin lose
no more than float32 lost already. An assignment may differ from the exact one only where two centers are
equally near to within rounding: their squared distances differ by less than
2^-22 * d * |x| * (|c - m| + |c' - m|). Sums and counts are float64.

NumPy arrays take the CPU path (`cpu.py`), CUDA tensors the Triton kernels (`triton.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device


@dataclass(frozen=True, slots=True)
class Totals:
    """What the rows of one batch add up to, by their nearest center; arrays of the kind the rows came in.

    counts: (K,) float64.   sums: (K, d) float64.   loss: (1,) float64, the sum of squared distances.
    """

    counts: Array
    sums: Array
    loss: Array


def absorb(rows: Array, centers: Array) -> Totals:
    """Assign (n, d) float32 rows to (K, d) float64 centers and add them up; both in C order, n may be 0."""
    if isinstance(rows, np.ndarray):
        from optml.algorithms.kernels.nearest import cpu as nearest_cpu

        return Totals(*nearest_cpu.absorb(rows, centers))
    from optml.algorithms.kernels.nearest import triton as nearest_triton

    return Totals(*nearest_triton.absorb(rows, centers))


def move(centers: Array, weights: Array, totals: Totals) -> Array:
    """Let centers (K, d) and weights (K,), float64, take in what was absorbed with them; in place.

        w_j <- w_j + n_j,  C_j <- C_j + (S_j - n_j C_j) / w_j

    Returns what that adds to the loss, a number: the sum of |x - C|^2 over the rows is afterwards that
    of before plus sum_j (n_j - 2 w_j) |change of C_j|^2, by multiplying out.
    """
    if isinstance(centers, np.ndarray):
        from optml.algorithms.kernels.nearest import cpu as nearest_cpu

        return nearest_cpu.move(centers, weights, totals.counts, totals.sums)
    weights += totals.counts
    step = totals.sums - totals.counts[:, None] * centers  # 0 where no row came
    step /= weights.clip(min=np.finfo(np.float64).tiny)[:, None]
    centers += step
    return ((totals.counts - 2 * weights) * (step * step).sum(1)).sum()


def nearest(rows: Array, centers: Array) -> tuple[Array, Array]:
    """The nearest of (K, d) float32 centers to each of (n, d) float32 rows, both in C order.

    Returns labels (n,) int32 and squared distances (n,) float32; these are summed up from differences, in
    float32 on a GPU and float64 on a CPU, so a row that lies on a center has distance 0.
    """
    if isinstance(rows, np.ndarray):
        from optml.algorithms.kernels.nearest import cpu as nearest_cpu

        return nearest_cpu.nearest(rows, centers)
    from optml.algorithms.kernels.nearest import triton as nearest_triton

    return nearest_triton.nearest(rows, centers)


def reference(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, Totals]:
    """Labels, squared distances and sums in plain float64, for tests: n * K * d numbers at once."""
    exact = rows.astype(np.float64)
    squared = np.square(exact[:, None, :] - centers[None].astype(np.float64)).sum(axis=2)  # (n, K)
    labels = squared.argmin(axis=1)
    smallest = squared[np.arange(len(rows)), labels]
    membership = labels[:, None] == np.arange(len(centers))  # (n, K)
    loss = smallest.sum(keepdims=True)
    return labels, smallest, Totals(membership.sum(axis=0).astype(np.float64), membership.T @ exact, loss)
