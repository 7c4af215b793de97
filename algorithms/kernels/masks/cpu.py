# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""Masks on a CPU: a row of pixels at a time. The classes of a place stand side by side, padded to whole cache
lines, so that sixteen of a pixel are computed at once; the two rows of places around a row of pixels are
joined first, and stay in the nearest cache with what is summed up for them.

A row of cells is a unit of work of the loss. It writes the gradient of its upper and of its lower places to
two tables, which are added up at the end: threads share nothing, and their number changes no result.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import boolean, float32, float64, int64, types, uint8, void

from optml.algorithms.kernels.machine import simd
from optml.algorithms.kernels.machine.simd import LANES
from optml.algorithms.kernels.machine.threads import in_parts
from optml.algorithms.kernels.masks.terms import LOW, Tensor, between

RUN = 32  # sums whose product is taken before its logarithm: no larger than K^32

_MINUS, _ONE, _LOW = np.float32(-1), np.float32(1), np.float32(LOW)
_BELOW = np.float32(1 - 2.0**-24)  # times this: the next number below
_table = types.Array(float32, 2, "C")
_longs = types.Array(int64, 1, "C", readonly=True)
_floats = types.Array(float32, 1, "C", readonly=True)
_lanes = simd._lanes


def loss(logits: Tensor, labels: Tensor, ignore: int, gradient: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """The sum (float64) of the cross entropies, the number of pixels (int64), and the gradient of the sum, of
    the layout of the logits, float32. See `masks.loss`."""
    batch, k, h, w = logits.shape
    scores = _places(logits)
    flat = labels.contiguous().view(-1, labels.shape[2]).numpy()
    _, parts, starts = between(h, labels.shape[1])
    columns, across, _ = between(w, labels.shape[2])
    cells = len(starts) - 1
    sums, numbers = np.zeros(batch * cells), np.zeros(batch * cells, np.int64)
    upper, lower = (simd.zeros(scores.shape if gradient else (1, LANES)) for _ in range(2))

    def part(start: int, stop: int) -> None:
        room = [simd.empty(rows, scores.shape[1]) for rows in (w, 1, w)]
        _loss(start, stop, scores, k, h, w, flat, ignore, starts, parts, columns, across, *room, gradient,
              upper, lower, sums, numbers)  # fmt: skip

    work = 8 * scores.shape[1] * labels.shape[1] * labels.shape[2] // cells
    in_parts(part, batch * cells, work, blas=False)
    total, number = torch.tensor(math.fsum(sums), dtype=torch.float64), torch.tensor(int(numbers.sum()))
    if not gradient:
        return total, number, None
    upper += lower
    rows = torch.from_numpy(upper).view(batch, h, w, -1)[..., :k].permute(0, 3, 1, 2)
    return total, number, torch.empty_like(logits, dtype=torch.float32).copy_(rows)


def classes(logits: Tensor, height: int, width: int) -> Tensor:
    """See `masks.classes`."""
    (batch, _, h, w), scores = logits.shape, _places(logits)
    rows, columns = between(h, height), between(w, width)
    out = np.empty((batch * height, width), np.uint8)

    def part(start: int, stop: int) -> None:
        room = [simd.empty(rows, scores.shape[1]) for rows in (w, 1)]
        _classes(start, stop, scores, h, w, height, *rows[:2], *columns[:2], *room, out)

    in_parts(part, len(out), 4 * width * scores.shape[1], blas=False)
    return torch.from_numpy(out).view(batch, height, width)


def probabilities(logits: Tensor, height: int, width: int) -> Tensor:
    """See `masks.probabilities`."""
    (batch, k, h, w), scores = logits.shape, _places(logits)
    rows, columns = between(h, height), between(w, width)
    out = np.empty((batch, k, height, width), np.float32)

    def part(start: int, stop: int) -> None:
        room = [simd.empty(rows, scores.shape[1]) for rows in (w, 1, width)]
        _probabilities(start, stop, scores, h, w, height, *rows[:2], *columns[:2], *room, out)

    in_parts(part, batch * height, 8 * width * scores.shape[1], blas=False)
    return torch.from_numpy(out)


def confusion(predicted: Tensor, labels: Tensor, k: int, ignore: int) -> Tensor:
    """See `masks.confusion`; both (pixels,), of one dtype."""
    one, two = predicted.contiguous().numpy(), labels.contiguous().numpy()

    def part(start: int, stop: int) -> np.ndarray:
        counts = np.zeros((k, k), np.int64)
        _confusion(one[start:stop], two[start:stop], ignore, counts)
        return counts

    return torch.from_numpy(sum(in_parts(part, len(two), 4, blas=False)))


def _places(logits: Tensor) -> np.ndarray:
    """(B h w, stride of K) float32: the classes of a place side by side, and no class behind them."""
    batch, k, h, w = logits.shape
    table = simd.empty(batch * h * w, k)
    table[:, k:] = LOW
    torch.from_numpy(table).view(batch, h, w, -1)[..., :k].copy_(logits.detach().permute(0, 2, 3, 1))
    return table


@simd.compiled([_lanes(_table, int64, _table, int64, _lanes)], inline=True)
def _between(one, at, two, other, part):
    """one + part * (two - one)."""
    first = simd.load(one, at)
    return simd.multiply_add(part, simd.multiply_add(first, simd.fill(_MINUS), simd.load(two, other)), first)


@simd.compiled([void(_table, int64, int64, int64, int64, float32, _table)])
def _row(scores, image, cell, h, w, part, row):
    """Between two rows of places: (w, stride)."""
    lines = row.shape[1] // LANES
    first = (image * h + cell) * w * lines
    second = (image * h + min(cell + 1, h - 1)) * w * lines
    share = simd.fill(part)
    for line in range(w * lines):
        simd.store(row, line, _between(scores, first + line, scores, second + line, share))


@simd.compiled([float32(_table, int64, int64, float32, int64, _table)], inline=True)
def _pixel(row, cell, w, part, lines, pixel):
    """The scores of a pixel, and the highest."""
    first, second = cell * lines, min(cell + 1, w - 1) * lines
    share, most = simd.fill(part), simd.fill(_LOW)
    for line in range(lines):
        score = _between(row, first + line, row, second + line, share)
        simd.store(pixel, line, score)
        most = simd.maximum(score, most)
    return simd.highest(most)


@simd.compiled([int64(_table, float32, int64)], inline=True)
def _first(pixel, most, lines):
    """The lowest class with the highest score; 0 where scores are no numbers."""
    same = simd.fill(most)
    for line in range(lines):
        place = simd.first_equal(simd.load(pixel, line), same)
        if place < LANES:
            return line * LANES + place
    return 0


@simd.compiled([float32(_table, float32, int64, _table, int64)], inline=True)
def _powers(pixel, most, lines, out, at):
    """exp(score - most) of a pixel from line `at` of `out` on; their sum."""
    less, total = simd.fill(-most), simd.zero()
    one = simd.fill(_ONE)
    for line in range(lines):
        power = simd.exponential(simd.multiply_add(simd.load(pixel, line), one, less))
        simd.store(out, at + line, power)
        total = simd.multiply_add(power, one, total)
    return simd.add_up(total)


def _signature(kind):
    """Of the loss, for labels of a dtype."""
    labels = types.Array(kind, 2, "C", readonly=True)
    return void(
        int64, int64, _table, int64, int64, int64, labels, int64, _longs, _floats, _longs, _floats,
        _table, _table, _table, boolean, _table, _table, float64[::1], int64[::1],
    )  # fmt: skip


@simd.compiled([_signature(uint8), _signature(int64)])
def _loss(
    start, stop, scores, k, h, w, labels, ignore, starts, parts, columns, across,
    row, pixel, slopes, gradient, upper, lower, sums, numbers,
):  # fmt: skip
    cells, height, width = len(starts) - 1, len(parts), len(across)
    lines = scores.shape[1] // LANES
    for unit in range(start, stop):
        image, cell = unit // cells, unit % cells
        total, product, factors, number = 0.0, 1.0, 0, 0
        for y in range(starts[cell], starts[cell + 1]):
            _row(scores, image, cell, h, w, parts[y], row)
            if gradient:
                for line in range(w * lines):
                    simd.store(slopes, line, simd.zero())
            for x in range(width):
                label = int64(labels[image * height + y, x])
                if label == ignore:
                    continue
                number += 1
                if label < 0 or label >= k:
                    total = np.nan
                    continue
                left, right = columns[x], min(columns[x] + 1, w - 1)
                most = _pixel(row, left, w, across[x], lines, pixel)
                total += most - pixel[0, label]
                whole = _powers(pixel, most, lines, pixel, 0)
                product *= whole
                factors += 1
                if factors == RUN:
                    total += math.log(product)
                    product, factors = 1.0, 0
                if gradient:
                    here, there = simd.fill((_ONE - across[x]) / whole), simd.fill(across[x] / whole)
                    for line in range(lines):
                        power = simd.load(pixel, line)
                        at = left * lines + line
                        simd.store(slopes, at, simd.multiply_add(power, here, simd.load(slopes, at)))
                        at = right * lines + line
                        simd.store(slopes, at, simd.multiply_add(power, there, simd.load(slopes, at)))
            if gradient:
                for x in range(width):  # after the lines: a number written between them would delay each
                    label = int64(labels[image * height + y, x])
                    if label != ignore and 0 <= label < k:
                        slopes[columns[x], label] -= _ONE - across[x]
                        slopes[min(columns[x] + 1, w - 1), label] -= across[x]
                first, second = (image * h + cell) * w * lines, (image * h + min(cell + 1, h - 1)) * w * lines
                above, below = simd.fill(_ONE - parts[y]), simd.fill(parts[y])
                for line in range(w * lines):
                    slope = simd.load(slopes, line)
                    at = first + line
                    simd.store(upper, at, simd.multiply_add(slope, above, simd.load(upper, at)))
                    at = second + line
                    simd.store(lower, at, simd.multiply_add(slope, below, simd.load(lower, at)))
        sums[unit], numbers[unit] = total + math.log(product), number


@simd.compiled(
    void(
        int64, int64, _table, int64, int64, int64, _longs, _floats, _longs, _floats,
        _table, _table, uint8[:, ::1],
    )
)  # fmt: skip
def _classes(start, stop, scores, h, w, height, rows, parts, columns, across, row, pixel, out):
    lines = scores.shape[1] // LANES
    for unit in range(start, stop):
        image, y = unit // height, unit % height
        _row(scores, image, rows[y], h, w, parts[y], row)
        for x in range(len(across)):
            most = _pixel(row, columns[x], w, across[x], lines, pixel)
            out[unit, x] = uint8(_first(pixel, most, lines))


@simd.compiled(
    void(
        int64, int64, _table, int64, int64, int64, _longs, _floats, _longs, _floats,
        _table, _table, _table, float32[:, :, :, ::1],
    )
)  # fmt: skip
def _probabilities(start, stop, scores, h, w, height, rows, parts, columns, across, row, pixel, line, out):
    lines, k = scores.shape[1] // LANES, out.shape[1]
    for unit in range(start, stop):
        image, y = unit // height, unit % height
        _row(scores, image, rows[y], h, w, parts[y], row)
        for x in range(len(across)):
            most = _pixel(row, columns[x], w, across[x], lines, pixel)
            own = _first(pixel, most, lines)
            whole = _powers(pixel, most, lines, line, x * lines)
            chance = _ONE / whole
            for c in range(own):
                line[x, c] = min(line[x, c] * chance, chance * _BELOW)
            for c in range(own, k):
                line[x, c] *= chance
        for c in range(k):
            for x in range(len(across)):
                out[image, c, y, x] = line[x, c]


def _pair(kind):
    pixels = types.Array(kind, 1, "C", readonly=True)
    return void(pixels, pixels, int64, int64[:, ::1])


@simd.compiled([_pair(uint8), _pair(int64)])
def _confusion(predicted, labels, ignore, counts):
    k = len(counts)
    for n in range(len(labels)):
        row, column = int64(labels[n]), int64(predicted[n])
        if row != ignore and column != ignore and 0 <= row < k and 0 <= column < k:
            counts[row, column] += 1
