"""One pass over rows of features for linear models, compiled: scores, slopes of the loss, their sums.

Dense rows go in blocks that stay in a core's second-level cache: multiplied with the weights, turned from
scores into slopes of the loss, multiplied once more. Sparse rows are walked over once.
The arithmetic is plain IEEE, nothing reordered: so a model's bits don't depend on its neighbours'. All of it
is in one file, for the cache of a compiled function does not notice changes in another.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, float32, float64, int32, int64, njit, types, void

from algorithms.kernels.linear_step import LOSSES

# Types are declared, not inferred: importing this module compiles it, or finds it compiled in an image.
_matrix = types.Array(float32, 2, "C", readonly=True)
_vector = types.Array(float32, 1, "C", readonly=True)
_panels = types.Array(float32, 3, "C", readonly=True)
_places = types.Array(int32, 1, "C", readonly=True)

VALUES = 1 << 19  # of a block of rows: 2 MiB
LEAST = 64  # rows of a block
RUN = 64  # sparse rows whose scores are turned into slopes at once

LOGISTIC, HINGE, SOFTMAX, SQUARED, ABSOLUTE, QUANTILE, HUBER, FREE_SQUARED, _ = range(len(LOSSES))

# exp(x) = 2^k exp(r), r = x - k log 2 in two parts; log(1 + t) / t on [0, 1]: a polynomial of Chebyshev's.
PER_LOG_2 = np.float32(1.4426950408889634)
LOG_2 = np.float32(0.693359375)
LOG_2_REST = np.float32(-2.12194440e-4)
LOWEST = np.float32(-87.0)


def _of_log1p() -> tuple[np.float32, ...]:
    """Coefficients from the highest power on; off by less than 1e-7."""
    fitted = np.polynomial.Chebyshev.interpolate(lambda t: np.log1p(t) / t, 10, domain=[1e-12, 1])
    powers = fitted.convert(kind=np.polynomial.Polynomial).coef
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
)
def _slopes_of_one(
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
)
def _slopes_of_classes(
    z: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int, losses: np.ndarray
) -> None:
    """As `_slopes_of_one`, of softmax over the C scores of each of M models: the first M * C of each row."""
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


@njit(void(_matrix, _vector, _vector, float32[:, ::1]), nogil=True, cache=True)
def _standardise(rows: np.ndarray, shift: np.ndarray, scale: np.ndarray, block: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        for f in range(rows.shape[1]):
            block[i, f] = (rows[i, f] - shift[f]) * scale[f]


@njit(int64(int64), nogil=True, cache=True)
def _height(features: int) -> int:
    return max(LEAST, VALUES // max(features, 1))


@njit(void(_matrix, _panels, _vector, _vector, _vector, boolean, float32[:, ::1]), nogil=True, cache=True)
def dense_scores(
    rows: np.ndarray,
    packed: np.ndarray,
    offsets: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    folded: bool,
    z: np.ndarray,
) -> None:
    panels, d, width = packed.shape
    height = min(_height(d), rows.shape[0])
    scaled = np.empty((0 if folded else height, d), np.float32)
    product = np.empty((height, width), np.float32)
    for start in range(0, rows.shape[0], max(height, 1)):
        raw = rows[start : start + height]
        n = raw.shape[0]
        if not folded:
            _standardise(raw, shift, scale, scaled[:n])
        for p in range(panels):
            if folded:
                np.dot(raw, packed[p], product[:n])
            else:
                np.dot(scaled[:n], packed[p], product[:n])
            first = p * width
            for i in range(n):
                for j in range(min(width, len(offsets) - first)):
                    z[start + i, first + j] = product[i, j] + offsets[first + j]


@njit(
    void(
        _vector, _places, types.Array(int64, 1, "C", readonly=True),
        _matrix, _vector, _vector, float32[:, ::1], int64, int64,
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def sparse_scores(
    values: np.ndarray,
    places: np.ndarray,
    starts: np.ndarray,
    weights: np.ndarray,
    scale: np.ndarray,
    offsets: np.ndarray,
    z: np.ndarray,
    first: int,
    last: int,
) -> None:
    """Columns first to last of z."""
    for i in range(z.shape[0]):
        row = z[i, first:last]
        for j in range(last - first):
            row[j] = offsets[first + j]
        for k in range(starts[i], starts[i + 1]):
            f = places[k]
            x = values[k] * scale[f]
            w = weights[f, first:last]  # indexed from 0, it is vectorised
            for j in range(last - first):
                row[j] += x * w[j]


@njit(
    void(
        _matrix, _vector, _panels, _vector, _vector, _vector, boolean,
        int64, float32, _matrix, int64,
        float32[:, :, ::1], float32[::1], float64[::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def dense_gradient(
    rows: np.ndarray,
    labels: np.ndarray,
    packed: np.ndarray,
    offsets: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    folded: bool,
    loss: int,
    parameter: np.float32,
    class_weights: np.ndarray,
    classes: int,
    summed: np.ndarray,
    slopes: np.ndarray,
    losses: np.ndarray,
) -> None:
    panels, d, width = packed.shape
    models = width // classes
    height = min(_height(d), rows.shape[0])
    scaled = np.empty((0 if folded else height, d), np.float32)
    product = np.empty((height, width), np.float32)
    step = np.empty((d, width), np.float32)
    for start in range(0, rows.shape[0], max(height, 1)):
        raw = rows[start : start + height]
        n = raw.shape[0]
        if not folded:
            _standardise(raw, shift, scale, scaled[:n])
        for p in range(panels):
            if folded:
                np.dot(raw, packed[p], product[:n])
            else:
                np.dot(scaled[:n], packed[p], product[:n])
            first = p * width
            columns = min(width, len(offsets) - first)
            model = p * models
            last = min(model + models, len(losses))
            z = product[:n]
            for i in range(n):
                for j in range(columns):
                    z[i, j] += offsets[first + j]
            y, weights = labels[start : start + n], class_weights[:, model:last].copy()
            if loss == SOFTMAX:
                _slopes_of_classes(z, y, weights, classes, losses[model:last])
            else:
                _slopes_of_one(z, y, loss, parameter, weights, losses[model:last])
            for i in range(n):
                for j in range(columns):
                    slopes[first + j] += z[i, j]
            target = step if start else summed[p]
            if folded:
                np.dot(raw.T, product[:n], target)
            else:
                np.dot(scaled[:n].T, product[:n], target)
            if start:
                for f in range(d):
                    for j in range(width):
                        summed[p, f, j] += step[f, j]


@njit(
    void(
        _vector, _places, types.Array(int64, 1, "C", readonly=True),
        _vector, _matrix, _vector, _vector,
        int64, float32, _matrix, int64, int64, int64,
        float32[:, ::1], float64[::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def sparse_gradient(
    values: np.ndarray,
    places: np.ndarray,
    starts: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    scale: np.ndarray,
    offsets: np.ndarray,
    loss: int,
    parameter: np.float32,
    class_weights: np.ndarray,
    classes: int,
    model: int,
    last: int,
    summed: np.ndarray,
    losses: np.ndarray,
) -> None:
    """Add models `model` to `last` to the gradient of rows that were scaled, but not shifted."""
    d = weights.shape[0] - 1
    first, columns = model * classes, (last - model) * classes
    z = np.empty((RUN, columns), np.float32)
    class_weights = class_weights[:, model:last].copy()
    losses = losses[model:last]
    for start in range(0, len(labels), RUN):
        stop = min(start + RUN, len(labels))
        for i in range(start, stop):
            row = z[i - start]
            for j in range(columns):
                row[j] = offsets[first + j]
            for k in range(starts[i], starts[i + 1]):
                f = places[k]
                x = values[k] * scale[f]
                w = weights[f, first : first + columns]  # indexed from 0, it is vectorised
                for j in range(columns):
                    row[j] += x * w[j]
        block = z[: stop - start]
        if loss == SOFTMAX:
            _slopes_of_classes(block, labels[start:stop], class_weights, classes, losses)
        else:
            _slopes_of_one(block, labels[start:stop], loss, parameter, class_weights, losses)
        for i in range(start, stop):
            row = z[i - start]
            for k in range(starts[i], starts[i + 1]):
                f = places[k]
                x = values[k] * scale[f]
                sums = summed[f, first : first + columns]
                for j in range(columns):
                    sums[j] += x * row[j]
            for j in range(columns):
                summed[d, first + j] += row[j]
