# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""Factorization machines on a CPU: a pass over the rows for the scores, one over the features for the rest.

Both are bound by memory and run along the k factors of a row, which vectorises. Threads share out the rows of
the first pass and the features of the second, whose gradients and steps are one sweep: nobody writes where
another does, so the result does not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import boolean, float32, float64, int32, int64, njit, types, void

from optml.algorithms.kernels.factorized.terms import BETA1, BETA2, TALLIES, FactorState, Forward, Step, View
from optml.algorithms.kernels.machine.threads import ALONE, in_parts

FAST = {"reassoc", "contract"}

_BETA1, _BETA2 = np.float32(BETA1), np.float32(BETA2)
_REST1, _REST2 = np.float32(1 - BETA1), np.float32(1 - BETA2)


def score(state: FactorState, view: View, labels: np.ndarray, classifier: bool) -> Forward:
    """See `factorized.score`."""
    n, k = len(view), state.rows.shape[1] - 1
    sums, pairs, scores = np.empty((n, k), np.float32), np.empty(n, np.float32), np.empty(n, np.float32)

    def part(start: int, stop: int) -> None:
        _score(start, stop, view.starts, view.places, view.values, state.rows, sums, scores, pairs)

    _in_parts(part, n, len(view.places) * k)
    scores += np.float32(state.bias[0])
    slopes, tallies = judge(scores, pairs, labels, classifier)
    return Forward(sums, scores, slopes, tallies)


def judge(
    scores: np.ndarray, pairs: np.ndarray, labels: np.ndarray, classifier: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The slopes (n,) float32 and the tallies (9,) float64 of scores, pair terms and labels (n,) float32."""
    slopes, tallies = np.empty(len(scores), np.float32), np.zeros(TALLIES)
    _judge(
        *(np.ascontiguousarray(a, np.float32) for a in (scores, pairs, labels)), classifier, slopes, tallies
    )
    return slopes, tallies


def learn(state: FactorState, view: View, forward: Forward, step: Step) -> None:
    """See `factorized.learn`."""
    numbers = _numbers(state, step)

    def part(start: int, stop: int) -> None:
        _learn(
            start, stop, view.distinct, view.bounds, view.rows, view.column, forward.sums, forward.slopes,
            state.rows, state.means, state.squares, *numbers,
        )  # fmt: skip

    _in_parts(part, len(view.distinct), state.rows.shape[1] * len(view.column))
    _learn_bias(state.bias, float(forward.slopes.sum(dtype=np.float64)), step)


def gradient(state: FactorState, view: View, forward: Forward) -> np.ndarray:
    """See `factorized.gradient`."""
    gradients = np.empty((len(view.distinct), state.rows.shape[1]), np.float32)

    def part(start: int, stop: int) -> None:
        _gradient(
            start, stop, view.distinct, view.bounds, view.rows, view.column, forward.sums, forward.slopes,
            state.rows, gradients,
        )  # fmt: skip

    _in_parts(part, len(gradients), state.rows.shape[1] * len(view.column))
    return gradients


def apply(
    state: FactorState, places: np.ndarray, gradients: np.ndarray, slope: np.ndarray, step: Step
) -> None:
    """See `factorized.apply`."""
    numbers = _numbers(state, step)
    gradients = np.ascontiguousarray(gradients, np.float32)

    def part(start: int, stop: int) -> None:
        _apply(start, stop, places, gradients, state.rows, state.means, state.squares, *numbers)

    _in_parts(part, len(places), gradients.size)
    _learn_bias(state.bias, float(slope[0]), step)


def _numbers(state: FactorState, step: Step) -> tuple[Any, ...]:
    """What the compiled loops need of a step: rates and decays (k + 1,) of a row, and three scalars."""
    rates = np.full(state.rows.shape[1], step.rates[0], np.float32)
    decays = np.full(state.rows.shape[1], step.decays[0], np.float32)
    rates[-1], decays[-1] = step.rates[1], step.decays[1]
    return rates, decays, np.float32(step.rescale), np.float32(step.clip), np.float32(step.epsilon)


def _learn_bias(bias: np.ndarray, slope: float, step: Step) -> None:
    """Adam's step on w0, whose gradient is the sum of the slopes."""
    value, mean, square = bias.tolist()
    g = min(max(step.rescale * slope + step.decays[2] * value, -step.clip), step.clip)
    mean = BETA1 * mean + (1 - BETA1) * g
    square = BETA2 * square + (1 - BETA2) * g * g
    bias[:] = value - step.rates[2] * mean / (square**0.5 + step.epsilon), mean, square


def _in_parts(work: Callable[[int, int], None], count: int, size: int) -> None:
    """Do `work(start, stop)` over runs of `count` rows or features, on several threads where `size`
    multiply-adds in all pay for waking them."""
    if size < ALONE:
        work(0, count)
    else:
        in_parts(work, count, size // max(count, 1) + 1)


_int32s = types.Array(int32, 1, "C", readonly=True)
_floats = types.Array(float32, 1, "C", readonly=True)
_table = types.Array(float32, 2, "C", readonly=True)
_state = float32[:, ::1]
_adam_numbers = (_floats, _floats, float32, float32, float32)


@njit(
    void(int64, int64, _int32s, _int32s, _floats, _table, _state, float32[::1], float32[::1]),
    nogil=True,
    cache=True,
    fastmath=FAST,
)
def _score(start, stop, starts, places, values, table, sums, scores, pairs):
    k = table.shape[1] - 1
    for i in range(start, stop):
        linear = 0.0
        squares = np.float32(0)
        for f in range(k):
            sums[i, f] = 0
        for e in range(starts[i], starts[i + 1]):
            place = places[e]
            x = values[e]
            linear += np.float64(x) * np.float64(table[place, k])
            for f in range(k):
                product = x * table[place, f]
                sums[i, f] += product
                squares += product * product
        total = np.float32(0)
        for f in range(k):
            total += sums[i, f] * sums[i, f]
        pairs[i] = np.float32(0.5) * (total - squares)
        scores[i] = np.float32(linear + pairs[i])


@njit(
    void(_floats, _floats, _floats, boolean, float32[::1], float64[::1]),
    nogil=True,
    cache=True,
    error_model="numpy",
)
def _judge(scores, pairs, labels, classifier, slopes, tallies):
    for i in range(len(scores)):
        z, y, pair = np.float64(scores[i]), np.float64(labels[i]), np.float64(pairs[i])
        if classifier:
            small = np.exp(-abs(z))  # of two exponentials the one that cannot overflow
            probability = 1 / (1 + small) if z >= 0 else small / (1 + small)
            slope = probability - y
            positive = 1.0 if z >= 0 else 0.0
            tallies[1] += max(z, 0.0) - z * y + np.log1p(small)
            tallies[2] += 1.0 if positive == y else 0.0
            tallies[3] += positive * y
            tallies[4] += positive + y
        else:
            slope = z - y
            tallies[1] += slope * slope
            tallies[2] += abs(slope)
        slopes[i] = slope
        tallies[0] += 1
        tallies[5] += z
        tallies[6] += z * z
        tallies[7] += pair
        tallies[8] += pair * pair


@njit(
    void(int64, _int32s, _int32s, _int32s, _floats, _table, _floats, _table, float32[::1]),
    nogil=True,
    cache=True,
    fastmath=FAST,
)
def _collect(u, places, bounds, rows, column, sums, slopes, table, gradient):
    """The gradient (k + 1,) of the u-th row that is touched."""
    k = table.shape[1] - 1
    place = places[u]
    weight = 0.0
    squares = 0.0
    for f in range(k):
        gradient[f] = 0
    for e in range(bounds[u], bounds[u + 1]):
        i = rows[e]
        x = column[e]
        steep = slopes[i] * x
        weight += np.float64(steep)
        squares += np.float64(steep) * np.float64(x)
        for f in range(k):
            gradient[f] += steep * sums[i, f]
    own = np.float32(squares)
    for f in range(k):
        gradient[f] -= own * table[place, f]
    gradient[k] = np.float32(weight)


@njit(
    void(int64, _floats, _state, _state, _state, *_adam_numbers),
    nogil=True,
    cache=True,
    fastmath=FAST,
    error_model="numpy",
)
def _adam(place, gradient, table, means, squares, rates, decays, rescale, clip, epsilon):
    for f in range(len(gradient)):
        g = min(max(rescale * gradient[f] + decays[f] * table[place, f], -clip), clip)
        mean = _BETA1 * means[place, f] + _REST1 * g
        square = _BETA2 * squares[place, f] + _REST2 * g * g
        means[place, f] = mean
        squares[place, f] = square
        table[place, f] -= rates[f] * mean / (np.sqrt(square) + epsilon)


@njit(
    void(
        int64, int64, _int32s, _int32s, _int32s, _floats, _table, _floats,
        _state, _state, _state, *_adam_numbers,
    ),
    nogil=True,
    cache=True,
    fastmath=FAST,
    error_model="numpy",
)  # fmt: skip
def _learn(
    start, stop, places, bounds, rows, column, sums, slopes,
    table, means, squares, rates, decays, rescale, clip, epsilon,
):  # fmt: skip
    gradient = np.empty(table.shape[1], np.float32)
    for u in range(start, stop):
        _collect(u, places, bounds, rows, column, sums, slopes, table, gradient)
        _adam(places[u], gradient, table, means, squares, rates, decays, rescale, clip, epsilon)


@njit(
    void(int64, int64, _int32s, _int32s, _int32s, _floats, _table, _floats, _table, _state),
    nogil=True,
    cache=True,
)
def _gradient(start, stop, places, bounds, rows, column, sums, slopes, table, gradients):
    for u in range(start, stop):
        _collect(u, places, bounds, rows, column, sums, slopes, table, gradients[u])


@njit(
    void(int64, int64, _int32s, _table, _state, _state, _state, *_adam_numbers),
    nogil=True,
    cache=True,
)
def _apply(start, stop, places, gradients, table, means, squares, rates, decays, rescale, clip, epsilon):
    for u in range(start, stop):
        _adam(places[u], gradients[u], table, means, squares, rates, decays, rescale, clip, epsilon)
