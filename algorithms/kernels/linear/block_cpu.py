"""What is done to a block of scores of linear models, compiled: offsets, slopes of the loss, their sums.

A model's bits don't depend on its neighbours': no sum is reordered, and products are fused with sums either
in all columns or in none.
The cache of a compiled function does not notice changes here: touch the files that call it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, float64, int64, njit, types, void

from optml.algorithms.kernels.linear.terms import LOSSES
from optml.algorithms.kernels.machine.simd import LANES, fill, load_from, multiply_add, store_from

# Types are declared, not inferred: importing this module compiles it, or finds it compiled in an image.
_matrix = types.Array(float32, 2, "C", readonly=True)
_vector = types.Array(float32, 1, "C", readonly=True)

LOGISTIC, HINGE, SOFTMAX, SQUARED, ABSOLUTE, QUANTILE, HUBER, FREE_SQUARED, _ = range(len(LOSSES))

# exp(x) = 2^k exp(r), r = x - k log 2 in two parts; log(1 + t) / t on [0, 1]: a polynomial of Chebyshev's.
PER_LOG_2 = np.float32(1.4426950408889634)
LOG_2 = np.float32(0.693359375)
LOG_2_REST = np.float32(-2.12194440e-4)
LOWEST = np.float32(-87.0)


def _of_log1p() -> tuple[np.float32, ...]:
    """Coefficients from the highest power on; off by less than 1e-7."""
    polynomial = np.polynomial.Chebyshev.interpolate(lambda t: np.log1p(t) / t, 10, domain=[1e-12, 1])
    powers = polynomial.convert(kind=np.polynomial.Polynomial).coef
    return tuple(np.float32(power) for power in powers[::-1])


L = _of_log1p()


@njit(float32(float32), nogil=True, cache=True, error_model="numpy", inline="always")
def _exp(x: np.float32) -> Any:
    """Of x <= 0, to two units in the last place."""
    x = max(x, LOWEST)
    k = np.floor(x * PER_LOG_2 + np.float32(0.5))
    r = x - k * LOG_2 - k * LOG_2_REST
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1)
    return p * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(
    void(float32[:, ::1], _vector, int64, float32, _matrix, float64[::1]),
    nogil=True,
    cache=True,
    error_model="numpy",
    fastmath={"contract"},
)
def slopes_of_one(
    z: np.ndarray, labels: np.ndarray, loss: int, p: np.float32, weights: np.ndarray, losses: np.ndarray
) -> None:
    """Turn the scores of rows, the first M of each in z, into slopes of their loss, which `losses` (M,) adds
    up. weights: (labels, M) of each label, or one row of no account."""
    one, two, half, zero = np.float32(1), np.float32(2), np.float32(0.5), np.float32(0)
    models = len(losses)
    values = np.empty(models, np.float32)
    for i in range(len(labels)):
        y = labels[i]
        label = int(y) if weights.shape[0] > 1 else 0
        if loss == LOGISTIC:
            for m in range(models):
                s = z[i, m]
                t = _exp(-abs(s))
                q = L[0]
                q = q * t + L[1]
                q = q * t + L[2]
                q = q * t + L[3]
                q = q * t + L[4]
                q = q * t + L[5]
                q = q * t + L[6]
                q = q * t + L[7]
                q = q * t + L[8]
                q = q * t + L[9]
                q = q * t + L[10]
                values[m] = weights[label, m] * (max(s, zero) - y * s + q * t)
                z[i, m] = weights[label, m] * ((one if s >= 0 else t) / (one + t) - y)
        elif loss == HINGE:
            side = two * y - one
            for m in range(models):
                short = half * p - side * (z[i, m] - half)  # y=1: (p+1)/2 - z;  y=0: (p-1)/2 + z
                values[m] = weights[label, m] * max(zero, short)
                z[i, m] = -weights[label, m] * side if short > 0 else zero
        elif loss == SQUARED:
            for m in range(models):
                e = z[i, m] - y
                values[m] = e * e
                z[i, m] = two * e
        elif loss == ABSOLUTE:
            for m in range(models):
                e = z[i, m] - y
                values[m] = abs(e)
                z[i, m] = np.sign(e)
        elif loss == QUANTILE:
            for m in range(models):
                e = z[i, m] - y
                slope = one - p if e > 0 else (-p if e < 0 else zero)
                values[m] = slope * e
                z[i, m] = slope
        elif loss == HUBER:
            for m in range(models):
                e = z[i, m] - y
                values[m] = half * e * e if abs(e) < p else p * abs(e) - half * p * p
                z[i, m] = min(max(e, -p), p)
        elif loss == FREE_SQUARED:
            for m in range(models):
                e = z[i, m] - y
                values[m] = max(zero, e * e - p * p)
                z[i, m] = two * e if abs(e) > p else zero
        else:
            for m in range(models):
                e = z[i, m] - y
                values[m] = max(zero, abs(e) - p)
                z[i, m] = np.sign(e) if abs(e) > p else zero
        for m in range(models):
            losses[m] += values[m]


@njit(
    void(float32[:, ::1], _vector, _matrix, int64, float64[::1]),
    nogil=True,
    cache=True,
    error_model="numpy",
    fastmath={"contract"},
)
def slopes_of_classes(
    z: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int, losses: np.ndarray
) -> None:
    """As `slopes_of_one`, of softmax over the C scores of each of M models: the first M * C of each row."""
    models = len(losses)
    columns = models * classes
    tops = np.empty(columns, np.float32)  # of each score's model; then what its power is multiplied by
    owns = np.empty(models, np.float32)
    for i in range(len(labels)):
        y = int(labels[i])
        for m in range(models):
            first = m * classes
            top = z[i, first]
            for j in range(first + 1, first + classes):
                top = max(top, z[i, j])
            owns[m] = top - z[i, first + y]
            for j in range(first, first + classes):
                tops[j] = top
        for j in range(columns):
            z[i, j] = _exp(z[i, j] - tops[j])
        for m in range(models):
            first = m * classes
            total = 0.0
            for j in range(first, first + classes):
                total += z[i, j]
            weight = weights[y, m]
            losses[m] += weight * (np.log(total) + owns[m])
            share = np.float32(weight / total)
            for j in range(first, first + classes):
                tops[j] = share
        for j in range(columns):
            z[i, j] *= tops[j]
        for m in range(models):
            z[i, m * classes + y] -= weights[y, m]


@njit(void(_vector, int64, int64, float32[:, ::1]), nogil=True, cache=True)
def set_offsets(offsets: np.ndarray, first: int, n: int, z: np.ndarray) -> None:
    """Let n rows of z begin as the offsets, from the first on."""
    own = offsets[first : first + z.shape[1]]
    for i in range(n):
        row = z[i]
        for j in range(len(own)):
            row[j] = own[j]


def within(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile for these types, into whatever calls it: a call with so many arrays takes longer than a sparse
    row. Products are fused with sums."""
    decorator: Callable[[Callable[..., Any]], Any] = njit(
        signature, nogil=True, cache=True, fastmath={"contract"}, forceinline=True
    )
    return decorator


@within(void(float32[:, ::1], int64, int64, float32[:, ::1], int64))
def add_rows(z: np.ndarray, n: int, columns: int, sums: np.ndarray, first: int) -> None:
    """Add the first n rows of z, so many columns, to the numbers of `sums` from `first` on."""
    width = z.shape[1]
    whole = columns // LANES * LANES
    one = fill(np.float32(1))
    for j in range(0, whole, LANES):
        total = load_from(sums, first + j)
        for i in range(n):
            total = multiply_add(one, load_from(z, i * width + j), total)
        store_from(sums, first + j, total)
    flat = sums.reshape(-1)
    for j in range(whole, columns):
        for i in range(n):
            flat[first + j] += z[i, j]
