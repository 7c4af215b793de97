"""A step of linear models on a CPU: the work is packed and shared out here, and done by `linear_passes_cpu`.

Of dense rows each thread takes a run, of sparse ones a run of the models; none needs Python in between.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, int64, njit, types, void

from algorithms.kernels.linear_passes_cpu import dense_gradient, dense_scores, sparse_gradient, sparse_scores
from algorithms.kernels.linear_step import KEPT, LOSSES, OPTIMIZERS, TINY, Problem, Rows, Update
from algorithms.kernels.threads import in_parts

# Types are declared, not inferred: importing this module compiles it, or finds it compiled in an image.
_matrix = types.Array(float32, 2, "C", readonly=True)
_vector = types.Array(float32, 1, "C", readonly=True)
_panels = types.Array(float32, 3, "C", readonly=True)

PANEL = 32  # columns of one matrix product of models with one score; twice that of models with several

ADAM, SGD, _ = range(len(OPTIMIZERS))


def scores(rows: Rows, weights: np.ndarray, problem: Problem) -> np.ndarray:
    """See `linear_step.scores`."""
    n = rows.shape[0]
    z = np.empty((n, weights.shape[1]), np.float32)
    if not isinstance(rows, np.ndarray):
        offsets = _offsets(weights, problem)

        def columns(start: int, stop: int) -> None:
            sparse_scores(*_csr(rows), weights, problem.scale, offsets, z, start, stop)

        in_parts(columns, weights.shape[1], rows.nnz)
        return z
    rows = np.ascontiguousarray(rows)
    packed, offsets = _pack(weights, problem)

    def part(start: int, stop: int) -> None:
        dense_scores(
            rows[start:stop], packed, offsets, problem.shift, problem.scale, problem.folded, z[start:stop]
        )

    in_parts(part, n, packed[0].size)
    return z


def gradient(
    rows: Rows, labels: np.ndarray, weights: np.ndarray, problem: Problem
) -> tuple[np.ndarray, np.ndarray]:
    """See `linear_step.gradient`."""
    n, d = rows.shape
    loss, parameter = LOSSES.index(problem.loss), np.float32(problem.parameter)
    weighted, classes = problem.class_weights, problem.classes
    if not isinstance(rows, np.ndarray):
        summed = np.zeros(weights.shape, np.float32)
        losses = np.zeros(problem.models)
        offsets = _offsets(weights, problem)

        def models(start: int, stop: int) -> None:
            sparse_gradient(
                *_csr(rows),
                labels,
                weights,
                problem.scale,
                offsets,
                loss,
                parameter,
                weighted,
                classes,
                start,
                stop,
                summed,
                losses,
            )

        in_parts(models, problem.models, rows.nnz * problem.classes)
        _correct(summed, problem.shift, problem.scale, problem.still)
        return summed, losses
    rows = np.ascontiguousarray(rows)
    packed, offsets = _pack(weights, problem)

    def part(start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        product = np.zeros(packed.shape, np.float32)
        slopes, losses = np.zeros(weights.shape[1], np.float32), np.zeros(problem.models)
        dense_gradient(
            rows[start:stop], labels[start:stop], packed, offsets, problem.shift, problem.scale,
            problem.folded, loss, parameter, weighted, classes, product, slopes, losses,
        )  # fmt: skip
        return product, slopes, losses

    parts = in_parts(part, n, 2 * packed[0].size)
    product, slopes, losses = parts[0]
    for more in parts[1:]:
        product += more[0]
        slopes += more[1]
        losses += more[2]
    summed = np.empty(weights.shape, np.float32)
    summed[d] = slopes
    _unpack(product, problem.shift, problem.scale, problem.folded, summed)
    return summed, losses


def update(
    weights: np.ndarray,
    moments: tuple[np.ndarray, ...],
    summed: np.ndarray,
    share: float,
    use_bias: bool,
    how: Update,
) -> None:
    """See `linear_step.update`."""
    bias = len(weights) - 1
    kind = OPTIMIZERS.index(how.optimizer)
    scaled, first, second = np.float32(share), np.float32(how.first), np.float32(how.second)
    mean, square = moments[0], moments[-1]

    def part(start: int, stop: int) -> None:
        _update(
            kind, weights, mean, square, summed, scaled, first, second,
            how.rates, how.decays, how.l1, start, stop,
        )  # fmt: skip

    in_parts(part, bias, 4 * weights.shape[1])
    if use_bias:
        none = np.zeros_like(how.l1)
        _update(
            kind, weights, mean, square, summed, scaled, first, second,
            how.bias_rates, how.bias_decays, none, bias, bias + 1,
        )  # fmt: skip


def _pack(weights: np.ndarray, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """The weights without the bias as (panels, d, width), zeros behind the last model's columns, and what is
    to be added to the products; both for rows as they are, where these may be folded."""
    d, columns = len(weights) - 1, weights.shape[1]
    classes = problem.classes
    width = PANEL if classes == 1 else classes * max(1, 2 * PANEL // classes)
    if columns == width and not problem.folded:
        return weights[:d].reshape(1, d, width), weights[d]
    packed = np.empty((-(-columns // width), d, width), np.float32)
    _fill(weights, problem.scale, problem.folded, packed)
    return packed, _offsets(weights, problem) if problem.folded else weights[d]


def _csr(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indices, starts = rows.indices, rows.indptr
    return rows.data, indices.astype(np.int32, copy=False), starts.astype(np.int64, copy=False)


def _offsets(weights: np.ndarray, problem: Problem) -> np.ndarray:
    """bias - (shift * scale) . w, (M * C,) float32."""
    offsets = np.empty(weights.shape[1], np.float32)
    _center(weights, problem.shift, problem.scale, offsets)
    return offsets


@njit(void(_matrix, _vector, boolean, float32[:, :, ::1]), nogil=True, cache=True)
def _fill(weights: np.ndarray, scale: np.ndarray, folded: bool, packed: np.ndarray) -> None:
    panels, d, width = packed.shape
    for p in range(panels):
        first = p * width
        columns = min(width, weights.shape[1] - first)
        for f in range(d):
            factor = scale[f] if folded else np.float32(1)
            for j in range(columns):
                packed[p, f, j] = factor * weights[f, first + j]
            for j in range(columns, width):
                packed[p, f, j] = 0


@njit(void(_panels, _vector, _vector, boolean, float32[:, ::1]), nogil=True, cache=True)
def _unpack(
    packed: np.ndarray, shift: np.ndarray, scale: np.ndarray, folded: bool, summed: np.ndarray
) -> None:
    panels, d, width = packed.shape
    for p in range(panels):
        first = p * width
        columns = min(width, summed.shape[1] - first)
        for f in range(d):
            factor = scale[f] if folded else np.float32(1)
            ratio = shift[f] * factor if folded else np.float32(0)
            for j in range(columns):
                summed[f, first + j] = factor * packed[p, f, j] - ratio * summed[d, first + j]


@njit(void(_matrix, _vector, _vector, float32[::1]), nogil=True, cache=True)
def _center(weights: np.ndarray, shift: np.ndarray, scale: np.ndarray, offsets: np.ndarray) -> None:
    d = len(shift)
    total = np.zeros(len(offsets))
    for f in range(d):
        if shift[f] != 0:
            ratio = np.float64(shift[f]) * np.float64(scale[f])
            for j in range(len(offsets)):
                total[j] += ratio * weights[f, j]
    for j in range(len(offsets)):
        offsets[j] = np.float64(weights[d, j]) - total[j]


@njit(
    void(float32[:, ::1], _vector, _vector, types.Array(boolean, 1, "C", readonly=True)),
    nogil=True,
    cache=True,
)
def _correct(summed: np.ndarray, shift: np.ndarray, scale: np.ndarray, still: np.ndarray) -> None:
    d = len(shift)
    for f in range(d):
        ratio = shift[f] * scale[f]
        if ratio != 0:
            kept = np.float32(0) if still[f] else np.float32(1)
            for j in range(summed.shape[1]):
                summed[f, j] = kept * (summed[f, j] - ratio * summed[d, j])


@njit(
    void(
        int64, float32[:, ::1], float32[:, ::1], float32[:, ::1], _matrix, float32, float32, float32,
        _vector, _vector, _vector, int64, int64,
    ),
    nogil=True,
    cache=True,
    error_model="numpy",
)  # fmt: skip
def _update(
    optimizer: int,
    weights: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    summed: np.ndarray,
    share: np.float32,
    first: np.float32,
    second: np.float32,
    rates: np.ndarray,
    decays: np.ndarray,
    l1: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Rows start to stop of `linear_step.update`; sgd's momentum is `mean`, rmsprop's square `square`."""
    tiny, kept = np.float32(TINY), np.float32(KEPT)
    one = np.float32(1)
    for f in range(start, stop):
        for j in range(len(rates)):
            w = weights[f, j]
            g = share * summed[f, j] + decays[j] * w + l1[j] * np.sign(w)
            if optimizer == ADAM:
                m = first * mean[f, j] + (one - first) * g
                v = second * square[f, j] + (one - second) * g * g
                mean[f, j] = m
                square[f, j] = v
                moved = w - rates[j] * m / (np.sqrt(v) + tiny)
            elif optimizer == SGD:
                s = first * mean[f, j] + rates[j] * g
                mean[f, j] = s
                moved = w - s
            else:
                v = kept * square[f, j] + (one - kept) * g * g
                square[f, j] = v
                moved = w - rates[j] * g / np.sqrt(v + tiny)
            weights[f, j] = np.float32(0) if l1[j] > 0 and w * moved < 0 else moved
