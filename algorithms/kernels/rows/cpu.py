# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""Rows read and stepped on a CPU, each in one pass over its values and means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import float32, float64, int64, njit, types, void

from optml.algorithms.kernels.machine.threads import ALONE, in_parts
from optml.algorithms.kernels.rows.terms import (
    ADADELTA,
    ADAGRAD,
    ADAM,
    BETA1,
    BETA2,
    EPSILON,
    REACH,
    RHO,
    RMSPROP,
    Rule,
    State,
    corrected,
)

WORTH = 8  # multiply-adds in the time of one value's step

POWERS = (BETA1 / np.sqrt(BETA2)) ** np.arange(1, REACH + 1)

_ints = types.Array(int64, 1, "C", readonly=True)
_doubles = types.Array(float64, 1, "C", readonly=True)
_table = types.Array(float32, 2, "C", readonly=True)
_state = float32[:, ::1]


def read(state: State, rule: Rule, rows: np.ndarray, update: int, rates: np.ndarray) -> np.ndarray:
    """See `rows.read`."""
    if rule.lazy:
        copied: np.ndarray = state.values[rows]
        return copied
    copies = np.empty((len(rows), state.values.shape[1]), np.float32)

    def part(start: int, stop: int) -> None:
        _read(
            start, stop, state.values, state.first, state.second, state.stepped, rows, update, rule.kind,
            rates, POWERS, copies,
        )  # fmt: skip

    _in_parts(part, *copies.shape)
    return copies


def step(state: State, rule: Rule, rows: np.ndarray, gradient: np.ndarray, update: int, rate: float) -> None:
    """See `rows.step`."""
    if rule.kind == ADAM:
        rate = corrected(rate, update)
    epsilon = EPSILON[rule.kind]
    if rule.kind == ADAM:
        epsilon *= float(np.sqrt(1 - BETA2**update))

    def part(start: int, stop: int) -> None:
        _step(
            start, stop, state.values, state.first, state.second, state.stepped, rows, gradient, update,
            rule.kind, rate, epsilon, rule.decay,
        )  # fmt: skip

    _in_parts(part, *gradient.shape)


def _in_parts(part: Callable[[int, int], None], rows: int, width: int) -> None:
    """`in_parts`, but for what is too little even to ask after threads."""
    if rows * width * WORTH < ALONE:
        part(0, rows)
    else:
        in_parts(part, rows, width * WORTH)


@njit(
    void(
        int64, int64, _state, _state, _state, int64[::1], _ints, int64, int64, _doubles, _doubles, _state
    ),
    cache=True,
    nogil=True,
    fastmath={"contract"},
    error_model="numpy",  # a division that could raise would not be vectorised
)  # fmt: skip
def _read(start, stop, values, first, second, stepped, rows, update, kind, rates, powers, copies):
    width = values.shape[1]
    for i in range(start, stop):
        row = rows[i]
        since = stepped[row]
        gap = update - since
        if gap > 0:
            stepped[row] = update
            if since > 0 and kind == ADAM:
                way = 0.0
                for j in range(min(gap, len(powers))):
                    way += rates[since + j] * powers[j]
                far, least = np.float32(way), np.float32(1e-8 * np.sqrt(1 - BETA2**since))
                m_left, v_left = np.float32(BETA1**gap), np.float32(BETA2**gap)
                for c in range(width):
                    m, v = first[row, c], second[row, c]
                    values[row, c] -= far * m / (np.sqrt(v) + least)
                    first[row, c] = m_left * m
                    second[row, c] = v_left * v
            elif since > 0 and kind in (RMSPROP, ADADELTA):
                left = np.float32(RHO**gap)
                for c in range(width):
                    first[row, c] *= left
                if kind == ADADELTA:
                    for c in range(width):
                        second[row, c] *= left
        for c in range(width):
            copies[i, c] = values[row, c]


@njit(
    void(
        int64, int64, _state, _state, _state, int64[::1], _ints, _table, int64, int64, float64, float64,
        float64,
    ),
    cache=True,
    nogil=True,
    fastmath={"contract"},
    error_model="numpy",  # a division that could raise would not be vectorised
)  # fmt: skip
def _step(start, stop, values, first, second, stepped, rows, gradient, update, kind, rate, epsilon, decay):
    width = values.shape[1]
    r, e, d = np.float32(rate), np.float32(epsilon), np.float32(decay)
    b1, b2, rho, one = np.float32(BETA1), np.float32(BETA2), np.float32(RHO), np.float32(1)
    for i in range(start, stop):
        row = rows[i]
        stepped[row] = update
        if kind == ADAM:
            for c in range(width):
                g = gradient[i, c] + d * values[row, c]
                m = b1 * first[row, c] + (one - b1) * g
                v = b2 * second[row, c] + (one - b2) * g * g
                first[row, c] = m
                second[row, c] = v
                values[row, c] -= r * m / (np.sqrt(v) + e)
        elif kind == ADADELTA:
            for c in range(width):
                g = gradient[i, c] + d * values[row, c]
                v = rho * first[row, c] + (one - rho) * g * g
                step = np.sqrt((second[row, c] + e) / (v + e)) * g
                first[row, c] = v
                second[row, c] = rho * second[row, c] + (one - rho) * step * step
                values[row, c] -= step
        elif kind in (RMSPROP, ADAGRAD):
            keep = one if kind == ADAGRAD else rho
            new = one if kind == ADAGRAD else one - rho
            for c in range(width):
                g = gradient[i, c] + d * values[row, c]
                v = keep * first[row, c] + new * g * g
                first[row, c] = v
                values[row, c] -= r * g / (np.sqrt(v) + e)
        else:
            for c in range(width):
                values[row, c] -= r * (gradient[i, c] + d * values[row, c])
