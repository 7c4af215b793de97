# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""The step of `pairs` on a CPU: addresses in tiles that the cache holds, then the touched rows.

Threads share out the addresses of the first pass (matrix products, and one read of each sample's entity) and
the rows of the second, whose gradients and steps are one sweep over memory. Nobody writes where another does;
what all samples have in common is added up by each thread and then in their order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void

from optml.algorithms.kernels.machine.simd import LANES, prefetch
from optml.algorithms.kernels.machine.threads import ALONE, in_parts
from optml.algorithms.kernels.pairs.digits_cpu import DIGITS, FAST, enter, leave
from optml.algorithms.kernels.pairs.terms import (
    BETA1,
    BETA2,
    BITS,
    EPSILON,
    LOSS,
    RIGHT,
    SAMPLES,
    TALLIES,
    Encoder,
    Gradient,
    Groups,
    PairState,
    Step,
    View,
)

TILE = 512  # addresses whose vectors stay in the cache
AHEAD = 4  # rows prefetched before the one at work

_BETA1, _BETA2, _EPSILON = np.float32(BETA1), np.float32(BETA2), np.float32(EPSILON)
_REST1, _REST2 = np.float32(1 - BETA1), np.float32(1 - BETA2)


def gradient(state: PairState, view: View) -> Gradient:
    """See `pairs.gradient`."""
    count, width = len(view.addresses), state.entities.shape[2]
    prefixed = len(state.prefixes) > 0
    outputs = np.empty((count, width), np.float32)
    inputs = np.empty((count if prefixed else 0, width), np.float32)
    slopes = np.empty(len(view), np.float32)

    def part(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        encoder = Encoder(state)
        gradients, tallies = np.zeros_like(state.dense[0]), np.zeros(TALLIES)
        table = DIGITS @ encoder.map
        of_table = np.zeros_like(table)
        for at in range(start, stop, TILE):
            end = min(at + TILE, stop)
            layers = _encode(encoder, table, state, view, at, end)
            back = np.zeros_like(layers[-1])
            _meet(
                at,
                end,
                view.bounds,
                view.rows,
                view.labels,
                state.entities,
                layers[-1],
                back,
                slopes,
                tallies,
            )
            outputs[at:end] = layers[-1]
            back = encoder.go_back(layers, back, gradients)
            leave(at, view.addresses, back, of_table)
            if prefixed:
                inputs[at:end] = back
        encoder.unfold(DIGITS.T @ of_table, of_table[:16].sum(0), gradients)
        return gradients, tallies

    size = width * (2 * BITS + 3 * state.layers * width) + 4 * width
    parts = in_parts(part, count, size)
    gradients, tallies = parts[0]
    for more, tally in parts[1:]:
        gradients += more
        tallies += tally
    return Gradient(outputs, inputs, slopes[view.members], gradients, tallies)


def score(state: PairState, view: View) -> np.ndarray:
    """See `pairs.score`."""
    count, width = len(view.addresses), state.entities.shape[2]
    scores = np.empty(len(view), np.float32)

    def part(start: int, stop: int) -> None:
        encoder = Encoder(state)
        table = DIGITS @ encoder.map
        for at in range(start, stop, TILE):
            end = min(at + TILE, stop)
            layers = _encode(encoder, table, state, view, at, end)
            _score(at, end, view.bounds, view.rows, state.entities, layers[-1], scores)

    in_parts(part, count, width * (BITS + state.layers * width) + 2 * width)
    return scores


def learn_rows(table: np.ndarray, groups: Groups, slopes: Any, vectors: np.ndarray, step: Step) -> None:
    """Add up the gradient of each touched row, as `pairs.row_gradients`, and take Adam's step there."""
    weights = _weights(groups, slopes)
    numbers = _numbers(step)

    def part(start: int, stop: int) -> None:
        first, last = np.searchsorted(groups.bounds, (start, stop)).tolist()
        _learn(
            first, last, groups.rows, groups.rates, groups.bounds, groups.places, weights, vectors, table,
            *numbers,
        )  # fmt: skip

    # Each thread takes as many addresses: some rows have many.
    _in_parts(part, len(groups.places), table.shape[2])


def row_gradients(groups: Groups, slopes: Any, vectors: np.ndarray) -> np.ndarray:
    """See `pairs.row_gradients`."""
    gradients = np.empty((len(groups.rows), vectors.shape[1]), np.float32)
    weights = _weights(groups, slopes)

    def part(start: int, stop: int) -> None:
        first, last = np.searchsorted(groups.bounds, (start, stop)).tolist()
        _gradients(first, last, groups.bounds, groups.places, weights, vectors, gradients)

    _in_parts(part, len(groups.places), vectors.shape[1])
    return gradients


def apply_rows(
    table: np.ndarray, rows: np.ndarray, rates: np.ndarray, gradients: np.ndarray, step: Step
) -> None:
    """See `pairs.apply_rows`."""
    numbers = _numbers(step)

    def part(start: int, stop: int) -> None:
        _apply(start, stop, rows, rates, gradients, table, *numbers)

    _in_parts(part, len(rows), table.shape[2])


def apply_dense(dense: np.ndarray, gradients: np.ndarray, step: Step) -> None:
    """See `pairs.apply_dense`."""
    numbers = _numbers(step)

    def part(start: int, stop: int) -> None:
        _apply_dense(start, stop, gradients, dense, *numbers)

    _in_parts(part, len(gradients), dense.shape[2])


def _encode(
    encoder: Encoder, table: np.ndarray, state: PairState, view: View, start: int, stop: int
) -> list[np.ndarray]:
    """The vectors of a tile of addresses, up to the last."""
    first = np.empty((stop - start, table.shape[1]), np.float32)
    enter(start, view.addresses, table, first)
    if view.prefix_rows.shape[1]:
        _add_prefixes(start, view.prefix_rows, state.prefixes, first)
    return encoder.encode(first)


def _weights(groups: Groups, slopes: Any) -> np.ndarray:
    return np.ones(len(groups.places), np.float32) if slopes is None else slopes


def _numbers(step: Step) -> tuple[Any, ...]:
    return np.float32(step.rate), np.float32(step.decay), np.float32(step.rescale)


def _in_parts(work: Any, count: int, width: int) -> None:
    """On several threads where it pays for waking them: rows come from memory, which takes longer than
    sums."""
    if count * width * 16 < ALONE:
        work(0, count)
    else:
        in_parts(work, count, 16 * width, blas=False)


_int32s = types.Array(int32, 1, "C", readonly=True)
_floats = types.Array(float32, 1, "C", readonly=True)
_vectors = types.Array(float32, 2, "C", readonly=True)
_table = types.Array(float32, 3, "C")
_adam_numbers = (float32, float32, float32)


@njit(void(int64, types.Array(int32, 2, "C", readonly=True), _table, float32[:, ::1]), nogil=True, cache=True)
def _add_prefixes(start, prefix_rows, table, first):
    """Add to each vector those of its address's prefixes."""
    lines = table.shape[2] // LANES
    count = prefix_rows.shape[1]
    last = start + first.shape[0] - 1
    for i in range(first.shape[0]):
        ahead = min(start + i + AHEAD, last)
        for p in range(count):
            row = int64(prefix_rows[ahead, p])
            for line in range(lines):
                prefetch(table, 3 * row * lines + line)
        for p in range(count):
            row = prefix_rows[start + i, p]
            for f in range(first.shape[1]):
                first[i, f] += table[row, 0, f]


@njit(
    void(
        int64, int64, _int32s, _int32s, _floats, _table, _vectors, float32[:, ::1], float32[::1], float64[::1]
    ),
    nogil=True,
    cache=True,
    fastmath=FAST,
    error_model="numpy",
)
def _meet(start, stop, bounds, rows, labels, entities, vectors, back, slopes, tallies):
    """Score the samples of a tile of addresses; `back` gets the gradients of the addresses' vectors."""
    width = entities.shape[2]
    lines = width // LANES
    last = bounds[stop] - 1
    for a in range(start, stop):
        for s in range(bounds[a], bounds[a + 1]):
            ahead = int64(rows[min(s + AHEAD, last)])
            for line in range(lines):
                prefetch(entities, 3 * ahead * lines + line)
            row = rows[s]
            total = np.float32(0)
            for f in range(width):
                total += entities[row, 0, f] * vectors[a - start, f]
            z, y = np.float64(total), np.float64(labels[s])
            small = np.exp(-abs(z))  # of two exponentials the one that cannot overflow
            probability = 1 / (1 + small) if z >= 0 else small / (1 + small)
            slope = np.float32(probability - y)
            slopes[s] = slope
            for f in range(width):
                back[a - start, f] += slope * entities[row, 0, f]
            tallies[LOSS] += max(z, 0.0) - z * y + np.log1p(small)
            tallies[RIGHT] += 1.0 if (z > 0) == (y > 0) else 0.0
    tallies[SAMPLES] += bounds[stop] - bounds[start]


@njit(
    void(int64, int64, _int32s, _int32s, _table, _vectors, float32[::1]),
    nogil=True,
    cache=True,
    fastmath=FAST,
)
def _score(start, stop, bounds, rows, entities, vectors, scores):
    for a in range(start, stop):
        for s in range(bounds[a], bounds[a + 1]):
            total = np.float32(0)
            for f in range(vectors.shape[1]):
                total += entities[rows[s], 0, f] * vectors[a - start, f]
            scores[s] = total


@njit(void(int64, _int32s, _int32s, _floats, _vectors, float32[::1]), nogil=True, cache=True, fastmath=FAST)
def _collect(u, bounds, places, weights, vectors, gradient):
    """The gradient (d,) of the u-th row that is touched."""
    for f in range(len(gradient)):
        gradient[f] = 0
    for j in range(bounds[u], bounds[u + 1]):
        place, weight = places[j], weights[j]
        for f in range(len(gradient)):
            gradient[f] += weight * vectors[place, f]


@njit(
    void(int64, _floats, _table, *_adam_numbers),
    nogil=True,
    cache=True,
    fastmath=FAST,
    error_model="numpy",
)
def _adam(row, gradient, table, rate, decay, rescale):
    for f in range(len(gradient)):
        g = rescale * gradient[f] + decay * table[row, 0, f]
        mean = _BETA1 * table[row, 1, f] + _REST1 * g
        square = _BETA2 * table[row, 2, f] + _REST2 * g * g
        table[row, 1, f] = mean
        table[row, 2, f] = square
        table[row, 0, f] -= rate * mean / (np.sqrt(square) + _EPSILON)


@njit(
    void(int64, int64, _int32s, _floats, _int32s, _int32s, _floats, _vectors, _table, *_adam_numbers),
    nogil=True,
    cache=True,
    fastmath=FAST,
    error_model="numpy",
)
def _learn(start, stop, rows, rates, bounds, places, weights, vectors, table, rate, decay, rescale):
    gradient = np.empty(table.shape[2], np.float32)
    lines = 3 * table.shape[2] // LANES
    for u in range(start, stop):
        ahead = int64(rows[min(u + AHEAD, stop - 1)])
        for line in range(lines):
            prefetch(table, ahead * lines + line)
        _collect(u, bounds, places, weights, vectors, gradient)
        _adam(rows[u], gradient, table, rate * rates[u], decay, rescale)


@njit(void(int64, int64, _int32s, _int32s, _floats, _vectors, float32[:, ::1]), nogil=True, cache=True)
def _gradients(start, stop, bounds, places, weights, vectors, gradients):
    for u in range(start, stop):
        _collect(u, bounds, places, weights, vectors, gradients[u])


@njit(void(int64, int64, _int32s, _floats, _vectors, _table, *_adam_numbers), nogil=True, cache=True)
def _apply(start, stop, rows, rates, gradients, table, rate, decay, rescale):
    for u in range(start, stop):
        _adam(rows[u], gradients[u], table, rate * rates[u], decay, rescale)


@njit(
    void(int64, int64, _vectors, _table, *_adam_numbers),
    nogil=True,
    cache=True,
    fastmath=FAST,
    error_model="numpy",
)
def _apply_dense(start, stop, gradients, dense, rate, decay, rescale):
    for k in range(start, stop):
        for f in range(dense.shape[2]):
            g = rescale * gradients[k, f] + decay * dense[0, k, f]
            mean = _BETA1 * dense[1, k, f] + _REST1 * g
            square = _BETA2 * dense[2, k, f] + _REST2 * g * g
            dense[1, k, f] = mean
            dense[2, k, f] = square
            dense[0, k, f] -= rate * mean / (np.sqrt(square) + _EPSILON)
