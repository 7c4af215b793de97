# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""A step of Adadelta on a CPU in one pass over parameters and means, which is what it costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import float32, int64, njit, types, void

from optml.algorithms.kernels.machine.threads import ALONE, in_parts

_floats = types.Array(float32, 1, "C", readonly=True)
_ints = types.Array(int64, 1, "C", readonly=True)
_table = types.Array(float32, 2, "C", readonly=True)
_state = float32[:, ::1]


def step(
    values: np.ndarray,
    squares: np.ndarray,
    steps: np.ndarray,
    gradient: np.ndarray,
    rho: float,
    epsilon: float,
) -> None:
    """One step of all values, in place; all float32, C-contiguous and of one shape.

    squares <- rho squares + (1 - rho) gradient^2
    step     = sqrt((steps + epsilon) / (squares + epsilon)) gradient
    steps   <- rho steps + (1 - rho) step^2;   values <- values - step
    """
    flat = [array.reshape(-1) for array in (values, squares, steps, gradient)]

    def part(start: int, stop: int) -> None:
        _step(*(array[start:stop] for array in flat), np.float32(rho), np.float32(epsilon))

    _in_parts(part, values.size, STEP_COST)


def step_rows(
    values: np.ndarray,
    squares: np.ndarray,
    steps: np.ndarray,
    rows: np.ndarray,
    shrinkage: np.ndarray,
    gradient: np.ndarray,
    rho: float,
    epsilon: float,
) -> None:
    """The same of some rows alone, distinct int64 (m,), with their gradient (m, w); first both means of row i
    shrink by shrinkage[i], float32 (m,)."""

    def part(start: int, stop: int) -> None:
        _step_rows(
            start,
            stop,
            values,
            squares,
            steps,
            rows,
            shrinkage,
            gradient,
            np.float32(rho),
            np.float32(epsilon),
        )

    _in_parts(part, len(rows), STEP_COST * values.shape[1])


STEP_COST = 8  # of one value, in multiply-adds


def _in_parts(part: Callable[[int, int], None], count: int, size: int) -> None:
    """`in_parts`, but for what is too little even to ask after threads."""
    if count * size < ALONE:
        part(0, count)
    else:
        in_parts(part, count, size)


@njit(
    void(float32[::1], float32[::1], float32[::1], _floats, float32, float32),
    cache=True,
    nogil=True,
    fastmath={"contract"},
    error_model="numpy",  # a division that could raise would not be vectorised
)
def _step(values, squares, steps, gradient, rho, epsilon):
    rest = np.float32(1) - rho
    for i in range(len(values)):
        g = gradient[i]
        square = rho * squares[i] + rest * g * g
        step = np.sqrt((steps[i] + epsilon) / (square + epsilon)) * g
        squares[i] = square
        steps[i] = rho * steps[i] + rest * step * step
        values[i] -= step


@njit(
    void(
        int64,
        int64,
        float32[:, ::1],
        float32[:, ::1],
        float32[:, ::1],
        _ints,
        _floats,
        _table,
        float32,
        float32,
    ),
    cache=True,
    nogil=True,
    fastmath={"contract"},
    error_model="numpy",  # a division that could raise would not be vectorised
)
def _step_rows(start, stop, values, squares, steps, rows, shrinkage, gradient, rho, epsilon):
    for i in range(start, stop):
        row = rows[i]
        before = shrinkage[i]
        rest = np.float32(1) - rho
        for column in range(values.shape[1]):
            g = gradient[i, column]
            square = rho * before * squares[row, column] + rest * g * g
            change = before * steps[row, column]
            step = np.sqrt((change + epsilon) / (square + epsilon)) * g
            squares[row, column] = square
            steps[row, column] = rho * change + rest * step * step
            values[row, column] -= step
