# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""Mixtures of documents on a CPU: a document's words stay in the first cache for all rounds of its update.

Documents are cut into runs whose number does not depend on the threads, and what each run gathers is added up
in their order. So the threads' number changes no result.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, types, void

from optml.algorithms.kernels.machine import simd
from optml.algorithms.kernels.machine.simd import LANES
from optml.algorithms.kernels.machine.threads import in_parts
from optml.algorithms.kernels.mixtures.terms import TINY, Documents

RUNS = 8  # at most
LEAST = 256  # documents of a run
GATHERED = 256 << 20  # bytes that all runs together may gather in, where one run does not need more

_TINY, _MINUS = np.float32(TINY), np.float32(-1)
_longs = types.Array(int64, 1, "C", readonly=True)
_ints = types.Array(int32, 1, "C", readonly=True)
_floats = types.Array(float32, 1, "C", readonly=True)
_table = types.Array(float32, 2, "C", readonly=True)
_documents = (int64, int64, _longs, _ints, _floats, _table)


def infer(
    documents: Documents,
    table: np.ndarray,
    theta: np.ndarray,
    prior: np.ndarray,
    rounds: int,
    tolerance: float,
) -> None:
    """See `mixtures.infer`."""
    total = float(prior.sum(dtype=np.float64))

    def part(start: int, stop: int) -> None:
        room = simd.empty(1, table.shape[1])
        _infer(start, stop, *_arrays(documents), table, theta, prior, total, rounds, tolerance, room)

    in_parts(part, len(documents), 2 * rounds * _work(documents, table), blas=False)


def gather(documents: Documents, table: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """See `mixtures.gather`."""
    n = len(documents)
    runs = max(1, min(RUNS, GATHERED // max(table.nbytes, 1), n // LEAST))
    gathered = simd.zeros((runs, *table.shape))

    def part(first: int, last: int) -> None:
        for run in range(first, last):
            start, stop = n * run // runs, n * (run + 1) // runs
            _gather(start, stop, *_arrays(documents), table, theta, gathered[run])

    in_parts(part, runs, 2 * _work(documents, table) * n // runs, blas=False)
    for run in range(1, runs):
        gathered[0] += gathered[run]
    gathered[0] *= table
    summed: np.ndarray = gathered[0]
    return summed


def likelihoods(documents: Documents, table: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """See `mixtures.likelihoods`."""
    values = np.empty(len(documents))

    def part(start: int, stop: int) -> None:
        _likelihoods(start, stop, *_arrays(documents), table, theta, values)

    in_parts(part, len(documents), _work(documents, table), blas=False)
    return values


def _arrays(documents: Documents) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return documents.bounds, documents.words, documents.counts


def _work(documents: Documents, table: np.ndarray) -> int:
    """Multiply-adds of a document."""
    return int(table.shape[1] * max(1, len(documents.words) // max(len(documents), 1)))


@simd.compiled([simd._lanes(_table, int64, _table, int64, int64)], inline=True)
def _product(theta, d, table, at, lines):
    product = simd.zero()
    for line in range(lines):
        product = simd.multiply_add(simd.load(theta, d * lines + line), simd.load(table, at + line), product)
    return product


@simd.compiled(void(*_documents, float32[:, ::1], _floats, float32, int64, float32, float32[:, ::1]))
def _infer(start, stop, bounds, words, counts, table, theta, prior, total, rounds, tolerance, room):
    lines = table.shape[1] // LANES
    for d in range(start, stop):
        length = np.float32(0)
        for e in range(bounds[d], bounds[d + 1]):
            length += counts[e]
        scale = simd.fill(np.float32(1) / max(length + total, _TINY))
        for _ in range(rounds):
            for line in range(lines):
                simd.store(room, line, simd.zero())
            for e in range(bounds[d], bounds[d + 1]):
                at = int64(words[e]) * lines
                product = _product(theta, d, table, at, lines)
                ratio = simd.fill(counts[e] / max(simd.add_up(product), _TINY))
                for line in range(lines):
                    more = simd.multiply_add(ratio, simd.load(table, at + line), simd.load(room, line))
                    simd.store(room, line, more)
            change = simd.zero()
            for line in range(lines):
                before = simd.load(theta, d * lines + line)
                after = simd.multiply_add(before, simd.load(room, line), simd.load(prior, line))
                after = simd.multiply_add(after, scale, simd.zero())
                simd.store(theta, d * lines + line, after)
                change = simd.maximum(change, simd.multiply_add(before, simd.fill(_MINUS), after))
                change = simd.maximum(change, simd.multiply_add(after, simd.fill(_MINUS), before))
            if simd.highest(change) < tolerance:
                break


@simd.compiled(void(*_documents, _table, float32[:, ::1]))
def _gather(start, stop, bounds, words, counts, table, theta, gathered):
    lines = table.shape[1] // LANES
    for d in range(start, stop):
        for e in range(bounds[d], bounds[d + 1]):
            at = int64(words[e]) * lines
            product = _product(theta, d, table, at, lines)
            ratio = simd.fill(counts[e] / max(simd.add_up(product), _TINY))
            for line in range(lines):
                own = simd.load(theta, d * lines + line)
                more = simd.multiply_add(ratio, own, simd.load(gathered, at + line))
                simd.store(gathered, at + line, more)


@simd.compiled(void(*_documents, _table, float64[::1]))
def _likelihoods(start, stop, bounds, words, counts, table, theta, values):
    lines = table.shape[1] // LANES
    for d in range(start, stop):
        total = 0.0
        for e in range(bounds[d], bounds[d + 1]):
            product = _product(theta, d, table, int64(words[e]) * lines, lines)
            total += counts[e] * np.log(max(simd.add_up(product), _TINY))
        values[d] = total
