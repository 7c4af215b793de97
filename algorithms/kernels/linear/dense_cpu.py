"""One pass over dense rows for linear models, compiled.

Rows go in blocks that stay in a core's second-level cache: multiplied with the weights, turned from scores
into slopes of the loss, multiplied once more.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, float64, int64, njit, types, void

from optml.algorithms.kernels.linear.block_cpu import (
    SOFTMAX,
    add_rows,
    set_offsets,
    slopes_of_classes,
    slopes_of_one,
)
from optml.algorithms.kernels.machine.simd import LANES
from optml.algorithms.kernels.machine.tiles import TALL, flat_tile, tall_tile, tall_tile_ahead

# Types are declared, not inferred: importing this module compiles it, or finds it compiled in an image.
_matrix = types.Array(float32, 2, "C", readonly=True)
_vector = types.Array(float32, 1, "C", readonly=True)
_panels = types.Array(float32, 3, "C", readonly=True)

VALUES = 1 << 16  # of a block of rows, and of the weights that it is multiplied with at once: 256 KiB
LEAST, MOST = 66, 258  # rows of a block, whole tiles


def height(features: int) -> int:
    """Rows of a block."""
    rows = VALUES // max(features, 1) // TALL * TALL
    return min(max(rows, LEAST), MOST)


@njit(void(_matrix, _vector, _vector, float32[:, ::1]), nogil=True, cache=True)
def _standardise(rows: np.ndarray, shift: np.ndarray, scale: np.ndarray, block: np.ndarray) -> None:
    for i in range(rows.shape[0]):
        for f in range(rows.shape[1]):
            block[i, f] = (rows[i, f] - shift[f]) * scale[f]


@njit(void(_matrix, int64, int64, _panels, int64, float32[:, ::1]), nogil=True, cache=True)
def _add_product(
    rows: np.ndarray, start: int, n: int, weights: np.ndarray, panel: int, z: np.ndarray
) -> None:
    """Add n rows times a panel of the weights to z."""
    _, d, width = weights.shape
    most = max(VALUES // width, LANES)
    for f in range(0, d, most):
        depth = min(most, d - f)
        tall = n // TALL * TALL
        for i in range(0, tall, TALL):
            for j in range(0, width, LANES):
                tall_tile_ahead(
                    rows, (start + i) * d + f, d, 1, weights, (panel * d + f) * width + j,
                    z, i * width + j, width, depth,
                )  # fmt: skip
        for i in range(tall, n):
            for j in range(0, width, LANES):
                flat_tile(
                    rows, (start + i) * d + f, d, 1, weights, (panel * d + f) * width + j,
                    z, i * width + j, width, depth,
                )  # fmt: skip


@njit(void(_matrix, int64, int64, _matrix, float32[:, :, ::1], int64), nogil=True, cache=True)
def _add_gradient(
    rows: np.ndarray, start: int, n: int, slopes: np.ndarray, gradients: np.ndarray, panel: int
) -> None:
    """Add n rows, transposed, times their slopes to a panel of the sums."""
    _, d, width = gradients.shape
    tall = d // TALL * TALL
    for f in range(0, tall, TALL):
        for j in range(0, width, LANES):
            tall_tile(
                rows, start * d + f, 1, d, slopes, j, gradients, (panel * d + f) * width + j, width, n
            )  # fmt: skip
    for f in range(tall, d):
        for j in range(0, width, LANES):
            flat_tile(
                rows, start * d + f, 1, d, slopes, j, gradients, (panel * d + f) * width + j, width, n
            )  # fmt: skip


@njit(
    void(
        _matrix, _panels, int64, _vector, _vector, _vector, boolean,
        float32[:, ::1], float32[:, ::1], float32[:, ::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def dense_scores(
    rows: np.ndarray,
    panels: np.ndarray,
    columns: int,
    offsets: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    folded: bool,
    room: np.ndarray,
    block: np.ndarray,
    z: np.ndarray,
) -> None:
    """Scores z (n, M * C). columns: of a panel that are models'. scaled: room for a block of rows, none where
    these may be folded; block: for its scores."""
    for start in range(0, rows.shape[0], block.shape[0]):
        n = min(block.shape[0], rows.shape[0] - start)
        if not folded:
            _standardise(rows[start : start + n], shift, scale, room)
        for p in range(panels.shape[0]):
            first = p * columns
            set_offsets(offsets, first, n, block)
            if folded:
                _add_product(rows, start, n, panels, p, block)
            else:
                _add_product(room, 0, n, panels, p, block)
            for i in range(n):
                for j in range(min(columns, z.shape[1] - first)):
                    z[start + i, first + j] = block[i, j]


@njit(
    void(
        _matrix, _vector, _panels, int64, _vector, _vector, _vector, boolean,
        int64, float32, _matrix, int64,
        float32[:, ::1], float32[:, ::1], float32[:, :, ::1], float32[:, ::1], float64[::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def dense_gradient(
    rows: np.ndarray,
    labels: np.ndarray,
    panels: np.ndarray,
    columns: int,
    offsets: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    folded: bool,
    loss: int,
    parameter: np.float32,
    class_weights: np.ndarray,
    classes: int,
    room: np.ndarray,
    block: np.ndarray,
    gradients: np.ndarray,
    slopes: np.ndarray,
    losses: np.ndarray,
) -> None:
    """Add the gradients by weights in panels to `gradients`, the sums of slopes (M * C) and losses (M) to
    theirs."""
    models = columns // classes
    for start in range(0, rows.shape[0], block.shape[0]):
        n = min(block.shape[0], rows.shape[0] - start)
        y = labels[start : start + n]
        if not folded:
            _standardise(rows[start : start + n], shift, scale, room)
        for p in range(panels.shape[0]):
            first, model = p * columns, p * models
            last = min(model + models, len(losses))
            set_offsets(offsets, first, n, block)
            if folded:
                _add_product(rows, start, n, panels, p, block)
            else:
                _add_product(room, 0, n, panels, p, block)
            weights = class_weights[:, model:last].copy()
            if loss == SOFTMAX:
                slopes_of_classes(block, y, weights, classes, losses[model:last])
            else:
                slopes_of_one(block, y, loss, parameter, weights, losses[model:last])
            add_rows(block, n, (last - model) * classes, slopes, first)
            if folded:
                _add_gradient(rows, start, n, block, gradients, p)
            else:
                _add_gradient(room, 0, n, block, gradients, p)
