"""The nearest of many points on a GPU: no q x n scores in memory.

`_scan`   queries (q, d), points (n, d), bias (n,), all float32. A program takes ROWS queries and a run of the
          points, which it walks over in tiles, keeping each query's KEEP best (score, place) in registers.
          A tile in which no query finds a better score, as nearly all soon are, costs one comparison of
          maxima; else the best scores of the tile go in one after another, each in the place of the worst.
          torch merges the candidates of all runs; more neighbours than registers hold, it finds alone.

Products are taken in float32 as three TF32 products ("tf32x3"). The splitting of the points follows J.
Johnson, M. Douze and H. Jegou, "Billion-scale similarity search with GPUs", IEEE Trans. Big Data 7 (2021).
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.topk.terms import SPARE, in_doubt

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy

Score: TypeAlias = Callable[[Tensor, int, int], Tensor]  # queries, points from, to: (q, points)

MOST = 128  # candidates that registers hold
PROGRAMS = 512  # that keep a large GPU busy
TILE = 128  # points
ROUNDING = 2.0**-21  # relative error of a product by three of TF32, which has 11 bits
VALUES = 1 << 26  # of a block of scores, or of candidates that are measured


def search(
    queries: Tensor, points: Tensor, mean: Tensor, bias: Tensor, k: int, inner: bool
) -> tuple[Tensor, Tensor]:
    """See `topk.search`; all on one device."""
    count = min(k + SPARE, len(points))
    centred = queries if inner else (queries.double() - mean).float()
    shift = torch.zeros_like(bias) if inner else bias
    if count <= MOST:
        shortlist, worst = candidates(centred.contiguous(), points, shift, count)
    else:

        def scores(part: Tensor, start: int, stop: int) -> Tensor:
            return torch.addmm(shift[start:stop], part, points[start:stop].T)

        shortlist, worst = _by_torch(scores, centred, len(points), count)
    exact, places = _nearest(queries, points, shortlist, k, inner)
    if not inner and count < len(points) and len(queries):
        doubt = in_doubt(queries.double(), mean, exact[:, -1], worst, ROUNDING)
        again = torch.nonzero(doubt)[:, 0]
        if len(again):

            def differences(part: Tensor, start: int, stop: int) -> Tensor:
                return -torch.cdist(part, points[start:stop], compute_mode="donot_use_mm_for_euclid_dist")

            near, _ = _by_torch(differences, queries[again], len(points), count)
            exact[again], places[again] = _nearest(queries[again], points, near, k, inner)
    return (-exact if inner else exact).float(), places


def _nearest(
    queries: Tensor, points: Tensor, shortlist: Tensor, k: int, inner: bool
) -> tuple[Tensor, Tensor]:
    """Of candidates (q, c) the k nearest: distances (float64; products with the sign changed) and places."""
    distances, places = (
        [queries.new_empty((0, min(k, shortlist.shape[1])), dtype=torch.float64)],
        [shortlist[:0, :k]],
    )
    height = max(1, VALUES // shortlist.shape[1] // points.shape[1])
    for part, near in zip(queries.split(height), shortlist.split(height), strict=True):
        neighbours = points[near].double()
        exact = part.double()[:, None]
        lengths = -(exact * neighbours).sum(dim=2) if inner else torch.square(exact - neighbours).sum(dim=2)
        near, order = torch.sort(near, dim=1)
        lengths, nearest = torch.sort(lengths.gather(1, order), dim=1, stable=True)
        distances.append(lengths[:, :k])
        places.append(near.gather(1, nearest)[:, :k])
    return torch.cat(distances), torch.cat(places)


def candidates(queries: Tensor, points: Tensor, bias: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Places (q, count) int64 of the highest scores x.y + bias, in any order, and the lowest (q,) of those
    scores; count <= min(MOST, n)."""
    (q, d), n = queries.shape, len(points)
    if not q:
        return torch.empty((0, count), dtype=torch.int64, device=points.device), bias[:0]
    rows = 16 if q <= 16 else 64
    keep = triton.next_power_of_2(count)
    across = triton.cdiv(q, rows)
    tiles = triton.cdiv(n, TILE)
    # Runs of whole tiles, each longer than what is kept of it.
    length = TILE * max(triton.cdiv(tiles, max(1, PROGRAMS // across)), triton.cdiv(4 * keep, TILE))
    runs = triton.cdiv(n, length)
    scores = torch.empty((q, runs, keep), dtype=torch.float32, device=points.device)
    places = torch.empty((q, runs, keep), dtype=torch.int64, device=points.device)
    _scan[(across, runs)](
        queries, points, bias, scores, places, q, n, d, length,
        ROWS=rows, POINTS=TILE, FEATURES=32, KEEP=keep, num_warps=8 if rows > 16 else 4, num_stages=3,
    )  # fmt: skip
    best, order = torch.topk(scores.reshape(q, -1), count, dim=1)
    return places.reshape(q, -1).gather(1, order), best[:, -1]


def _by_torch(score: Score, queries: Tensor, n: int, count: int) -> tuple[Tensor, Tensor]:
    """As `candidates`, for any count: blocks of scores, and the best of each with the best so far."""
    shortlist, worst = [], []
    width = max(count, VALUES // 1024)
    for part in queries.split(1024):
        scores: Tensor = None
        places: Tensor = None
        for start in range(0, n, width):
            block = score(part, start, min(start + width, n))
            high, at = torch.topk(block, min(count, block.shape[1]), dim=1)
            at = at + start
            if scores is not None:
                high, at = torch.cat([scores, high], dim=1), torch.cat([places, at], dim=1)
                high, order = torch.topk(high, count, dim=1)
                at = at.gather(1, order)
            scores, places = high, at
        shortlist.append(places)
        worst.append(scores[:, -1])
    return torch.cat(shortlist), torch.cat(worst)


@triton.jit
def _scan(
    queries, points, bias, scores, places, q, n, d, length,
    ROWS: tl.constexpr, POINTS: tl.constexpr, FEATURES: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    slot = tl.arange(0, KEEP)
    column = tl.arange(0, POINTS)
    best = tl.full((ROWS, KEEP), float("-inf"), tl.float32)
    place = tl.zeros((ROWS, KEEP), tl.int64)
    start = tl.program_id(1).to(tl.int64) * length
    stop = tl.minimum(start + length, n)
    for first in range(start, stop, POINTS):
        point = first + column
        product = tl.zeros((ROWS, POINTS), tl.float32)
        for begin in range(0, d, FEATURES):
            feature = begin + tl.arange(0, FEATURES)
            x = tl.load(
                queries + row[:, None] * d + feature[None, :],
                mask=(row[:, None] < q) & (feature[None, :] < d),
                other=0.0,
            )
            y = tl.load(
                points + point[None, :].to(tl.int64) * d + feature[:, None],
                mask=(point[None, :] < stop) & (feature[:, None] < d),
                other=0.0,
            )
            product = tl.dot(x, y, product, input_precision="tf32x3")
        product += tl.load(bias + point, mask=point < stop, other=float("-inf"))[None, :]
        top, at = tl.max(product, axis=1, return_indices=True, return_indices_tie_break_left=True)
        low, hole = tl.min(best, axis=1, return_indices=True, return_indices_tie_break_left=True)
        while tl.max((top > low).to(tl.int32), axis=0) > 0:
            put = (top > low)[:, None] & (slot[None, :] == hole[:, None])
            best = tl.where(put, top[:, None], best)
            place = tl.where(put, (first + at)[:, None].to(tl.int64), place)
            product = tl.where(column[None, :] == at[:, None], float("-inf"), product)
            top, at = tl.max(product, axis=1, return_indices=True, return_indices_tie_break_left=True)
            low, hole = tl.min(best, axis=1, return_indices=True, return_indices_tie_break_left=True)
    where = (row[:, None] * tl.num_programs(1) + tl.program_id(1)) * KEEP + slot[None, :]
    tl.store(scores + where, best, mask=row[:, None] < q)
    tl.store(places + where, place, mask=row[:, None] < q)
