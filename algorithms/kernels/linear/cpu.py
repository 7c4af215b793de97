"""A step of linear models on a CPU: the work is packed and shared out here, and done by
`dense_cpu` and `sparse_cpu`.

Of dense rows each thread takes a run, of sparse ones a run of the models; none needs Python in between.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, int64, njit, types, void

from optml.algorithms.kernels.linear.dense_cpu import dense_gradient, dense_scores, height
from optml.algorithms.kernels.linear.sparse_cpu import sparse_gradient, sparse_scores
from optml.algorithms.kernels.linear.terms import (
    LOSSES,
    OPTIMIZERS,
    SQUARE_DECAY,
    TINY,
    Problem,
    Rows,
    Update,
)
from optml.algorithms.kernels.machine.simd import LANES, empty, zeros
from optml.algorithms.kernels.machine.threads import in_parts

# Types are declared, not inferred: importing this module compiles it, or finds it compiled in an image.
_matrix = types.Array(float32, 2, "C", readonly=True)
_vector = types.Array(float32, 1, "C", readonly=True)
_panels = types.Array(float32, 3, "C", readonly=True)

PANEL = 32  # columns of a panel of models with one score; up to twice that of models with several
RUN = 512  # weights that are updated at a time

ADAM, SGD, _ = range(len(OPTIMIZERS))


def scores(rows: Rows, weights: np.ndarray, problem: Problem) -> np.ndarray:
    """See `linear.scores`."""
    n, d = rows.shape
    z = np.empty((n, weights.shape[1]), np.float32)
    if not isinstance(rows, np.ndarray):
        offsets = _offsets(weights, problem)

        def lines(start: int, stop: int) -> None:
            first, last = start * LANES, min(stop * LANES, weights.shape[1])
            sparse_scores(*_csr(rows), weights, problem.scale, offsets, z, first, last)

        in_parts(lines, -(-weights.shape[1] // LANES), rows.nnz * LANES, blas=False)
        return z
    rows = np.ascontiguousarray(rows)
    panels, columns, offsets = _pack(weights, problem)

    def part(start: int, stop: int) -> None:
        dense_scores(
            rows[start:stop], panels, columns, offsets, problem.shift, problem.scale, problem.folded,
            *_room(stop - start, d, panels.shape[2], problem.folded), z[start:stop],
        )  # fmt: skip

    in_parts(part, n, d * PANEL, blas=False)
    return z


def gradient(
    rows: Rows, labels: np.ndarray, weights: np.ndarray, problem: Problem
) -> tuple[np.ndarray, np.ndarray]:
    """See `linear.gradient`."""
    n, d = rows.shape
    loss, parameter = LOSSES.index(problem.loss), np.float32(problem.parameter)
    class_weights, classes = problem.class_weights, problem.classes
    if not isinstance(rows, np.ndarray):
        gradients = zeros(weights.shape)
        losses = np.zeros(problem.models)
        offsets = _offsets(weights, problem)
        unit = LANES if classes == 1 else 1

        def models(start: int, stop: int) -> None:
            sparse_gradient(
                *_csr(rows), labels, weights, problem.scale, offsets, loss, parameter, class_weights, classes,
                start * unit, min(stop * unit, problem.models), gradients, losses,
            )  # fmt: skip

        in_parts(models, -(-problem.models // unit), rows.nnz * classes * unit, blas=False)
        _correct(gradients, problem.shift, problem.scale, problem.still)
        return gradients, losses
    rows = np.ascontiguousarray(rows)
    panels, columns, offsets = _pack(weights, problem)

    def part(start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        product = zeros(panels.shape)
        slopes, losses = np.zeros((1, weights.shape[1]), np.float32), np.zeros(problem.models)
        dense_gradient(
            rows[start:stop], labels[start:stop], panels, columns, offsets, problem.shift, problem.scale,
            problem.folded, loss, parameter, class_weights, classes,
            *_room(stop - start, d, panels.shape[2], problem.folded), product, slopes, losses,
        )  # fmt: skip
        return product, slopes, losses

    parts = in_parts(part, n, 2 * d * PANEL, blas=False)
    product, slopes, losses = parts[0]
    for more in parts[1:]:
        product += more[0]
        slopes += more[1]
        losses += more[2]
    gradients = np.empty(weights.shape, np.float32)
    gradients[d] = slopes[0]
    _unpack(product, columns, problem.shift, problem.scale, problem.folded, gradients)
    return gradients, losses


def update(
    weights: np.ndarray,
    moments: tuple[np.ndarray, ...],
    gradients: np.ndarray,
    share: float,
    use_bias: bool,
    how: Update,
) -> None:
    """See `linear.update`."""
    bias = len(weights) - 1
    kind = OPTIMIZERS.index(how.optimizer)
    factor, first, second = np.float32(share), np.float32(how.first), np.float32(how.second)
    mean, square = moments[0], moments[-1]

    def part(start: int, stop: int) -> None:
        _update(
            kind, weights, mean, square, gradients, factor, first, second,
            how.rates, how.decays, how.l1, start, stop,
        )  # fmt: skip

    in_parts(part, bias, 4 * weights.shape[1], blas=False)
    if use_bias:
        none = np.zeros_like(how.l1)
        _update(
            kind, weights, mean, square, gradients, factor, first, second,
            how.bias_rates, how.bias_decays, none, bias, bias + 1,
        )  # fmt: skip


def _pack(weights: np.ndarray, problem: Problem) -> tuple[np.ndarray, int, np.ndarray]:
    """The weights without the bias as (panels, d, width), how many columns of a panel whole models take,
    and what is to be added to the products; both for rows as they are, where these may be folded."""
    d = len(weights) - 1
    classes = problem.classes
    together = PANEL if classes == 1 else max(1, 2 * PANEL // classes)
    columns = classes * min(together, problem.models)
    panels = -(-weights.shape[1] // columns)
    weight_panels = empty(panels * d, columns).reshape(panels, d, -1)
    _fill(weights, problem.scale, problem.folded, columns, weight_panels)
    return weight_panels, columns, _offsets(weights, problem) if problem.folded else weights[d]


def _room(rows: int, d: int, width: int, folded: bool) -> tuple[np.ndarray, np.ndarray]:
    """Where a block of dense rows is scaled, if they must be, and where its scores go."""
    high = min(height(d), max(rows, 1))
    return np.empty((0 if folded else high, d), np.float32), empty(high, width)


def _csr(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indices, starts = rows.indices, rows.indptr
    return rows.data, indices.astype(np.int32, copy=False), starts.astype(np.int64, copy=False)


def _offsets(weights: np.ndarray, problem: Problem) -> np.ndarray:
    """bias - (shift * scale) . w, (M * C,) float32."""
    offsets = np.empty(weights.shape[1], np.float32)
    _center(weights, problem.shift, problem.scale, offsets)
    return offsets


@njit(void(_matrix, _vector, boolean, int64, float32[:, :, ::1]), nogil=True, cache=True)
def _fill(weights: np.ndarray, scale: np.ndarray, folded: bool, columns: int, panels: np.ndarray) -> None:
    for p in range(panels.shape[0]):
        first = p * columns
        for f in range(panels.shape[1]):
            factor = scale[f] if folded else np.float32(1)
            row, panel = weights[f, first : first + columns], panels[p, f]
            for j in range(len(row)):
                panel[j] = factor * row[j]


@njit(void(_panels, int64, _vector, _vector, boolean, float32[:, ::1]), nogil=True, cache=True)
def _unpack(
    panels: np.ndarray,
    columns: int,
    shift: np.ndarray,
    scale: np.ndarray,
    folded: bool,
    gradients: np.ndarray,
) -> None:
    for p in range(panels.shape[0]):
        first = p * columns
        slopes = gradients[-1, first : first + columns].copy()
        for f in range(panels.shape[1]):
            factor = scale[f] if folded else np.float32(1)
            ratio = shift[f] * factor if folded else np.float32(0)
            row, panel = gradients[f, first : first + columns], panels[p, f]
            for j in range(len(row)):
                row[j] = factor * panel[j] - ratio * slopes[j]


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
def _correct(gradients: np.ndarray, shift: np.ndarray, scale: np.ndarray, still: np.ndarray) -> None:
    d = len(shift)
    for f in range(d):
        ratio = shift[f] * scale[f]
        if ratio != 0:
            factor = np.float32(0) if still[f] else np.float32(1)
            for j in range(gradients.shape[1]):
                gradients[f, j] = factor * (gradients[f, j] - ratio * gradients[d, j])


@njit(float32[::1](_vector, int64), nogil=True, cache=True)
def _tile(vector: np.ndarray, size: int) -> np.ndarray:
    """The vector over and over, `size` numbers long."""
    tiles = np.empty(size, np.float32)
    for start in range(0, size, len(vector)):
        tiles[start : start + len(vector)] = vector
    return tiles


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
    gradients: np.ndarray,
    share: np.float32,
    first: np.float32,
    second: np.float32,
    rates: np.ndarray,
    decays: np.ndarray,
    l1: np.ndarray,
    start: int,
    stop: int,
) -> None:
    """Rows start to stop of `linear.update`; sgd's momentum is `mean`, rmsprop's square `square`.

    Several rows at a time, and each loop writes to one array only, so that it is vectorised.
    """
    tiny, square_decay = np.float32(TINY), np.float32(SQUARE_DECAY)
    one, none = np.float32(1), np.float32(0)
    columns = len(rates)
    run = max(1, RUN // max(columns, 1)) * columns
    rates, decays, l1 = _tile(rates, run), _tile(decays, run), _tile(l1, run)
    g = np.empty(run, np.float32)
    for place in range(start * columns, stop * columns, max(run, 1)):
        n = min(run, stop * columns - place)
        w, sums = weights.reshape(-1)[place : place + n], gradients.reshape(-1)[place : place + n]
        m, v = mean.reshape(-1)[place : place + n], square.reshape(-1)[place : place + n]
        for j in range(n):
            sign = one if w[j] > 0 else (-one if w[j] < 0 else none)
            g[j] = share * sums[j] + decays[j] * w[j] + l1[j] * sign
        if optimizer == ADAM:
            for j in range(n):
                m[j] = first * m[j] + (one - first) * g[j]
            for j in range(n):
                v[j] = second * v[j] + (one - second) * g[j] * g[j]
            for j in range(n):
                g[j] = rates[j] * m[j] / (np.sqrt(v[j]) + tiny)
        elif optimizer == SGD:
            for j in range(n):
                m[j] = first * m[j] + rates[j] * g[j]
            for j in range(n):
                g[j] = m[j]
        else:
            for j in range(n):
                v[j] = square_decay * v[j] + (one - square_decay) * g[j] * g[j]
            for j in range(n):
                g[j] = rates[j] * g[j] / np.sqrt(v[j] + tiny)
        for j in range(n):
            proposal = w[j] - g[j]
            w[j] = none if l1[j] > 0 and w[j] * proposal < 0 else proposal
