# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""Bags of words on a CPU: sums of weighted rows, and the softmax over all words by blocks in cache.

The vocabulary is cut into at most `RUNS` runs of words, whatever the number of threads; threads share them
out, and what each run yields is added up in their order. So the threads' number changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numba import float32, int32, int64, njit, types, void

from optml.algorithms.kernels.bags import Table
from optml.algorithms.kernels.machine import simd
from optml.algorithms.kernels.machine.simd import LANES
from optml.algorithms.kernels.machine.threads import ALONE, in_parts

RUNS = 8
CELLS = 1 << 17  # scores of a block, 512 KiB
CACHED_SCORES = 2 * CELLS  # of a batch; up to so many the powers are kept for the gradient

_PADDING_BIAS = np.float32(-1e30)  # of columns that fill a block up: their power is 0

_int32s = types.Array(int32, 1, "C", readonly=True)
_floats = types.Array(float32, 1, "C", readonly=True)
_table = types.Array(float32, 2, "C", readonly=True)


@dataclass(frozen=True, slots=True)
class Powers:
    """Of a run of words: exp(score - most) in powers[:, :words], and most (n,)."""

    powers: np.ndarray
    most: np.ndarray


def sums(table: Table, rows: np.ndarray) -> np.ndarray:
    """The sums (n, h) float32 of rows (m, h) float32."""
    totals = np.empty((len(table), rows.shape[1]), np.float32)

    def part(start: int, stop: int) -> None:
        _sums(start, stop, table.bounds, table.places, table.values, rows, totals)

    if len(table.places) * rows.shape[1] < ALONE:
        part(0, len(table))
    else:
        in_parts(part, len(table), len(table.places) * rows.shape[1] // len(table))
    return totals


def settle(table: Table, places: np.ndarray, rows: np.ndarray, totals: np.ndarray) -> None:
    """totals (v, h) become the sums (u, h) of rows (m, h), at the places (u,), less totals."""
    np.negative(totals, out=totals)
    _add_sums(table.bounds, table.places, table.values, places, rows, totals)


def normalizers(
    latent: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, list[Powers] | None]:
    """(n,) float32: log sum_v exp(latent @ weight.T + bias), of latent (n, k), weight (v, k), bias (v,); and
    the powers of each run, where they are few."""
    n, words = len(latent), len(weight)
    runs = _runs(words)
    most = np.full((len(runs), n), -np.inf, np.float32)
    total = np.zeros((len(runs), n), np.float32)
    cache: list[Powers | None] = [None] * len(runs)

    def part(start: int, stop: int) -> None:
        for run in range(start, stop):
            for block in _blocks(*runs[run], n):
                scores, padded = _scores(latent, weight, bias, block)
                top, more = np.empty(n, np.float32), np.empty(n, np.float32)
                _most(scores, padded, top)
                np.maximum(top, most[run], out=top)
                _powers(scores, padded, top, more)
                total[run] = total[run] * np.exp(most[run] - top) + more
                most[run] = top
            if n * words <= CACHED_SCORES:
                cache[run] = Powers(scores, most[run])

    in_parts(_quietly(part), len(runs), n * weight.size // len(runs))
    with np.errstate(invalid="ignore"):
        highest = most.max(axis=0)
        result: np.ndarray = highest + np.log((total * np.exp(most - highest)).sum(axis=0))
    return result, [powers for powers in cache if powers] or None


def expectations(
    latent: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    normalizers: np.ndarray,
    cache: list[Powers] | None,
    shares: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """With p = exp(latent @ weight.T + bias - normalizers), (n, v), and shares (n,):
    p @ weight (n, k), p.T @ (shares * latent) (v, k), p.T @ shares (v,)."""
    n, k = latent.shape
    runs = _runs(len(weight))
    of_latent = np.zeros((len(runs), n, k), np.float32)
    of_weight, of_bias = np.empty_like(weight), np.empty_like(bias)
    weighted_latent = latent * shares[:, None]

    def part(start: int, stop: int) -> None:
        for run in range(start, stop):
            if cache:
                begin, end = runs[run]
                factor = np.exp(cache[run].most - normalizers)
                powers = cache[run].powers[:, : end - begin]
                np.matmul(powers, weight[begin:end], out=of_latent[run])
                of_latent[run] *= factor[:, None]
                np.matmul(powers.T, weighted_latent * factor[:, None], out=of_weight[begin:end])
                np.matmul(powers.T, shares * factor, out=of_bias[begin:end])
                continue
            sums_there = np.empty(n, np.float32)
            for begin, end in _blocks(*runs[run], n):
                scores, padded = _scores(latent, weight, bias, (begin, end))
                _powers(scores, padded, normalizers, sums_there)
                powers = scores[:, : end - begin]
                of_latent[run] += powers @ weight[begin:end]
                np.matmul(powers.T, weighted_latent, out=of_weight[begin:end])
                np.matmul(powers.T, shares, out=of_bias[begin:end])

    in_parts(_quietly(part), len(runs), 3 * n * weight.size // len(runs))
    return of_latent.sum(axis=0), of_weight, of_bias


def _quietly(part: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Without warnings of infinities, on whatever thread: who trains looks at the loss."""

    def quiet(start: int, stop: int) -> None:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            part(start, stop)

    return quiet


def _runs(words: int) -> list[tuple[int, int]]:
    size = max(-(-words // (RUNS * LANES)) * LANES, 512)
    return [(start, min(start + size, words)) for start in range(0, words, size)]


def _blocks(start: int, stop: int, documents: int) -> Iterator[tuple[int, int]]:
    size = max(CELLS // max(documents, 1) // LANES, 4) * LANES
    return ((begin, min(begin + size, stop)) for begin in range(start, stop, size))


def _scores(
    latent: np.ndarray, weight: np.ndarray, bias: np.ndarray, block: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """latent @ weight.T of a block of words, in rows of whole cache lines, and the bias as long as they."""
    start, stop = block
    scores = simd.empty(len(latent), stop - start)
    np.matmul(latent, weight[start:stop].T, out=scores[:, : stop - start])
    padded = np.full(scores.shape[1], _PADDING_BIAS)
    padded[: stop - start] = bias[start:stop]
    return scores, padded


@njit(
    void(int64, int64, _int32s, _int32s, _floats, _table, float32[:, ::1]),
    cache=True,
    nogil=True,
    fastmath={"contract"},
)
def _sums(start, stop, bounds, places, values, rows, totals):
    width = rows.shape[1]
    for i in range(start, stop):
        for column in range(width):
            totals[i, column] = 0
        for e in range(bounds[i], bounds[i + 1]):
            value = values[e]
            row = places[e]
            for column in range(width):
                totals[i, column] += value * rows[row, column]


@njit(
    void(_int32s, _int32s, _floats, types.Array(int64, 1, "C", readonly=True), _table, float32[:, ::1]),
    cache=True,
    nogil=True,
    fastmath={"contract"},
)
def _add_sums(bounds, places, values, places_of_rows, rows, totals):
    width = rows.shape[1]
    for i in range(len(places_of_rows)):
        at = places_of_rows[i]
        for e in range(bounds[i], bounds[i + 1]):
            value = values[e]
            row = places[e]
            for column in range(width):
                totals[at, column] += value * rows[row, column]


@simd.compiled(void(_table, _floats, float32[::1]))
def _most(scores, bias, highest):
    """The largest score + bias of each row."""
    lines = scores.shape[1] // LANES
    one = simd.fill(np.float32(1))
    for i in range(scores.shape[0]):
        most = simd.fill(np.float32(-3e38))
        for line in range(lines):
            score = simd.multiply_add(one, simd.load(scores, i * lines + line), simd.load(bias, line))
            most = simd.maximum(score, most)
        highest[i] = simd.highest(most)


@simd.compiled(void(float32[:, ::1], _floats, _floats, float32[::1]))
def _powers(scores, bias, levels, totals):
    """Scores become exp(score + bias - level of the row), and their sums are `totals`."""
    lines = scores.shape[1] // LANES
    one = simd.fill(np.float32(1))
    for i in range(scores.shape[0]):
        level = simd.fill(-levels[i])
        total = simd.zero()
        for line in range(lines):
            score = simd.multiply_add(one, simd.load(scores, i * lines + line), simd.load(bias, line))
            power = simd.exponential(simd.multiply_add(one, score, level))
            simd.store(scores, i * lines + line, power)
            total = simd.multiply_add(one, power, total)
        totals[i] = simd.add_up(total)
