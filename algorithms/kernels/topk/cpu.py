"""The nearest of many points on a CPU.

A few queries are compared with every point as the points stream by, at the speed of memory. Many go through
matrix products of blocks whose scores stay in a core's cache; a scan then holds the best of 32 scores against
the worst that a query has kept so far, and nearly always goes on. The points are shared out among threads, so
that each packs its own for BLAS once. Queries whose products leave a doubt are compared like a few.

What is kept is a heap per query, the worst at its root: lower scores are worse, of equal ones the later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numba import boolean, float32, float64, int64, njit, types, void

from optml.algorithms.kernels.machine.threads import in_parts
from optml.algorithms.kernels.topk.terms import SPARE, in_doubt

# Points are mapped from a file that lies as FAISS lays it: at any byte.
_points = types.Array(float32, 2, "C", readonly=True, aligned=False)
_bias = types.Array(float32, 1, "C", readonly=True)
_mean = types.Array(float64, 1, "C", readonly=True)

FEW = 16  # queries from which on a product is worth its packing
LONG = 128  # features from which on BLAS's packing counts more than keeping scores in the cache
BLOCK = 512  # points in one product, and LONG_BLOCK of long ones
LONG_BLOCK = 1024
ROWS = 1024  # queries in one product, and LONG_ROWS of long ones
LONG_ROWS = 2048
RUN = 32  # scores compared at once with that of the worst candidate
TILE = 1 << 13  # values of the points that a few queries pass over together

MOST_CANDIDATES = 1 << 23  # of all queries that are searched at once
ROUNDING = 2.0**-24  # relative error of a float32 product

LOWEST = np.float32(-np.inf)
Compare: TypeAlias = Callable[[int, int, np.ndarray, np.ndarray], None]  # points from, to; what is kept
FAST = {"reassoc", "contract", "nsz", "nnan"}


def fold(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean m of the points (d,) float64 and their bias -|y - m|^2 / 2 (n,) float32."""
    total = np.sum(in_parts(lambda start, stop: _sum(points[start:stop]), *points.shape), axis=0)
    mean = total / max(len(points), 1)
    bias = np.empty(len(points), np.float32)
    in_parts(lambda start, stop: _lengths(points[start:stop], mean, bias[start:stop]), *points.shape)
    return mean, bias


def search(
    queries: np.ndarray, points: np.ndarray, mean: np.ndarray, bias: np.ndarray, k: int, inner: bool
) -> tuple[np.ndarray, np.ndarray]:
    """See `topk.search`."""
    count = min(k + SPARE, len(points))
    height = max(FEW, MOST_CANDIDATES // count)
    parts = [
        _search(queries[start : start + height], points, mean, bias, k, inner)
        for start in range(0, max(len(queries), 1), height)
    ]
    exact, places = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return (-exact if inner else exact).astype(np.float32), places


def _search(
    queries: np.ndarray, points: np.ndarray, mean: np.ndarray, bias: np.ndarray, k: int, inner: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Distances (q, m) float64, of products with the sign changed, and places (q, m)."""
    count = min(k + SPARE, len(points))

    def differences(start: int, stop: int, best: np.ndarray, places: np.ndarray) -> None:
        _pass(batch, points[start:stop], start, inner, best, places)

    def products(start: int, stop: int, best: np.ndarray, places: np.ndarray) -> None:
        _multiply(centred, points[start:stop], shift[start:stop], start, best, places)

    batch = queries
    if len(queries) < FEW:
        return _nearest(queries, points, _candidates(differences, queries, points, count)[1], k, inner)
    centred = queries if inner else (queries - mean).astype(np.float32)
    shift = np.zeros_like(bias) if inner else bias
    scores, places = _candidates(products, queries, points, count)
    exact, places = _nearest(queries, points, places, k, inner)
    if not inner and count < len(points):
        doubt = in_doubt(queries.astype(np.float64), mean, exact[:, -1], scores.min(axis=1), ROUNDING)
        if doubt.any():
            batch = queries[doubt]
            again = _candidates(differences, batch, points, count)[1]
            exact[doubt], places[doubt] = _nearest(batch, points, again, k, inner)
    return exact, places


def _candidates(
    compare: Compare, queries: np.ndarray, points: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The scores (q, count) and places of the best points, in any order; the points are shared out."""

    def part(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        best = np.full((len(queries), count), LOWEST)
        shortlist = np.full((len(queries), count), np.iinfo(np.int64).max)
        compare(start, stop, best, shortlist)
        return best, shortlist

    parts = in_parts(part, len(points), queries.size)
    best, shortlist = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
    if len(parts) > 1:
        order = np.lexsort((shortlist, -best))[:, :count]
        best, shortlist = (
            np.take_along_axis(best, order, axis=1),
            np.take_along_axis(shortlist, order, axis=1),
        )
    return best, np.minimum(shortlist, len(points) - 1)  # scores beyond float32 were not kept


def _nearest(
    queries: np.ndarray, points: np.ndarray, shortlist: np.ndarray, k: int, inner: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Of candidates (q, c) the k nearest, nearest first, by distances in float64."""
    exact = np.empty(shortlist.shape)
    in_parts(
        lambda start, stop: _measure(
            queries[start:stop], points, shortlist[start:stop], inner, exact[start:stop]
        ),
        len(queries),
        shortlist.shape[1] * points.shape[1],
    )
    order = np.lexsort((shortlist, exact))[:, :k]
    return np.take_along_axis(exact, order, axis=1), np.take_along_axis(shortlist, order, axis=1)


@njit(float64[::1](_points), nogil=True, cache=True, fastmath=FAST)
def _sum(points: np.ndarray) -> np.ndarray:
    total = np.zeros(points.shape[1])
    for j in range(points.shape[0]):
        for f in range(points.shape[1]):
            total[f] += points[j, f]
    return total


@njit(void(_points, _mean, float32[::1]), nogil=True, cache=True, fastmath=FAST)
def _lengths(points: np.ndarray, mean: np.ndarray, bias: np.ndarray) -> None:
    for j in range(points.shape[0]):
        total = 0.0
        for f in range(points.shape[1]):
            centred = points[j, f] - mean[f]
            total += centred * centred
        bias[j] = -0.5 * total


@njit(inline="always")
def _keep(best: np.ndarray, shortlist: np.ndarray, score: np.float32, place: int) -> None:
    """Put a score in the place of the worst, the root of the heap, and let it sink."""
    at = 0
    count = len(best)
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        other = child + 1
        if other < count and (
            best[other] < best[child] or (best[other] == best[child] and shortlist[other] > shortlist[child])
        ):
            child = other
        if best[child] > score or (best[child] == score and shortlist[child] < place):
            break
        best[at] = best[child]
        shortlist[at] = shortlist[child]
        at = child
    best[at] = score
    shortlist[at] = place


@njit(inline="always")
def _sift(
    scores: np.ndarray,
    bias: np.ndarray,
    start: int,
    run: int,
    stop: int,
    first: int,
    best: np.ndarray,
    shortlist: np.ndarray,
) -> None:
    """Keep what is worth it of the scores from `run` to `stop` of a block that begins at `start`."""
    for j in range(run, stop):
        score = scores[j] + bias[start + j]
        if score > best[0]:
            _keep(best, shortlist, score, first + start + j)


@njit(
    void(_points, _points, int64, boolean, float32[:, ::1], int64[:, ::1]),
    nogil=True,
    cache=True,
    fastmath=FAST,
)
def _pass(
    queries: np.ndarray, points: np.ndarray, first: int, inner: bool, best: np.ndarray, shortlist: np.ndarray
) -> None:
    """Compare every query with every point; `first` is the place of the first of them among all."""
    height = max(1, TILE // points.shape[1])
    for start in range(0, points.shape[0], height):
        for i in range(queries.shape[0]):
            for j in range(start, min(start + height, points.shape[0])):
                score = np.float32(0)
                if inner:
                    for f in range(points.shape[1]):
                        score += queries[i, f] * points[j, f]
                else:
                    for f in range(points.shape[1]):
                        difference = queries[i, f] - points[j, f]
                        score -= difference * difference
                if score > best[i, 0]:
                    _keep(best[i], shortlist[i], score, first + j)


@njit(
    void(_points, _points, _bias, int64, float32[:, ::1], int64[:, ::1]),
    nogil=True,
    cache=True,
    fastmath=FAST,
)
def _multiply(
    queries: np.ndarray,
    points: np.ndarray,
    bias: np.ndarray,
    first: int,
    best: np.ndarray,
    shortlist: np.ndarray,
) -> None:
    """Scores x.y + bias of every query and point, a block at a time; `first` as above."""
    long = points.shape[1] >= LONG
    length = LONG_BLOCK if long else BLOCK
    height = min(LONG_ROWS if long else ROWS, queries.shape[0])
    room = np.empty(height * length, np.float32)
    for start in range(0, points.shape[0], length):
        block = points[start : start + length]
        width = block.shape[0]
        for top in range(0, queries.shape[0], height):
            rows = queries[top : top + height]
            scores = room[: rows.shape[0] * width].reshape(rows.shape[0], width)
            np.dot(rows, block.T, scores)
            for i in range(rows.shape[0]):
                mine, places = best[top + i], shortlist[top + i]
                for run in range(0, width - width % RUN, RUN):
                    highest = LOWEST
                    for j in range(run, run + RUN):
                        score = scores[i, j] + bias[start + j]
                        highest = score if score > highest else highest
                    if highest > mine[0]:
                        _sift(scores[i], bias, start, run, run + RUN, first, mine, places)
                _sift(scores[i], bias, start, width - width % RUN, width, first, mine, places)


@njit(void(_points, _points, int64[:, ::1], boolean, float64[:, ::1]), nogil=True, cache=True, fastmath=FAST)
def _measure(
    queries: np.ndarray, points: np.ndarray, shortlist: np.ndarray, inner: bool, exact: np.ndarray
) -> None:
    """Squared distances to the points found, or inner products with the sign changed, in float64."""
    for i in range(shortlist.shape[0]):
        for c in range(shortlist.shape[1]):
            total = 0.0
            j = shortlist[i, c]
            if inner:
                for f in range(points.shape[1]):
                    total -= np.float64(queries[i, f]) * np.float64(points[j, f])
            else:
                for f in range(points.shape[1]):
                    difference = np.float64(queries[i, f]) - np.float64(points[j, f])
                    total += difference * difference
            exact[i, c] = total
