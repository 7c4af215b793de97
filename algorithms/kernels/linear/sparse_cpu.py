"""One pass over sparse rows for linear models, compiled: walked over twice, a few at a time.

No row is made dense, and of the weights only those are read whose features are there.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void

from optml.algorithms.kernels.linear.block_cpu import (
    SOFTMAX,
    add_rows,
    set_offsets,
    slopes_of_classes,
    slopes_of_one,
    within,
)
from optml.algorithms.kernels.machine.simd import (
    LANES,
    fill,
    load_from,
    load_part,
    multiply_add,
    store_from,
    store_part,
)

# Types are declared, not inferred: importing this module compiles it, or finds it compiled in an image.
_matrix = types.Array(float32, 2, "C", readonly=True)
_vector = types.Array(float32, 1, "C", readonly=True)
_places = types.Array(int32, 1, "C", readonly=True)

RUN = 64  # rows whose scores are turned into slopes at once
FEW = 3  # columns up to which sums one by one beat a vector of sixteen


@within(void(_vector, _places, int64, int64, _vector, _matrix, int64, float32[:, ::1], int64, int64, int64))
def _add_scores(
    values: np.ndarray,
    places: np.ndarray,
    begin: int,
    end: int,
    scale: np.ndarray,
    weights: np.ndarray,
    first: int,
    z: np.ndarray,
    i: int,
    at: int,
    columns: int,
) -> None:
    """Add entries begin to end, times so many columns of the weights, to row i of z from column `at` on."""
    stride = weights.shape[1]
    row = i * z.shape[1] + at
    j = 0
    while j + 2 * LANES <= columns:
        one, two = load_from(z, row + j), load_from(z, row + j + LANES)
        for k in range(begin, end):
            f = int64(places[k])
            x = fill(values[k] * scale[f])
            place = f * stride + first + j
            one = multiply_add(x, load_from(weights, place), one)
            two = multiply_add(x, load_from(weights, place + LANES), two)
        store_from(z, row + j, one)
        store_from(z, row + j + LANES, two)
        j += 2 * LANES
    while j + FEW < columns:
        count = min(LANES, columns - j)
        one = load_part(z, row + j, count)
        for k in range(begin, end):
            f = int64(places[k])
            x = fill(values[k] * scale[f])
            one = multiply_add(x, load_part(weights, f * stride + first + j, count), one)
        store_part(z, row + j, one, count)
        j += LANES
    for c in range(j, columns):
        total = z[i, at + c]
        for k in range(begin, end):
            f = places[k]
            total += values[k] * scale[f] * weights[f, first + c]
        z[i, at + c] = total


@within(void(_vector, _places, int64, int64, _vector, float32[:, ::1], int64, float32[:, ::1], int64, int64))
def _add_slopes(
    values: np.ndarray,
    places: np.ndarray,
    begin: int,
    end: int,
    scale: np.ndarray,
    z: np.ndarray,
    i: int,
    gradients: np.ndarray,
    first: int,
    columns: int,
) -> None:
    """Add entries begin to end, times the slopes in row i of z, to so many columns of `gradients`."""
    stride = gradients.shape[1]
    row = i * z.shape[1]
    j = 0
    while j + 2 * LANES <= columns:
        one, two = load_from(z, row + j), load_from(z, row + j + LANES)
        for k in range(begin, end):
            f = int64(places[k])
            x = fill(values[k] * scale[f])
            at = f * stride + first + j
            store_from(gradients, at, multiply_add(x, one, load_from(gradients, at)))
            store_from(gradients, at + LANES, multiply_add(x, two, load_from(gradients, at + LANES)))
        j += 2 * LANES
    while j + FEW < columns:
        count = min(LANES, columns - j)
        one = load_part(z, row + j, count)
        for k in range(begin, end):
            f = int64(places[k])
            x = fill(values[k] * scale[f])
            at = f * stride + first + j
            store_part(gradients, at, multiply_add(x, one, load_part(gradients, at, count)), count)
        j += LANES
    for c in range(j, columns):
        slope = z[i, c]
        for k in range(begin, end):
            f = places[k]
            gradients[f, first + c] += values[k] * scale[f] * slope


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
        for j in range(first, last):
            z[i, j] = offsets[j]
        _add_scores(
            values, places, starts[i], starts[i + 1], scale, weights, first, z, i, first, last - first
        )


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
    gradients: np.ndarray,
    losses: np.ndarray,
) -> None:
    """Add models `model` to `last` to the gradient of rows that were scaled, but not shifted."""
    d = weights.shape[0] - 1
    first, columns = model * classes, (last - model) * classes
    z = np.empty((RUN, columns), np.float32)
    class_weights = class_weights[:, model:last].copy()
    losses = losses[model:last]
    for start in range(0, len(labels), RUN):
        n = min(RUN, len(labels) - start)
        set_offsets(offsets, first, n, z)
        for i in range(n):
            begin, end = starts[start + i], starts[start + i + 1]
            _add_scores(values, places, begin, end, scale, weights, first, z, i, 0, columns)
        if loss == SOFTMAX:
            slopes_of_classes(z, labels[start : start + n], class_weights, classes, losses)
        else:
            slopes_of_one(z, labels[start : start + n], loss, parameter, class_weights, losses)
        for i in range(n):
            begin, end = starts[start + i], starts[start + i + 1]
            _add_slopes(values, places, begin, end, scale, z, i, gradients, first, columns)
        add_rows(z, n, columns, gradients, d * weights.shape[1] + first)
