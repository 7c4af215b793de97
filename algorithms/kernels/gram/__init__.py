"""The Gram matrix and the column sums of rows x_i around a shift c, taken in block by block.

    G <- G + sum_i (x_i - c)^T (x_i - c)        (d, d)
    t <- t + sum_i (x_i - c)                    (d,)

Only the upper triangle of G counts. Dense rows are multiplied in float32, at most `BLOCK` of them in one
product, and these are added up in float64: an entry of G is off by no more than 2^-24 * BLOCK times the sum
of |x_ij - c_j| |x_ik - c_k|, in practice by 2^-24 of it, as errors of either sign cancel out. A shift close
to the mean keeps that small where the mean is large. Sparse rows are multiplied in float64, unshifted.

NumPy arrays take BLAS, whose SYRK does the half of the work that symmetry leaves; CUDA tensors take torch's
product, in float32 and not in TF32 unless PyTorch was told otherwise (by default it was not).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from optml.algorithms.kernels.machine import threads

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device

BLOCK = 4096  # rows of one product
SHARE = 1024  # rows for each thread, from which our threads beat BLAS's own in each product


def accumulate(rows: Array, shift: Array | None, gram: Array, sums: Array) -> None:
    """Take in (n, d) float32 rows, in C order; in place, all arrays of one kind.

    shift: (d,) float32, None for none.   gram: (d, d) float64.   sums: (d,) float64.
    """
    if not isinstance(rows, np.ndarray):
        for block in rows.split(BLOCK):
            centred = block if shift is None else block - shift
            gram += centred.T @ centred
            sums += centred.sum(0)
        return
    width = rows.shape[1]

    def part(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        product, total = np.zeros((width, width)), np.zeros(width)
        ones = np.ones(BLOCK, np.float32)
        place = np.empty((min(BLOCK, stop - start), width), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # of squares beyond float32 the result tells
            for first in range(start, stop, BLOCK):
                block = rows[first : min(first + BLOCK, stop)]
                if shift is not None:
                    block = np.subtract(block, shift, out=place[: len(block)])
                product += block.T @ block
                total += ones[: len(block)] @ block
        return product, total

    several = len(rows) >= SHARE * threads.count()
    for product, total in threads.in_parts(part, len(rows), width**2) if several else [part(0, len(rows))]:
        gram += product
        sums += total


def accumulate_sparse(rows: Any, gram: np.ndarray, sums: np.ndarray) -> None:
    """Take in the rows of a `csr_array` (n, d) float32 with sorted indices, unshifted; NumPy arrays only."""
    from optml.algorithms.kernels.gram import cpu as gram_cpu

    gram_cpu.accumulate(rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64), gram, sums)


def reference(rows: np.ndarray, shift: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """G (d, d) and t (d,) of these rows in plain float64, for tests."""
    exact = rows.astype(np.float64) - (0 if shift is None else shift)
    return exact.T @ exact, exact.sum(axis=0)
